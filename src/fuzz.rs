//! The private parts that `fuzz/` reaches in a build with `--cfg fuzzing`; no other build has them.

use std::cell::RefCell;
use std::io::{self, Read};

pub use crate::config::json::{Kind, Reader, SyntaxError};
use crate::http::Input;
use crate::platform::http;

struct Host<'h>(RefCell<&'h mut dyn Read>);

impl Input for Host<'_> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

/// Reads one HTTP answer, its body at most `limit` bytes long.
///
/// # Errors
/// The words for the failure.
pub fn http_answer(stream: &mut dyn Read, limit: u64) -> Result<Vec<u8>, String> {
    http::answer(&Host(RefCell::new(stream)), limit)
}
