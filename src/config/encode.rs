//! Writes a config as compact JSON of the newest version, byte for byte as the reference writes it into its cache.

use super::schema::{Shape, Value as _};
use super::types::Config;
use super::version::Version;
use crate::words::Word;

/// Takes the parts of a text, one after another: most of a large config is in few long strings, which need not be copied.
pub type Take<'t> = &'t mut dyn FnMut(&str);

impl Config<'_> {
    /// Writes the config as JSON of the newest version, without a line break at the end.
    pub fn write_json(&self, take: Take<'_>) {
        write(&self.shape(), take);
    }

    /// Returns what [`Config::write_json`] writes.
    #[cfg(test)]
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut |part| text.push_str(part));
        text
    }
}

/// Writes a value.
fn write(shape: &Shape<'_, '_>, take: Take<'_>) {
    match shape {
        Shape::Absent => take("null"),
        Shape::Text(value) => write_text(value, take),
        Shape::Integer(value) => take(&value.to_string()),
        Shape::Bool(value) => take(if *value { "true" } else { "false" }),
        Shape::List(list) => {
            take("[");
            for index in 0..list.count() {
                if index > 0 {
                    take(",");
                }
                write(&list.item(index), take);
            }
            take("]");
        }
        Shape::Object(object) => {
            take("{");
            let mut is_first = true;
            for (index, field) in object.fields().iter().enumerate() {
                let value = match object.field(index) {
                    Shape::Absent => continue,
                    Shape::Text(_) if field.key == "version" => Shape::Text(Version::NEWEST.text()),
                    value => value,
                };
                if !is_first {
                    take(",");
                }
                is_first = false;
                write_text(field.key, take);
                take(":");
                write(&value, take);
            }
            take("}");
        }
    }
}

/// Appends `value` as a JSON string.
pub fn quote(value: &str, text: &mut String) {
    write_text(value, &mut |part| text.push_str(part));
}

/// Writes `value` as a JSON string. As Go's `json.Marshal` does, it also escapes what HTML would take for a tag.
fn write_text(value: &str, take: Take<'_>) {
    take("\"");
    let mut rest = value;
    loop {
        let (plain, after) = rest.split_at_checked(plain_length(rest.as_bytes())).unwrap_or((rest, ""));
        take(plain);
        let Some(c) = after.chars().next() else { break };
        match c {
            '"' => take("\\\""),
            '\\' => take("\\\\"),
            '\n' => take("\\n"),
            '\r' => take("\\r"),
            '\t' => take("\\t"),
            '\u{8}' => take("\\b"),
            '\u{c}' => take("\\f"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                take(&format!("\\u{:04x}", u32::from(c)));
            }
            c => take(c.encode_utf8(&mut [0; 4])),
        }
        rest = after.get(c.len_utf8()..).unwrap_or_default();
    }
    take("\"");
}

/// The first byte of U+2028 and U+2029 in UTF-8, and of other characters.
const SEPARATOR: u8 = 0xe2;

/// Returns the number of bytes before the first one that may have to be escaped.
fn plain_length(text: &[u8]) -> usize {
    let is_plain = |word: Word| {
        let controls = word.below(0x20).or(word.equal(SEPARATOR));
        [b'"', b'\\', b'<', b'>', b'&']
            .iter()
            .fold(controls, |found, byte| found.or(word.equal(*byte)))
            .is_none()
    };
    let words = text.chunks_exact(8).take_while(|word| Word::new(word).is_some_and(is_plain)).count();
    let start = words.saturating_mul(8);
    let is_special =
        |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\' | b'<' | b'>' | b'&' | SEPARATOR);
    let rest = text.get(start..).unwrap_or_default();
    rest.iter().position(is_special).map_or(text.len(), |at| start.saturating_add(at))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Report, parse};

    fn newest(text: &str) -> String {
        parse(text.as_bytes(), &mut Report::default()).unwrap().config.to_json()
    }

    /// Eight bytes are looked at together, so each character stands at each place of eight.
    #[test]
    fn every_character_is_escaped_that_go_escapes() {
        let escaped = ['"', '\\', '\0', '\u{1f}', '\n', '\u{8}', '<', '>', '&', '\u{2028}', '\u{2029}'];
        for c in
            escaped.into_iter().chain(['\u{7f}', '\u{e2}', '\u{2019}', '\u{2027}', '\u{1f600}', ' ', '='])
        {
            for before in 0..17 {
                let text = format!("{}{c}{c}{}", "\u{e9}".repeat(before), "y".repeat(9));
                let mut json = String::new();
                super::quote(&text, &mut json);
                assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
                let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
                assert_eq!(inside != text, escaped.contains(&c), "{json}");
            }
        }
        let mut json = String::new();
        super::quote("\u{b}\u{c}<", &mut json);
        assert_eq!(json, r#""\u000b\f\u003c""#);
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
