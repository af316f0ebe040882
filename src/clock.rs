//! The time. `SOURCE_DATE_EPOCH` replaces it (reproducible-builds.org).

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// Returns the seconds since the epoch. Zero if the clock is before it.
pub fn now() -> u64 {
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    told.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Returns the days since the epoch.
pub fn today() -> u64 {
    now() / SECONDS_A_DAY
}

/// Formats `seconds` since the epoch as RFC 3339 in UTC: `2026-11-22T22:00:00Z`.
pub fn rfc3339(seconds: u64) -> String {
    let of_day = seconds % SECONDS_A_DAY;
    let (year, month, day) = civil(seconds / SECONDS_A_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns year, month and day of the day that is `days` after the epoch, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year: u64 = 1970;
    // The calendar repeats after 400 years. So the loop has at most 400 steps, however far the day is.
    let (cycles, rest) = (days / 146_097, days % 146_097);
    year = year.saturating_add(cycles.saturating_mul(400));
    days = rest;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days = days.saturating_sub(length);
        year = year.saturating_add(1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month: u64 = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days = days.saturating_sub(length);
        month = month.saturating_add(1);
    }
    (year, month, days.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_as_date_prints_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_384_800, "2026-11-22T22:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
