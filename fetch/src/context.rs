//! What all steps of one fetch share: the request, the deadline, the trust in servers, and the notes.

use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

use glowplug::deadline::Deadline;
use glowplug::error::Result;
use glowplug::fetch_request::FetchRequest;

use crate::output;
use crate::tls::Trust;

/// Notes come no faster than this.
const BETWEEN_NOTES: Duration = Duration::from_secs(1);

/// One fetch.
#[derive(Debug)]
pub struct Context<'r> {
    /// The request.
    pub request: &'r FetchRequest<'r>,
    /// When everything must be over. It may be so far away that it never comes.
    pub deadline: Deadline,
    trust: OnceCell<Trust>,
    last_note: Cell<Option<Instant>>,
}

impl<'r> Context<'r> {
    /// Returns the context of `request`, whose time begins now.
    pub fn new(request: &'r FetchRequest<'r>) -> Self {
        let deadline = Deadline::after(seconds(request.total_seconds));
        Self { request, deadline, trust: OnceCell::new(), last_note: Cell::new(None) }
    }

    /// Tells people what happens: a try that failed, say. Drops notes that follow the one before within a second.
    pub fn note(&self, text: &str) {
        let now = Instant::now();
        if self.last_note.get().is_none_or(|last| now.duration_since(last) >= BETWEEN_NOTES) {
            self.last_note.set(Some(now));
            output::tell("note", text);
        }
    }

    /// Returns how long a server may take to begin its answer.
    pub fn response_headers_time(&self) -> Duration {
        seconds(self.request.response_headers_seconds)
    }

    /// Returns the header fields of the config.
    pub fn own_headers(&self) -> Vec<(String, String)> {
        let headers = self.request.headers.iter();
        headers.map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned())).collect()
    }

    /// Returns the base URL that replaces the one of the service `name`, for tests.
    pub fn endpoint(&self, name: &str) -> Option<&str> {
        self.request.endpoints.iter().find(|(known, _)| known == name).map(|(_, url)| &**url)
    }

    /// Returns whom to trust, read on the first call.
    ///
    /// # Errors
    /// Those of [`Trust::new`].
    pub(crate) fn trust(&self) -> Result<&Trust> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust);
        }
        let trust = Trust::new(&self.request.cas)?;
        Ok(self.trust.get_or_init(|| trust))
    }
}

/// Returns the duration; 0 seconds are any time.
fn seconds(seconds: u64) -> Duration {
    if seconds == 0 { Duration::MAX } else { Duration::from_secs(seconds) }
}
