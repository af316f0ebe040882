//! The bytes behind a URL of the config: fetched, decompressed and verified as a stream.

mod data_url;
mod digest;
mod gzip;
mod transport;

use std::cell::OnceCell;
use std::fmt;
use std::path::Path;

use crate::config::{HttpHeader, Resource, Scheme, origin};
use crate::error::{Error, Reason, Result};
use data_url::DataUrlDecoder;
pub use data_url::encode_base64;
use digest::{Digest, Hasher};
pub use digest::{hex, sha512_hex};
pub use gzip::Gunzip;
use transport::Kept;
pub use transport::{ByteStream, NoTransport, StreamError, Transport, UrlRequest};

/// The schemes of the URLs that can be fetched, as the language has them.
const SCHEMES: &str = "http https tftp s3 arn gs";

/// Returns whether `scheme` is one of the words of `schemes`, in any case.
fn is_any(scheme: &str, schemes: &str) -> bool {
    schemes.split(' ').any(|known| scheme.eq_ignore_ascii_case(known))
}

/// The buffer size for reading a whole source, in bytes.
const BUFFER: usize = 4 << 10;

/// A URL of the config, with the compression and hash that the config names. The bytes are fetched at most once:
/// opening a source consumes it, and bytes that were read while planning are kept for that.
#[derive(Debug)]
pub struct Source<'a> {
    url: &'a str,
    scheme: Scheme<'a>,
    headers: &'a [HttpHeader<'a>],
    gzip: bool,
    digest: Option<Digest>,
    /// Where the URL stands in the config: `$.storage.files.0.contents.source`.
    place: String,
    /// The path of the file that gets the bytes; empty if there is none.
    path: String,
    transport: &'a dyn Transport,
    kept: OnceCell<Vec<u8>>,
}

/// Two sources are equal if they have the same URL at the same place, with the same compression and hash.
impl PartialEq for Source<'_> {
    fn eq(&self, other: &Self) -> bool {
        let parts = |source: &Self| (source.gzip, source.digest.clone(), source.place.clone());
        self.url == other.url && parts(self) == parts(other)
    }
}

impl Eq for Source<'_> {}

impl<'a> Source<'a> {
    /// Makes the source of `resource`, which stands at `place` in the config (`$.storage.files.0.contents`); `None`
    /// if the resource has no source. An empty URL means no bytes. Nothing is fetched yet.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] for an unknown compression or hash, for a header without a value, and for a text that is not
    /// a URL. [`Reason::Unsupported`] for a URL that cannot be fetched here.
    pub fn new(
        resource: &'a Resource<'a>,
        place: &dyn fmt::Display,
        transport: &'a dyn Transport,
    ) -> Result<Option<Self>> {
        let Some(url) = resource.source.as_deref() else {
            return Ok(None);
        };
        let invalid =
            |what: &str, key: &str| Error::new(Reason::ConfigInvalid, format!("{what}, at {place}.{key}"));
        let actual = if url.is_empty() { "data:," } else { url };
        let mut source = Self::at_url(actual, format!("{place}.source"), transport)
            .ok_or_else(|| invalid("invalid url scheme", "source"))?;
        if url.is_empty() {
            return Ok(Some(source));
        }
        source.gzip = match resource.compression.as_deref() {
            None | Some("") => false,
            Some(_) if matches!(source.scheme, Scheme::Remote(scheme) if is_any(scheme, "s3 arn")) => {
                return Err(invalid("compression is not supported with that scheme", "compression"));
            }
            Some("gzip") => true,
            Some(_) => return Err(invalid("invalid compression method", "compression")),
        };
        source.headers = &resource.http_headers;
        let is_empty = |header: &HttpHeader<'_>| header.value.as_deref().unwrap_or_default().is_empty();
        if let Some(index) = source.headers.iter().position(is_empty) {
            return Err(invalid("unable to parse HTTP header", &format!("httpHeaders.{index}.value")));
        }
        source.digest = match resource.verification.hash.as_deref() {
            Some(hash) => Some(Digest::parse(hash).map_err(|what| invalid(what, "verification.hash"))?),
            None => None,
        };
        // What is wrong with the config comes before what this machine lacks.
        source.check()?;
        Ok(Some(source))
    }

    /// Makes the source of the unchanged bytes behind `url`; `None` for a text without a scheme. `place` tells in
    /// messages where the URL stands.
    pub fn at_url(url: &'a str, place: impl Into<String>, transport: &'a dyn Transport) -> Option<Self> {
        let scheme = Scheme::of(url)?;
        Some(Self {
            url,
            scheme,
            headers: &[],
            gzip: false,
            digest: None,
            place: place.into(),
            path: String::new(),
            transport,
            kept: OnceCell::new(),
        })
    }

    /// Tells the source the path of the file that gets its bytes. Progress is told with this path.
    #[must_use]
    pub fn for_file(mut self, path: &Path) -> Self {
        if self.is_remote() {
            self.path = path.to_string_lossy().into_owned();
        }
        self
    }

    /// Refuses a URL that cannot be fetched here.
    fn check(&self) -> Result<()> {
        match self.scheme {
            Scheme::Data => Ok(()),
            Scheme::Remote(scheme) if is_any(scheme, SCHEMES) => {
                self.transport.check().map_err(|error| error.at(&self.place))
            }
            Scheme::Remote(_) => {
                let what = format!("unsupported source scheme, at {}", self.place);
                Err(Error::new(Reason::Unsupported, what))
            }
        }
    }

    /// Returns whether the bytes must be fetched, because the URL does not hold them itself.
    pub fn is_remote(&self) -> bool {
        self.scheme != Scheme::Data
    }

    /// Returns scheme and host of the URL of a source that must still be fetched; `None` for any other source.
    pub fn origin(&self) -> Option<String> {
        (self.is_remote() && self.kept.get().is_none()).then(|| origin(self.url))
    }

    /// Opens the stream of the decoded bytes.
    ///
    /// # Errors
    /// Those of the transport; [`Reason::Resource`] for a malformed `data` URL.
    pub fn open(mut self) -> Result<Stream<'a>> {
        if let Some(bytes) = self.kept.take() {
            return Ok(Stream {
                bytes: Box::new(Kept::new(bytes)),
                gzip: false,
                check: None,
                place: self.place,
                transport: None,
            });
        }
        self.fetch()
    }

    /// Returns the decoded bytes without consuming the source. The first call fetches the bytes and keeps them.
    ///
    /// # Errors
    /// Those of [`Self::open`] and of [`Stream::read`]; [`Reason::ConfigInvalid`] for more than `limit` bytes.
    pub fn bytes(&self, limit: u64) -> Result<&[u8]> {
        if self.kept.get().is_none() {
            let bytes = self.fetch()?.read_all(limit)?;
            if bytes.len() as u64 > limit {
                let what = format!("planning reads at most {limit} bytes of one source, at {}", self.place);
                return Err(Error::new(Reason::ConfigInvalid, what));
            }
            return Ok(self.kept.get_or_init(|| bytes));
        }
        Ok(self.kept.get().map_or(&[], Vec::as_slice))
    }

    /// Fetches the bytes. This is private because each source must be fetched at most once.
    fn fetch(&self) -> Result<Stream<'a>> {
        let mut bytes: Box<dyn ByteStream + 'a> = match self.scheme {
            Scheme::Data => Box::new(
                DataUrlDecoder::new(self.url)
                    .map_err(|what| Error::new(Reason::Resource, format!("{what}, at {}", self.place)))?,
            ),
            Scheme::Remote(scheme) => {
                self.check()?;
                self.transport.open(&UrlRequest {
                    url: self.url,
                    scheme,
                    headers: self.headers,
                    place: &self.place,
                    label: if self.path.is_empty() { &self.place } else { &self.path },
                })?
            }
        };
        if self.gzip {
            bytes = Box::new(Gunzip::new(bytes));
        }
        let check = self.digest.clone().map(|digest| (Hasher::new(&digest), digest));
        let transport = self.is_remote().then_some(self.transport);
        Ok(Stream { bytes, gzip: self.gzip, check, place: self.place.clone(), transport })
    }
}

/// The bytes of a [`Source`], decoded as they are read.
pub struct Stream<'a> {
    bytes: Box<dyn ByteStream + 'a>,
    gzip: bool,
    /// The hasher, and the hash that the bytes must have.
    check: Option<(Hasher, Digest)>,
    place: String,
    /// What the bytes come from; `None` if they are all here.
    transport: Option<&'a dyn Transport>,
}

impl Stream<'_> {
    /// Reads into `buffer`, which must have space for at least three bytes. Returns 0 only at the end. The read that
    /// finds the end fails if the hash is wrong.
    ///
    /// # Errors
    /// [`Reason::Resource`] for bytes that cannot be decoded, [`Reason::Verification`] for a wrong hash, and those of the
    /// transport.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            self.wait()?;
            if let Some(count) = self.read_some(buffer)? {
                return Ok(count);
            }
        }
    }

    /// Returns whether the bytes are being fetched.
    pub fn is_remote(&self) -> bool {
        self.transport.is_some()
    }

    /// Waits until this stream, or another one of the same transport, may have bytes, or for a short time.
    ///
    /// # Errors
    /// [`Reason::System`] if the machine cannot wait.
    pub fn wait(&self) -> Result<()> {
        self.transport.map_or(Ok(()), Transport::wait)
    }

    /// Reads as [`Self::read`] does, but returns `None` at once if no bytes have come yet.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        let place = &self.place;
        let count = match self.bytes.read(buffer) {
            Ok(count) => count,
            Err(StreamError::NotYet) => return Ok(None),
            Err(StreamError::Failed(error)) => return Err(error),
            Err(StreamError::Broken(words)) => {
                let act = if self.gzip { "decompress" } else { "decode" };
                let what = format!("{act} the contents: {words}, at {place}");
                return Err(Error::new(Reason::Resource, what));
            }
        };
        if let Some((hasher, expected)) = &mut self.check {
            hasher.update(buffer.get(..count).unwrap_or_default());
            if count == 0 && !hasher.fits(expected) {
                // The message contains neither hash, because the config's hash must never reach a log.
                let what =
                    "hash verification failed: the contents do not have the hash that the config names";
                let place = place.strip_suffix(".source").unwrap_or(place);
                return Err(Error::new(
                    Reason::Verification,
                    format!("{what}, at {place}.verification.hash"),
                ));
            }
        }
        Ok(Some(count))
    }

    /// Reads to the end, or until more than `limit` bytes have been read.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_all(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; BUFFER];
        while bytes.len() as u64 <= limit {
            match self.read(&mut buffer)? {
                0 => break,
                count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
        Ok(bytes)
    }

    /// Reads to the end, so that a bad source is found. Returns the number of bytes, and the bytes themselves if
    /// there are at most `most`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_and_count(mut self, most: u64) -> Result<(Option<Vec<u8>>, u64)> {
        let mut bytes = Some(Vec::new());
        let mut buffer = vec![0; BUFFER];
        let mut count: u64 = 0;
        loop {
            let read = match self.read(&mut buffer)? {
                0 => return Ok((bytes, count)),
                read => buffer.get(..read).unwrap_or_default(),
            };
            count = count.saturating_add(read.len() as u64);
            match &mut bytes {
                Some(bytes) if count <= most => bytes.extend_from_slice(read),
                _ => bytes = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Verification;

    fn resource<'a>(source: &'a str, compression: &'a str, hash: &'a str) -> Resource<'a> {
        Resource {
            source: Some(source.into()),
            compression: Some(compression.into()),
            verification: Verification { hash: (!hash.is_empty()).then(|| hash.into()) },
            ..Resource::default()
        }
    }

    fn read(source: &str, compression: &str, hash: &str) -> Result<Vec<u8>> {
        let resource = resource(source, compression, hash);
        Source::new(&resource, &"$.x", &NoTransport)?.unwrap().open()?.read_all(1000)
    }

    #[test]
    fn absent_sources_are_none_and_empty_ones_empty() {
        assert_eq!(Source::new(&Resource::default(), &"$.x", &NoTransport), Ok(None));
        assert_eq!(read("", "", "").unwrap(), b"");
    }

    #[test]
    fn gzip_members_are_joined_and_truncation_is_an_error() {
        let members = "data:;base64,H4sIAAAAAAAAA8vPSwUA8YZsegMAAAAfiwgAAAAAAAADKynPBwBmisoRAwAAAA==";
        assert_eq!(read(members, "gzip", "").unwrap(), b"onetwo");
        let bad_checksum = "data:;base64,H4sIAAAAAAAAA8vPSwUA8YZtegMAAAA=";
        assert_eq!(read(bad_checksum, "gzip", "").unwrap_err().reason(), Reason::Resource);
        let truncated = "data:;base64,H4sIAAAAAAAAA8vPSwU=";
        assert_eq!(read(truncated, "gzip", "").unwrap_err().reason(), Reason::Resource);
        assert_eq!(read("data:,x", "bzip2", "").unwrap_err().reason(), Reason::ConfigInvalid);
    }

    #[test]
    fn hashes_are_of_the_decompressed_bytes_in_any_case() {
        let good = "sha256-2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881";
        assert_eq!(read("data:,x", "", good).unwrap(), b"x");
        let error = read("data:,y", "", good).unwrap_err();
        assert_eq!(error.reason(), Reason::Verification);
        assert!(error.text().ends_with("$.x.verification.hash"), "{error}");
        for bad in ["sha256", "md5-00", "sha256-00"] {
            assert_eq!(read("data:,x", "", bad).unwrap_err().reason(), Reason::ConfigInvalid, "{bad}");
        }
    }

    /// A transport that counts how often it is opened, and gives "one" as gzip data.
    #[derive(Debug, Default)]
    struct Counting(std::cell::Cell<u32>);

    impl Transport for Counting {
        fn open(&self, request: &UrlRequest<'_>) -> Result<Box<dyn ByteStream>> {
            let UrlRequest { url, scheme, place, label, .. } = *request;
            assert_eq!((url, scheme, place, label), ("https://h/x", "https", "$.x.source", "$.x.source"));
            self.0.set(self.0.get() + 1);
            let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcfK\x05\0\xf1\x86lz\x03\0\0\0";
            Ok(Box::new(Kept::new(packed.to_vec())))
        }
    }

    #[test]
    fn what_is_read_while_planning_is_not_fetched_again() {
        let resource = resource("https://h/x", "gzip", "");
        let transport = Counting::default();
        let source = Source::new(&resource, &"$.x", &transport).unwrap().unwrap();
        assert_eq!(transport.0.get(), 0);
        assert_eq!((source.bytes(3), source.bytes(3)), (Ok(&b"one"[..]), Ok(&b"one"[..])));
        assert_eq!(source.open().unwrap().read_and_count(3), Ok((Some(b"one".to_vec()), 3)));
        assert_eq!(transport.0.get(), 1);
        let source = Source::new(&resource, &"$.x", &transport).unwrap().unwrap();
        assert_eq!(source.open().unwrap().read_and_count(2), Ok((None, 3)));
        assert_eq!(transport.0.get(), 2);
        let source = Source::new(&resource, &"$.x", &transport).unwrap().unwrap();
        assert_eq!(source.bytes(2).unwrap_err().reason(), Reason::ConfigInvalid);
    }

    #[test]
    fn the_errors_of_a_url_are_silent_about_it() {
        for url in ["data:;base64,secret", "data:,secret%", "data:secret", "https://h/secret"] {
            let source = Source::at_url(url, "the argument", &NoTransport).unwrap();
            let error = source.open().and_then(|stream| stream.read_all(99)).unwrap_err();
            assert!(!error.text().contains("secret") && error.text().ends_with("at the argument"), "{error}");
        }
    }

    #[test]
    fn what_no_fetch_can_do_is_refused_before_it() {
        for (url, key, words) in [
            ("s3://b/k", "gzip", "compression is not supported with that scheme, at $.x.compression"),
            ("ARN:aws:s3:::b/k", "gzip", "compression is not supported with that scheme, at $.x.compression"),
            ("ftp://secret/", "", "unsupported source scheme, at $.x.source"),
            ("file:///secret", "", "unsupported source scheme, at $.x.source"),
        ] {
            let resource = resource(url, key, "");
            assert_eq!(Source::new(&resource, &"$.x", &NoTransport).unwrap_err().text(), words, "{url}");
        }
        for url in ["http://h/", "HTTPS://h/", "tftp://h/x", "s3://b/k", "arn:aws:s3:::b/k", "gs://b/o"] {
            let resource = resource(url, "", "");
            assert!(Source::new(&resource, &"$.x", &NoTransport).unwrap().unwrap().is_remote(), "{url}");
        }
        for value in [None, Some("".into())] {
            let header = |name: &'static str, value| HttpHeader { name: name.into(), value };
            let mut resource = resource("https://h/", "", "");
            resource.http_headers = vec![header("a", Some("secret".into())), header("b", value)];
            let error = Source::new(&resource, &"$.x", &NoTransport).unwrap_err();
            assert_eq!(error.text(), "unable to parse HTTP header, at $.x.httpHeaders.1.value");
        }
    }

    #[test]
    fn remote_urls_are_refused_without_their_text() {
        let error = read("https://user:token@example.com/x", "", "").unwrap_err();
        assert_eq!(error.reason(), Reason::Unsupported);
        assert!(!error.text().contains("token"), "{error}");
        assert!(error.text().contains("https") && error.text().ends_with("$.x.source"), "{error}");
        assert_eq!(read("x", "", "").unwrap_err().reason(), Reason::ConfigInvalid);
    }
}
