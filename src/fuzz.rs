//! The private parts that `fuzz/` reaches in a build with `--cfg fuzzing`; no other build has them.

use std::io::Read;

pub use crate::config::json::{Kind, Reader, SyntaxError};

/// Reads one HTTP answer, its body at most `limit` bytes long.
///
/// # Errors
/// The words for the failure.
pub fn http_answer(stream: &mut dyn Read, limit: u64) -> Result<Vec<u8>, String> {
    crate::platform::http::answer(stream, limit)
}
