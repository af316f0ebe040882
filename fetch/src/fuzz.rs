//! The private parts that `fuzz/` reaches in a build with `--cfg fuzzing`; no other build has them.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::time::Duration;

use glowplug::deadline::Deadline;
use glowplug::http::{AnswerReader, Failure};

use crate::connect::Timer;
use crate::http::{HttpRequest, follow};
use crate::reply::{Connection, Response};
pub use crate::s3::fuzz::{error_code, object_url};
pub use crate::tftp::fuzz::{Client, Kept};
use crate::url::Url;

/// A connection on which a server sends `answer` in pieces whose sizes go round.
#[derive(Debug)]
struct Replay {
    answer: Vec<u8>,
    at: usize,
    sizes: Vec<u8>,
    reads: usize,
}

impl Read for Replay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.reads.checked_rem(self.sizes.len()).and_then(|at| self.sizes.get(at));
        let size = size.map_or(usize::MAX, |size| usize::from(*size).max(1)).min(buffer.len());
        self.reads = self.reads.wrapping_add(1);
        let rest = self.answer.get(self.at..).unwrap_or_default();
        let count = rest.len().min(size);
        for (to, from) in buffer.iter_mut().zip(rest.iter().take(count)) {
            *to = *from;
        }
        self.at = self.at.saturating_add(count);
        Ok(count)
    }
}

impl Write for Replay {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a request whose servers send `answers`, one each.
#[derive(Debug, PartialEq, Eq)]
pub struct Followed {
    /// The URLs that were asked, each with its method and the number of own fields.
    pub asked: Vec<(Url, &'static str, usize)>,
    /// Status and body of the last answer, or the words of the failure.
    pub outcome: Result<(u16, Vec<u8>), String>,
}

/// Follows `answers` from `url` on.
pub fn redirects(url: &Url, answers: &[&[u8]], sizes: &[u8]) -> Followed {
    let mut request = HttpRequest::get(url.clone());
    request.headers.push(("Authorization".to_owned(), "Bearer secret".to_owned()));
    let asked = RefCell::new(Vec::new());
    let ask = |method, url: &Url, headers: &[(String, String)]| {
        let number = asked.borrow().len();
        asked.borrow_mut().push((url.clone(), method, headers.len()));
        let answer = answers.get(number).copied().unwrap_or_default().to_vec();
        let replay = Replay { answer, at: 0, sizes: sizes.to_vec(), reads: 0 };
        let mut answer =
            AnswerReader::new(Connection::new(Box::new(replay), Timer::new(Deadline::after(Duration::MAX))));
        let head = answer.head()?;
        Response::new(url.clone(), head, answer, true)
    };
    let words = |failure| match failure {
        Failure::Passing(what) => what,
        Failure::Final(error) => error.to_string(),
    };
    let outcome = match follow(&request, &ask) {
        Err((at, failure)) => Err(format!("{at}: {}", words(failure))),
        Ok(mut response) => {
            let body = response.text(1 << 20).map_err(|error| error.to_string());
            body.map(|body| (response.status(), body))
        }
    };
    Followed { asked: asked.into_inner(), outcome }
}
