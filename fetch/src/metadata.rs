//! Metadata services: where a cloud tells a machine about itself, and gives it tokens and keys. They are asked over
//! plain HTTP at an address that only the machine can reach. So they are never asked through a proxy, and a redirect is
//! not followed.

use std::time::Duration;

use glowplug::deadline::Deadline;
use glowplug::error::{Error, Reason, Result};
use glowplug::json::{JsonKind, JsonReader};

use crate::context::Context;
use crate::http::{self, HttpRequest, Response, Retry};
use crate::url::Url;

/// The address of the metadata service in all clouds.
const BASE: &str = "http://169.254.169.254";
/// The most bytes of an answer.
const MOST: usize = 64 << 10;

/// One metadata service.
#[derive(Debug)]
pub(crate) struct Metadata<'c> {
    context: &'c Context<'c>,
    base: &'c str,
    deadline: Deadline,
}

impl<'c> Metadata<'c> {
    /// Returns the service that the tests call `name`. It has `patience` for all its answers together.
    pub(crate) fn new(context: &'c Context<'c>, name: &str, patience: Duration) -> Self {
        let base = context.endpoint(name).unwrap_or(BASE);
        Self { context, base: base.trim_end_matches('/'), deadline: Deadline::after(patience) }
    }

    /// Returns the answer to a request, whatever its status.
    ///
    /// # Errors
    /// Those of [`http::get`].
    pub(crate) fn ask(&self, method: &'static str, target: &str, field: (&str, &str)) -> Result<Response> {
        let url =
            Url::parse(&[self.base, target].concat()).map_err(|what| Error::new(Reason::Usage, what))?;
        let retry = Retry { tries: 3, statuses: &[], within: self.deadline.remaining() };
        let headers = vec![(field.0.to_owned(), field.1.to_owned())];
        let request =
            HttpRequest { method, headers, follow: false, direct: true, retry, ..HttpRequest::get(url) };
        http::get(self.context, &request)
    }

    /// Returns the text of an answer with status 200; `None` for another status.
    ///
    /// # Errors
    /// Those of [`Metadata::ask`]; [`Reason::BadAnswer`] for a text that is too long or not UTF-8.
    pub(crate) fn text(
        &self,
        method: &'static str,
        target: &str,
        field: (&str, &str),
    ) -> Result<Option<String>> {
        let mut response = self.ask(method, target, field)?;
        if response.status() != 200 {
            return Ok(None);
        }
        let text = String::from_utf8(response.text(MOST)?);
        let text =
            text.map_err(|_| Error::new(Reason::BadAnswer, "the metadata of the machine is not UTF-8"))?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// Returns the texts that an object of JSON has for `names`; empty for names that it has not. Other values are ignored.
/// `None` if the text is not an object of JSON, or has a value of another kind for a name.
pub(crate) fn texts<const N: usize>(json: &str, names: [&str; N]) -> Option<[String; N]> {
    let mut texts = [const { String::new() }; N];
    let mut reader = JsonReader::new(json.as_bytes());
    if reader.peek().ok()? != JsonKind::Object {
        return None;
    }
    reader.enter().ok()?;
    let mut first = true;
    while let Some((key, _)) = reader.next_key(first).ok()? {
        first = false;
        // White space before a value is passed by a look at it.
        let kind = reader.peek().ok()?;
        match names.iter().zip(&mut texts).find(|(name, _)| **name == key) {
            Some(_) if kind != JsonKind::String => return None,
            Some((_, text)) => *text = reader.string().ok()?.into_owned(),
            None => reader.skip().ok()?,
        }
    }
    reader.end().ok()?;
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn texts_of_an_object() {
        let json = r#"{"Code" : "Success", "n": {"Token": "not this"},"Token":"a\/b=", "expires_in": 3599 }"#;
        assert_eq!(
            texts(json, ["Token", "Code", "None"]),
            Some(["a/b=".to_owned(), "Success".to_owned(), String::new()])
        );
        for json in [
            "",
            "[]",
            "\"Token\"",
            "{\"Token\":1}",
            "{\"Token\":\"x\"",
            "{\"Token\":\"x\"}x",
            "{\"Token\":null}",
        ] {
            assert_eq!(texts(json, ["Token"]), None, "{json}");
        }
    }
}
