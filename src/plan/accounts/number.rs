//! Parses numbers in account files and in `login.defs`.

/// Parses a user or group id: decimal digits and nothing else.
pub(super) fn id(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Parses an unsigned number in C notation: `0x10` and `020` both mean 16.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('+').unwrap_or(text);
    // `from_str_radix` would accept a second sign.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
            return None;
        }
        return u64::from_str_radix(digits, 16).ok();
    }
    let radix = if text.starts_with('0') { 8 } else { 10 };
    u64::from_str_radix(text, radix).ok()
}

/// Parses a number as [`unsigned`] does, but accepts negative numbers too.
pub(super) fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(rest) if rest.first() != Some(&b'+') => i64::try_from(unsigned(rest)?).ok()?.checked_neg(),
        Some(_) => None,
        None => i64::try_from(unsigned(text)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_decimal_numbers_of_32_bits() {
        assert_eq!(id(b"0"), Some(0));
        assert_eq!(id(b"007"), Some(7));
        assert_eq!(id(b"4294967295"), Some(u32::MAX));
        for bad in ["", "4294967296", "-1", "+1", " 1", "1 ", "1a", "0x1"] {
            assert_eq!(id(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn settings_may_be_octal_and_hexadecimal() {
        assert_eq!(unsigned(b"65536"), Some(65536));
        assert_eq!(unsigned(b"0700"), Some(0o700));
        assert_eq!(unsigned(b"0xfF"), Some(255));
        assert_eq!(unsigned(b"+1"), Some(1));
        assert_eq!(signed(b"-1"), Some(-1));
        assert_eq!(signed(b"077"), Some(0o77));
        for bad in
            ["", "x", "08", "1k", "++1", "+-1", "0x", "0x+1", "-", "-+1", "--1", "99999999999999999999"]
        {
            assert_eq!(unsigned(bad.as_bytes()), None, "{bad:?}");
            assert_eq!(signed(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
