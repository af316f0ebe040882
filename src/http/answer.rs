//! Reads an HTTP/1.x answer: status, head, and a body that ends by its length, by its last chunk, or with the
//! connection.

use super::failure::{CUT, Failure};
use super::{Broken, HEAD, HEADERS, Input, MessageReader};
use crate::memory;

/// The most bytes of a line with a chunk size.
const CHUNK_LINE: usize = 256;
/// The most interim answers (1xx) before the final one. Go's HTTP client allows 5.
const INTERIM: usize = 8;

type Result<T> = std::result::Result<T, Failure>;

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Closed => Self::passing(CUT),
            Broken::TooLong => Self::bad("the host's answer has a line that is too long"),
            Broken::Io(error) => Self::io("read the answer", &error),
        }
    }
}

/// Reads one answer.
pub(super) struct AnswerReader<'s>(MessageReader<'s>);

/// How the end of the body is found.
enum Length {
    Bytes(u64),
    Chunked,
    UntilClose,
}

impl<'s> AnswerReader<'s> {
    pub(super) fn new(stream: &'s dyn Input) -> Self {
        Self(MessageReader::new(stream))
    }

    /// Returns whether bytes after the answer are buffered already.
    pub(super) fn has_more(&self) -> bool {
        self.0.has_bytes()
    }

    /// Reads head and body. A connection that ends too early is a passing failure.
    pub(super) fn body(&mut self, limit: u64) -> Result<Vec<u8>> {
        let length = self.head()?;
        let mut body = Vec::new();
        match length {
            Length::Bytes(length) => {
                if length > limit {
                    return Err(Failure::Final(memory::too_large(limit)));
                }
                let exact = usize::try_from(length).unwrap_or(0);
                if body.try_reserve_exact(exact).is_err() {
                    return Err(Failure::Final(memory::too_large(limit)));
                }
                self.take(length, &mut body)?;
            }
            Length::Chunked => self.chunks(limit, &mut body)?,
            Length::UntilClose => self.until_close(limit, &mut body)?,
        }
        Ok(body)
    }

    /// Reads the head of the final answer. Interim answers (1xx) before it are skipped.
    fn head(&mut self) -> Result<Length> {
        for _ in 0..=INTERIM {
            let head = self.0.head().map_err(|broken| match broken {
                Broken::TooLong => Failure::bad("the head of the answer is over 16 KiB"),
                broken => broken.into(),
            })?;
            if let Some(length) = read_head(&head)? {
                return Ok(length);
            }
        }
        Err(Failure::bad(format!("the host sent more than {INTERIM} interim answers (HTTP status 1xx)")))
    }

    /// Appends the next `count` bytes to `body`.
    fn take(&mut self, mut count: u64, body: &mut Vec<u8>) -> Result<()> {
        while count > 0 {
            let at_hand = self.0.fill()?;
            if at_hand.is_empty() {
                return Err(Failure::passing(CUT));
            }
            let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(at_hand.len());
            body.extend_from_slice(at_hand.get(..wanted).unwrap_or_default());
            self.0.consume(wanted);
            count = count.saturating_sub(wanted as u64);
        }
        Ok(())
    }

    fn until_close(&mut self, limit: u64, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let at_hand = self.0.fill()?;
            let count = at_hand.len();
            if count == 0 {
                // Without a length, an empty config and a host that died after the head look the same.
                return if body.is_empty() { Err(Failure::passing(CUT)) } else { Ok(()) };
            }
            body.extend_from_slice(at_hand);
            if body.len() as u64 > limit {
                return Err(Failure::Final(memory::too_large(limit)));
            }
            self.0.consume(count);
        }
    }

    /// Reads a body in chunks (RFC 9112, section 7.1).
    fn chunks(&mut self, limit: u64, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let size = self.chunk_size()?;
            if size == 0 {
                return self.trailers();
            }
            if size.saturating_add(body.len() as u64) > limit {
                return Err(Failure::Final(memory::too_large(limit)));
            }
            self.take(size, body)?;
            if self.0.byte()? != b'\r' || self.0.byte()? != b'\n' {
                return Err(broken_chunk());
            }
        }
    }

    fn chunk_size(&mut self) -> Result<u64> {
        let line = self.0.line::<CHUNK_LINE>()?;
        parse_chunk_size(&line).ok_or_else(broken_chunk)
    }

    /// Reads the trailer section up to its empty line, and ignores the fields. A line that is not a field is refused:
    /// otherwise the body after a wrong chunk size of 0 would be lost.
    fn trailers(&mut self) -> Result<()> {
        let mut section: heapless::Vec<u8, HEAD> = heapless::Vec::new();
        loop {
            let line = self.0.line::<HEAD>()?;
            section
                .extend_from_slice(&line)
                .map_err(|()| Failure::bad("the trailers of the answer are over 16 KiB"))?;
            if line == b"\r\n" {
                break;
            }
            // Each line is checked at once, because a body that is taken for trailers may have no empty line.
            if !line.ends_with(b"\r\n") || !line.contains(&b':') {
                return Err(broken_trailers());
            }
        }
        let mut fields = [httparse::EMPTY_HEADER; HEADERS];
        match httparse::parse_headers(&section, &mut fields) {
            Ok(httparse::Status::Complete((length, _))) if length == section.len() => Ok(()),
            _ => Err(broken_trailers()),
        }
    }
}

fn broken_chunk() -> Failure {
    Failure::bad("the host's answer has a broken chunk")
}

fn broken_trailers() -> Failure {
    Failure::bad("the host's answer has something other than trailers after its last chunk")
}

/// Parses the line before a chunk (RFC 9112, section 7.1): 1 to 16 hexadecimal digits, an optional extension after
/// `;`, and CRLF. Everything else is `None`. `httparse::parse_chunk_size` is not used, because it takes a line
/// without a digit for the size 0, which ends the body.
fn parse_chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let count = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(count)?;
    let rest = rest.trim_ascii_start();
    let is_extension =
        rest.starts_with(b";") && !rest.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    if count > 16 || !(rest.is_empty() || is_extension) {
        return None;
    }
    // An empty text is not a number, so a line without a digit is refused.
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Checks the head of an answer and returns how its body ends; `None` for an interim answer.
fn read_head(head: &[u8]) -> Result<Option<Length>> {
    // httparse also accepts a bare LF as a line end, and skips empty lines before the status line.
    let has_bare_newline = head
        .iter()
        .zip(std::iter::once(&b' ').chain(head))
        .any(|(byte, before)| *byte == b'\n' && *before != b'\r');
    if has_bare_newline || !head.starts_with(b"HTTP/") {
        return Err(Failure::bad("the host's answer is not HTTP"));
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Failure::bad(format!("the head of the answer has over {HEADERS} fields")));
        }
        _ => return Err(Failure::bad("the host's answer is not HTTP")),
    }
    match response.code.unwrap_or_default() {
        200 => length(response.version == Some(1), response.headers).map(Some),
        // Status 101 would switch to another protocol, which the client never asks for.
        100 | 102..=199 => Ok(None),
        status @ 500..=599 => Err(Failure::passing(format_args!("the host answered HTTP status {status}"))),
        status => Err(Failure::bad(format!("the host answered HTTP status {status:03}"))),
    }
}

/// Returns how the body of an answer to GET with status 200 ends (RFC 9112, section 6.3). A head that tells it twice
/// is refused, because two readers could understand it differently.
fn length(is_http_1_1: bool, headers: &[httparse::Header<'_>]) -> Result<Length> {
    let mut length = None;
    for header in headers {
        let told = if header.name.eq_ignore_ascii_case("transfer-encoding") {
            // HTTP/1.0 has no transfer encodings (RFC 9112, section 6.1).
            if !is_http_1_1 || !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Failure::bad("the host's answer has an unknown transfer encoding"));
            }
            Length::Chunked
        } else if header.name.eq_ignore_ascii_case("content-length") {
            Length::Bytes(
                parse_content_length(header.value)
                    .ok_or_else(|| Failure::bad("the host's answer has a broken Content-Length"))?,
            )
        } else if header.name.eq_ignore_ascii_case("content-encoding")
            && !header.value.eq_ignore_ascii_case(b"identity")
        {
            return Err(Failure::bad("the host's answer is compressed, which was not asked for"));
        } else {
            continue;
        };
        if length.replace(told).is_some() {
            return Err(Failure::bad("the host's answer tells its length more than once"));
        }
    }
    Ok(length.unwrap_or(Length::UntilClose))
}

/// Parses the value of `Content-Length`, which must be decimal digits only. `str::parse` alone would accept `+1`.
fn parse_content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
