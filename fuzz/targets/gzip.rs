//! gzip data of any bytes. The outcome must be the same for pieces of any size, and the bytes must be those that
//! `flate2` gives. The two accept different headers: ours refuses unknown flags, `flate2` checks the CRC of the header.
#![no_main]

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use glowplug::config::Resource;
use glowplug::source::{NoTransport, Source};
use glowplug_fuzz::read_in_pieces;
use libfuzzer_sys::fuzz_target;

/// A few bytes may stand for a thousand times as many.
const MOST: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let (sizes, packed) = data.split_at(data.len().min(3));
    let url = format!("data:;base64,{}", STANDARD.encode(packed));
    let resource =
        Resource { source: Some(url.into()), compression: Some("gzip".into()), ..Resource::default() };
    let read = |sizes: &[u8]| {
        let source = Source::new(&resource, &"$", &NoTransport).ok()??;
        let mut stream = source.open().ok()?;
        read_in_pieces(&mut |buffer| stream.read(buffer).ok(), sizes, MOST)
    };
    let ours = read(sizes);
    assert_eq!(read(&[255]), ours);
    let mut decoder = MultiGzDecoder::new(packed);
    let theirs = read_in_pieces(&mut |buffer| decoder.read(buffer).ok(), &[255], MOST);
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        assert_eq!(ours, theirs);
    }
});
