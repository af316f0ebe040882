//! Hashes of the config: `sha512-HEX` and `sha256-HEX`, checked while the bytes pass.

use std::fmt;
use std::io::{self, Read};

use sha2::Digest as _;
use sha2::{Sha256, Sha512};

/// The hash that some bytes must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    function: Function,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sha256,
    Sha512,
}

impl Digest {
    /// Reads `verification.hash`; the errors are the reference's words.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (function, hex) = text.split_once('-').ok_or("malformed hash specifier")?;
        let (function, length) = match function {
            "sha256" => (Function::Sha256, 64),
            "sha512" => (Function::Sha512, 128),
            _ => return Err("unrecognized hash function"),
        };
        if hex.len() != length {
            return Err("incorrect size for hash sum");
        }
        Ok(Self { function, hex: hex.to_ascii_lowercase() })
    }
}

/// The bytes do not have the hash. Neither hash is told: the config's own never reaches a log.
#[derive(Debug)]
pub(super) struct Mismatch;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hash verification failed: the contents do not have the hash that the config names")
    }
}

impl std::error::Error for Mismatch {}

enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Passes bytes on and hashes them; the read that finds the end fails if the hash does not fit.
pub(super) struct Verifying<R> {
    inner: R,
    hasher: Hasher,
    expected: Digest,
}

impl<R: Read> Verifying<R> {
    pub(super) fn new(inner: R, expected: Digest) -> Self {
        let hasher = match expected.function {
            Function::Sha256 => Hasher::Sha256(Sha256::new()),
            Function::Sha512 => Hasher::Sha512(Sha512::new()),
        };
        Self { inner, hasher, expected }
    }
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        match &mut self.hasher {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
        if count == 0 && !buffer.is_empty() {
            let found = match &self.hasher {
                Hasher::Sha256(hasher) => hex(&hasher.clone().finalize()),
                Hasher::Sha512(hasher) => hex(&hasher.clone().finalize()),
            };
            if found != self.expected.hex {
                return Err(io::Error::new(io::ErrorKind::InvalidData, Mismatch));
            }
        }
        Ok(count)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('?', |&digit| char::from(digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The SHA-512 of `bytes` in lower-case hexadecimal.
pub fn sha512_hex(bytes: &[u8]) -> String {
    hex(&Sha512::digest(bytes))
}
