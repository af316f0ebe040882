//! A request over HTTP/1.1, tried again until a deadline, bounded in every direction.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;

use super::Input;
use super::answer::Answer;
use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Reason, Result, io_words};

/// A host that is silent for this long is tried anew: a connection can be accepted by a proxy that has nobody
/// behind it.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// How long the client listens for a body that the host said was empty: an empty config makes a machine without users,
/// so a host that miscounts must not bring one about.
const SURPLUS_WAIT: Duration = Duration::from_millis(250);
/// A read needs some time, however near the deadline is.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

pub(super) const CUT: &str = "the host closed the connection before its answer was whole";

/// A connection to the host.
pub(crate) trait Stream: AsFd {
    /// Bounds each later read and write.
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
}

/// Why one try gave no config.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another try may go better.
    Passing(String),
    /// The host has answered; asking again would bring the same.
    Final(Error),
}

impl Failure {
    pub(super) fn passing(what: impl fmt::Display) -> Self {
        Self::Passing(what.to_string())
    }

    pub(super) fn io(act: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::passing(format_args!("{act}: the host is silent")),
            // Which call is the first to see the end is chance.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                Self::passing(CUT)
            }
            _ => Self::passing(format_args!("{act}: {}", io_words(error))),
        }
    }

    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self::Final(Error::new(Reason::BadAnswer, what))
    }
}

/// What is asked of a host. Only methods whose answers have a body: not HEAD.
pub(crate) struct Request<'r> {
    /// The method: `GET`.
    pub(crate) method: &'r str,
    /// The path with its query: `/`.
    pub(crate) path: &'r str,
    /// The header fields, with `Host` among them. The client adds `Connection: close`.
    pub(crate) headers: &'r [(&'r str, &'r str)],
}

impl Request<'_> {
    fn head(&self) -> String {
        let Self { method, path, headers } = self;
        let mut head = [method, " ", path, " HTTP/1.1\r\n"].concat();
        for (name, value) in *headers {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        }
        head.push_str("Connection: close\r\n\r\n");
        head
    }
}

/// Asks one host, over a new connection for each try.
pub(crate) struct Client<'c> {
    /// The host's name in messages: `vsock 2:1024`.
    pub(crate) peer: &'c str,
    /// Connects to the host.
    pub(crate) connect: &'c dyn Fn() -> io::Result<Box<dyn Stream>>,
    /// When the last try must be over.
    pub(crate) deadline: Deadline,
    /// The most bytes that a body may have.
    pub(crate) limit: u64,
}

impl Client<'_> {
    /// Fetches the body that the host answers `request` with. Failures that can pass are tried again until the deadline.
    ///
    /// # Errors
    /// [`Reason::NoHost`] at the deadline, with the last try's failure; [`Reason::BadAnswer`] for an answer that is not
    /// 200, is malformed, or has a body that is too large.
    pub(crate) fn fetch(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        let peer = self.peer;
        let head = request.head();
        let mut backoff = Backoff::new();
        let mut tries: u32 = 0;
        loop {
            tries = tries.saturating_add(1);
            let failure = match self.attempt(&head) {
                Ok(body) => {
                    if tries > 1 {
                        log::info!("{peer}: the host gave the config at try {tries}");
                    }
                    return Ok(body);
                }
                Err(Failure::Final(error)) => return Err(error.at(&peer)),
                Err(Failure::Passing(what)) => what,
            };
            log::debug!("{peer}: try {tries}: {failure}");
            if !backoff.wait(self.deadline) {
                let seconds = self.deadline.patience().as_secs();
                let what = format!(
                    "{peer}: the host gave no config within {seconds} s and {tries} tries; the last one: {failure}"
                );
                return Err(Error::new(Reason::NoHost, what));
            }
        }
    }

    fn attempt(&self, head: &str) -> std::result::Result<Vec<u8>, Failure> {
        let stream = (self.connect)()
            .map_err(|error| Failure::passing(format_args!("connect: {}", io_words(&error))))?;
        let connection = Connection { stream, deadline: self.deadline, has_begun: Cell::new(false) };
        connection.write_all(head.as_bytes()).map_err(|error| Failure::io("send the request", &error))?;
        let mut answer = Answer::new(&connection);
        let body = answer.body(self.limit)?;
        if body.is_empty() && (answer.has_more() || connection.sends_within(SURPLUS_WAIT)) {
            return Err(Failure::bad("the host said that its config is empty and sent more all the same"));
        }
        Ok(body)
    }
}

/// Reads one answer, without the time around it.
#[cfg(fuzzing)]
pub(crate) fn answer(stream: &dyn Input, limit: u64) -> std::result::Result<Vec<u8>, String> {
    Answer::new(stream).body(limit).map_err(|failure| match failure {
        Failure::Passing(what) => what,
        Failure::Final(error) => error.to_string(),
    })
}

/// A stream whose every read and write ends at the deadline of the whole fetch.
struct Connection {
    stream: Box<dyn Stream>,
    deadline: Deadline,
    /// Something of the answer has come.
    has_begun: Cell<bool>,
}

impl Connection {
    fn prepare(&self) -> io::Result<()> {
        let left = self.deadline.remaining();
        if left.is_zero() {
            return Err(self.over());
        }
        self.stream.set_timeout(left.clamp(SHORTEST_WAIT, LONGEST_SILENCE))
    }

    /// A host that sends, but too slowly or without end, is not a silent one.
    fn over(&self) -> io::Error {
        let midst = if self.has_begun.get() { " in the midst of the answer" } else { "" };
        io::Error::new(io::ErrorKind::TimedOut, format!("the time is over{midst}"))
    }

    /// Whether the host sends anything in the next `time`. A host that closes or fails sends nothing.
    fn sends_within(&self, time: Duration) -> bool {
        let time = self.deadline.remaining().min(time).max(SHORTEST_WAIT);
        self.stream.set_timeout(time).is_ok()
            && rustix::io::read(self.stream.as_fd(), &mut [0; 1]).is_ok_and(|count| count > 0)
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.prepare()?;
            match rustix::io::write(self.stream.as_fd(), bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

impl Input for Connection {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.prepare()?;
        match rustix::io::read(self.stream.as_fd(), buffer) {
            Ok(count) => {
                self.has_begun.set(true);
                Ok(count)
            }
            Err(Errno::AGAIN) if self.has_begun.get() && self.deadline.remaining().is_zero() => {
                Err(self.over())
            }
            Err(errno) => Err(errno.into()),
        }
    }
}
