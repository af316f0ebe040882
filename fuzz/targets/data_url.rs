//! `data` URLs against a simple model of the same rules, in pieces of any size.
#![no_main]

use glowplug::config::Resource;
use glowplug::resource::Source;
use glowplug_fuzz::read_in_pieces;
use libfuzzer_sys::fuzz_target;

const MOST: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let (sizes, rest) = data.split_at(data.len().min(3));
    let url = format!("data:{}", String::from_utf8_lossy(rest));
    let resource = Resource { source: Some(url.as_str().into()), ..Resource::default() };
    let read = |sizes: &[u8]| {
        let source = Source::new(&resource, "$").ok()??;
        read_in_pieces(&mut source.open().ok()?, sizes, MOST)
    };
    let model = model(&url);
    assert_eq!(read(&[255]), model, "{url}");
    assert_eq!(read(sizes), model, "{url}");
});

/// The bytes behind `url`; `None` if it is not a good one.
fn model(url: &str) -> Option<Vec<u8>> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    unescape(head)?;
    let media_type = head.strip_suffix(";base64");
    let named = media_type.unwrap_or(head).split(';').next().unwrap_or_default();
    let has_slash = media_type.unwrap_or(head).contains('/');
    if !named.is_empty() && !has_slash {
        return None;
    }
    if media_type.is_some() { base64(data.as_bytes()) } else { unescape(data) }
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
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    (text.len() % 4 == 0).then_some(bytes)
}
