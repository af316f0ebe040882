//! Tests eight bytes at once, for the loops through every byte of a config.
//!
//! A test sets the top bit of each byte for which it holds. A borrow can set the top bit of a wrong byte too, but only
//! above a byte for which the test holds, so whether any byte fits is always right.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Eight bytes; the first is the lowest one.
#[derive(Clone, Copy)]
pub struct Word(u64);

/// The result of tests.
#[derive(Clone, Copy)]
pub struct Found(u64);

impl Word {
    /// Returns the eight `bytes`; `None` for another number of them.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(u64::from_le_bytes).map(Self).ok()
    }

    /// Looks for bytes below `least`, which must be at most 0x80.
    pub fn below(self, least: u8) -> Found {
        Found(self.0.wrapping_sub(ONES.wrapping_mul(least.into())) & !self.0)
    }

    /// Looks for `byte`.
    pub fn equal(self, byte: u8) -> Found {
        Self(self.0 ^ ONES.wrapping_mul(byte.into())).below(1)
    }
}

impl Found {
    /// Returns the result of both tests.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether no byte fits.
    pub fn is_none(self) -> bool {
        self.0 & TOPS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place_is_found() {
        for place in 0..8 {
            for byte in 0..=255 {
                let mut bytes = [0x80; 8];
                bytes[place] = byte;
                let word = Word::new(&bytes).unwrap();
                for least in [1, 0x20, 0x80] {
                    assert_eq!(word.below(least).is_none(), byte >= least, "{byte} below {least}");
                }
                for other in [0, b'"', 0x7f] {
                    assert_eq!(word.equal(other).is_none(), byte != other, "{byte} and {other}");
                }
            }
        }
        assert!(Word::new(b"seven..").is_none());
    }
}
