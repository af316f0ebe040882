//! Splits and checks `data` URLs (RFC 2397), as strictly as the reference does. The data is decoded elsewhere.

use std::borrow::Cow;

use super::report::Message;

/// The parts of a `data` URL that decoding needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataUrl<'u> {
    /// Whether the data is base64, of the standard alphabet and with padding. Otherwise it is text in which `%XX`
    /// stands for a byte.
    pub is_base64: bool,
    /// The encoded data: everything after the comma.
    pub data: &'u str,
}

/// Checks the URL, including its data.
///
/// # Errors
/// The first error, in the reference's words.
pub(super) fn check(url: &str) -> Result<(), Message> {
    let DataUrl { is_base64, data } = split(url)?;
    let allowed = if is_base64 { BASE64_CHARACTER } else { URL_CHARACTER };
    // Nearly all bytes of a large config go through this loop.
    if data.bytes().fold(allowed, |common, byte| common & classes(byte)) == 0 {
        return Err(Cow::Borrowed("invalid data character"));
    }
    if is_base64 { check_base64(data) } else { check_escapes(data) }
}

/// Splits a `data` URL at its comma. Only the part before the comma is checked.
///
/// # Errors
/// The first error before the comma, in the words of the reference's library.
pub fn split(url: &str) -> Result<DataUrl<'_>, Cow<'static, str>> {
    let head = url.strip_prefix("data:").ok_or("missing data prefix")?;
    let mut rest = match head.bytes().next() {
        None => return Err(Cow::Borrowed("missing comma before data")),
        Some(b';' | b',') => head,
        Some(byte) if is_token(byte) => media_type(head)?,
        Some(_) => return Err(Cow::Borrowed("invalid character after data prefix")),
    };
    loop {
        if let Some(data) = rest.strip_prefix(',') {
            return Ok(DataUrl { is_base64: false, data });
        }
        if rest.is_empty() {
            return Err(Cow::Borrowed("missing comma before data"));
        }
        let Some(parameter) = rest.strip_prefix(';') else {
            return Err(Cow::Borrowed("expected semicolon or comma"));
        };
        let (name, after) = token(parameter);
        match (name, after.bytes().next()) {
            ("", None | Some(b'=' | b',')) | (_, None) => {
                return Err(Cow::Borrowed("unterminated parameter sequence"));
            }
            ("base64", Some(b',')) => {
                return Ok(DataUrl { is_base64: true, data: after.get(1..).unwrap_or_default() });
            }
            (name, Some(b',')) => return Err(Cow::Owned(format!("expected base64, got {name}"))),
            (name, Some(b'=')) if !name.is_empty() => {
                rest = parameter_value(after.get(1..).unwrap_or_default())?;
            }
            _ => return Err(Cow::Borrowed("invalid character for parameter attribute")),
        }
    }
}

/// Passes a media type such as `text/plain`, and returns what follows.
fn media_type(head: &str) -> Result<&str, Message> {
    // The reference's library means to find "x-", but skips any character after an "x".
    let unseen = match head.strip_prefix(['x', 'X']).and_then(|rest| rest.chars().next()) {
        Some(second) => second.len_utf8().saturating_add(1),
        None => 0,
    };
    let (_, after) = token(head.get(unseen..).unwrap_or_default());
    let kind = head;
    let Some(after) = after.strip_prefix('/') else {
        let what =
            if after.is_empty() { "missing media type slash" } else { "invalid character for media type" };
        return Err(Cow::Borrowed(what));
    };
    let known = ["text", "image", "audio", "video", "application", "message", "multipart", "x-", "X-"];
    if !known.iter().any(|known| kind.starts_with(known)) {
        return Err(Cow::Borrowed("invalid media type"));
    }
    let (_, after) = token(after);
    match after.bytes().next() {
        None => Err(Cow::Borrowed("incomplete media type")),
        Some(b';' | b',') => Ok(after),
        Some(_) => Err(Cow::Borrowed("invalid character for media subtype")),
    }
}

/// Passes the value of a parameter, and returns what follows.
fn parameter_value(text: &str) -> Result<&str, Message> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = token(text);
        return match after.bytes().next() {
            None => Err(Cow::Borrowed("missing comma before data")),
            Some(b';' | b',') if !value.is_empty() => check_escapes(value).map(|()| after),
            Some(_) => Err(Cow::Borrowed("invalid character for parameter value")),
        };
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if !c.is_ascii() => {
                let what = if escaped {
                    "invalid escaped character"
                } else {
                    "invalid character for parameter value"
                };
                return Err(Cow::Borrowed(what));
            }
            '"' if !escaped => return Ok(quoted.get(at.saturating_add(1)..).unwrap_or_default()),
            c => escaped = c == '\\' && !escaped,
        }
    }
    Err(Cow::Borrowed("unclosed quoted string"))
}

/// Returns the token (RFC 2045) at the start of `text`, which may be empty, and the rest.
fn token(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// A reserved or unreserved character (RFC 2396, sections 2.2 and 2.3), or a percent sign.
const URL_CHARACTER: u8 = 1;
/// A digit of base64, its padding, or a newline, which Go's decoder ignores.
const BASE64_CHARACTER: u8 = 2;

/// The classes of each byte.
#[allow(clippy::indexing_slicing, reason = "checked by the compiler, which computes it")]
const CLASSES: [u8; 256] = {
    const fn add(classes: &mut [u8; 256], characters: &[u8], class: u8) {
        let mut at = 0;
        while at < characters.len() {
            classes[characters[at] as usize] |= class;
            at += 1;
        }
    }
    let mut classes = [0; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            classes[byte as usize] = URL_CHARACTER | BASE64_CHARACTER;
        }
        byte += 1;
    }
    add(&mut classes, b";/?:@&=+$,-_.!~*'()%", URL_CHARACTER);
    add(&mut classes, b"+/=\n", BASE64_CHARACTER);
    classes
};

fn classes(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Returns whether `byte` may stand in a URL.
pub fn is_url_character(byte: u8) -> bool {
    classes(byte) & URL_CHARACTER != 0
}

/// Checks that two hexadecimal digits follow every percent sign.
fn check_escapes(text: &str) -> Result<(), Message> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
        for _ in 0..2 {
            match rest.split_first() {
                Some((digit, after)) if digit.is_ascii_hexdigit() => rest = after,
                Some(_) => return Err(Cow::Borrowed("rfc2396: invalid char 0x25 in unescape sequence")),
                None => return Err(Cow::Borrowed("rfc2396: unexpected end of unescape sequence")),
            }
        }
    }
    Ok(())
}

/// Checks the length and padding of base64 whose characters are known to be right. Returns the error that Go's decoder
/// finds first.
fn check_base64(data: &str) -> Result<(), Message> {
    let corrupt = |at: usize| Err(Cow::Owned(format!("illegal base64 data at input byte {at}")));
    let digits = data.find('=').unwrap_or(data.len());
    let data = data.as_bytes();
    let whole = data.len().saturating_sub(digits);
    let (after, over) = (digits.saturating_add(1), digits % 4);
    match (over, whole) {
        (0, 0) => Ok(()),
        // Go names the start of the last group of four, which is not complete.
        (over, 0) => corrupt(digits.saturating_sub(over)),
        (0 | 1, _) => corrupt(digits),
        (2, 1) => corrupt(data.len()),
        (2, _) if data.get(after) != Some(&b'=') => corrupt(digits),
        (2, 2) | (3, 1) => Ok(()),
        (2, _) => corrupt(after.saturating_add(1)),
        _ => corrupt(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_those_of_the_reference() {
        for (url, fault) in [
            ("data:,", None),
            ("data:,a%20b?", None),
            ("data:;base64,", None),
            ("data:;base64,YQ==", None),
            ("data:;base64,YWI=", None),
            ("data:text/plain;charset=utf-8;base64,YWJj", None),
            ("data:text/plain;x=\"a,;\\\"b\",y", None),
            ("data:x-y/z,a", None),
            ("data:", Some("missing comma before data")),
            ("data:abc", Some("missing media type slash")),
            ("data:abc,x", Some("invalid character for media type")),
            ("data:abc/x,x", Some("invalid media type")),
            ("data:text/x", Some("incomplete media type")),
            ("data:x,x", Some("missing media type slash")),
            ("data:;", Some("unterminated parameter sequence")),
            ("data:;BASE64,", Some("expected base64, got BASE64")),
            ("data:;a=,x", Some("invalid character for parameter value")),
            ("data:;a=b", Some("missing comma before data")),
            ("data:,a b", Some("invalid data character")),
            ("data:,a#b", Some("invalid data character")),
            ("data:,%4", Some("rfc2396: unexpected end of unescape sequence")),
            ("data:,%", Some("rfc2396: unexpected end of unescape sequence")),
            ("data:,%zz", Some("rfc2396: invalid char 0x25 in unescape sequence")),
            ("data:,%4%41", Some("rfc2396: invalid char 0x25 in unescape sequence")),
            ("data:;base64,YQ", Some("illegal base64 data at input byte 0")),
            ("data:;base64,YWJjY", Some("illegal base64 data at input byte 4")),
            ("data:;base64,YQ=", Some("illegal base64 data at input byte 3")),
            ("data:;base64,=", Some("illegal base64 data at input byte 0")),
            ("data:;base64,YQ=a", Some("illegal base64 data at input byte 2")),
            ("data:;base64,YQ==YQ==", Some("illegal base64 data at input byte 4")),
            ("data:;base64,YWI=x", Some("illegal base64 data at input byte 4")),
            ("data:;base64,Y_==", Some("invalid data character")),
        ] {
            assert_eq!(check(url).err().as_deref(), fault, "{url}");
        }
    }
}
