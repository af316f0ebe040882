//! One `GET /` over HTTP/1.1, tried again until a deadline, bounded in every direction.

mod answer;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::error::{Error, Reason, Result, io_words};
use crate::http::Input;
use answer::Answer;

/// The pause after the first failed try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A host that is silent for this long is tried anew: a connection can be accepted by a proxy that has nobody
/// behind it.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// How long the client listens for a body that the host said was empty: an empty config makes a machine without users,
/// so a host that miscounts must not bring one about.
const SURPLUS_WAIT: Duration = Duration::from_millis(250);
/// A read needs some time, however near the deadline is.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

const CUT: &str = "the host closed the connection before its answer was whole";

/// A connection to the host.
pub(super) trait Stream: AsFd {
    /// Bounds each later read and write.
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
}

/// Why one try gave no config.
#[derive(Debug)]
enum Failure {
    /// Another try may go better.
    Passing(String),
    /// The host has answered; asking again would bring the same.
    Final(Error),
}

impl Failure {
    fn passing(what: impl fmt::Display) -> Self {
        Self::Passing(what.to_string())
    }

    fn io(act: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::passing(format_args!("{act}: the host is silent")),
            // Which call is the first to see the end is chance.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                Self::passing(CUT)
            }
            _ => Self::passing(format_args!("{act}: {}", io_words(error))),
        }
    }

    fn bad(what: impl Into<String>) -> Self {
        Self::Final(Error::new(Reason::BadAnswer, what))
    }
}

/// Fetches the body that the host at `peer` answers `GET /` with.
///
/// # Errors
/// [`Reason::NoHost`] when `patience` is over, with the last try's failure; [`Reason::BadAnswer`] for an answer
/// that is not 200, is malformed, or has a body of over `limit` bytes.
pub(super) fn fetch(
    peer: &str,
    connect: &dyn Fn() -> io::Result<Box<dyn Stream>>,
    start: Instant,
    patience: Duration,
    limit: u64,
) -> Result<Vec<u8>> {
    let mut pause = FIRST_PAUSE;
    let mut tries: u32 = 0;
    loop {
        tries = tries.saturating_add(1);
        let failure = match attempt(connect, start, patience, limit) {
            Ok(body) => {
                if tries > 1 {
                    log::info!("{peer}: the host gave the config at try {tries}");
                }
                return Ok(body);
            }
            Err(Failure::Final(error)) => return Err(error.at(&peer)),
            Err(Failure::Passing(what)) => what,
        };
        let left = patience.saturating_sub(start.elapsed());
        if left <= pause {
            let seconds = patience.as_secs();
            let what = format!(
                "{peer}: the host gave no config within {seconds} s and {tries} tries; the last one: {failure}"
            );
            return Err(Error::new(Reason::NoHost, what));
        }
        log::debug!("{peer}: try {tries}: {failure}");
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

fn attempt(
    connect: &dyn Fn() -> io::Result<Box<dyn Stream>>,
    start: Instant,
    patience: Duration,
    limit: u64,
) -> std::result::Result<Vec<u8>, Failure> {
    let stream =
        connect().map_err(|error| Failure::passing(format_args!("connect: {}", io_words(&error))))?;
    let stream = Deadline { stream, start, patience, has_begun: Cell::new(false) };
    let request = concat!(
        "GET / HTTP/1.1\r\nHost: ignition\r\nUser-Agent: glowplug/",
        env!("CARGO_PKG_VERSION"),
        "\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(|error| Failure::io("send the request", &error))?;
    let mut answer = Answer::new(&stream);
    let body = answer.body(limit)?;
    if body.is_empty() && (answer.has_more() || stream.sends_within(SURPLUS_WAIT)) {
        return Err(Failure::bad("the host said that its config is empty and sent more all the same"));
    }
    Ok(body)
}

/// Reads one answer, without the time around it.
#[cfg(fuzzing)]
pub(crate) fn answer(stream: &dyn Input, limit: u64) -> std::result::Result<Vec<u8>, String> {
    Answer::new(stream).body(limit).map_err(|failure| match failure {
        Failure::Passing(what) => what,
        Failure::Final(error) => error.to_string(),
    })
}

/// A stream whose every read and write ends when the time for the whole fetch is over.
struct Deadline {
    stream: Box<dyn Stream>,
    start: Instant,
    patience: Duration,
    /// Something of the answer has come.
    has_begun: Cell<bool>,
}

impl Deadline {
    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.start.elapsed())
    }

    fn prepare(&self) -> io::Result<()> {
        let left = self.left();
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
        let time = self.left().min(time).max(SHORTEST_WAIT);
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

impl Input for Deadline {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.prepare()?;
        match rustix::io::read(self.stream.as_fd(), buffer) {
            Ok(count) => {
                self.has_begun.set(true);
                Ok(count)
            }
            Err(Errno::AGAIN) if self.has_begun.get() && self.left().is_zero() => Err(self.over()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests;
