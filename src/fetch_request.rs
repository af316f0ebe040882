//! The request that `glowplug` writes to the standard input of the program `glowplug-fetch`.
//!
//! A request is a row of fields. Each is a line with its name and its length in bytes, then that many bytes, then a
//! newline:
//!
//! ```text
//! url 23
//! https://example.com/x.gz
//! end 0
//!
//! ```
//!
//! The field `end`, which is empty, ends the request. Nothing may follow it.

use std::borrow::Cow;

use crate::error::{Error, Reason, Result};

/// The most bytes of a request.
pub const MOST: usize = 32 << 20;
/// The most bytes of one bundle of CA certificates.
const MOST_CA: usize = 1 << 20;
/// The most bytes of any other field.
const MOST_FIELD: usize = 64 << 10;
/// The most fields of a request.
const MOST_FIELDS: usize = 16 << 10;
/// The most bytes of a line with a name and a length.
const MOST_LINE: usize = 64;
/// How long a server may take to begin its answer, in seconds, if the config does not say. It is the reference's
/// default.
const RESPONSE_HEADERS_SECONDS: u64 = 10;

/// What to fetch, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest<'r> {
    /// The URL.
    pub url: Cow<'r, str>,
    /// The config's own header fields, each with its name. They replace the defaults of the same name.
    pub headers: Vec<(Cow<'r, str>, Cow<'r, str>)>,
    /// Bundles of CA certificates in PEM, in addition to those of the system.
    pub cas: Vec<Cow<'r, [u8]>>,
    /// The URL of the proxy for `http` URLs.
    pub http_proxy: Option<Cow<'r, str>>,
    /// The URL of the proxy for `https` URLs.
    pub https_proxy: Option<Cow<'r, str>>,
    /// The hosts that are asked without a proxy, one rule each.
    pub no_proxy: Vec<Cow<'r, str>>,
    /// How long a server may take to begin its answer, in seconds; 0 for any time.
    pub response_headers_seconds: u64,
    /// How long everything may take, in seconds; 0 for any time.
    pub total_seconds: u64,
    /// The most bytes of the body; 0 for any number.
    pub limit: u64,
    /// The name of the platform; empty if it does not matter.
    pub platform: Cow<'r, str>,
    /// The base URLs of services, by name, which replace those that are known. For tests.
    pub endpoints: Vec<(Cow<'r, str>, Cow<'r, str>)>,
}

impl<'r> FetchRequest<'r> {
    /// Returns the request for `url` with nothing but defaults.
    pub fn new(url: impl Into<Cow<'r, str>>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            cas: Vec::new(),
            http_proxy: None,
            https_proxy: None,
            no_proxy: Vec::new(),
            response_headers_seconds: RESPONSE_HEADERS_SECONDS,
            total_seconds: 0,
            limit: 0,
            platform: Cow::Borrowed(""),
            endpoints: Vec::new(),
        }
    }

    /// Returns the request as it is written.
    ///
    /// # Errors
    /// [`Reason::Resource`] if a part of the config is too long for a field, or all parts are for a request.
    pub fn write(&self) -> Result<Vec<u8>> {
        let mut writer = Writer { text: Vec::new(), fields: 0 };
        writer.field("url", &[&self.url])?;
        for (name, value) in &self.headers {
            writer.field("header", &[name, ": ", value])?;
        }
        for ca in &self.cas {
            writer.bytes("ca", ca)?;
        }
        for (name, proxy) in [("http-proxy", &self.http_proxy), ("https-proxy", &self.https_proxy)] {
            if let Some(proxy) = proxy {
                writer.field(name, &[proxy])?;
            }
        }
        for rule in &self.no_proxy {
            writer.field("no-proxy", &[rule])?;
        }
        for (name, number) in [
            ("response-headers-seconds", self.response_headers_seconds),
            ("total-seconds", self.total_seconds),
            ("limit", self.limit),
        ] {
            writer.field(name, &[&number.to_string()])?;
        }
        writer.field("platform", &[&self.platform])?;
        for (name, url) in &self.endpoints {
            writer.field("endpoint", &[name, "=", url])?;
        }
        writer.field("end", &[])?;
        Ok(writer.text)
    }

    /// Reads a request, which must be whole.
    ///
    /// # Errors
    /// [`Reason::Usage`] for anything that [`FetchRequest::write`] does not write. The message has no part of the values.
    pub fn read(mut text: &'r [u8]) -> Result<Self> {
        if text.len() > MOST {
            return Err(malformed(&format!("it is over {} MiB", MOST >> 20)));
        }
        let mut request = Self::new("");
        let mut single: Vec<&str> = Vec::new();
        for _ in 0..MOST_FIELDS {
            let (name, value, rest) = split_field(text).ok_or_else(|| malformed("a field is malformed"))?;
            text = rest;
            if !matches!(name, "header" | "ca" | "no-proxy" | "endpoint") {
                if single.contains(&name) {
                    return Err(malformed(&format!("the field {name} is there twice")));
                }
                single.push(name);
            }
            if name == "end" {
                let is_whole = value.is_empty() && text.is_empty() && single.contains(&"url");
                return if is_whole { Ok(request) } else { Err(malformed("its end is malformed")) };
            }
            request.set(name, value).ok_or_else(|| {
                // The name is short and may be from a newer version of the other program.
                malformed(&format!("the field {name:?} is unknown or has a bad value"))
            })?;
        }
        Err(malformed("it has too many fields"))
    }

    /// Takes one field. `None` for an unknown name, or a value that the field cannot have.
    fn set(&mut self, name: &str, value: &'r [u8]) -> Option<()> {
        let most = if name == "ca" { MOST_CA } else { MOST_FIELD };
        if value.len() > most {
            return None;
        }
        if name == "ca" {
            self.cas.push(Cow::Borrowed(value));
            return Some(());
        }
        let text = std::str::from_utf8(value).ok()?;
        let number = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let pair = |separator| {
            let (name, value) = text.split_once(separator)?;
            Some((Cow::Borrowed(name), Cow::Borrowed(value)))
        };
        match name {
            "url" if !text.is_empty() => self.url = Cow::Borrowed(text),
            "header" => self.headers.push(pair(": ")?),
            "http-proxy" => self.http_proxy = Some(Cow::Borrowed(text)),
            "https-proxy" => self.https_proxy = Some(Cow::Borrowed(text)),
            "no-proxy" => self.no_proxy.push(Cow::Borrowed(text)),
            "response-headers-seconds" => self.response_headers_seconds = number()?,
            "total-seconds" => self.total_seconds = number()?,
            "limit" => self.limit = number()?,
            "platform" => self.platform = Cow::Borrowed(text),
            "endpoint" => self.endpoints.push(pair("=")?),
            _ => return None,
        }
        Some(())
    }
}

fn malformed(what: &str) -> Error {
    Error::new(Reason::Usage, format!("read the request on standard input: {what}"))
        .advise("The programs glowplug and glowplug-fetch must be of the same version.")
}

/// Splits the first field off: its name, its value, and what follows. `None` if it is malformed.
fn split_field(text: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let line = text.iter().take(MOST_LINE).position(|byte| *byte == b'\n')?;
    let (line, rest) = text.split_at_checked(line)?;
    let (name, length) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    // `str::parse` alone would accept `+1`.
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (value, rest) = rest.get(1..)?.split_at_checked(length.parse().ok()?)?;
    Some((name, value, rest.strip_prefix(b"\n")?))
}

/// Collects fields within the bounds that the reader has.
struct Writer {
    text: Vec<u8>,
    fields: usize,
}

impl Writer {
    fn field(&mut self, name: &str, parts: &[&str]) -> Result<()> {
        self.put(name, MOST_FIELD, parts.iter().map(|part| part.as_bytes()))
    }

    fn bytes(&mut self, name: &str, value: &[u8]) -> Result<()> {
        self.put(name, MOST_CA, std::iter::once(value))
    }

    fn put<'p>(
        &mut self,
        name: &str,
        most: usize,
        parts: impl Iterator<Item = &'p [u8]> + Clone,
    ) -> Result<()> {
        let length = parts.clone().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        self.fields = self.fields.saturating_add(1);
        let whole = self.text.len().saturating_add(length).saturating_add(MOST_LINE);
        if length > most || whole > MOST || self.fields > MOST_FIELDS {
            let what = format!("the field {name} of the request to glowplug-fetch is over its bound");
            return Err(Error::new(Reason::Resource, what));
        }
        self.text.extend_from_slice(format!("{name} {length}\n").as_bytes());
        parts.for_each(|part| self.text.extend_from_slice(part));
        self.text.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> FetchRequest<'static> {
        FetchRequest {
            headers: vec![("A".into(), "b: c".into()), ("A".into(), "".into())],
            cas: vec![Cow::Borrowed(b"-----BEGIN\nend 0\n\n"), Cow::Borrowed(b"\xff")],
            http_proxy: Some("http://p:3128".into()),
            https_proxy: Some("https://user:secret@p".into()),
            no_proxy: vec!["10.0.0.0/8".into(), ".example.com".into()],
            response_headers_seconds: 0,
            total_seconds: 7,
            limit: 1 << 40,
            platform: "aws".into(),
            endpoints: vec![("s3".into(), "http://127.0.0.1:1?a=b".into())],
            ..FetchRequest::new("https://h/\u{e4}\n")
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for request in [full(), FetchRequest::new("x")] {
            assert_eq!(FetchRequest::read(&request.write().unwrap()), Ok(request));
        }
        let text = b"url 1\nx\nend 0\n\n";
        assert_eq!(FetchRequest::read(text), Ok(FetchRequest::new("x")));
        assert_eq!(FetchRequest::read(text).unwrap().response_headers_seconds, 10);
    }

    #[test]
    fn a_request_that_is_not_exact_is_refused() {
        let whole = full().write().unwrap();
        for end in 0..whole.len() {
            let error = FetchRequest::read(&whole[..end]).unwrap_err();
            assert_eq!(error.reason(), Reason::Usage, "cut at {end}");
            assert!(!error.text().contains("secret"), "{error}");
        }
        for text in [
            "",
            "end 0\n\n",
            "url 0\n\nend 0\n\n",
            "url 1\nx\n",
            "url 1\nx\nend 0\n\n\n",
            "url 1\nx\nend 1\nx\n",
            "url 1\nx\nurl 1\nx\nend 0\n\n",
            "url 1\nx\nlimit 1\n1\nlimit 1\n1\nend 0\n\n",
            "url +1\nx\nend 0\n\n",
            "url  1\nx\nend 0\n\n",
            "url 2\nx\nend 0\n\n",
            "url 18446744073709551616\nx\nend 0\n\n",
            "url 1\nx\nlimit 2\n+1\nend 0\n\n",
            "url 1\nx\nlimit 0\n\nend 0\n\n",
            "url 1\nx\nheader 3\na:b\nend 0\n\n",
            "url 1\nx\nendpoint 1\na\nend 0\n\n",
            "url 1\nx\nmethod 3\nPUT\nend 0\n\n",
            "URL 1\nx\nend 0\n\n",
        ] {
            let read = FetchRequest::read(text.as_bytes());
            assert_eq!(read.unwrap_err().reason(), Reason::Usage, "{text:?}");
        }
        assert!(FetchRequest::read(b"url 1\n\xff\nend 0\n\n").is_err());
    }

    #[test]
    fn fields_are_bounded_on_both_sides() {
        let long = "x".repeat(MOST_FIELD);
        let request = FetchRequest::new(long.as_str());
        assert_eq!(FetchRequest::read(&request.write().unwrap()).unwrap(), request);
        let longer = FetchRequest::new("x".repeat(MOST_FIELD + 1));
        assert_eq!(longer.write().unwrap_err().reason(), Reason::Resource);
        let text = format!("url {}\n{}\nend 0\n\n", MOST_FIELD + 1, longer.url);
        assert!(FetchRequest::read(text.as_bytes()).is_err());

        let mut request = FetchRequest::new("x");
        let ca = vec![b'x'; MOST_CA];
        request.cas = vec![ca.into(); 31];
        assert!(FetchRequest::read(&request.write().unwrap()).is_ok());
        request.cas = vec![vec![b'x'; MOST_CA].into(); 33];
        assert!(request.write().is_err());
        request.cas = vec![vec![b'x'; MOST_CA + 1].into()];
        assert!(request.write().is_err());
        request.cas = vec![];
        request.no_proxy = vec!["".into(); MOST_FIELDS];
        assert!(request.write().is_err());
    }
}
