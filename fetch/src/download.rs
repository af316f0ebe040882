//! Streams the body of an answer to standard output, and continues it when it is cut.
//!
//! The bytes that were passed on cannot be taken back. So a new try must go on at exactly the next byte:
//!
//! - If the server gave the file a strong `ETag`, or a date, only the rest is asked for (`Range`). The server sends the rest only
//!   if the file is still the same (`If-Range`).
//! - Otherwise the file is fetched from its beginning. Its first bytes are compared with those that were passed on, by a
//!   checksum, and are dropped.
//!
//! Both are bounded: see `MOST_TRIES` and `MOST_RESTARTS`.

use glowplug::deadline::Backoff;
use glowplug::error::{Error, Reason, Result};
use glowplug::http::Failure;
use glowplug::source::{ByteStream, Gunzip, StreamError};

use crate::checksum::Checksum;
use crate::context::Context;
use crate::http::{self, HttpRequest, PAUSES, Response};
use crate::output::Output;

/// How often in a row a body may be cut before it is [`PROGRESS`] bytes longer.
const MOST_TRIES: u32 = 10;
/// How many more bytes are progress.
const PROGRESS: u64 = 64 << 10;
/// How often a body may be fetched from its beginning again.
const MOST_RESTARTS: u32 = 10;
/// How much is unpacked at a time.
const UNPACKED: usize = 32 << 10;

/// Fetches what `ask` asks for, and writes it to `output`. `ask` is called anew for each try, so that it can sign the request
/// with the time of the try.
///
/// # Errors
/// Those of [`http::get`]; [`Reason::Resource`] for a status other than 200 and 204; [`Reason::BadAnswer`] for a body that is
/// over the limit, is cut again and again, or changes between two tries.
pub fn fetch(context: &Context<'_>, ask: &dyn Fn() -> HttpRequest, output: &mut Output) -> Result<()> {
    let response = http::get(context, &ask())?;
    match response.status() {
        200 | 204 => stream(context, ask, response, output),
        status => Err(bad_status(&response, status)),
    }
}

/// Writes the body of `response`, which answers the first request of `ask`, to `output`. The caller has judged its status. See
/// [`fetch`].
///
/// # Errors
/// Those of [`fetch`].
pub fn stream(
    context: &Context<'_>,
    ask: &dyn Fn() -> HttpRequest,
    response: Response,
    output: &mut Output,
) -> Result<()> {
    let mut body = Body::new(context, ask, response);
    if body.is_to_be_unpacked() {
        return unpack(body, output);
    }
    let at = body.response.url.shown();
    if let Some(length) = body.length {
        output.size(length).map_err(|error| error.at(&at))?;
    }
    let mut write = |piece: &[u8]| output.write(piece).map(|()| piece.len()).map_err(|error| error.at(&at));
    while body.pass(&mut write)? {}
    Ok(())
}

/// Writes the unpacked bytes of `body`.
fn unpack(body: Body<'_>, output: &mut Output) -> Result<()> {
    let at = body.response.url.shown();
    let mut unpacked = Gunzip::new(Box::new(Packed(body)));
    let mut buffer = vec![0; UNPACKED];
    loop {
        match unpacked.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                output.write(buffer.get(..count).unwrap_or_default()).map_err(|error| error.at(&at))?;
            }
            Err(StreamError::Failed(error)) => return Err(error),
            Err(StreamError::Broken(words)) => return Err(Error::new(Reason::BadAnswer, words).at(&at)),
            // A body waits for its bytes itself.
            Err(StreamError::NotYet) => {}
        }
    }
}

/// A body whose bytes are unpacked.
struct Packed<'b>(Body<'b>);

impl ByteStream for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        let mut copied = 0;
        let passed = self.0.pass(&mut |piece| {
            copied = piece.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(piece) {
                *to = *from;
            }
            Ok(copied)
        });
        passed.map(|_| copied).map_err(StreamError::Failed)
    }
}

/// A body that is read to its end, whatever happens to its connections.
struct Body<'b> {
    context: &'b Context<'b>,
    ask: &'b dyn Fn() -> HttpRequest,
    response: Response,
    /// The length of the whole body, if it is known.
    length: Option<u64>,
    /// How many bytes were passed on, and their checksum.
    passed: u64,
    sum: Checksum,
    tries: u32,
    /// The pauses between the tries, which begin anew with `tries`.
    pauses: Backoff,
    /// How many bytes were passed on when `tries` was last zero.
    mark: u64,
    restarts: u32,
}

impl<'b> Body<'b> {
    fn new(context: &'b Context<'b>, ask: &'b dyn Fn() -> HttpRequest, response: Response) -> Self {
        Self {
            context,
            ask,
            length: response.length,
            response,
            passed: 0,
            sum: Checksum::default(),
            tries: 0,
            pauses: first_pauses(),
            mark: 0,
            restarts: 0,
        }
    }

    /// Returns whether the body is that of a redirect's target and gzip data in transit. The reference asks such a target for
    /// gzip and then unpacks it, so the hash in a config is that of the unpacked file. Without a redirect it neither asks nor
    /// unpacks.
    fn is_to_be_unpacked(&self) -> bool {
        let encoding = self.response.field("content-encoding");
        self.response.redirects > 0 && encoding.is_some_and(|value| value.eq_ignore_ascii_case(b"gzip"))
    }

    /// Passes the next bytes to `take`, which returns how many of them it took. Returns false at the end of the body.
    fn pass(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<usize>) -> Result<bool> {
        while let Err(failure) = self.fill() {
            self.resume(failure)?;
        }
        let piece = self.response.piece().map_err(crate::reply::fatal)?;
        if piece.is_empty() {
            return Ok(false);
        }
        let count = take(piece)?;
        self.sum.update(piece.get(..count).unwrap_or_default());
        self.response.consume(count);
        self.passed = self.passed.saturating_add(count as u64);
        Ok(true)
    }

    /// Makes sure that bytes of the body are at hand, or that its end is.
    fn fill(&mut self) -> std::result::Result<(), Failure> {
        if !self.response.piece()?.is_empty() {
            return Ok(());
        }
        let is_whole = match self.length {
            Some(length) => self.passed == length,
            // An empty body without a length looks like a server that died after the head.
            None => self.response.tells_its_end() || self.passed > 0,
        };
        if is_whole { Ok(()) } else { Err(Failure::passing("the body ends before it is whole")) }
    }

    /// Begins another answer at the byte that comes next.
    fn resume(&mut self, failure: Failure) -> Result<()> {
        let mut failure = failure;
        loop {
            let at = self.response.url.shown();
            let what = match failure {
                Failure::Final(error) => return Err(error.at(&at)),
                Failure::Passing(what) => what,
            };
            if self.passed.saturating_sub(self.mark) >= PROGRESS {
                (self.mark, self.tries) = (self.passed, 0);
                self.pauses = first_pauses();
            }
            self.tries = self.tries.saturating_add(1);
            let cut = format!("the body was cut after {} bytes: {what}", self.passed);
            if self.tries > MOST_TRIES {
                let text = format!("{cut}; {MOST_TRIES} more tries brought no more of it");
                return Err(Error::new(Reason::BadAnswer, text).at(&at));
            }
            if !self.pauses.wait(self.context.deadline) {
                return Err(
                    Error::new(Reason::NoHost, format!("{cut}; there is no time for another try")).at(&at)
                );
            }
            self.context.note(&format!("{at}: {cut}; going on from there"));
            match self.try_again() {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(passing) => failure = passing,
            }
        }
    }

    /// Asks again, for the rest if the server can send it. Final failures name their place already.
    fn try_again(&mut self) -> std::result::Result<(), Failure> {
        let resume = self.validator().filter(|_| self.passed > 0).map(|validator| (self.passed, validator));
        let request = HttpRequest { resume, ..(self.ask)() };
        let response = http::get(self.context, &request).map_err(Failure::Final)?;
        let at = response.url.shown();
        let changed = || {
            let error = Error::new(Reason::BadAnswer, "the file changed on the server while it was fetched");
            Failure::Final(error.at(&at).advise("Wait until the file no longer changes, then start again."))
        };
        match response.status() {
            206 if request.resume.is_some() => {
                let range = response.text_field("content-range").and_then(parse_range);
                let (first, total) = range.ok_or_else(changed)?;
                let is_same_length = self.length.is_none() || total.is_none() || self.length == total;
                if first != self.passed || !is_same_length || self.encoding_differs(&response) {
                    return Err(changed());
                }
                self.response = response;
                Ok(())
            }
            200 | 204 => {
                if self.length != response.length || self.encoding_differs(&response) {
                    return Err(changed());
                }
                self.restarts = self.restarts.saturating_add(1);
                if self.restarts > MOST_RESTARTS {
                    let what = format!(
                        "the body was cut {MOST_RESTARTS} times, and the host sends no part of it alone"
                    );
                    return Err(Failure::Final(Error::new(Reason::BadAnswer, what).at(&at)));
                }
                self.response = response;
                if self.skip()? == self.sum { Ok(()) } else { Err(changed()) }
            }
            status => Err(Failure::Final(bad_status(&response, status))),
        }
    }

    /// Reads as many bytes of the new answer as were passed on, and returns their checksum.
    fn skip(&mut self) -> std::result::Result<Checksum, Failure> {
        let mut sum = Checksum::default();
        let mut left = self.passed;
        while left > 0 {
            let piece = self.response.piece()?;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            if count == 0 {
                return Err(Failure::passing("the body ends earlier than before"));
            }
            sum.update(piece.get(..count).unwrap_or_default());
            self.response.consume(count);
            left = left.saturating_sub(count as u64);
        }
        Ok(sum)
    }

    /// Returns what tells this version of the file from others: its strong `ETag`, or else its date.
    fn validator(&self) -> Option<String> {
        let response = &self.response;
        if response.text_field("accept-ranges").is_some_and(|value| value.eq_ignore_ascii_case("none")) {
            return None;
        }
        let tag = response.text_field("etag").filter(|tag| tag.starts_with('"'));
        tag.or_else(|| response.text_field("last-modified")).map(str::to_owned)
    }

    fn encoding_differs(&self, response: &Response) -> bool {
        let encoding =
            |response: &Response| response.field("content-encoding").map(<[u8]>::to_ascii_lowercase);
        encoding(&self.response) != encoding(response)
            || (self.response.redirects > 0) != (response.redirects > 0)
    }
}

fn first_pauses() -> Backoff {
    Backoff::between(PAUSES.0, PAUSES.1)
}

/// Returns the error for a status that brings no file.
fn bad_status(response: &Response, status: u16) -> Error {
    let what = match status {
        404 => "resource not found (HTTP status 404)".to_owned(),
        407 => "the proxy asks for another user or password than the config has (HTTP status 407)".to_owned(),
        401 | 403 => format!("the host refuses to give the file (HTTP status {status})"),
        status => format!("failed to fetch resource (HTTP status {status})"),
    };
    Error::new(Reason::Resource, what).at(&response.url.shown())
}

/// Parses `Content-Range` (RFC 9110, section 14.4): the first byte, and the length of the whole if it is known.
fn parse_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    // Only the whole rest is of use.
    let is_rest = first <= last && total.is_none_or(|total| last.checked_add(1) == Some(total));
    is_rest.then_some((first, total))
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for bad in [
            "bytes 5-8/10",
            "bytes 9-5/10",
            "5-9/10",
            "bytes */10",
            "bytes +5-9/10",
            "bytes 5-/10",
            "bytes 5-18446744073709551615/10",
        ] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
