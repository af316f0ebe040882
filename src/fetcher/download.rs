//! One URL that is being fetched: a running `glowplug-fetch`, and what it has said so far.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::fcntl_setpipe_size;

use super::programs::{FETCH, MARGIN};
use crate::child::{Child, Ended, Pipes};
use crate::config::origin;
use crate::deadline::Deadline;
use crate::error::{Error, Reason, Result, errno_words};
use crate::source::{StreamError, UrlRequest};

/// The most bytes of a line on standard error. The rest of a longer line is dropped.
const LINE: usize = 1 << 10;
/// The most bytes on standard error at once, and for each second that has passed. More than this is a flood.
const HEARD: usize = 64 << 10;
const HEARD_A_SECOND: usize = 4 << 10;
/// How many bytes of the body the pipe may hold.
const PIPE: usize = 256 << 10;
/// How long the program may take to end after it has closed its pipes.
const PATIENCE_END: Duration = Duration::from_secs(5);
/// The shortest time between two notes in the log.
const NOTE_PAUSE: Duration = Duration::from_secs(1);

/// A URL that is being fetched.
pub(super) struct Download {
    child: Child,
    /// What is still to be written to standard input, until that is done.
    input: Option<OwnedFd>,
    request: Vec<u8>,
    sent: usize,
    /// Standard output, until its end.
    output: Option<OwnedFd>,
    /// Standard error, until its end.
    errors: Option<OwnedFd>,
    line: Vec<u8>,
    heard: usize,
    /// Scheme and host of the URL.
    origin: String,
    place: String,
    label: String,
    /// The size of the body, if the server has told it.
    size: Option<u64>,
    received: u64,
    note: String,
    noted: Option<Instant>,
    /// What the program gave as the reason of its failure.
    error: String,
    /// Why the download was given up.
    failure: Option<Error>,
    limits: Limits,
    started: Instant,
    /// When the download is given up if no byte of the body comes until then.
    silence: Deadline,
}

/// How long a download may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// How long all of it may take; `None` if the config does not say.
    pub(super) total: Option<Duration>,
    /// How long the server may be silent if the config does not say how long all of it may take.
    pub(super) silence: Duration,
}

impl Download {
    /// Starts `program` to fetch `url`. `request` is what the program reads.
    ///
    /// # Errors
    /// [`Reason::System`] if the program cannot be started.
    pub(super) fn start(
        program: &CString,
        request: Vec<u8>,
        url: &UrlRequest<'_>,
        limits: Limits,
    ) -> Result<Self> {
        let path = c"PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        let (child, Pipes { input, output, errors }) = Child::start(&[program.as_c_str()], &[path])
            .map_err(|errno| Error::system(&format!("start {FETCH}"), errno))?;
        // With a smaller pipe the two programs only wait for each other more often.
        let _ = fcntl_setpipe_size(&output, PIPE);
        Ok(Self {
            child,
            input: Some(input),
            request,
            sent: 0,
            output: Some(output),
            errors: Some(errors),
            line: Vec::new(),
            heard: 0,
            origin: origin(url.url),
            place: url.place.to_owned(),
            label: url.label.to_owned(),
            size: None,
            received: 0,
            note: String::new(),
            noted: None,
            error: String::new(),
            failure: None,
            limits,
            started: Instant::now(),
            silence: Deadline::after(limits.silence),
        })
    }

    /// Adds the descriptors to wait for to `fds`.
    pub(super) fn add_waits<'d>(&'d self, fds: &mut Vec<PollFd<'d>>) {
        for (fd, flags) in
            [(&self.input, PollFlags::OUT), (&self.output, PollFlags::IN), (&self.errors, PollFlags::IN)]
        {
            if let Some(fd) = fd {
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), flags));
            }
        }
    }

    /// Reads bytes of the body into `buffer`. Returns 0 at the end of a body that is whole.
    ///
    /// # Errors
    /// [`StreamError::NotYet`], and [`StreamError::Failed`] with the reason of the program.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        if let Some(error) = self.failure.take() {
            return Err(StreamError::Failed(error));
        }
        if let Some(output) = &self.output {
            match read(output, buffer) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    self.received = self.received.saturating_add(count as u64);
                    self.silence = Deadline::after(self.limits.silence);
                    return Ok(count);
                }
                Err(Errno::AGAIN | Errno::INTR) => return Err(StreamError::NotYet),
                Err(errno) => {
                    return Err(StreamError::Failed(self.failed(Reason::System, &errno_words(errno))));
                }
            }
        }
        // The reason of a failure is on standard error.
        if self.errors.is_some() {
            return Err(StreamError::NotYet);
        }
        self.end().map(|()| 0).map_err(StreamError::Failed)
    }

    /// Does what can be done without waiting: writes the request, and reads standard error. Gives the download up if its
    /// time is over.
    pub(super) fn attend(&mut self) {
        if let Err(error) = self.send().and_then(|()| self.hear()).and_then(|()| self.check_time()) {
            self.child.kill();
            (self.input, self.output, self.errors) = (None, None, None);
            self.failure = Some(error);
        }
    }

    fn send(&mut self) -> Result<()> {
        let Some(input) = &self.input else { return Ok(()) };
        match write(input, self.request.get(self.sent..).unwrap_or_default()) {
            Ok(count) => self.sent = self.sent.saturating_add(count),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The program has ended. Its exit code says why.
            Err(Errno::PIPE) => self.sent = self.request.len(),
            Err(errno) => return Err(self.failed(Reason::System, &errno_words(errno))),
        }
        if self.sent >= self.request.len() {
            (self.input, self.request) = (None, Vec::new());
            // The time of the fetch begins. Other files may have been staged since the program was started.
            self.started = Instant::now();
            self.silence = Deadline::after(self.limits.silence);
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<()> {
        let Some(errors) = &self.errors else { return Ok(()) };
        let mut buffer = [0; 4 << 10];
        let count = match read(errors, &mut buffer) {
            Ok(0) => {
                self.errors = None;
                self.hear_line();
                return Ok(());
            }
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(self.failed(Reason::System, &errno_words(errno))),
        };
        self.heard = self.heard.saturating_add(count);
        let seconds = usize::try_from(self.started.elapsed().as_secs()).unwrap_or(usize::MAX);
        if self.heard > HEARD.saturating_add(HEARD_A_SECOND.saturating_mul(seconds)) {
            return Err(self.failed(Reason::System, &format!("{FETCH} floods its standard error")));
        }
        for byte in buffer.get(..count).unwrap_or_default() {
            if *byte == b'\n' {
                self.hear_line();
            } else if self.line.len() < LINE {
                self.line.push(*byte);
            }
        }
        Ok(())
    }

    /// Takes one line of standard error. A line of another form is none of the program's own, and is dropped.
    fn hear_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        match line.split_once(' ') {
            Some(("size", size)) => self.size = size.parse().ok(),
            Some(("error", text)) => text.clone_into(&mut self.error),
            Some(("note", text)) => {
                text.clone_into(&mut self.note);
                if self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_PAUSE) {
                    self.noted = Some(Instant::now());
                    log::info!("{}: {text}", self.label);
                }
            }
            _ => {}
        }
    }

    /// Returns whether bytes of the body wait to be read. They may have come while another file was staged.
    fn has_bytes(&self) -> bool {
        self.output.as_ref().is_some_and(|output| {
            let mut fds = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        })
    }

    fn check_time(&self) -> Result<()> {
        let what = match self.limits.total {
            Some(total) if self.started.elapsed() > total.saturating_add(MARGIN) => {
                format!("not fetched within {} s", total.as_secs())
            }
            None if self.silence.remaining().is_zero() && !self.has_bytes() => {
                format!("nothing has come for {} s", self.limits.silence.as_secs())
            }
            _ => return Ok(()),
        };
        let last =
            if self.note.is_empty() { String::new() } else { format!("; the last try: {}", self.note) };
        Err(self.failed(Reason::NoHost, &format!("{what}{last}")))
    }

    /// Waits for the program, which has closed its pipes.
    fn end(&mut self) -> Result<()> {
        let ended = self
            .child
            .end_within(PATIENCE_END)
            .map_err(|errno| self.failed(Reason::System, &errno_words(errno)))?;
        let Ended::Code(code) = ended else {
            return Err(self.failed(Reason::System, &format!("{FETCH} was killed")));
        };
        if code == 0 {
            return Ok(());
        }
        if self.error.is_empty() {
            let what = format!("{FETCH} ended with {code} and gave no reason");
            return Err(self.failed(Reason::System, &what));
        }
        // A usage error is none of the person who called this program.
        let is_told = |reason: &&Reason| i32::from(reason.exit_code()) == code && **reason != Reason::Usage;
        let reason = Reason::ALL.iter().find(is_told).copied().unwrap_or(Reason::System);
        Err(self.failed(reason, &self.error))
    }

    /// Returns an error that names scheme, host and place of the URL, once each.
    fn failed(&self, reason: Reason, what: &str) -> Error {
        let origin = if what.contains(&self.origin) { String::new() } else { format!("{}: ", self.origin) };
        Error::new(reason, format!("fetch {origin}{what}, at {}", self.place))
    }

    /// Returns a line about how far a download is that has lasted for longer than `patience`.
    pub(super) fn progress(&self, patience: Duration) -> Option<String> {
        let elapsed = self.started.elapsed();
        if elapsed < patience || self.output.is_none() {
            return None;
        }
        if self.received == 0 {
            let note = if self.note.is_empty() { &self.origin } else { &self.note };
            return Some(format!("{}: waiting for {note}", self.label));
        }
        let rate = (self.received / 1000).checked_div(elapsed.as_secs()).unwrap_or_default();
        let so_far = match self.size {
            Some(size) => {
                let percent = self.received.saturating_mul(100).checked_div(size).unwrap_or_default();
                format!("{percent} % of {} MB", size / 1_000_000)
            }
            None => format!("{} MB", self.received / 1_000_000),
        };
        Some(format!("{}: {so_far}, {rate} kB/s", self.label))
    }
}
