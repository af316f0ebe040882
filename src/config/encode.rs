//! Writes a config as compact JSON of the newest version, byte for byte as the reference writes it into its cache.

use std::fmt::Write as _;

use super::schema::{Shape, Value as _};
use super::types::Config;
use super::version::Version;

impl Config<'_> {
    /// Returns the config as JSON of the newest version, without a line break at the end.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        write(&self.shape(), &mut text);
        text
    }
}

/// Appends a value to `text`.
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

/// Appends `value` as a JSON string. As Go's `json.Marshal` does, it also escapes what HTML would take for a tag.
pub fn quote(value: &str, text: &mut String) {
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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Report, parse};

    fn newest(text: &str) -> String {
        parse(text.as_bytes(), &mut Report::default()).unwrap().config.to_json()
    }

    #[test]
    fn an_empty_config_has_its_objects() {
        let empty = r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":"3.7.0-experimental"},"kernelArguments":{},"passwd":{},"storage":{},"systemd":{}}"#;
        assert_eq!(Config::default().to_json(), empty);
        assert_eq!(newest(r#"{"ignition":{"version":"3.0.0"}}"#), empty);
    }

    #[test]
    fn fields_stand_in_the_reference_s_order_and_form() {
        let json = newest(
            r#"{"ignition":{"version":"3.5.0"},"storage":{"files":[{"path":"/<&>\u2028\u0001\n\"","mode":2541,
            "overwrite":false,"contents":{"source":""},"append":[{"source":"data:,x"}]}],"disks":[{"device":"/d",
            "partitions":[{"label":"x","number":0}]}]},"passwd":{"users":[{"name":"u","groups":[]}]}}"#,
        );
        let disks = r#""disks":[{"device":"/d","partitions":[{"label":"x"}]}]"#;
        assert!(json.contains(disks), "{json}");
        let file = r#"{"group":{},"overwrite":false,"path":"/\u003c\u0026\u003e\u2028\u0001\n\"","user":{},"append":[{"source":"data:,x","verification":{}}],"contents":{"source":"","verification":{}},"mode":493}"#;
        assert!(json.contains(file), "{json}");
        assert!(json.contains(r#""users":[{"name":"u"}]"#), "{json}");
    }

    /// The reference loses the advertisement of a 3.4 config.
    #[test]
    fn a_tang_advertisement_survives_translation() {
        let json = newest(
            r#"{"ignition":{"version":"3.4.0"},"storage":{"luks":[{"name":"l","device":"/d","clevis":{"tang":
            [{"url":"http://h","thumbprint":"t","advertisement":"{\"a\":1}"}]}}]}}"#,
        );
        assert!(
            json.contains(r#""tang":[{"advertisement":"{\"a\":1}","thumbprint":"t","url":"http://h"}]"#),
            "{json}"
        );
    }
}
