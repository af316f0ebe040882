//! A checksum of the bytes that were passed on. When a file has to be fetched from its beginning again, it shows whether the
//! server sends the same bytes again. It finds accidents: a server that wants to cheat can send whatever it likes the
//! first time.

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A checksum that does not depend on how the bytes are cut into pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum {
    state: u64,
    /// The bytes of an unfinished word, the first one lowest.
    word: u64,
    length: u64,
}

impl Checksum {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while self.length % 8 != 0 {
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.byte(*byte);
            bytes = rest;
        }
        let mut words = bytes.chunks_exact(8);
        let mut state = self.state;
        for word in &mut words {
            state = mix(state, word.try_into().map_or(0, u64::from_le_bytes));
        }
        self.state = state;
        let rest = words.remainder();
        self.length = self.length.wrapping_add((bytes.len().saturating_sub(rest.len())) as u64);
        for byte in rest {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.word |= u64::from(byte) << (self.length % 8).wrapping_mul(8);
        self.length = self.length.wrapping_add(1);
        if self.length % 8 == 0 {
            self.state = mix(self.state, self.word);
            self.word = 0;
        }
    }
}

/// Both steps can be undone, so two texts that differ in one word always differ afterwards.
fn mix(state: u64, word: u64) -> u64 {
    (state.rotate_left(29) ^ word).wrapping_mul(MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_matter_and_bytes_do() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| n.wrapping_mul(37).to_le_bytes()[0]).collect();
        let of = |pieces: &[&[u8]]| {
            let mut sum = Checksum::default();
            for piece in pieces {
                sum.update(piece);
            }
            sum
        };
        let whole = of(&[&bytes]);
        for size in 1..40 {
            assert_eq!(of(&bytes.chunks(size).collect::<Vec<_>>()), whole, "{size}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(of(&[&other]), whole, "{at}");
            assert_ne!(of(&[&bytes[..at]]), whole, "{at}");
        }
        assert_ne!(of(&[&[0; 3]]), of(&[&[0; 4]]));
    }
}
