//! What the agent reads: requests of any bytes, the same however they arrive; queries; and broken answers of systemd
//! and journalctl. No control character of any of them may reach a terminal.
#![no_main]

use std::io::{self, Read};

use glowplug::fuzz::{agent_request, journal_lines, journal_query, systemd_units, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (size, request) = data.split_at(data.len().min(1));
    let size = size.first().map_or(1, |size| usize::from(*size).max(1));
    let whole = agent_request(&mut &*request);
    let pieces = agent_request(&mut Pieces { rest: request, size });
    assert_eq!(whole, pieces);
    if let Err((status, what)) = whole {
        assert!((400..500).contains(&status) && !what.is_empty(), "{status} {what}");
    }
    if let Ok(query) = std::str::from_utf8(data) {
        if let Ok((unit, lines)) = journal_query(query) {
            assert!(!unit.starts_with('-') && !unit.contains('/') && (1..=1000).contains(&lines));
        }
    }
    let _ = systemd_units(data);
    for line in journal_lines(data) {
        assert!(line.message.chars().count() <= 4097 && line.identifier.chars().count() <= 4097);
    }
    let lossy = String::from_utf8_lossy(data);
    assert!(!text::shown(&lossy).chars().any(text::is_hidden));
});

/// Requests that arrive in pieces of one size.
struct Pieces<'d> {
    rest: &'d [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.size.min(buffer.len());
        self.rest.read(&mut buffer[..count])
    }
}
