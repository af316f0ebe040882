//! Durations as Go writes them: `2m`, `1m30s`, `1.5h`.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a duration. Returns one nanosecond for a negative duration, which is over at once. Returns `None` for a malformed
/// text, and for a duration of over 292 years, which Go cannot hold.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let nanoseconds = sum(rest)?;
    let shown = if is_negative { nanoseconds.min(1) } else { nanoseconds };
    Some(Duration::from_nanos(shown))
}

/// Returns the sum of all parts of `rest`, in nanoseconds. There must be at least one part: a number and a unit.
fn sum(mut rest: &str) -> Option<u64> {
    let mut sum: u64 = 0;
    loop {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, unit)| *unit)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(unit)?)?;
        let mut place = unit;
        for digit in fraction.chars().filter_map(|digit| digit.to_digit(10)) {
            place /= 10;
            sum = sum.checked_add(place.checked_mul(digit.into())?)?;
        }
        if sum > i64::MAX.unsigned_abs() {
            return None;
        }
        rest = after;
        if rest.is_empty() {
            return Some(sum);
        }
    }
}

/// Splits `text` after its leading digits.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("2m", 120_000_000_000),
            ("2m0s", 120_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("+1ms", 1_000_000),
            ("3us2ns", 3_002),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("0.000000001s", 1),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
        // It must not be zero, which means no timeout.
        assert_eq!(parse("-5s"), Some(Duration::from_nanos(1)));
        assert_eq!(parse("-0"), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            "-",
            "+",
            "3",
            "s",
            ".s",
            "3x",
            "3 s",
            "3s ",
            "1m30",
            "1..5s",
            "--1s",
            "300000000h",
            "9999999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
