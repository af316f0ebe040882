//! The errors of the reader, in the words of Go's `encoding/json`.

use std::fmt;

use crate::go;

/// What is wrong with the text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Offset of the offending byte; the length of the text if it ends too early.
    pub offset: usize,
    pub(super) found: Option<u8>,
    pub(super) context: Context,
}

/// Where a byte does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Place(&'static str),
    Literal(&'static str, u8),
    /// No fault of the text: its strings, decoded, take more memory than there is.
    Room,
}

impl SyntaxError {
    /// Whether the text is too large rather than malformed.
    pub(crate) fn is_too_large(&self) -> bool {
        self.context == Context::Room
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(found) = self.found else {
            return f.write_str("unexpected end of JSON input");
        };
        write!(f, "invalid character {} ", go::Character(found))?;
        match self.context {
            Context::Place(place) => f.write_str(place),
            Context::Literal(word, expected) => {
                write!(f, "in literal {word} (expecting {})", go::Character(expected))
            }
            Context::Room => f.write_str("in a text that is too large"),
        }
    }
}
