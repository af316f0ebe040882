//! An HTTP/1.1 client that tries a request again until a deadline. Every wait and every size is bounded.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;

use super::Input;
use super::answer::AnswerReader;
use super::failure::Failure;
use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Reason, Result, io_words};

/// After this time without a byte from the host, the client tries again on a new connection. A proxy can accept a
/// connection although no server is behind it.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// How long the client listens for more after a body that the host said is empty. An empty config makes a machine
/// without users, so a host that miscounts must not cause one.
const SURPLUS_WAIT: Duration = Duration::from_millis(250);
/// The shortest timeout of a read or write, used when the deadline is nearer.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// A connection to the host.
pub(crate) trait HostStream: AsFd {
    /// Sets the timeout of each later read and write.
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
}

/// A request. Methods whose answers have no body, such as HEAD, are not supported.
pub(crate) struct Request<'r> {
    /// The method, such as `GET`.
    pub(crate) method: &'r str,
    /// The path with its query, such as `/`.
    pub(crate) path: &'r str,
    /// The header fields, including `Host`. The client adds `Connection: close`.
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

/// Asks one host, with a new connection for each try.
pub(crate) struct Client<'c> {
    /// The host's name in messages, such as `vsock 2:1024`.
    pub(crate) peer: &'c str,
    /// Connects to the host.
    pub(crate) connect: &'c dyn Fn() -> io::Result<Box<dyn HostStream>>,
    /// When the last try must have ended.
    pub(crate) deadline: Deadline,
    /// The most bytes of a body.
    pub(crate) limit: u64,
}

impl Client<'_> {
    /// Returns the body of the host's answer to `request`. Passing failures are tried again until the deadline.
    ///
    /// # Errors
    /// [`Reason::NoHost`] at the deadline, with the last try's failure; [`Reason::BadAnswer`] for an answer that has
    /// another status than 200, is malformed, or has a body that is too large.
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
        let connection = BoundedConnection { stream, deadline: self.deadline, has_begun: Cell::new(false) };
        connection.write_all(head.as_bytes()).map_err(|error| Failure::io("send the request", &error))?;
        let mut answer = AnswerReader::new(&connection);
        let body = answer.body(self.limit)?;
        if body.is_empty() && (answer.has_more() || connection.sends_within(SURPLUS_WAIT)) {
            return Err(Failure::bad("the host announced an empty config but sent more"));
        }
        Ok(body)
    }
}

/// Reads one answer from `stream`, for the fuzz targets: without retries or timeouts.
#[cfg(fuzzing)]
pub(crate) fn answer(stream: &dyn Input, limit: u64) -> std::result::Result<Vec<u8>, String> {
    AnswerReader::new(stream).body(limit).map_err(|failure| match failure {
        Failure::Passing(what) => what,
        Failure::Final(error) => error.to_string(),
    })
}

/// A connection on which every read and write ends at the deadline of the whole fetch.
struct BoundedConnection {
    stream: Box<dyn HostStream>,
    deadline: Deadline,
    /// Whether any byte of the answer has come.
    has_begun: Cell<bool>,
}

impl BoundedConnection {
    fn prepare(&self) -> io::Result<()> {
        let left = self.deadline.remaining();
        if left.is_zero() {
            return Err(self.over());
        }
        self.stream.set_timeout(left.clamp(SHORTEST_WAIT, LONGEST_SILENCE))
    }

    /// Returns the error at the deadline. It tells a host that sends too slowly, or without end, from one that is
    /// silent.
    fn over(&self) -> io::Error {
        let midst = if self.has_begun.get() { " in the middle of the answer" } else { "" };
        io::Error::new(io::ErrorKind::TimedOut, format!("the time is over{midst}"))
    }

    /// Returns whether the host sends a byte within `time`. A host that closes the connection, or fails, sends none.
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

impl Input for BoundedConnection {
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
