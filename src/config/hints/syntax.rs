//! Hints for texts that are not JSON.

use super::super::locate::position;
use super::super::report::find;
use super::octal;
use super::text::kind_of;
use crate::json::SyntaxError;

/// Returns the hint for `error` in `text`; `None` if nothing better than the error can be said.
pub(in super::super) fn for_syntax(text: &[u8], error: &SyntaxError) -> Option<String> {
    if let Some(kind) = kind_of(text) {
        return Some(kind.to_owned());
    }
    let at = error.offset.min(text.len());
    let (passed, rest) = text.split_at(at);
    let Some(&found) = rest.first() else { return Some(unclosed(text)) };
    let before = passed.trim_ascii_end();
    let message = error.to_string();
    let is = |place: &str| find(&message, place).is_some();
    if let Some(hint) = in_string(&message, found, text, at) {
        return Some(hint.to_owned());
    }
    if let Some(hint) = number(passed, rest) {
        return Some(hint);
    }
    let last = before.len().saturating_sub(1);
    let hint = match (before.last(), found) {
        (Some(b','), b'}' | b']') => {
            return Some(format!("remove the comma at {}: no item follows it", position(text, last)));
        }
        (_, b'\'') => "write strings between double quotes",
        (_, b'/' | b'#') => "remove the comment: JSON has no comments",
        (_, 0xe2) if rest.starts_with(b"\xe2\x80") => {
            "write straight double quotes instead of typographic ones"
        }
        (_, 0xc2) if rest.starts_with(b"\xc2\xa0") => "write a plain space instead of the non-breaking space",
        (_, b'$') | (Some(b'{'), b'{' | b'%') => "replace the variable of the template by its value",
        _ if is("after top-level value") => "the config is one JSON object: remove what follows it",
        (_, b'=') if is("after object key") => "write a colon between the key and its value",
        (_, b'"' | b'{' | b'[') if is("after object key:value pair") || is("after array element") => {
            return Some(format!("a comma is missing after {}", position(text, last)));
        }
        _ if is("after array element") => "a list is closed by ], its items are separated by commas",
        _ if is("after object key:value pair") => {
            "an object is closed by }, its keys are separated by commas"
        }
        _ if is("object key string") => "write the key between double quotes",
        (Some(b',' | b'[' | b'{'), b',') => "remove the comma that has no item before it",
        _ if is("in literal") || found.is_ascii_alphabetic() => {
            "write text between double quotes, and true, false and null in small letters"
        }
        (Some(b':'), b',' | b'}') => "write a value after the colon",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the hint for an error inside a string: it is not closed, or has a character that must be escaped.
fn in_string(message: &str, found: u8, text: &[u8], at: usize) -> Option<&'static str> {
    if find(message, "in string escape code").is_some() {
        return Some("write a backslash itself as \\\\");
    }
    if find(message, "hexadecimal character escape").is_some() {
        return Some("\\u needs four hexadecimal digits");
    }
    find(message, "in string literal")?;
    let line_rest = text.get(at..).unwrap_or_default();
    Some(match found {
        b'\t' => "write a tab inside a string as \\t",
        b'\r' | b'\n' if !line_rest.is_empty() => {
            "write a line break inside a string as \\n, or close the string with a double quote"
        }
        _ => "write a control character inside a string as \\u00XX",
    })
}

/// Returns the hint for a number as other languages write it. `passed` is the text before the error, which ends inside
/// the number or after it; `rest` begins at the error.
fn number(passed: &[u8], rest: &[u8]) -> Option<String> {
    let digits_before = passed.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let start = passed.len().saturating_sub(digits_before);
    let (before, zero) = passed.split_at(start);
    let (prefix, digits) = match (zero, rest) {
        (b"0", [b'o' | b'O', digits @ ..]) => ("0o", digits),
        (b"0", [b'0'..=b'9', ..]) => ("0", rest),
        (b"0", [b'x' | b'X' | b'b' | b'B', ..]) => return Some("write the number in decimal".to_owned()),
        (b"", [b'+' | b'.', ..]) => return Some("begin the number with a digit".to_owned()),
        _ => return None,
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = digits.get(..count).and_then(|digits| std::str::from_utf8(digits).ok())?;
    let is_mode = before.trim_ascii_end().strip_suffix(b":").is_some_and(|before| {
        let key = before.trim_ascii_end().to_ascii_lowercase();
        key.ends_with(b"\"mode\"")
    });
    match octal(digits).filter(|_| is_mode || prefix == "0o") {
        Some(value) => Some(format!("JSON has no octal numbers: write {value} for {prefix}{digits}")),
        None => Some("a number must not begin with zero".to_owned()),
    }
}

/// Returns the hint that names the innermost bracket or the quote that is not closed at the end of `text`.
fn unclosed(text: &[u8]) -> String {
    let mut open: Vec<usize> = Vec::new();
    let mut quote = None;
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate() {
        if quote.is_some() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => quote = None,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quote = Some(at),
            b'{' | b'[' => open.push(at),
            b'}' | b']' => drop(open.pop()),
            _ => {}
        }
    }
    let what = "the text ends too early:";
    match (quote, open.pop()) {
        (Some(at), _) => format!("{what} the string that begins at {} is not closed", position(text, at)),
        (None, Some(at)) => {
            let bracket = text.get(at).copied().map_or(' ', char::from);
            format!("{what} the {bracket} at {} is not closed", position(text, at))
        }
        (None, None) => format!("{what} a value is missing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::check;

    fn hint(text: &str) -> String {
        for_syntax(text.as_bytes(), &check(text.as_bytes()).unwrap_err()).unwrap_or_default()
    }

    #[test]
    fn mistakes_of_syntax_get_a_hint_with_their_true_place() {
        for (text, words) in [
            ("{\"a\":{},}", "remove the comma at line 1 col 8: no item follows it"),
            ("{\n \"a\":[1,\n 2 ,\n ]}", "remove the comma at line 3 col 4: no item follows it"),
            ("{'a':1}", "write strings between double quotes"),
            ("{\"a\":'x'}", "write strings between double quotes"),
            ("{\"a\":1, // why\n}", "remove the comment: JSON has no comments"),
            ("// why\n{}", "remove the comment: JSON has no comments"),
            ("{ /* why */ }", "remove the comment: JSON has no comments"),
            ("{\"a\":1 # why\n}", "remove the comment: JSON has no comments"),
            ("{\u{201c}a\u{201d}:1}", "write straight double quotes instead of typographic ones"),
            ("{\u{a0}\"a\":1}", "write a plain space instead of the non-breaking space"),
            ("{\"a\":{{ x }}}", "replace the variable of the template by its value"),
            ("{\"a\":${x}}", "replace the variable of the template by its value"),
            ("{} {}", "the config is one JSON object: remove what follows it"),
            ("{\"a\":1\n\"b\":2}", "a comma is missing after line 1 col 6"),
            ("[{}\n{}]", "a comma is missing after line 1 col 3"),
            ("{\"a\"=1}", "write a colon between the key and its value"),
            ("{a:1}", "write the key between double quotes"),
            ("{\"a\":True}", "write text between double quotes, and true, false and null in small letters"),
            ("{\"a\":yes}", "write text between double quotes, and true, false and null in small letters"),
            (
                "{\"a\":\"x\n\"}",
                "write a line break inside a string as \\n, or close the string with a double quote",
            ),
            ("{\"a\":\"x\ty\"}", "write a tab inside a string as \\t"),
            ("{\"a\":\"\\d\"}", "write a backslash itself as \\\\"),
            ("{\"mode\": 0644}", "JSON has no octal numbers: write 420 for 0644"),
            ("{\"mode\":\n0o1755 }", "JSON has no octal numbers: write 1005 for 0o1755"),
            ("{\"uid\":0100}", "a number must not begin with zero"),
            ("{\"mode\":0x1ff}", "write the number in decimal"),
            ("{\n\"a\":[1", "the text ends too early: the [ at line 2 col 5 is not closed"),
            ("{\"a\":\"x}", "the text ends too early: the string that begins at line 1 col 6 is not closed"),
        ] {
            assert_eq!(hint(text), words, "{text}");
        }
    }
}
