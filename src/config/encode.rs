//! A config as compact JSON in the newest form, byte for byte as the reference writes it into its cache.

use std::fmt::Write as _;

use super::schema::{Shape, Value as _};
use super::types::Config;
use super::version::Version;

impl Config<'_> {
    /// The config as JSON of the newest version, without a line end.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        write(&self.shape(), &mut text);
        text
    }
}

fn write(shape: &Shape<'_, '_>, text: &mut String) {
    match shape {
        Shape::Absent => text.push_str("null"),
        Shape::Text(value) => quote(value, text),
        Shape::Integer(value) => {
            // Writing into a string cannot fail.
            let _ = write!(text, "{value}");
        }
        Shape::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Shape::List(list) => {
            text.push('[');
            for index in 0..list.count() {
                if index > 0 {
                    text.push(',');
                }
                write(&list.item(index), text);
            }
            text.push(']');
        }
        Shape::Object(object) => {
            text.push('{');
            let mut is_first = true;
            for (index, field) in object.fields().iter().enumerate() {
                let value = match object.field(index) {
                    Shape::Absent => continue,
                    Shape::Text(_) if field.key == "version" => Shape::Text(Version::NEWEST.text()),
                    value => value,
                };
                if !is_first {
                    text.push(',');
                }
                is_first = false;
                quote(field.key, text);
                text.push(':');
                write(&value, text);
            }
            text.push('}');
        }
    }
}

/// Appends `value` as Go's `json.Marshal`, which makes strings safe for HTML as well.
pub(crate) fn quote(value: &str, text: &mut String) {
    text.push('"');
    let mut start: usize = 0;
    for (at, c) in value.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => "",
            _ => continue,
        };
        text.push_str(value.get(start..at).unwrap_or_default());
        if escape.is_empty() {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push_str(escape);
        }
        start = at.saturating_add(c.len_utf8());
    }
    text.push_str(value.get(start..).unwrap_or_default());
    text.push('"');
}
