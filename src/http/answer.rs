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

/// Reads one answer: first [`AnswerReader::head`], then [`AnswerReader::begin_body`], then the pieces of the body.
#[derive(Debug)]
pub struct AnswerReader<S>(MessageReader<S>, Body);

/// What remains of the body.
#[derive(Debug)]
enum Body {
    /// This many bytes.
    Bytes(u64),
    /// This many bytes of a chunk, and then further chunks.
    Chunk(u64),
    /// Chunks, of which the first is still to come.
    Chunks,
    /// Everything up to the end of the connection.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// The status, 100 to 999.
    pub status: u16,
    is_http_1_1: bool,
    text: Vec<u8>,
}

impl Head {
    /// Returns the value of the first field `name`, in any case of letters, without the space around it.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields(|fields| {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value)
        })
    }

    /// Calls `with` with all fields. The head was parsed before, so it parses again.
    fn fields<'h, T>(&'h self, with: impl FnOnce(&[httparse::Header<'h>]) -> T) -> T {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut fields);
        let _ = response.parse(&self.text);
        with(response.headers)
    }
}

impl<S: Input> AnswerReader<S> {
    /// Returns an answer that is read from `stream`.
    pub fn new(stream: S) -> Self {
        Self(MessageReader::new(stream), Body::Bytes(0))
    }

    /// Returns an answer that is read from `stream` by way of a buffer of `size` bytes.
    pub fn buffered(stream: S, size: usize) -> Self {
        Self(MessageReader::buffered(stream, size), Body::Bytes(0))
    }

    /// Returns whether bytes after the answer are buffered already.
    pub fn has_more(&self) -> bool {
        self.0.has_bytes()
    }

    /// Returns the stream.
    pub fn stream(&self) -> &S {
        &self.0.stream
    }

    /// Returns the stream, for what follows the answer. Buffered bytes are lost: see [`AnswerReader::has_more`].
    pub fn into_stream(self) -> S {
        self.0.stream
    }

    /// Reads head and body of an answer with status 200. A connection that ends too early is a passing failure.
    pub(super) fn body(&mut self, limit: u64) -> Result<Vec<u8>> {
        let head = self.head()?;
        match head.status {
            200 => {}
            status @ 500..=599 => {
                return Err(Failure::passing(format_args!("the host answered HTTP status {status}")));
            }
            status => return Err(Failure::bad(format!("the host answered HTTP status {status:03}"))),
        }
        if head.field("content-encoding").is_some_and(|value| !value.eq_ignore_ascii_case(b"identity")) {
            return Err(Failure::bad("the host's answer is compressed, which was not asked for"));
        }
        let length = self.begin_body(&head)?.unwrap_or(0);
        let too_large = || Failure::Final(memory::too_large(limit));
        let mut body = Vec::new();
        if length > limit || body.try_reserve_exact(usize::try_from(length).unwrap_or(0)).is_err() {
            return Err(too_large());
        }
        loop {
            if self.announced()?.saturating_add(body.len() as u64) > limit {
                return Err(too_large());
            }
            let piece = self.piece()?;
            let count = piece.len();
            if count == 0 {
                break;
            }
            body.extend_from_slice(piece);
            self.consume(count);
        }
        // Without a length, an empty config and a host that died after the head look the same.
        if body.is_empty() && matches!(self.1, Body::UntilClose) {
            return Err(Failure::passing(CUT));
        }
        Ok(body)
    }

    /// Reads the head of the final answer. Interim answers (1xx) before it are skipped.
    ///
    /// # Errors
    /// A passing failure if reading fails or the connection ends; a final one for a head that is malformed or over its
    /// bounds.
    pub fn head(&mut self) -> Result<Head> {
        for _ in 0..=INTERIM {
            let text = self.0.head().map_err(|broken| match broken {
                Broken::TooLong => Failure::bad("the head of the answer is over 16 KiB"),
                broken => broken.into(),
            })?;
            let head = read_head(&text)?;
            // Status 101 would switch to another protocol, which no client here asks for.
            if !matches!(head.status, 100 | 102..=199) {
                return Ok(head);
            }
        }
        Err(Failure::bad(format!("the host sent more than {INTERIM} interim answers (HTTP status 1xx)")))
    }

    /// Begins the body of the answer whose head was read. Returns its length if the head tells it. Not for answers to
    /// HEAD and CONNECT, which have no body.
    ///
    /// # Errors
    /// A final failure for a head that tells the length wrongly or twice.
    pub fn begin_body(&mut self, head: &Head) -> Result<Option<u64>> {
        self.1 = match head.status {
            204 | 304 => Body::Bytes(0),
            _ => head.fields(|fields| length(head.is_http_1_1, fields))?,
        };
        Ok(if let Body::Bytes(length) = self.1 { Some(length) } else { None })
    }

    /// Returns whether the end of the body can be told from a connection that was cut.
    pub fn tells_its_end(&self) -> bool {
        !matches!(self.1, Body::UntilClose)
    }

    /// Returns the next bytes of the body as they lie in the buffer; none at its end. [`AnswerReader::consume`] skips them.
    ///
    /// # Errors
    /// A passing failure if reading fails or the connection ends too early; a final one for a broken chunk.
    pub fn piece(&mut self) -> Result<&[u8]> {
        let announced = self.announced()?;
        if announced == 0 {
            return Ok(&[]);
        }
        let at_hand = self.0.fill()?;
        if at_hand.is_empty() {
            return Err(Failure::passing(CUT));
        }
        let count = usize::try_from(announced).unwrap_or(usize::MAX).min(at_hand.len());
        Ok(at_hand.get(..count).unwrap_or_default())
    }

    /// Skips `count` bytes of the last piece.
    pub fn consume(&mut self, count: usize) {
        self.0.consume(count);
        if let Body::Bytes(left) | Body::Chunk(left) = &mut self.1 {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// Reads up to the next bytes of the body, and returns how many are sure to come; 0 at the end.
    fn announced(&mut self) -> Result<u64> {
        match self.1 {
            Body::Bytes(left) | Body::Chunk(left @ 1..) => return Ok(left),
            Body::UntilClose => return Ok(self.0.fill()?.len() as u64),
            Body::Chunk(0) if self.0.byte()? != b'\r' || self.0.byte()? != b'\n' => {
                return Err(broken_chunk());
            }
            Body::Chunk(0) | Body::Chunks => {}
        }
        // A body in chunks (RFC 9112, section 7.1).
        let line = self.0.line::<CHUNK_LINE>()?;
        let size = parse_chunk_size(&line).ok_or_else(broken_chunk)?;
        if size == 0 {
            self.trailers()?;
            self.1 = Body::Bytes(0);
        } else {
            self.1 = Body::Chunk(size);
        }
        Ok(size)
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

/// Checks the head of an answer and parses it.
fn read_head(head: &[u8]) -> Result<Head> {
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
    let (status, is_http_1_1) = (response.code.unwrap_or_default(), response.version == Some(1));
    Ok(Head { status, is_http_1_1, text: head.to_vec() })
}

/// Returns how the body of an answer ends (RFC 9112, section 6.3). A head that tells it twice
/// is refused, because two readers could understand it differently.
fn length(is_http_1_1: bool, headers: &[httparse::Header<'_>]) -> Result<Body> {
    let mut length = None;
    for header in headers {
        let told = if header.name.eq_ignore_ascii_case("transfer-encoding") {
            // HTTP/1.0 has no transfer encodings (RFC 9112, section 6.1).
            if !is_http_1_1 || !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Failure::bad("the host's answer has an unknown transfer encoding"));
            }
            Body::Chunks
        } else if header.name.eq_ignore_ascii_case("content-length") {
            Body::Bytes(
                parse_content_length(header.value)
                    .ok_or_else(|| Failure::bad("the host's answer has a broken Content-Length"))?,
            )
        } else {
            continue;
        };
        if length.replace(told).is_some() {
            return Err(Failure::bad("the host's answer tells its length more than once"));
        }
    }
    Ok(length.unwrap_or(Body::UntilClose))
}

/// Parses the value of `Content-Length`, which must be decimal digits only. `str::parse` alone would accept `+1`.
fn parse_content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
