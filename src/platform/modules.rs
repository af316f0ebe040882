//! Loads kernel modules that nothing else loads before the config is needed.

use std::ffi::CStr;

use crate::error::errno_words;
use crate::sys;

/// Loads the module `name`. A module that is missing or built in is not a failure here: the code that needs its
/// device reports a missing device.
pub(super) fn load(name: &CStr) {
    match sys::spawn_and_wait(&[c"modprobe", c"-q", name]) {
        Ok(code) => log::debug!("modprobe {name:?}: exit {code:?}"),
        Err(errno) => log::debug!("modprobe {name:?}: {}", errno_words(errno)),
    }
}
