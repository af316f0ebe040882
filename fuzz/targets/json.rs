//! The JSON reader accepts exactly what `serde_json` accepts, and reads the same from it.
//!
//! On purpose otherwise: nesting ends at 10,000 (out of reach of the lengths tried here), and invalid UTF-8 and lone
//! surrogates in strings become U+FFFD. `IgnoredAny` is `serde_json`'s grammar without its limits on numbers, nesting
//! and text.
#![no_main]

use glowplug::fuzz::{JsonKind, JsonReader, SyntaxError};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

fuzz_target!(|text: &[u8]| {
    let accepted = serde_json::from_slice::<IgnoredAny>(text).is_ok();
    let ours = read(text);
    assert_eq!(ours.is_ok(), accepted, "{ours:?}");
    assert_eq!(skip(text).is_ok(), accepted);
    if let Err(error) = &ours {
        assert!(error.offset <= text.len(), "{error:?}");
    }
    if let (Ok(ours), Ok(theirs)) = (ours, serde_json::from_slice::<Value>(text)) {
        assert_eq!(ours, theirs);
    }
});

fn skip(text: &[u8]) -> Result<(), SyntaxError> {
    let mut reader = JsonReader::new(text);
    reader.skip()?;
    reader.end()
}

/// A list or object that is being read, with the key that its next value belongs to.
enum Open {
    List(Vec<Value>),
    Object(Map<String, Value>, String),
}

fn read(text: &[u8]) -> Result<Value, SyntaxError> {
    let mut reader = JsonReader::new(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let mut first = false;
        let mut value = match reader.peek()? {
            JsonKind::Null => reader.null().map(|()| Value::Null)?,
            JsonKind::Bool => reader.bool()?.into(),
            // One that is out of serde_json's range is `null` here: it has no `Value` to compare with.
            JsonKind::Number => serde_json::from_str(reader.number()?).unwrap_or_default(),
            JsonKind::String => string(text, &mut reader)?.into(),
            kind => {
                reader.enter()?;
                first = true;
                open.push(match kind {
                    JsonKind::Object => Open::Object(Map::new(), String::new()),
                    _ => Open::List(Vec::new()),
                });
                Value::Null
            }
        };
        // Put the value where it belongs and close what ends here, then stand before the next value.
        loop {
            let is_value = !std::mem::take(&mut first);
            let more = match open.last_mut() {
                None => {
                    reader.end()?;
                    return Ok(value);
                }
                Some(Open::List(list)) => {
                    list.extend(is_value.then(|| value.take()));
                    reader.next_item(!is_value)?
                }
                Some(Open::Object(object, key)) => {
                    if is_value {
                        object.insert(std::mem::take(key), value.take());
                    }
                    let next = reader.next_key(!is_value)?;
                    next.map(|(next, _)| *key = next.into_owned()).is_some()
                }
            };
            if more {
                break;
            }
            value = match open.pop() {
                Some(Open::List(list)) => list.into(),
                Some(Open::Object(object, _)) => object.into(),
                None => Value::Null,
            };
        }
    }
}

/// Reads a string, and compares it by itself: one lone surrogate elsewhere would hide all others.
fn string(text: &[u8], reader: &mut JsonReader<'_>) -> Result<String, SyntaxError> {
    let start = reader.offset();
    let ours = reader.string()?;
    match serde_json::from_slice::<String>(&text[start..reader.offset()]) {
        Ok(theirs) => assert_eq!(ours, theirs),
        Err(_) => assert!(ours.contains(char::REPLACEMENT_CHARACTER), "{ours:?}"),
    }
    Ok(ours.into_owned())
}
