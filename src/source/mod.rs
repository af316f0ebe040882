//! The bytes behind a URL of the config: fetched, decompressed, verified, always as a stream.

mod data_url;
mod digest;
mod gzip;

use std::fmt;

use crate::config::{self, Resource};
use crate::error::{Error, Reason, Result};
use data_url::Decoder;
pub use digest::sha512_hex;
use digest::{Digest, Hasher};
use gzip::Gunzip;

/// Bytes read at once where all are wanted.
const BUFFER: usize = 4 << 10;

/// A URL of the config with what the config says of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source<'a> {
    url: &'a str,
    gzip: bool,
    digest: Option<Digest>,
    place: String,
}

impl<'a> Source<'a> {
    /// The source of `resource`, which stands at `place` (`$.storage.files.0.contents`) in the config; `None`
    /// where it has none. An empty URL stands for no bytes.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] for an unknown compression or hash, [`Reason::Unsupported`] for a URL that is
    /// not a `data` URL.
    pub fn new(resource: &'a Resource<'_>, place: impl fmt::Display) -> Result<Option<Self>> {
        let Some(url) = resource.source.as_deref() else {
            return Ok(None);
        };
        if url.is_empty() {
            return Ok(Some(Self { url: "data:,", gzip: false, digest: None, place: place.to_string() }));
        }
        let invalid =
            |what: &str, key: &str| Error::new(Reason::ConfigInvalid, format!("{what}, at {place}.{key}"));
        let gzip = match resource.compression.as_deref() {
            None | Some("") => false,
            Some("gzip") => true,
            Some(_) => return Err(invalid("invalid compression method", "compression")),
        };
        let digest = match resource.verification.hash.as_deref() {
            Some(hash) => Some(Digest::parse(hash).map_err(|what| invalid(what, "verification.hash"))?),
            None => None,
        };
        if !url.starts_with("data:") {
            return Err(match config::unsupported_scheme(url) {
                Some(scheme) => config::scheme_error(scheme, &format_args!("{place}.source")),
                None => invalid("invalid url scheme", "source"),
            });
        }
        Ok(Some(Self { url, gzip, digest, place: place.to_string() }))
    }

    /// Opens the stream of the final bytes.
    pub fn open(&self) -> Result<Stream<'_>> {
        let decoder = Decoder::new(self.url)
            .map_err(|what| Error::new(Reason::Resource, format!("{what}, at {}.source", self.place)))?;
        let bytes = if self.gzip { Bytes::Packed(Gunzip::new(decoder)) } else { Bytes::Plain(decoder) };
        Ok(Stream { source: self, bytes, hasher: self.digest.as_ref().map(Hasher::new) })
    }

    /// The final bytes, to the end or until they are more than `limit`.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        let mut stream = self.open()?;
        read_all(limit, &mut |buffer| stream.read(buffer))
    }

    /// How many they are. All of them are read, so that a bad source is found.
    pub fn size(&self) -> Result<u64> {
        let mut stream = self.open()?;
        let mut buffer = vec![0; BUFFER];
        let mut size: u64 = 0;
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(size),
                count => size = size.saturating_add(count as u64),
            }
        }
    }
}

/// The bytes of a [`Source`], decoded as they are read.
pub struct Stream<'s> {
    source: &'s Source<'s>,
    bytes: Bytes<'s>,
    hasher: Option<Hasher>,
}

enum Bytes<'s> {
    Plain(Decoder<'s>),
    Packed(Gunzip<'s>),
}

impl Stream<'_> {
    /// Reads into `buffer`, which has room for three bytes at least; 0 only at the end. The read that finds the end
    /// fails if the hash does not fit.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Source { gzip, digest, place, .. } = self.source;
        let read = match &mut self.bytes {
            Bytes::Plain(decoder) => decoder.read(buffer),
            Bytes::Packed(gunzip) => gunzip.read(buffer),
        };
        let count = read.map_err(|words| {
            let act = if *gzip { "decompress" } else { "decode" };
            Error::new(Reason::Resource, format!("{act} the contents: {words}, at {place}.source"))
        })?;
        if let (Some(hasher), Some(expected)) = (&mut self.hasher, digest) {
            hasher.update(buffer.get(..count).unwrap_or_default());
            if count == 0 && !hasher.fits(expected) {
                // Neither hash is told: the config's own never reaches a log.
                let what =
                    "hash verification failed: the contents do not have the hash that the config names";
                return Err(Error::new(
                    Reason::Verification,
                    format!("{what}, at {place}.verification.hash"),
                ));
            }
        }
        Ok(count)
    }
}

/// The bytes that the `data` URL `url` holds, at most `limit` of them.
///
/// # Errors
/// [`Reason::Resource`] for a malformed URL, or for one that holds more.
pub fn data_url_bytes(url: &str, limit: u64) -> Result<Vec<u8>> {
    let failed = |what: &str| Error::new(Reason::Resource, what);
    let mut decoder = Decoder::new(url).map_err(|what| failed(&what))?;
    let bytes = read_all(limit, &mut |buffer| decoder.read(buffer).map_err(failed))?;
    if bytes.len() as u64 > limit {
        return Err(failed(&format!("the data URL holds more than {limit} bytes")));
    }
    Ok(bytes)
}

/// What `read` gives, to the end or until it is more than `limit`.
fn read_all(limit: u64, read: &mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; BUFFER];
    while bytes.len() as u64 <= limit {
        match read(&mut buffer)? {
            0 => break,
            count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(bytes)
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
        Source::new(&resource, "$.x")?.unwrap().read(1000)
    }

    #[test]
    fn absent_sources_are_none_and_empty_ones_empty() {
        assert_eq!(Source::new(&Resource::default(), "$.x"), Ok(None));
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

    #[test]
    fn the_bytes_of_a_data_url_are_bounded_and_its_errors_silent() {
        assert_eq!(data_url_bytes("data:,%41bc", 3).unwrap(), b"Abc");
        for (url, limit) in
            [("data:,abcd", 3), ("data:;base64,secret", 99), ("data:,secret%", 99), ("secret", 99)]
        {
            let error = data_url_bytes(url, limit).unwrap_err();
            assert_eq!(error.reason(), Reason::Resource);
            assert!(!error.text().contains("secret"), "{error}");
        }
    }

    #[test]
    fn remote_urls_are_refused_without_their_text() {
        let error = read("https://user:token@example.com/x", "", "").unwrap_err();
        assert_eq!(error.reason(), Reason::Unsupported);
        assert!(!error.text().contains("token"), "{error}");
        assert_eq!(read("ftp://x", "", "").unwrap_err().reason(), Reason::ConfigInvalid);
    }
}
