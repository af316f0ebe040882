//! HTTP/1.1: the client that fetches configs, and the bounded, buffered reading of heads, lines and bodies. The agent and
//! the program `glowplug-fetch` read with it, too.

mod answer;
mod client;
mod failure;

use std::io;

pub use answer::{AnswerReader, Head};
#[cfg(fuzzing)]
pub(crate) use client::answer;
pub(crate) use client::{Client, HostStream, Request};
pub use failure::Failure;

/// The most bytes of a message head, and of a trailer section.
pub(crate) const HEAD: usize = 16 << 10;
/// The most header fields of a message head.
pub(crate) const HEADERS: usize = 64;
const BUFFER: usize = 32 << 10;

/// The source of the bytes of a message.
pub trait Input {
    /// Reads as read(2) does: returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    /// Those of read(2).
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl<T: Input + ?Sized> Input for &T {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read(buffer)
    }
}

impl<T: Input + ?Sized> Input for Box<T> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read(buffer)
    }
}

/// Why a head or a line could not be read.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The stream ended too early.
    Closed,
    /// The head or line is longer than its bound.
    TooLong,
    /// Reading failed.
    Io(io::Error),
}

/// Reads a stream through a buffer.
#[derive(Debug)]
pub(crate) struct MessageReader<S> {
    stream: S,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<S: Input> MessageReader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self::buffered(stream, BUFFER)
    }

    pub(crate) fn buffered(stream: S, size: usize) -> Self {
        Self { stream, buffer: vec![0; size].into(), start: 0, end: 0 }
    }

    /// Returns the buffered bytes, and reads more first if there are none. Empty only at the end of the stream.
    pub(crate) fn fill(&mut self) -> Result<&[u8], Broken> {
        if self.start == self.end {
            self.start = 0;
            self.end = loop {
                match self.stream.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Broken::Io(error)),
                    Ok(count) => break count,
                }
            };
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// Returns whether the buffer holds unread bytes.
    pub(crate) fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    /// Skips `count` buffered bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let byte = self.fill()?.first().copied();
        self.consume(1);
        byte.ok_or(Broken::Closed)
    }

    /// Reads up to and including the first empty line. A line may end in CRLF or in a bare LF.
    pub(crate) fn head(&mut self) -> Result<heapless::Vec<u8, HEAD>, Broken> {
        let mut head = heapless::Vec::new();
        while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
            let byte = self.byte()?;
            head.push(byte).map_err(|_| Broken::TooLong)?;
        }
        Ok(head)
    }

    /// Reads a line with its line end. A line of more than `MOST` bytes is [`Broken::TooLong`].
    pub(crate) fn line<const MOST: usize>(&mut self) -> Result<heapless::Vec<u8, MOST>, Broken> {
        let mut line = heapless::Vec::new();
        while !line.ends_with(b"\n") {
            let byte = self.byte()?;
            line.push(byte).map_err(|_| Broken::TooLong)?;
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
