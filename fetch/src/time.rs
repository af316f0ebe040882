//! The time by which certificates are judged. The clock of a machine without a battery may be years behind, so the time is the
//! latest of three that cannot be in the future: the clock, the time of the build, and the time stamp of the CA bundle.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// When this program was built, in seconds since the epoch: see build.rs.
const BUILT: &str = env!("GLOWPLUG_BUILD_TIME");

/// A time, and where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedTime {
    /// Seconds since the epoch.
    pub seconds: u64,
    /// What gave the time, in words.
    pub source: &'static str,
}

impl TrustedTime {
    /// Returns the latest of the times. `bundle` is the time stamp of the CA bundle, in seconds since the epoch.
    pub fn new(bundle: u64) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self::latest(clock, BUILT.parse().unwrap_or(0), bundle)
    }

    /// Returns the latest; of equal ones the first.
    fn latest(clock: u64, built: u64, bundle: u64) -> Self {
        let mut latest = Self { seconds: clock, source: "by the clock" };
        for (seconds, source) in [
            (built, "when glowplug-fetch was built; the clock is behind that"),
            (bundle, "the time stamp of the CA bundle; the clock is behind that"),
        ] {
            if seconds > latest.seconds {
                latest = Self { seconds, source };
            }
        }
        latest
    }
}

impl TimeProvider for TrustedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_time_counts() {
        for (times, seconds, word) in [
            ((3, 2, 1), 3, "by the clock"),
            ((2, 2, 2), 2, "by the clock"),
            ((0, 2, 1), 2, "built"),
            ((1, 2, 3), 3, "bundle"),
        ] {
            let latest = TrustedTime::latest(times.0, times.1, times.2);
            assert_eq!(latest.seconds, seconds);
            assert!(latest.source.contains(word), "{latest:?}");
        }
        assert!(BUILT.parse::<u64>().unwrap() > 1_700_000_000, "{BUILT}");
        assert!(TrustedTime::new(u64::MAX).seconds == u64::MAX);
    }
}
