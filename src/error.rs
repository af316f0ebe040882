//! Errors: a stable short reason that decides the exit code, and one sentence for people.

mod problems;
mod reason;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use rustix::io::Errno;

pub use problems::Problems;
pub use reason::Reason;

/// The most bytes of the text of one failure. Together with the words that the log puts before it, it fits one record.
const MOST_TEXT: usize = 800;

/// A failure: its [`Reason`], and one sentence that names the act, the path or JSON key, and errno in words. It may hold
/// further failures that were found together with it: see [`Problems`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

/// The parts of an [`Error`]. They are boxed so that results stay small: almost every function returns one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    reason: Reason,
    /// Whether a disk has failed: see [`Error::device`].
    is_of_device: bool,
    text: String,
    /// What can be done about this failure. `None` means the advice of its reason.
    advice: Option<Cow<'static, str>>,
    /// The other failures that were found with this one. They hold no further ones themselves.
    further: Vec<Error>,
    /// The number of failures beyond those that are kept.
    untold: usize,
}

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns a failure with the sentence `text`, which begins in lower case and has no full stop. The middle of a text of more
    /// than 800 bytes is left out, and control characters are replaced, so that it can be shown anywhere.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        let text = showable(text.into());
        Self(Box::new(Parts {
            reason,
            is_of_device: false,
            text,
            advice: None,
            further: Vec::new(),
            untold: 0,
        }))
    }

    /// Returns this failure with `advice`: whole sentences that say what can be done about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Returns this failure with `advice`, unless it has some already.
    #[must_use]
    pub fn advise_otherwise(self, advice: impl Into<Cow<'static, str>>) -> Self {
        if self.0.advice.is_some() { self } else { self.advise(advice) }
    }

    /// Returns the advice for the first failure: its own, or else that of its reason.
    pub fn advice(&self) -> &str {
        self.0.advice.as_deref().unwrap_or_else(|| self.0.reason.advice())
    }

    /// Returns the error for a failed call on `path` of the root. `act` is a verb that the path follows: "open", "make
    /// directory". A full disk, a read-only file system and a lack of permission have reasons of their own; any other errno is
    /// [`Reason::RootIo`].
    pub fn root(act: &str, path: &Path, errno: Errno) -> Self {
        let reason = match errno {
            Errno::NOSPC | Errno::DQUOT => Reason::NoSpace,
            Errno::ROFS => Reason::ReadOnly,
            Errno::ACCESS | Errno::PERM => Reason::Denied,
            _ => Reason::RootIo,
        };
        let error =
            Self::new(reason, format!("{act} {} in the root: {}", path.display(), errno_words(errno)));
        if errno == Errno::IO {
            return error.advise("Check the disk, and the root file system with fsck(8), then start again.");
        }
        error
    }

    /// Returns the error for a failed call on the device at `path`. `act` is a verb, as "read", which the path follows.
    pub fn device(act: &str, path: &str, error: &std::io::Error) -> Self {
        let mut failure = Self::new(Reason::Disk, format!("{act} {path}: {}", io_words(error)));
        if matches!(
            errno_of(error),
            Errno::IO | Errno::NXIO | Errno::NODEV | Errno::REMOTEIO | Errno::TIMEDOUT
        ) {
            failure.0.is_of_device = true;
            return failure.advise(
                "Replace the disk, then start again. The saved config is used again: \"glowplug clean\" removes it.",
            );
        }
        failure
    }

    /// Returns whether [`Error::device`] made it because the disk does not work, whatever the config asks of it.
    pub fn is_of_device(&self) -> bool {
        self.0.is_of_device
    }

    /// Returns the error for a failed call on the running system. `act` says what was being done: "forbid core files".
    /// `error` is errno or an I/O error of the standard library.
    pub fn system(act: &str, error: impl Into<std::io::Error>) -> Self {
        Self::new(Reason::System, format!("{act}: {}", io_words(&error.into())))
    }

    /// Returns the error for a failed call on a file of the running system. `act` is a verb, as "read", which the path
    /// follows; `error` is as for [`Error::system`].
    pub fn system_at(act: &str, path: &Path, error: impl Into<std::io::Error>) -> Self {
        Self::system(&format!("{act} {}", path.display()), error)
    }

    /// Returns the reason, that of the first of several failures.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Returns the sentence, that of the first of several failures. It does not have the reason's word.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Returns this failure and those that were found with it, in order. [`Error::untold`] counts those that were not kept.
    pub fn all(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(self).chain(&self.0.further)
    }

    /// Returns the number of failures beyond those of [`Error::all`].
    pub fn untold(&self) -> usize {
        self.0.untold
    }

    /// Returns a line for each failure, and one that counts those that were not kept. `with_reasons` puts the word of the reason
    /// before each failure.
    pub fn lines(&self, with_reasons: bool) -> Vec<String> {
        let line = |error: &Error| {
            let word = if with_reasons { error.reason().word() } else { "" };
            let colon = if with_reasons { ": " } else { "" };
            [word, colon, error.text()].concat()
        };
        let more = (self.0.untold > 0).then(|| format!("and {} more", self.0.untold));
        self.all().map(line).chain(more).collect()
    }

    /// Returns the same failures, each with `place` before it: a JSON key of the config (`$.storage.files.0`) or a path.
    #[must_use]
    pub fn at(mut self, place: &dyn fmt::Display) -> Self {
        let parts = &mut *self.0;
        let further = parts.further.iter_mut().map(|error| &mut error.0.text);
        for text in std::iter::once(&mut parts.text).chain(further) {
            *text = showable(format!("{place}: {text}"));
        }
        self
    }
}

/// One failure a line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines(false).join("\n"))
    }
}

impl std::error::Error for Error {}

/// Returns `text` in a form that can be shown: short enough for one record of the log, and without control characters.
fn showable(text: String) -> String {
    let text = shorten(text, MOST_TEXT);
    if text.contains(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text }
}

/// Returns `text`, without its middle if it has more than `most` bytes. The end is kept, because it says what went wrong.
pub(crate) fn shorten(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let end = most / 3;
    // A character takes at most four bytes, so one of four neighbours is a boundary.
    let boundary = |from: usize| (from..from.saturating_add(4)).find(|at| text.is_char_boundary(*at));
    let head = boundary(most.saturating_sub(end)).and_then(|end| text.get(..end));
    let tail = boundary(text.len().saturating_sub(end)).and_then(|start| text.get(start..));
    format!("{}[...]{}", head.unwrap_or_default(), tail.unwrap_or_default())
}

/// Returns the errno of an I/O error, or `EIO` if it has none.
pub fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Returns errno in words, without the number that the standard library appends.
pub fn errno_words(errno: Errno) -> String {
    io_words(&errno.into())
}

/// Returns an I/O error in words, without the number that the standard library appends.
pub fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    // The number stands in parentheses at the end.
    match text.rfind('(').filter(|_| error.raw_os_error().is_some()) {
        Some(end) => text.get(..end).unwrap_or(&text).trim_end().to_ascii_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_of_the_failure_before_it_is_of_the_reason() {
        let error = Error::new(Reason::NoHost, "the file system CONFIG did not appear");
        assert!(!error.advice().contains("vsock"), "{}", error.advice());
        let error = error.advise("Check the label.").at(&"$.x").advise_otherwise("Check something else.");
        assert_eq!(
            (error.advice(), error.text()),
            ("Check the label.", "$.x: the file system CONFIG did not appear")
        );
        let broken = Error::root("read", Path::new("/etc"), Errno::IO);
        assert!(broken.advice().contains("fsck"), "{}", broken.advice());
        let long = Error::root("open", Path::new("/etc"), Errno::NAMETOOLONG);
        assert!(!long.advice().contains("fsck"), "{}", long.advice());
    }

    #[test]
    fn a_text_is_bounded_and_keeps_what_went_wrong() {
        let name = "\u{e9}".repeat(10_000_000);
        let error =
            Error::new(Reason::Account, format!("user {name:?}: there is no group")).at(&"$.passwd.users.0");
        assert!(error.text().len() <= MOST_TEXT + 10, "{}", error.text().len());
        assert!(error.text().starts_with("$.passwd.users.0: user \"\u{e9}"), "{error}");
        assert!(error.text().ends_with("\u{e9}\": there is no group"), "{error}");
        assert_eq!(Error::new(Reason::Conflict, "/a\nb\u{1b}[0m").text(), "/a\u{fffd}b\u{fffd}[0m");
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
