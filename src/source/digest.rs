//! Hashes of the config: `sha512-HEX` and `sha256-HEX`, computed while the bytes are read.

use sha2::Digest as _;
use sha2::{Sha256, Sha512};

/// The hash that the bytes must have.
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
    /// Parses `verification.hash`. The errors are the reference's words.
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

/// Hashes bytes piece by piece.
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Returns a hasher for the kind of `expected`.
    pub(super) fn new(expected: &Digest) -> Self {
        match expected.function {
            Function::Sha256 => Self::Sha256(Sha256::new()),
            Function::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// Adds `bytes` to the hash.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns whether all bytes so far have the hash `expected`.
    pub(super) fn fits(&self, expected: &Digest) -> bool {
        let found = match self {
            Self::Sha256(hasher) => hex(&hasher.clone().finalize()),
            Self::Sha512(hasher) => hex(&hasher.clone().finalize()),
        };
        found == expected.hex
    }
}

/// Returns `bytes` in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('?', |&digit| char::from(digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Returns the SHA-512 of `bytes` in lower-case hexadecimal.
pub fn sha512_hex(bytes: &[u8]) -> String {
    hex(&Sha512::digest(bytes))
}
