//! Makes text of other writers safe to show. A terminal obeys control characters, and a line break or a direction
//! mark can make one line look like another.

use std::fmt::{self, Write as _};

/// Returns whether `character` is hidden, so that it could mislead a terminal or a reader: control characters (C0,
/// DEL, C1), line and paragraph separators, direction marks, and characters without a width.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns `text` as one line for people. Tabs and line breaks become spaces, and every other hidden character
/// becomes U+FFFD.
pub fn shown(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' | '\n' | '\r' => ' ',
            character if is_hidden(character) => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect()
}

/// Cuts `text` after `limit` characters, and marks the cut with an ellipsis.
pub fn cut(text: &mut String, limit: usize) {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        text.truncate(end);
        text.push('…');
    }
}

/// Returns `json` with every hidden character escaped. The meaning stays the same, but a terminal gets no control
/// character. `json` must have hidden characters only inside of strings.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

/// Text made of lines. No value that is shown can break a line or hide a part of it.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    /// Adds a line.
    pub fn add(&mut self, line: fmt::Arguments<'_>) {
        self.0.push_str(&shown(&line.to_string()));
        self.0.push('\n');
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One character of each kind that could mislead a terminal or a reader.
    const HIDDEN: &str = "\u{0}\u{7}\u{8}\u{1b}\u{7f}\u{85}\u{90}\u{9b}\u{9d}\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\
        \u{200e}\u{2028}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{fff9}\u{e0041}";

    #[test]
    fn a_line_stays_a_line_and_shows_no_control_character() {
        assert_eq!(shown("a\tb\r\nfault: c"), "a b  fault: c");
        assert_eq!(shown("\u{1b}[31mred\u{9b}2J"), "\u{fffd}[31mred\u{fffd}2J");
        assert_eq!(shown(HIDDEN), "\u{fffd}".repeat(HIDDEN.chars().count()));
        // Letters of every script and keyboard characters are shown unchanged.
        assert_eq!(shown("Grüße, 世界: שלום ~!\u{a0}…"), "Grüße, 世界: שלום ~!\u{a0}…");
        let mut lines = Lines::default();
        lines.add(format_args!("one {}", "two\nthree"));
        lines.add(format_args!("four"));
        assert_eq!(lines.into_text(), "one two three\nfour\n");
    }

    #[test]
    fn json_says_the_same_without_a_control_character() {
        let json = serde_json::to_string(&[HIDDEN, "é\n"]).unwrap();
        let escaped = escaped(&json);
        assert!(!escaped.chars().any(is_hidden), "{escaped:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [HIDDEN, "é\n"]);
    }

    #[test]
    fn a_cut_is_between_characters() {
        for (text, limit, expected) in [("ééé", 3, "ééé"), ("ééé", 2, "éé…"), ("", 0, ""), ("a", 0, "…")]
        {
            let mut text = text.to_owned();
            cut(&mut text, limit);
            assert_eq!(text, expected);
        }
    }
}
