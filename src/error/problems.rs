//! Failures that have nothing to do with each other are collected, so that all of them can be told at once.

use super::{Error, Result};

/// The most failures that are kept. The rest is counted.
const MOST_KEPT: usize = 20;
/// The most bytes of all texts that are kept. The first failure is kept in any case.
const MOST_BYTES: usize = 4096;

/// A collection of failures. The work that goes on after a failure must not depend on what failed. Otherwise the same problem
/// would be reported twice.
#[derive(Debug, Default)]
pub struct Problems(Option<Error>);

impl Problems {
    /// Returns the value of `result`, or keeps its failure and returns nothing.
    pub fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(error);
                None
            }
        }
    }

    /// Adds `error` and the failures that were found with it. A failure with the text of another one is left out.
    pub fn add(&mut self, mut error: Error) {
        let Some(first) = &mut self.0 else {
            self.0 = Some(error);
            return;
        };
        let further = std::mem::take(&mut error.0.further);
        first.0.untold = first.0.untold.saturating_add(std::mem::take(&mut error.0.untold));
        for error in std::iter::once(error).chain(further) {
            let mut bytes = error.text().len();
            let mut count: usize = 0;
            let mut is_known = false;
            for known in first.all() {
                bytes = bytes.saturating_add(known.text().len());
                count = count.saturating_add(1);
                is_known |= known.text() == error.text();
            }
            if is_known {
                continue;
            }
            if count < MOST_KEPT && bytes <= MOST_BYTES {
                first.0.further.push(error);
            } else {
                first.0.untold = first.0.untold.saturating_add(1);
            }
        }
    }

    /// Returns whether nothing has failed so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Ends the collection.
    ///
    /// # Errors
    /// All failures as one error, if there are any. Its reason is that of the first.
    pub fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    #[test]
    fn failures_are_told_once_each_and_in_order() {
        let mut problems = Problems::default();
        assert_eq!(problems.take(Ok(1)), Some(1));
        assert!(problems.is_empty());
        let conflict = |text: &str| Error::new(Reason::Conflict, text);
        assert_eq!(problems.take::<()>(Err(conflict("one").advise("Do this."))), None);
        let mut inner = Problems::default();
        inner.add(Error::new(Reason::Account, "two"));
        inner.add(conflict("one"));
        problems.add(inner.finish().unwrap_err());
        let error = problems.finish().unwrap_err().at(&"$.x");
        assert_eq!((error.reason(), error.advice()), (Reason::Conflict, "Do this."));
        assert_eq!(error.to_string(), "$.x: one\n$.x: two");
        assert_eq!(error.lines(true), ["conflict: $.x: one", "account: $.x: two"]);
        assert!(Problems::default().finish().is_ok());
    }

    #[test]
    fn the_number_of_failures_is_bounded() {
        let mut problems = Problems::default();
        for number in 0..1000 {
            let mut two = Problems::default();
            two.add(Error::new(Reason::Conflict, format!("number {number}")));
            two.add(Error::new(Reason::Conflict, format!("second of {number}")));
            problems.add(two.finish().unwrap_err());
        }
        let error = problems.finish().unwrap_err();
        assert_eq!((error.all().count(), error.untold()), (20, 1980));
        assert_eq!(error.lines(false).last().map(String::as_str), Some("and 1980 more"));

        let mut problems = Problems::default();
        for number in 0..9 {
            problems.add(Error::new(Reason::Conflict, format!("{number}{}", "x".repeat(5000))));
        }
        let text = problems.finish().unwrap_err().to_string();
        assert!(text.len() < 5000, "{}", text.len());
        assert!(text.ends_with("and 4 more"), "{text}");
    }
}
