//! HTTP/1.1: the client that fetches configs, and what it shares with the agent: heads and lines, bounded, from one
//! buffer.

mod answer;
mod client;

use std::io;

#[cfg(fuzzing)]
pub(crate) use client::answer;
pub(crate) use client::{Client, Request, Stream};

/// The longest head of a message, and the longest block of trailers.
pub(crate) const HEAD: usize = 16 << 10;
/// As many header fields as a head may have.
pub(crate) const HEADERS: usize = 64;
const BUFFER: usize = 32 << 10;

/// Where a message comes from.
pub(crate) trait Input {
    /// As read(2).
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Why there is no more to be had of a stream.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It ended before what was wanted was whole.
    Closed,
    /// What was wanted has no end within its bound.
    TooLong,
    /// It could not be read.
    Io(io::Error),
}

/// A stream that is being read.
pub(crate) struct Reader<'s> {
    stream: &'s dyn Input,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(stream: &'s dyn Input) -> Self {
        Self { stream, buffer: vec![0; BUFFER].into(), start: 0, end: 0 }
    }

    /// The bytes at hand, after reading more if there are none; empty at the end of the stream.
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

    /// Whether bytes are at hand without reading more.
    pub(crate) fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    /// Passes over `count` of the bytes at hand.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let byte = self.fill()?.first().copied();
        self.consume(1);
        byte.ok_or(Broken::Closed)
    }

    /// Reads everything up to and including the first empty line. Lines may end in CRLF or in a bare LF here.
    pub(crate) fn head(&mut self) -> Result<heapless::Vec<u8, HEAD>, Broken> {
        let mut head = heapless::Vec::new();
        while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
            let byte = self.byte()?;
            head.push(byte).map_err(|_| Broken::TooLong)?;
        }
        Ok(head)
    }

    /// A line with its end.
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
