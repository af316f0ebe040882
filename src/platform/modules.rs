//! Kernel modules that nothing else loads before the config is needed.

use std::ffi::CStr;

use crate::error::errno_words;
use crate::sys;

/// Loads `name` if it is a module of the running kernel. One that is missing or built in is no failure here:
/// whoever needs its device says so.
pub(super) fn load(name: &CStr) {
    match sys::spawn_and_wait(&[c"modprobe", c"-q", name]) {
        Ok(code) => log::debug!("modprobe {name:?}: exit {code:?}"),
        Err(errno) => log::debug!("modprobe {name:?}: {}", errno_words(errno)),
    }
}
