//! The programs of the package `glowplug-network`: where they lie, and bringing the network up and down.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, CWD, access, readlinkat};
use rustix::io::{Errno, read, retry_on_intr};

use crate::child::{Child, Ended};
use crate::deadline::Deadline;
use crate::error::{Error, Reason, Result};

/// The program that fetches one URL.
pub(super) const FETCH: &str = "glowplug-fetch";
/// The program that brings the network of an initramfs up and down.
const NETWORK: &str = "glowplug-network";
/// Where programs are looked for if the environment does not say.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How much longer than it was told to a program may take.
pub(super) const MARGIN: Duration = Duration::from_secs(10);
/// How long taking the network down may take.
const PATIENCE_DOWN: Duration = Duration::from_secs(30);
/// How long to wait before the next look at a deadline.
pub(super) const TICK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The most bytes of a message of a program.
const MESSAGE: usize = 4 << 10;

/// Returns the path of the program `name` beside this program; otherwise, with `in_path`, that of one in the PATH.
pub(super) fn find(name: &str, in_path: bool) -> Option<CString> {
    let own = readlinkat(CWD, "/proc/self/exe", Vec::new()).ok()?;
    let own = Path::new(std::ffi::OsStr::from_bytes(own.as_bytes())).parent()?.to_owned();
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| PATH.into());
    let others = path.as_bytes().split(|byte| *byte == b':').filter(|_| in_path);
    std::iter::once(own.as_os_str().as_bytes())
        .chain(others)
        .filter(|directory| directory.starts_with(b"/"))
        .filter_map(|directory| CString::new([directory, b"/", name.as_bytes()].concat()).ok())
        .find(|path| access(path, Access::EXEC_OK).is_ok())
}

/// Returns the error for an image without the program that fetches.
pub(super) fn missing() -> Error {
    Error::new(Reason::Unsupported, format!("fetching needs the program {FETCH}, which is not here")).advise(
        "Install the package glowplug-network, and let the initramfs be made anew (update-initramfs -u), then start again: \
         nothing was written.",
    )
}

/// Brings the network up with `glowplug-network up`, if that program lies beside this one. Returns whether it did. That program
/// refuses to touch the network of a system that runs outside of an initramfs, which is then used as it is.
///
/// # Errors
/// [`Reason::NoNetwork`] if the network does not come up within `patience`.
pub(super) fn bring_up(patience: Duration) -> Result<bool> {
    let Some(program) = find(NETWORK, false) else { return Ok(false) };
    // The program accepts a day at most.
    let seconds = CString::new(patience.as_secs().clamp(1, 86_400).to_string()).unwrap_or_default();
    let arguments = [program.as_c_str(), c"up", c"--timeout", &seconds];
    let (ended, message) = run(&arguments, patience.saturating_add(MARGIN))
        .map_err(|errno| Error::system(&format!("run {NETWORK} up"), errno))?;
    match ended {
        Ended::Code(0) => Ok(true),
        Ended::Code(code) if code == i32::from(Reason::Unsupported.exit_code()) => {
            log::info!("the network is used as it is: {message}");
            Ok(false)
        }
        Ended::Code(code) if code == i32::from(Reason::NoNetwork.exit_code()) => {
            let message = if message.is_empty() { "no interface got an address" } else { &message };
            Err(Error::new(Reason::NoNetwork, format!("bring up the network: {message}")))
        }
        Ended::Code(code) if code == i32::from(Reason::Usage.exit_code()) => {
            Err(Error::new(Reason::Usage, format!("bring up the network: {message}"))
                .advise("Correct the kernel command line: glowplug-network(8) lists the forms of ip=."))
        }
        ended => {
            let what = format!("{NETWORK} up failed ({ended:?}): {message}");
            Err(Error::new(Reason::System, what))
        }
    }
}

/// Takes down what [`bring_up`] did. A failure is only logged, because everything else is done.
pub(super) fn take_down() {
    let Some(program) = find(NETWORK, false) else { return };
    match run(&[&program, c"down"], PATIENCE_DOWN) {
        Ok((Ended::Code(0), _)) => {}
        Ok((ended, message)) => log::warn!("{NETWORK} down failed ({ended:?}): {message}"),
        Err(errno) => log::warn!("{}", Error::system(&format!("run {NETWORK} down"), errno)),
    }
}

/// Runs a program to its end, or kills it after `patience`. Returns how it ended, and the last line that it wrote to standard
/// error.
fn run(arguments: &[&CStr], patience: Duration) -> std::result::Result<(Ended, String), Errno> {
    let deadline = Deadline::after(patience);
    let (mut child, pipes) = Child::start(arguments, &[])?;
    let mut text = Vec::new();
    let mut buffer = [0; 512];
    while !deadline.remaining().is_zero() {
        let mut fds = [PollFd::from_borrowed_fd(pipes.errors.as_fd(), PollFlags::IN)];
        retry_on_intr(|| poll(&mut fds, Some(&TICK)))?;
        match read(&pipes.errors, &mut buffer) {
            Ok(0) => break,
            Ok(count) if text.len() < MESSAGE => {
                text.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let ended = child.end_within(deadline.remaining())?;
    let text = String::from_utf8_lossy(&text);
    Ok((ended, text.lines().last().unwrap_or_default().to_owned()))
}
