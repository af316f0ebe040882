//! How the bytes behind a URL are fetched.

use std::borrow::Cow;
use std::fmt;

use crate::config;
use crate::error::Result;

/// A stream of bytes.
pub trait ByteStream {
    /// Reads into `buffer`, which must have space for at least three bytes. Returns 0 only at the end.
    ///
    /// # Errors
    /// What is wrong, in words that contain no part of the URL or of the bytes.
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Cow<'static, str>>;
}

/// Fetches the bytes of URLs that do not hold them themselves. Whoever makes a [`Source`](super::Source) passes a
/// transport in, so that plan and root know nothing of schemes.
pub trait Transport: fmt::Debug {
    /// Opens the bytes behind `url`, which has the scheme `scheme` and stands at `place` in the config.
    ///
    /// # Errors
    /// [`Reason::Unsupported`](crate::error::Reason::Unsupported) for a scheme that this transport does not support.
    fn open(&self, url: &str, scheme: &str, place: &str) -> Result<Box<dyn ByteStream>>;
}

/// A transport that fetches nothing. It refuses every URL and names the URL's scheme.
#[derive(Debug)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn open(&self, _: &str, scheme: &str, place: &str) -> Result<Box<dyn ByteStream>> {
        Err(config::scheme_error(scheme, &place))
    }
}

/// A stream of bytes that were read before.
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
