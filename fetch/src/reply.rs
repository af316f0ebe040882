//! The answer of a server.

use std::cell::RefCell;
use std::io;

use glowplug::error::{Error, Reason, Result};
use glowplug::http::{AnswerReader, Failure, Head, Input};

use crate::connect::{Stream, Timer};
use crate::url::Url;

/// A connection from which an answer is read.
#[derive(Debug)]
pub struct Connection {
    stream: RefCell<Box<dyn Stream>>,
    timer: Timer,
    /// An error after bytes that were read before it.
    error: RefCell<Option<io::Error>>,
}

impl Connection {
    /// Returns a connection by way of `stream`, whose waits `timer` bounds.
    pub fn new(stream: Box<dyn Stream>, timer: Timer) -> Self {
        Self { stream: RefCell::new(stream), timer, error: RefCell::new(None) }
    }

    pub fn into_inner(self) -> Box<dyn Stream> {
        self.stream.into_inner()
    }
}

impl Input for Connection {
    /// Waits for the first bytes, and then reads everything that has arrived, until `buffer` is full. TLS alone would give
    /// 16 KiB at a time, and whoever takes the body would be woken for each of these pieces.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut stream = self.stream.borrow_mut();
        let mut count = stream.read(buffer).map_err(cut)?;
        self.timer.without_waiting(|| {
            while let Some(rest) = buffer.get_mut(count..).filter(|rest| count > 0 && !rest.is_empty()) {
                match stream.read(rest) {
                    // The next call finds the end again.
                    Ok(0) => break,
                    Ok(more) => count = count.saturating_add(more),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        *self.error.borrow_mut() = Some(cut(error));
                        break;
                    }
                }
            }
        });
        Ok(count)
    }
}

/// Returns what an error means. TLS that ends without saying so may have been cut by anybody.
fn cut(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { io::ErrorKind::ConnectionReset.into() } else { error }
}

/// The answer of a server, whose body is read piece by piece.
#[derive(Debug)]
pub struct Response {
    /// The URL that was asked, after all redirects.
    pub url: Url,
    /// How many redirects led to it.
    pub redirects: u32,
    /// How many bytes the body has, if the head tells it.
    pub length: Option<u64>,
    head: Head,
    answer: AnswerReader<Connection>,
}

impl Response {
    pub(crate) fn new(
        url: Url,
        head: Head,
        mut answer: AnswerReader<Connection>,
        has_body: bool,
    ) -> std::result::Result<Self, Failure> {
        let length = if has_body { answer.begin_body(&head)? } else { Some(0) };
        Ok(Self { url, redirects: 0, length, head, answer })
    }

    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// Returns the value of the first field `name`, in any case of letters.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    /// Returns the value of a field as text. `None` if it is missing or not ASCII.
    pub fn text_field(&self, name: &str) -> Option<&str> {
        self.field(name).filter(|value| value.is_ascii()).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the next bytes of the body; none at its end. [`Response::consume`] skips them.
    ///
    /// # Errors
    /// A passing failure if the connection fails or is cut; a final one for a body that is malformed.
    pub fn piece(&mut self) -> std::result::Result<&[u8], Failure> {
        self.answer.piece()
    }

    /// Skips `count` bytes of the last piece.
    pub fn consume(&mut self, count: usize) {
        self.answer.consume(count);
    }

    /// Returns whether the end of the body can be told from a connection that was cut.
    pub fn tells_its_end(&self) -> bool {
        self.answer.tells_its_end()
    }

    /// Reads the whole body, of at most `limit` bytes: a token, or a document that explains an error.
    ///
    /// # Errors
    /// [`Reason::NoHost`] for a body that is cut, [`Reason::BadAnswer`] for one that is malformed or too large.
    pub fn text(&mut self, limit: usize) -> Result<Vec<u8>> {
        let at = self.url.shown();
        let mut text = Vec::new();
        loop {
            let piece = self.answer.piece().map_err(|failure| fatal(failure).at(&at))?;
            let count = piece.len();
            if count == 0 {
                return Ok(text);
            }
            if text.len().saturating_add(count) > limit {
                return Err(
                    Error::new(Reason::BadAnswer, format!("the answer is over {limit} bytes")).at(&at)
                );
            }
            text.extend_from_slice(piece);
            self.answer.consume(count);
        }
    }
}

/// Returns the error for a failure that is not tried again.
pub fn fatal(failure: Failure) -> Error {
    match failure {
        Failure::Final(error) => error,
        Failure::Passing(what) => Error::new(Reason::NoHost, what),
    }
}
