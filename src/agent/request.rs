//! Parses an HTTP/1.1 request. Only `GET` without a body is accepted; everything else is refused with a reason.

use rustix::io::Errno;
use serde::Serialize;

use super::SCHEMA;
use crate::error::errno_words;
use crate::http::{Broken, HEADERS, Input, MessageReader};

/// Why a request is refused: an HTTP status and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct HttpRefusal {
    /// The HTTP status (RFC 9110, section 15).
    pub status: u16,
    /// What is wrong.
    pub what: String,
}

/// The body that goes with a status other than 200: `docs/schema/error.json`.
#[derive(Serialize)]
pub struct Told<'a> {
    version: u32,
    error: &'a str,
}

impl HttpRefusal {
    /// Returns the refusal of a malformed request (400).
    pub fn bad(what: impl Into<String>) -> Self {
        Self { status: 400, what: what.into() }
    }

    /// Returns the refusal for a failure of this machine (500).
    pub fn broken(act: &str, errno: Errno) -> Self {
        Self { status: 500, what: format!("{act}: {}", errno_words(errno)) }
    }

    /// Returns the body to send.
    pub fn told(&self) -> Told<'_> {
        Told { version: SCHEMA, error: &self.what }
    }
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct HostRequest {
    /// The path, as it stands in the request.
    pub path: String,
    /// The text after the question mark; empty if there is none.
    pub query: String,
    /// Whether the client accepts plain text and did not ask for JSON.
    pub wants_text: bool,
}

impl HostRequest {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// The refusal of a request that is malformed, too long, or not a plain `GET`.
    pub(crate) fn read(stream: &dyn Input) -> Result<Self, HttpRefusal> {
        let head = MessageReader::new(stream).head().map_err(|broken| match broken {
            Broken::Closed => HttpRefusal::bad("the request ended before its empty line"),
            Broken::TooLong => {
                HttpRefusal { status: 431, what: "the head of the request is over 16 KiB".into() }
            }
            Broken::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                HttpRefusal { status: 408, what: "the request took too long".into() }
            }
            Broken::Io(error) => HttpRefusal::broken("read the request", crate::error::errno_of(&error)),
        })?;
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err(HttpRefusal { status: 431, what: format!("over {HEADERS} header fields") });
            }
            _ => return Err(HttpRefusal::bad("this is no HTTP request")),
        }
        let header = |name: &str| {
            request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };
        // HTTP/1.1 requires a Host field (RFC 9112, section 3.2).
        if request.version == Some(1) && header("host").is_none() {
            return Err(HttpRefusal::bad("HTTP/1.1 wants a Host"));
        }
        if request.method != Some("GET") {
            return Err(HttpRefusal { status: 405, what: "everything here is read-only: GET".into() });
        }
        let has_body = header("transfer-encoding").is_some()
            || header("content-length").is_some_and(|length| length != b"0");
        if has_body {
            return Err(HttpRefusal { status: 413, what: "a GET here has no body".into() });
        }
        let accept = String::from_utf8_lossy(header("accept").unwrap_or_default());
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self {
            path: path.to_owned(),
            query: query.to_owned(),
            wants_text: accept.contains("text/plain") && !accept.contains("json"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{self, Read};

    use super::*;

    struct Bytes<'b>(RefCell<&'b [u8]>);

    impl Input for Bytes<'_> {
        fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.borrow_mut().read(buffer)
        }
    }

    fn read(text: &str) -> Result<HostRequest, HttpRefusal> {
        HostRequest::read(&Bytes(RefCell::new(text.as_bytes())))
    }

    #[test]
    fn requests_as_curl_sends_them() {
        let request =
            read("GET /journal?unit=a.service HTTP/1.1\r\nHost: vm\r\nAccept: */*\r\n\r\n").unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/journal", "unit=a.service"));
        assert!(!request.wants_text);
        assert!(read("GET / HTTP/1.1\nhost: vm\naccept: text/plain\n\n").unwrap().wants_text);
        assert!(read("GET / HTTP/1.0\r\n\r\n").is_ok());
        assert!(read("GET / HTTP/1.1\r\nHost: vm\r\nContent-Length: 0\r\n\r\n").is_ok());
    }

    #[test]
    fn what_is_no_such_request_gets_its_status() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: vm\r\n\r\n", "a".repeat(20_000));
        let many = format!("GET / HTTP/1.1\r\nHost: vm\r\n{}\r\n", "A: b\r\n".repeat(70));
        for (text, status) in [
            ("", 400),
            ("GET / HTTP/1.1\r\nHost: vm\r\n", 400),
            ("\r\n\r\n", 400),
            ("hello\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: vm\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: vm\r\n\r\n", 405),
            ("HEAD / HTTP/1.1\r\nHost: vm\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\nHost: vm\r\nContent-Length: 9\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nHost: vm\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
            (&long, 431),
            (&many, 431),
        ] {
            let refusal = read(text).unwrap_err();
            assert_eq!(refusal.status, status, "{text:.60}: {refusal:?}");
        }
    }
}
