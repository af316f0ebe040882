//! What went wrong: a stable short reason that decides the exit code, and one sentence for people.

use std::fmt;
use std::path::Path;

use rustix::io::Errno;

/// Why a run failed. The word is stable: scripts may match it, and it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The command line is wrong.
    Usage,
    /// The host gave no config before the deadline.
    NoHost,
    /// The host answered, but not with a config: HTTP status, malformed or oversized answer.
    BadAnswer,
    /// The config is not JSON of the right shape.
    ConfigSyntax,
    /// The config's `ignition.version` is missing or not one of those known.
    ConfigVersion,
    /// The config asks for something that contradicts itself or that the language forbids.
    ConfigInvalid,
    /// The config asks for something that this program does not do.
    Unsupported,
    /// The bytes behind a URL of the config could not be had or decoded.
    Resource,
    /// The bytes behind a URL do not have the hash that the config demands.
    Verification,
    /// Something that is already in the root stands in the way of the config.
    Conflict,
    /// The root's account files do not allow what the config asks for.
    Account,
    /// Reading or writing the root failed.
    RootIo,
    /// The root has no room left.
    NoSpace,
    /// The root cannot be written to.
    ReadOnly,
    /// The user may not do this to the root.
    Denied,
    /// What an interrupted run left cannot be completed.
    Journal,
    /// Reading something of the running system failed.
    System,
}

impl Reason {
    /// The stable word, as it stands in the log and in the manual.
    pub fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NoHost => "no-host",
            Self::BadAnswer => "bad-answer",
            Self::ConfigSyntax => "config-syntax",
            Self::ConfigVersion => "config-version",
            Self::ConfigInvalid => "config-invalid",
            Self::Unsupported => "unsupported",
            Self::Resource => "resource",
            Self::Verification => "verification",
            Self::Conflict => "conflict",
            Self::Account => "account",
            Self::RootIo => "root-io",
            Self::NoSpace => "no-space",
            Self::ReadOnly => "read-only",
            Self::Denied => "denied",
            Self::Journal => "journal",
            Self::System => "system",
        }
    }

    /// The exit code, listed in `glowplug(8)`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::System => 3,
            Self::NoHost => 10,
            Self::BadAnswer => 11,
            Self::ConfigSyntax => 20,
            Self::ConfigVersion => 21,
            Self::ConfigInvalid => 22,
            Self::Unsupported => 23,
            Self::Resource => 30,
            Self::Verification => 31,
            Self::Conflict => 40,
            Self::Account => 41,
            Self::RootIo => 50,
            Self::NoSpace => 51,
            Self::ReadOnly => 52,
            Self::Denied => 53,
            Self::Journal => 54,
        }
    }

    /// What the person in front of the console can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Usage => "Correct the call: see glowplug --help.",
            Self::NoHost => {
                "Check that the host serves the config on vsock port 1024 (podman does so only while \
                 `podman machine start` runs and until the first successful stop), then start again."
            }
            Self::BadAnswer => "Check what serves the config on the host, then start again.",
            Self::ConfigSyntax | Self::ConfigVersion | Self::ConfigInvalid => {
                "Correct the config on the host, then start again: nothing was written."
            }
            Self::Unsupported => {
                "Take what is named here out of the config or off the kernel command line, then start again: nothing was \
                 written."
            }
            Self::Resource | Self::Verification => {
                "Correct the source or its hash in the config, then start again: nothing was written."
            }
            Self::Conflict => {
                "Set \"overwrite\" for this path in the config, or remove it from the image, then start \
                 again: nothing was written."
            }
            Self::Account => {
                "Correct the user or group in the config, or the image's account files, then start again: \
                 nothing was written."
            }
            Self::RootIo => "Check the root file system (fsck) and the disk, then start again.",
            Self::NoSpace => "Make the disk larger or the config smaller, then start again.",
            Self::ReadOnly => {
                "Make the root file system, or the file that is named, writable, then start again."
            }
            Self::Denied => "Run it as root.",
            Self::Journal => {
                "The root may be provisioned in part. Give it the disks that it had, or make the machine anew; \"glowplug \
                 clean\" makes it forget the interrupted run."
            }
            Self::System => "Check the initramfs: this part of the running system is missing or broken.",
        }
    }
}

/// A failure: its [`Reason`] and one sentence that names the act, the path or JSON key, and errno in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

/// Boxed: results are handed on everywhere, errors once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    reason: Reason,
    text: String,
}

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure told in `text`: lower case, no final stop.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self(Box::new(Parts { reason, text: text.into() }))
    }

    /// A failed call on a path of the root: `act` is what was being done ("open", "make directory").
    /// A full or read-only file system and a lack of permission get their own reasons.
    pub fn root(act: &str, path: &Path, errno: Errno) -> Self {
        let reason = match errno {
            Errno::NOSPC | Errno::DQUOT => Reason::NoSpace,
            Errno::ROFS => Reason::ReadOnly,
            Errno::ACCESS | Errno::PERM => Reason::Denied,
            _ => Reason::RootIo,
        };
        Self::new(reason, format!("{act} {} in the root: {}", path.display(), errno_words(errno)))
    }

    /// The stable reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The sentence without the reason's word.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The same failure with the place in the config (`$.storage.files.0`) put before it.
    #[must_use]
    pub fn at(mut self, place: &dyn fmt::Display) -> Self {
        self.0.text = format!("{place}: {}", self.0.text);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for Error {}

/// The errno behind an I/O error; `EIO` for one that has none.
pub fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// errno as words, without the number that the standard library appends.
pub fn errno_words(errno: Errno) -> String {
    io_words(&errno.into())
}

/// An I/O error as words, without the number that the standard library appends.
pub fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    // The number stands in parentheses at the end.
    match text.rfind('(').filter(|_| error.raw_os_error().is_some()) {
        Some(end) => text.get(..end).unwrap_or(&text).trim_end().to_ascii_lowercase(),
        None => text,
    }
}
