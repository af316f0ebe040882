//! How long an action may take, and how long to pause between tries.

use std::time::{Duration, Instant};

use rustix::io::Errno;

/// The time by which an action must have ended.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    start: Instant,
    patience: Duration,
}

impl Deadline {
    /// Returns the deadline that is `patience` from now.
    pub fn after(patience: Duration) -> Self {
        Self { start: Instant::now(), patience }
    }

    /// Returns the earlier of the two deadlines.
    #[must_use]
    pub fn or_sooner(self, other: Self) -> Self {
        if other.remaining() < self.remaining() { other } else { self }
    }

    /// Returns the whole time that the deadline allowed when it was made.
    pub fn patience(self) -> Duration {
        self.patience
    }

    /// Returns the remaining time; zero when the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.patience.saturating_sub(self.start.elapsed())
    }

    /// Returns the remaining time, for callers that stop when none is left.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the deadline has passed.
    pub fn left(self) -> Result<Duration, Errno> {
        let left = self.remaining();
        if left.is_zero() { Err(Errno::TIMEDOUT) } else { Ok(left) }
    }
}

/// The pauses between tries that need a host, each twice as long as the one before.
#[derive(Debug)]
pub struct Backoff {
    pause: Duration,
    longest: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Returns a back-off whose next pause is 50 ms. The longest is 1 s.
    pub(crate) fn new() -> Self {
        Self::between(Self::FIRST, Self::LONGEST)
    }

    /// Returns a back-off with this first and this longest pause.
    pub fn between(first: Duration, longest: Duration) -> Self {
        Self { pause: first, longest }
    }

    /// Pauses before the next try. Returns false at once, without a pause, if `deadline` would pass during the pause.
    pub fn wait(&mut self, deadline: Deadline) -> bool {
        match self.next_within(deadline.remaining()) {
            Some(pause) => {
                std::thread::sleep(pause);
                true
            }
            None => false,
        }
    }

    /// Returns the next pause, or `None` if it is not shorter than the time `left`.
    fn next_within(&mut self, left: Duration) -> Option<Duration> {
        if left <= self.pause {
            return None;
        }
        let next = self.pause.saturating_mul(2).min(self.longest);
        Some(std::mem::replace(&mut self.pause, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_runs_out() {
        let deadline = Deadline::after(Duration::from_millis(20));
        assert!(deadline.left().is_ok_and(|left| left <= deadline.patience()));
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!((deadline.left(), deadline.remaining()), (Err(Errno::TIMEDOUT), Duration::ZERO));
        let later = Deadline::after(Duration::from_secs(60));
        assert_eq!(later.or_sooner(deadline).patience(), deadline.patience());
        assert_eq!(deadline.or_sooner(later).patience(), deadline.patience());
        // The longest time there is must not overflow the clock.
        assert!(Deadline::after(Duration::MAX).left().is_ok());
    }

    #[test]
    fn pauses_double_and_keep_to_the_deadline() {
        let mut backoff = Backoff::new();
        let mut next = |left| backoff.next_within(Duration::from_millis(left)).map(|pause| pause.as_millis());
        assert_eq!([next(51), next(101), next(200), next(201)], [Some(50), Some(100), None, Some(200)]);
        assert_eq!(
            [next(9000), next(9000), next(9000), next(1000)],
            [Some(400), Some(800), Some(1000), None]
        );
        assert!(!Backoff::new().wait(Deadline::after(Duration::ZERO)));
    }
}
