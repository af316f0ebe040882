//! An HTTP/1.x answer: status, head, and a body by length, in chunks, or up to the end of the connection.

use super::{CUT, Failure};
use crate::http::{Broken, HEAD, HEADERS, Input, Reader};
use crate::platform::memory;

/// The longest line that tells a chunk's size.
const CHUNK_LINE: usize = 256;

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

/// An answer that is being read.
pub(super) struct Answer<'s>(Reader<'s>);

/// How the end of the body is told.
enum Length {
    Bytes(u64),
    Chunked,
    UntilClose,
}

impl<'s> Answer<'s> {
    pub(super) fn new(stream: &'s dyn Input) -> Self {
        Self(Reader::new(stream))
    }

    /// Reads head and body. A connection that ends too early is worth another try.
    pub(super) fn body(mut self, limit: u64) -> Result<Vec<u8>> {
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

    fn head(&mut self) -> Result<Length> {
        let head = self.0.head().map_err(|broken| match broken {
            Broken::TooLong => Failure::bad("the head of the answer is over 16 KiB"),
            broken => broken.into(),
        })?;
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(Failure::bad("the host's answer is not HTTP")),
        }
        match response.code {
            Some(200) => {}
            Some(status @ 500..) => {
                return Err(Failure::passing(format_args!("the host answered HTTP status {status}")));
            }
            status => {
                let status = status.unwrap_or_default();
                return Err(Failure::bad(format!("the host answered HTTP status {status}")));
            }
        }
        length(response.headers)
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
                // Without a length an empty config and a host that died after its head look the same.
                return if body.is_empty() { Err(Failure::passing(CUT)) } else { Ok(()) };
            }
            body.extend_from_slice(at_hand);
            if body.len() as u64 > limit {
                return Err(Failure::Final(memory::too_large(limit)));
            }
            self.0.consume(count);
        }
    }

    /// RFC 9112, section 7.1.
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
        match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => Ok(size),
            _ => Err(broken_chunk()),
        }
    }

    /// Passes over the trailers up to the empty line. The body is whole already: a host that closes here
    /// takes nothing away.
    fn trailers(&mut self) -> Result<()> {
        let mut left = HEAD;
        loop {
            let line = match self.0.line::<HEAD>() {
                Err(Broken::Closed | Broken::Io(_)) => return Ok(()),
                line => line?,
            };
            if line == b"\r\n" || line == b"\n" {
                return Ok(());
            }
            left = left
                .checked_sub(line.len())
                .ok_or_else(|| Failure::bad("the trailers of the answer are over 16 KiB"))?;
        }
    }
}

fn broken_chunk() -> Failure {
    Failure::bad("the host's answer has a broken chunk")
}

/// RFC 9112, section 6.3, for an answer to GET with status 200.
fn length(headers: &[httparse::Header<'_>]) -> Result<Length> {
    let mut length = None;
    let mut chunked = false;
    for header in headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(Failure::bad("the host's answer has an unknown transfer encoding"));
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let told: Option<u64> = value.parse().ok().filter(|_| digits);
            if told.is_none() || length.is_some_and(|other| Some(other) != told) {
                return Err(Failure::bad("the host's answer has a broken Content-Length"));
            }
            length = told;
        } else if header.name.eq_ignore_ascii_case("content-encoding")
            && !value.eq_ignore_ascii_case("identity")
        {
            return Err(Failure::bad("the host's answer is compressed, which was not asked for"));
        }
    }
    Ok(match (chunked, length) {
        (true, _) => Length::Chunked,
        (false, Some(length)) => Length::Bytes(length),
        (false, None) => Length::UntilClose,
    })
}
