//! HTTP answers of any bytes. The outcome must be the same however the bytes arrive, and reading must end however many
//! bytes arrive.
#![no_main]

use std::io::{self, Read};

use glowplug::fuzz::http_answer;
use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 4096;
/// The longest heads of eight interim answers and the final one, the longest trailers, and for each byte of the body the longest line of a chunk's size and the newline at
/// the end of it, and what is read ahead.
const MOST: u64 = 10 * (16 << 10) + LIMIT * (256 + 3) + (256 + 2) + (32 << 10);

fuzz_target!(|data: &[u8]| {
    let (sizes, answer) = data.split_at(data.len().min(3));
    let whole = http_answer(&mut Host { answer, at: 0, sizes: &[], endless: false, reads: 0 }, LIMIT);
    let split = http_answer(&mut Host { answer, at: 0, sizes, endless: false, reads: 0 }, LIMIT);
    assert_eq!(whole, split);
    assert!(whole.is_err() || whole.is_ok_and(|body| body.len() as u64 <= LIMIT));

    let mut host = Host { answer, at: 0, sizes: &[], endless: true, reads: 0 };
    let endless = http_answer(&mut host, LIMIT);
    assert!(host.at <= MOST, "read {} bytes of {endless:?}", host.at);
});

/// A host that sends its answer in pieces whose sizes go round, or again and again.
struct Host<'h> {
    answer: &'h [u8],
    at: u64,
    sizes: &'h [u8],
    endless: bool,
    reads: usize,
}

impl Read for Host<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.get(self.reads % self.sizes.len().max(1));
        let size = size.map_or(usize::MAX, |size| usize::from(*size).max(1)).min(buffer.len());
        self.reads += 1;
        let length = self.answer.len() as u64;
        if length == 0 || (self.at >= length && !self.endless) {
            return Ok(0);
        }
        let start = usize::try_from(self.at % length).unwrap_or_default();
        let piece = &self.answer[start..];
        let count = piece.len().min(size);
        buffer[..count].copy_from_slice(&piece[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
