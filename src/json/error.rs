//! Errors of syntax, in the words of Go's `encoding/json`.

use std::fmt;

use crate::go;

/// An error in the syntax of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The offset of the byte that does not fit; the length of the text if it ends too early.
    pub offset: usize,
    /// The byte that does not fit; `None` if the text ends too early.
    pub(super) found: Option<u8>,
    pub(super) context: Context,
}

/// What the reader was reading when it met the byte that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// A part of the grammar, in Go's words.
    Grammar(&'static str),
    /// One of the words `null`, `true` and `false`, and the byte that had to follow.
    Literal(&'static str, u8),
    /// A string for which no room is left. Its syntax may be right.
    Room,
}

impl SyntaxError {
    /// Returns whether the text is too large rather than malformed.
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
            Context::Grammar(place) => f.write_str(place),
            Context::Literal(word, expected) => {
                write!(f, "in literal {word} (expecting {})", go::Character(expected))
            }
            Context::Room => f.write_str("in a text that is too large"),
        }
    }
}
