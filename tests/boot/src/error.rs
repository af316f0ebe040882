//! Errors: a sentence that says what was being done, and to which path.

use std::fmt;
use std::path::Path;

/// What went wrong, as text for the person who runs the lab.
pub struct Error(String);

/// The lab's results.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns an error that says `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `unwrap` in a test prints this form, so it is the plain text.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Adds what was being done to an error.
pub trait Doing<T> {
    /// Says what was being done.
    fn doing(self, what: &str) -> Result<T>;
    /// Says what was being done to which path.
    fn doing_to(self, what: &str, path: &Path) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|e| Error(format!("{what}: {e}")))
    }

    fn doing_to(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|e| Error(format!("{what} {}: {e}", path.display())))
    }
}
