//! Collects the keys of the config in the host's pool: `ignition.config`, or `ignition.config.0` and so on.

use std::time::Duration;

use crate::error::{Error, Reason, Result};
use crate::memory;

const KEY: &[u8] = b"ignition.config";
/// The most parts of a config. Hosts make parts of about 1000 bytes, so this is far more than they need.
const MOST_PARTS: usize = 1 << 16;

/// Which part of the config a key holds.
enum Slot {
    Whole,
    Part(usize),
}

/// The keys that the host has set so far, with at most `limit` bytes of values.
pub(super) struct Pool {
    whole: Vec<u8>,
    /// The values by their numbers. The last one is there.
    parts: Vec<Option<Vec<u8>>>,
    /// How many of them are there.
    count: usize,
    size: u64,
    limit: u64,
}

impl Pool {
    pub(super) fn new(limit: u64) -> Self {
        Self { whole: Vec::new(), parts: Vec::new(), count: 0, size: 0, limit }
    }

    /// Keeps the value of a key if the key belongs to the config.
    ///
    /// # Errors
    /// [`Reason::BadAnswer`] if the number of a part is too high, or if all values together are too large.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let Some(slot) = slot(key)? else {
            return Ok(());
        };
        let value = value.to_vec();
        let new_size = value.len() as u64;
        let old = match slot {
            Slot::Whole => std::mem::replace(&mut self.whole, value),
            Slot::Part(number) => {
                if self.parts.len() <= number {
                    self.parts.resize(number.saturating_add(1), None);
                }
                let old = self.parts.get_mut(number).and_then(|part| part.replace(value));
                self.count = self.count.saturating_add(usize::from(old.is_none()));
                old.unwrap_or_default()
            }
        };
        self.size = self.size.saturating_sub(old.len() as u64).saturating_add(new_size);
        if self.size > self.limit {
            return Err(memory::too_large(self.limit));
        }
        Ok(())
    }

    /// Forgets a key. Returns whether the key was set.
    pub(super) fn delete(&mut self, key: &[u8]) -> Result<bool> {
        let old = match slot(key)? {
            Some(Slot::Whole) if !self.whole.is_empty() => std::mem::take(&mut self.whole),
            Some(Slot::Part(number)) => {
                let Some(old) = self.parts.get_mut(number).and_then(Option::take) else { return Ok(false) };
                self.count = self.count.saturating_sub(1);
                while self.parts.last().is_some_and(Option::is_none) {
                    self.parts.pop();
                }
                old
            }
            _ => return Ok(false),
        };
        self.size = self.size.saturating_sub(old.len() as u64);
        Ok(true)
    }

    /// Returns whether a config is present in which no part before the last one is missing. The host does not tell
    /// how many parts there are.
    pub(super) fn has_config(&self) -> bool {
        !self.whole.is_empty() || (self.count > 0 && self.count == self.parts.len())
    }

    /// Returns the config: the key that holds all of it, otherwise the parts in ascending order. `patience` is the
    /// time that the host had, for the error.
    ///
    /// # Errors
    /// [`Reason::BadAnswer`] if a part is missing, [`Reason::NoHost`] if the host has sent no part at all.
    pub(super) fn config(self, patience: Duration) -> Result<Vec<u8>> {
        if !self.whole.is_empty() {
            return Ok(self.whole);
        }
        if let (Some(missing), Some(last)) =
            (self.parts.iter().position(Option::is_none), self.parts.len().checked_sub(1))
        {
            let what =
                format!("the host sent the key ignition.config.{last} but not ignition.config.{missing}");
            return Err(Error::new(Reason::BadAnswer, what));
        }
        if self.parts.is_empty() {
            let what = format!(
                "the host sent no key ignition.config and no ignition.config.0 within {} s; it sends its keys once \
                 a boot, so that after an earlier try the machine must be restarted",
                patience.as_secs()
            );
            return Err(Error::new(Reason::NoHost, what));
        }
        let mut config = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        for part in self.parts.into_iter().flatten() {
            config.extend_from_slice(&part);
        }
        Ok(config)
    }
}

/// Returns which part of the config `key` holds; `None` for a key that does not belong to the config.
fn slot(key: &[u8]) -> Result<Option<Slot>> {
    let Some(rest) = key.strip_prefix(KEY) else {
        return Ok(None);
    };
    let digits = match rest {
        [] => return Ok(Some(Slot::Whole)),
        [b'.', digits @ ..] => digits,
        _ => return Ok(None),
    };
    // Only the usual form of a number is accepted: "01" or "+1" would be a second name of the same part.
    let is_number = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
    if !is_number {
        return Ok(None);
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    match number.filter(|number| *number < MOST_PARTS) {
        Some(number) => Ok(Some(Slot::Part(number))),
        None => Err(Error::new(
            Reason::BadAnswer,
            format!("the host sent more than {MOST_PARTS} parts of a config"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn pool(pairs: &[(&str, &str)]) -> Pool {
        let mut pool = Pool::new(1 << 20);
        for (key, value) in pairs {
            pool.set(key.as_bytes(), value.as_bytes()).unwrap();
        }
        pool
    }

    #[test]
    fn parts_are_joined_by_number_in_any_order() {
        let pairs: Vec<_> =
            (0..12).rev().map(|n| (format!("ignition.config.{n}"), format!("<{n}>"))).collect();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let pool = pool(&pairs);
        assert!(pool.has_config());
        assert_eq!(pool.config(PATIENCE).unwrap(), b"<0><1><2><3><4><5><6><7><8><9><10><11>");
    }

    #[test]
    fn one_key_that_holds_all_comes_first_and_an_empty_one_is_none() {
        let parts = [("ignition.config.0", "a"), ("ignition.config", "whole"), ("ignition.config.1", "b")];
        assert_eq!(pool(&parts).config(PATIENCE).unwrap(), b"whole");
        assert_eq!(
            pool(&[("ignition.config", ""), ("ignition.config.0", "a")]).config(PATIENCE).unwrap(),
            b"a"
        );
    }

    #[test]
    fn a_missing_part_is_never_a_shorter_config() {
        for (numbers, missing, last) in [(&[0, 1, 2, 4, 5][..], 3, 5), (&[1][..], 0, 1)] {
            let mut pool = Pool::new(1 << 20);
            for number in numbers {
                pool.set(format!("ignition.config.{number}").as_bytes(), b"x").unwrap();
            }
            assert!(!pool.has_config());
            let error = pool.config(PATIENCE).unwrap_err();
            assert_eq!(error.reason(), Reason::BadAnswer);
            assert!(
                error.text().contains(&format!("ignition.config.{last} but not ignition.config.{missing}"))
            );
        }
    }

    #[test]
    fn other_keys_are_not_the_configs() {
        let others = ["", "ignition", "ignition.configs", "ignition.config.", "ignition.config.01"];
        let more = ["ignition.config.+1", "ignition.config.x", "ignition.config.0x", "other"];
        for key in others.iter().chain(&more) {
            let pool = pool(&[(key, "x")]);
            assert!(!pool.has_config(), "{key}");
            assert_eq!(pool.config(PATIENCE).unwrap_err().reason(), Reason::NoHost, "{key}");
        }
    }

    #[test]
    fn later_values_replace_and_deletes_take_away() {
        let mut pool = pool(&[("ignition.config.0", "old"), ("ignition.config.1", "b")]);
        pool.set(b"ignition.config.0", b"new").unwrap();
        assert!(pool.delete(b"ignition.config.1").unwrap());
        assert!(!pool.delete(b"ignition.config.1").unwrap());
        assert!(!pool.delete(b"other").unwrap());
        assert_eq!(pool.config(PATIENCE).unwrap(), b"new");
    }

    #[test]
    fn sizes_and_numbers_are_bounded() {
        let mut pool = Pool::new(4);
        pool.set(b"ignition.config.0", b"1234").unwrap();
        // The replaced value does not count towards the limit.
        pool.set(b"ignition.config.0", b"5678").unwrap();
        assert_eq!(pool.set(b"ignition.config.1", b"9").unwrap_err().reason(), Reason::BadAnswer);
        for number in ["65536", "4294967296", "99999999999999999999"] {
            let key = format!("ignition.config.{number}");
            assert_eq!(Pool::new(9).set(key.as_bytes(), b"").unwrap_err().reason(), Reason::BadAnswer);
        }
    }
}
