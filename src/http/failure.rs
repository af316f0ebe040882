//! Why one try of a request failed, and whether another try may succeed.

use std::fmt;
use std::io;

use crate::error::{Error, Reason, io_words};

/// What is said of a connection that ends too early.
pub(super) const CUT: &str = "the host closed the connection before its answer was whole";

/// Why one try brought no config.
#[derive(Debug)]
pub enum Failure {
    /// Another try may succeed.
    Passing(String),
    /// The host has answered, and another try would bring the same answer.
    Final(Error),
}

impl Failure {
    /// Returns a failure that may pass. `what` says what failed.
    pub fn passing(what: impl fmt::Display) -> Self {
        Self::Passing(what.to_string())
    }

    /// Returns the failure of a read or write. `act` says what was being done: "read the answer".
    pub fn io(act: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::passing(format_args!("{act}: the host is silent")),
            // These errors all mean that the host has closed the connection. Which of them comes depends on timing.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                Self::passing(CUT)
            }
            _ => Self::passing(format_args!("{act}: {}", io_words(error))),
        }
    }

    /// Returns the failure of an answer that another try would bring again.
    pub fn bad(what: impl Into<String>) -> Self {
        Self::Final(Error::new(Reason::BadAnswer, what))
    }
}
