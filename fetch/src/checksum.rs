//! A checksum of the bytes that were passed on. When a file has to be fetched from its beginning again, it shows whether the
//! server sends the same bytes again. It finds accidents: a server that wants to cheat can send whatever it likes the
//! first time.

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many words are added independently of each other. A multiplication takes several cycles, in which the processor can
/// begin others.
const LANES: usize = 4;
/// The bytes of a block: a word for each lane.
const BLOCK: usize = 32;

/// A checksum that does not depend on how the bytes are cut into pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum {
    lanes: [u64; LANES],
    /// The words of an unfinished block. In each, the first byte is the lowest.
    block: [u64; LANES],
    length: u64,
}

impl Checksum {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while self.unfinished() != 0 {
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.byte(*byte);
            bytes = rest;
        }
        let mut blocks = bytes.chunks_exact(BLOCK);
        let mut lanes = self.lanes;
        for block in &mut blocks {
            for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
                *lane = mix(*lane, word.try_into().map_or(0, u64::from_le_bytes));
            }
        }
        self.lanes = lanes;
        let rest = blocks.remainder();
        self.length = self.length.wrapping_add((bytes.len().saturating_sub(rest.len())) as u64);
        for byte in rest {
            self.byte(*byte);
        }
    }

    /// Returns how many bytes the unfinished block has.
    fn unfinished(&self) -> u64 {
        self.length % 32
    }

    fn byte(&mut self, byte: u8) {
        let at = self.unfinished();
        let word = usize::try_from(at / 8).ok().and_then(|number| self.block.get_mut(number));
        *word.unwrap_or(&mut 0) |= u64::from(byte) << (at % 8).wrapping_mul(8);
        self.length = self.length.wrapping_add(1);
        if self.unfinished() == 0 {
            for (lane, word) in self.lanes.iter_mut().zip(std::mem::take(&mut self.block)) {
                *lane = mix(*lane, word);
            }
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
        for size in 1..80 {
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
