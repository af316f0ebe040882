//! The programs that work on disks: mkfs, blkid, cp and others. They are those of the root, not of the initramfs.
//!
//! The root needs them in any case, to check and assemble its file systems at later boots. So the initramfs stays as small as
//! without them, and they fit the root's release. Each runs in a mount namespace of its own, with the root as its root
//! directory: see `in_root`. A stage that runs before the root is mounted takes the initramfs itself as the root.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr, write};

use super::{in_root, step};
use crate::change::View as _;
use crate::child::{Child, Ended};
use crate::deadline::Deadline;
use crate::error::{Error, Reason, Result};
use crate::root::Root;

/// How long one program may take. mkfs may have to discard a large, slow disk.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The longest wait for the output of a program before the deadline is looked at.
const TICK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The most bytes of a program's output that are kept.
const MOST_OUTPUT: usize = 64 << 10;
/// The directories of programs in the root.
const DIRECTORIES: [&str; 2] = ["/usr/sbin", "/usr/bin"];
/// What a program finds in its environment. There is no udev that could answer libdevmapper or mdadm at the place in the boot
/// where this runs under initramfs-tools.
const ENVIRONMENT: [&CStr; 4] =
    [c"PATH=/usr/sbin:/usr/bin:/sbin:/bin", c"HOME=/", c"MDADM_NO_UDEV=1", in_root::NO_UDEV];

/// The programs of a root.
#[derive(Debug, Clone, Copy)]
pub struct Tools<'r> {
    root: &'r Root,
    stage: Option<StageRules>,
}

/// Calls its third argument between the reference's log lines for an operation. The first argument is the prefix of the lines,
/// and the second says what is done.
pub type LogOperation = fn(&str, &str, &mut dyn FnMut() -> Result<()>) -> Result<()>;

/// What differs in a stage of the reference. Stages leave arrays, volumes and mounts up, and put nothing into new file systems.
#[derive(Debug, Clone, Copy)]
pub struct StageRules {
    /// Whether udev runs, which must hear of volumes that stay open.
    pub has_udev: bool,
    /// Logs an operation.
    pub log_operation: LogOperation,
}

/// A file system that a program gets at [`in_root::PLACE`], in its own namespace.
#[derive(Debug, Clone, Copy)]
pub struct Extra<'m> {
    /// The path of the device.
    pub device: &'m str,
    /// The kernel's name of its type.
    pub kind: &'m str,
}

/// How a program ended.
#[derive(Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub text: String,
    /// The last line that it wrote to standard error.
    message: String,
}

impl<'r> Tools<'r> {
    /// Returns the programs of `root`.
    pub fn of(root: &'r Root) -> Self {
        Self { root, stage: None }
    }

    /// Returns the programs of `root` for a stage.
    pub fn of_stage(root: &'r Root, rules: StageRules) -> Self {
        Self { root, stage: Some(rules) }
    }

    /// Returns the root whose programs these are.
    pub fn root(self) -> &'r Root {
        self.root
    }

    /// Returns whether a stage runs the programs.
    pub fn is_stage(self) -> bool {
        self.stage.is_some()
    }

    /// Calls `act`, in a stage with the reference's log lines around it: `prefix` and `what` are their words.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn operation(self, prefix: &str, what: &str, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        match self.stage {
            Some(rules) => (rules.log_operation)(prefix, what, act),
            None => act(),
        }
    }

    /// Refuses a root without the program `name`, which is in Debian's package `package`.
    ///
    /// # Errors
    /// [`Reason::Unsupported`], and those of the root.
    pub fn require(self, name: &str, package: &str) -> Result<()> {
        for directory in DIRECTORIES {
            if self.root.stat(&Path::new(directory).join(name))?.is_some() {
                return Ok(());
            }
        }
        let is_initramfs = self.is_stage() && self.root.path() == Path::new("/");
        let (place, act) = if is_initramfs {
            ("initramfs", format!("Put this program of the package {package} into the initramfs"))
        } else {
            ("root", format!("Install the package {package} in the image"))
        };
        Err(Error::new(Reason::Unsupported, format!("the {place} has no program {name}"))
            .advise(format!("{act}, then start again: nothing was written.")))
    }

    /// Refuses a root that would not open its encrypted volumes at later boots.
    ///
    /// # Errors
    /// [`Reason::Unsupported`], and those of the root.
    pub fn require_unlocking(self) -> Result<()> {
        /// What reads `/etc/crypttab` at each boot.
        const GENERATOR: &str = "/usr/lib/systemd/system-generators/systemd-cryptsetup-generator";
        if self.root.stat(Path::new(GENERATOR))?.is_some() {
            return Ok(());
        }
        let what =
            format!("the root has no {GENERATOR}, so nothing would open encrypted volumes at later boots");
        Err(Error::new(Reason::Unsupported, what).advise(
            "Install the package systemd-cryptsetup in the image, then start again: nothing was written.",
        ))
    }

    /// Refuses a root that would not let clevis open its encrypted volumes at later boots.
    ///
    /// # Errors
    /// [`Reason::Unsupported`], and those of the root.
    pub fn require_clevis_unlocking(self) -> Result<()> {
        /// What waits for systemd to ask for the key of a volume.
        const UNIT: &str = "/usr/lib/systemd/system/clevis-luks-askpass.path";
        if self.root.stat(Path::new(UNIT))?.is_some() {
            return Ok(());
        }
        let what = format!("the root has no {UNIT}, so clevis would open no volumes at later boots");
        Err(Error::new(Reason::Unsupported, what).advise(
            "Install the package clevis-systemd in the image, then start again: nothing was written.",
        ))
    }

    /// Runs a program that changes nothing on disks to its end, whatever its exit code is.
    ///
    /// # Errors
    /// [`Reason::System`] if it cannot be started; [`Reason::Disk`] if a signal ended it, or if it took too long.
    pub fn run(self, arguments: &[&str]) -> Result<Output> {
        self.run_with(None, &[], arguments)
    }

    /// Runs a program that must succeed.
    ///
    /// # Errors
    /// As [`Tools::run`], and [`Reason::Disk`] for another exit code than 0.
    pub fn succeed(self, arguments: &[&str]) -> Result<()> {
        self.succeed_with(None, arguments)
    }

    /// Runs a program that must succeed, and that has the file system `extra` at [`in_root::PLACE`].
    ///
    /// # Errors
    /// As [`Tools::succeed`].
    pub fn succeed_with(self, extra: Option<Extra<'_>>, arguments: &[&str]) -> Result<()> {
        step();
        self.run_with(extra, &[], arguments)?.check(arguments)
    }

    /// Runs a program that must succeed, and that reads `input`, a secret, from its standard input.
    ///
    /// # Errors
    /// As [`Tools::succeed`].
    pub fn succeed_on(self, input: &[u8], arguments: &[&str]) -> Result<()> {
        step();
        self.run_with(None, input, arguments)?.check(arguments)
    }

    /// Runs a program that changes nothing, and that reads `input`, a secret, from its standard input.
    ///
    /// # Errors
    /// As [`Tools::run`].
    pub fn run_on(self, input: &[u8], arguments: &[&str]) -> Result<Output> {
        self.run_with(None, input, arguments)
    }

    /// Runs a script of the root's shell that must succeed, and that reads `input`, a secret, from its standard input. Errors
    /// say that the program `name` failed, which the script runs, and leave out what may be a part of the config.
    ///
    /// # Errors
    /// As [`Tools::succeed`].
    pub fn run_script(self, name: &str, script: &str, input: &[u8], arguments: &[&str]) -> Result<()> {
        let command = [&["sh", "-c", script, name], arguments].concat();
        let mut output = self.run_with(None, input, &command)?;
        let words = output.message.split(' ').map(|word| if word.contains("://") { "[...]" } else { word });
        output.message = words.collect::<Vec<_>>().join(" ");
        output.check(&[name])
    }

    fn run_with(self, extra: Option<Extra<'_>>, input: &[u8], arguments: &[&str]) -> Result<Output> {
        let name = arguments.first().copied().unwrap_or_default();
        log::debug!("run {name} in the root");
        let (device, kind) = extra.map_or(("", ""), |extra| (extra.device, extra.kind));
        let words = [in_root::PROGRAM.as_bytes(), self.root.path().as_os_str().as_bytes()];
        let words = words.into_iter().chain([device, kind].map(str::as_bytes));
        let words = words.chain(arguments.iter().map(|argument| argument.as_bytes()));
        let run = || {
            let words: Vec<CString> = words.map(CString::new).collect::<std::result::Result<_, _>>()?;
            let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
            let has_udev = self.stage.is_some_and(|rules| rules.has_udev);
            // The last variable is the one that keeps programs from udev.
            let environment = if has_udev { ENVIRONMENT.get(..3) } else { None };
            run_to_end(&words, environment.unwrap_or(&ENVIRONMENT), input)
        };
        let (ended, text, message) =
            run().map_err(|error| Error::system(&format!("run {name} in the root"), error))?;
        match ended {
            Ended::Code(code) => Ok(Output { code, text, message }),
            Ended::Killed => {
                let what = format!("{name} was ended by a signal, or took more than an hour");
                Err(Error::new(Reason::Disk, what))
            }
        }
    }
}

impl Output {
    /// Refuses another exit code than 0.
    fn check(&self, arguments: &[&str]) -> Result<()> {
        if self.code == 0 { Ok(()) } else { Err(self.error(arguments)) }
    }

    /// Returns the error for this exit code. `arguments` are those of the program.
    pub fn error(&self, arguments: &[&str]) -> Error {
        let name = arguments.first().copied().unwrap_or_default();
        let what = format!("{name} failed with exit code {}: {}", self.code, self.message);
        Error::new(Reason::Disk, what)
    }
}

/// Runs this program again, under the name that `arguments` begin with, and writes `input` to it. Returns how it ended, its
/// output, and the last line of its error output.
fn run_to_end(
    arguments: &[&CStr],
    environment: &[&CStr],
    input: &[u8],
) -> std::io::Result<(Ended, String, String)> {
    let deadline = Deadline::after(PATIENCE);
    let (mut child, pipes) = Child::start_file(c"/proc/self/exe", arguments, environment)?;
    let mut input = Some((pipes.input, input));
    let mut texts = [Vec::new(), Vec::new()];
    let mut is_open = [true; 2];
    let mut buffer = [0; 4096];
    while is_open.contains(&true) && !deadline.remaining().is_zero() {
        input = input.map_or(Ok(None), |(end, rest)| feed(end, rest))?;
        let ends = [&pipes.output, &pipes.errors];
        let mut fds: Vec<PollFd> = (ends.iter().zip(is_open).filter(|(_, is_open)| *is_open))
            .map(|(end, _)| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN))
            .collect();
        fds.extend(input.iter().map(|(end, _)| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::OUT)));
        retry_on_intr(|| poll(&mut fds, Some(&TICK)))?;
        for ((end, text), is_open) in ends.into_iter().zip(&mut texts).zip(&mut is_open) {
            match read(end, &mut buffer) {
                Ok(0) => *is_open = false,
                Ok(count) => {
                    text.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    // The end is what matters in a long output.
                    let excess = text.len().saturating_sub(MOST_OUTPUT);
                    text.drain(..excess);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    let ended = child.end_within(deadline.remaining())?;
    let [output, errors] = texts.map(|text| String::from_utf8_lossy(&text).into_owned());
    let message = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    Ok((ended, output, message))
}

/// Writes as much of `rest` as the pipe takes. Returns what is left; nothing, so that the pipe closes, at the end, or if the
/// program does not want any more.
fn feed(end: OwnedFd, rest: &[u8]) -> std::result::Result<Option<(OwnedFd, &[u8])>, Errno> {
    if rest.is_empty() {
        return Ok(None);
    }
    match write(&end, rest) {
        Ok(count) => Ok(rest.get(count..).filter(|rest| !rest.is_empty()).map(|rest| (end, rest))),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Some((end, rest))),
        Err(Errno::PIPE) => Ok(None),
        Err(errno) => Err(errno),
    }
}
