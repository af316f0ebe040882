//! The private parts that `fuzz/` reaches in a build with `--cfg fuzzing`; no other build has them.

use std::cell::RefCell;
use std::io::{self, Read};

pub use crate::agent::journal::{parse as journal_query, parse_lines as journal_lines};
use crate::agent::request::HostRequest;
pub use crate::agent::systemd::parse_units as systemd_units;
pub use crate::agent::text;
use crate::http::{self, Input};
pub use crate::json::{JsonKind, JsonReader, SyntaxError};

struct HostBytes<'h>(RefCell<&'h mut dyn Read>);

impl Input for HostBytes<'_> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

/// Reads one HTTP answer, its body at most `limit` bytes long.
///
/// # Errors
/// The words for the failure.
pub fn http_answer(stream: &mut dyn Read, limit: u64) -> Result<Vec<u8>, String> {
    http::answer(&HostBytes(RefCell::new(stream)), limit)
}

/// Reads one request to the agent: its path and query.
///
/// # Errors
/// The status and the words for what is wrong with it.
pub fn agent_request(stream: &mut dyn Read) -> Result<(String, String), (u16, String)> {
    HostRequest::read(&HostBytes(RefCell::new(stream)))
        .map(|request| (request.path, request.query))
        .map_err(|refusal| (refusal.status, refusal.what))
}
