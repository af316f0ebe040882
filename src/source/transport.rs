//! How the bytes behind a URL are fetched.

use std::borrow::Cow;
use std::fmt;

use crate::config::{HttpHeader, Ignition, origin};
use crate::error::{Error, Reason, Result};

/// Why a read of a [`ByteStream`] gave no bytes.
#[derive(Debug)]
pub enum StreamError {
    /// None have come yet. The stream goes on where it was at the next read, after [`Transport::wait`].
    NotYet,
    /// The bytes are wrong. The words contain no part of the URL or of the bytes.
    Broken(Cow<'static, str>),
    /// The transport failed. The error names the place of the URL in the config.
    Failed(Error),
}

impl From<&'static str> for StreamError {
    fn from(words: &'static str) -> Self {
        Self::Broken(Cow::Borrowed(words))
    }
}

/// A stream of bytes.
pub trait ByteStream {
    /// Reads into `buffer`, which must have space for at least three bytes. Returns 0 only at the end.
    ///
    /// # Errors
    /// Those of [`StreamError`].
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError>;
}

/// A URL to fetch.
#[derive(Debug, Clone, Copy)]
pub struct UrlRequest<'r> {
    /// The URL. Its path, query and user can hold secrets.
    pub url: &'r str,
    /// The scheme of the URL, spelled as in the URL.
    pub scheme: &'r str,
    /// The headers of the config for this URL.
    pub headers: &'r [HttpHeader<'r>],
    /// Where the URL stands in the config: `$.storage.files.0.contents.source`.
    pub place: &'r str,
    /// What progress is told of: the path of the file that gets the bytes, or `place`.
    pub label: &'r str,
}

/// Fetches the bytes of URLs that do not hold them themselves. Whoever makes a [`Source`](super::Source) passes a
/// transport in, so that plan and root know nothing of schemes.
pub trait Transport: fmt::Debug {
    /// Tells in advance whether [`Transport::open`] cannot work here at all, as without the program that fetches.
    ///
    /// # Errors
    /// [`Reason::Unsupported`].
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Begins to fetch the bytes behind a URL.
    ///
    /// # Errors
    /// Those of beginning. What goes wrong later is an error of the stream.
    fn open(&self, request: &UrlRequest<'_>) -> Result<Box<dyn ByteStream>>;

    /// Brings up the network for others than this transport, if that is its task.
    ///
    /// # Errors
    /// Those of bringing up the network.
    fn bring_up(&self) -> Result<()> {
        Ok(())
    }

    /// Waits until one of the open streams may have bytes, or for a short time.
    ///
    /// # Errors
    /// [`Reason::System`] if the machine cannot wait.
    fn wait(&self) -> Result<()> {
        Ok(())
    }

    /// Follows the time-outs, certificates and proxies of a config from now on. Fetches the certificates.
    ///
    /// # Errors
    /// Those of fetching a certificate.
    fn adopt(&self, _: &Ignition<'_>) -> Result<()> {
        Ok(())
    }
}

/// A transport that fetches nothing, for commands that only look.
#[derive(Debug)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn open(&self, request: &UrlRequest<'_>) -> Result<Box<dyn ByteStream>> {
        let what = format!("{} is not fetched without --fetch, at {}", origin(request.url), request.place);
        Err(Error::new(Reason::Unsupported, what))
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
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at = self.at.saturating_add(count);
        Ok(count)
    }
}
