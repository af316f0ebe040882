//! `data` URLs. The data, read in pieces of any size, must be what a simple model of the same rules gives. Each URL
//! that validation accepts must be decodable; validation is the stricter of the two.
#![no_main]

use glowplug::config::Resource;
use glowplug::config::data_url::{DataUrl, split};
use glowplug::source::{NoTransport, Source};
use glowplug_fuzz::{Memory, read_in_pieces, with_plan};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const MOST: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let (sizes, rest) = data.split_at(data.len().min(3));
    let url = format!("data:{}", String::from_utf8_lossy(rest));
    let resource = Resource { source: Some(url.as_str().into()), ..Resource::default() };
    let read = |sizes: &[u8]| {
        let source = Source::new(&resource, &"$", &NoTransport).ok()??;
        let mut stream = source.open().ok()?;
        read_in_pieces(&mut |buffer| stream.read(buffer).ok(), sizes, MOST)
    };
    let model = model(&url);
    assert_eq!(read(&[255]), model, "{url}");
    assert_eq!(read(sizes), model, "{url}");
    assert!(model.is_some() || !is_valid(&url), "{url}");
});

/// Whether a config with this URL is accepted.
fn is_valid(url: &str) -> bool {
    let file = json!({"path": "/a", "contents": {"source": url}});
    let config = json!({"ignition": {"version": "3.0.0"}, "storage": {"files": [file]}});
    with_plan(config.to_string().as_bytes(), false, &Memory::default(), |_| ()).is_some()
}

/// The bytes behind `url`; `None` if it is not a good one. What stands before the data is the config language's own.
fn model(url: &str) -> Option<Vec<u8>> {
    let DataUrl { is_base64, data } = split(url).ok()?;
    let head = url.strip_suffix(data).and_then(|head| head.strip_suffix(','))?;
    assert_eq!(is_base64, head.ends_with(";base64"), "{url}");
    if is_base64 { base64(data.as_bytes()) } else { unescape(data) }
}

/// Characters that RFC 2396 has reserved or left alone, and any byte as `%XX`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        bytes.push(match c {
            '%' => {
                let (high, low) = (chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ if c.is_ascii_alphanumeric() || ";/?:@&=+$,-_.!~*'()".contains(c) => u8::try_from(c).ok()?,
            _ => return None,
        });
    }
    Some(bytes)
}

/// Groups of four, the last one padded; the bits that it has to spare may be any.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in unpadded {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(((bits >> count) & 0xff) as u8);
        }
    }
    (text.len() % 4 == 0).then_some(bytes)
}
