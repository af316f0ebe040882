//! How the bytes behind a URL are had.

use std::borrow::Cow;
use std::fmt;

use crate::config;
use crate::error::Result;

/// Bytes that come in pieces.
pub trait ByteStream {
    /// Reads into `buffer`, which has room for three bytes at least; 0 only at the end.
    ///
    /// # Errors
    /// What is wrong, in words that hold nothing of the URL or of the bytes.
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Cow<'static, str>>;
}

/// Gets the bytes of URLs that do not hold them themselves. Whoever makes a [`Source`](super::Source) hands one in, so
/// that plan and root know nothing of schemes.
pub trait Transport: fmt::Debug {
    /// Opens the bytes behind `url`, which has `scheme` and stands at `place` in the config.
    ///
    /// # Errors
    /// [`Reason::Unsupported`](crate::error::Reason::Unsupported) for a scheme that this transport does not have.
    fn open(&self, url: &str, scheme: &str, place: &str) -> Result<Box<dyn ByteStream>>;
}

/// The transport of a program that fetches nothing: it refuses every URL by the name of its scheme.
#[derive(Debug)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn open(&self, _: &str, scheme: &str, place: &str) -> Result<Box<dyn ByteStream>> {
        Err(config::scheme_error(scheme, &place))
    }
}

/// Bytes that were read before.
pub(super) struct Kept {
    bytes: Vec<u8>,
    at: usize,
}

impl Kept {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }
}

impl ByteStream for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Cow<'static, str>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at = self.at.saturating_add(count);
        Ok(count)
    }
}
