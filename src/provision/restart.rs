//! The one restart after the stamp, so that the kernel gets the arguments of the config.
//!
//! It is only considered by the call that committed. Every later boot finds the stamp and goes on, so a boot loader that
//! ignores its files cannot lead to a loop.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::sync;
use rustix::io::Errno;
use rustix::system::{RebootCommand, reboot, uname};

use super::failure::show;
use crate::disks::{BootMounts, Tools};
use crate::error::{Error, Result};
use crate::fd;
use crate::kernel_args::Wanted;
use crate::plan::boot_files;
use crate::platform::CommandLine;
use crate::root::Root;
use crate::stamp::{LIMIT, StampVerdict};
use crate::sys;

/// The platforms on which podman starts a virtual machine. It ends one that restarts during its start.
const PODMAN: [&str; 3] = ["applehv", "hyperv", "qemu"];

/// Restarts the machine if the kernel was started without the arguments that the stamp of `root` names. Tries kexec first,
/// which also works where the host would end the machine, and then has the firmware restart it. Only a failure returns
/// then.
///
/// # Errors
/// [`Reason::System`](crate::error::Reason::System) if the machine cannot be restarted; that of a stamp that cannot be read.
pub(super) fn restart_for_arguments(root: &Root) -> Result<()> {
    let mut buffer = [0; LIMIT];
    let StampVerdict::Ours(stamp) = root.judge_stamp(&mut buffer)? else { return Ok(()) };
    let Some(details) = stamp.glowplug.filter(|details| !details.kernel_arguments.is_empty()) else {
        return Ok(());
    };
    let wanted = Wanted::parse(details.kernel_arguments);
    let line = CommandLine::text()?;
    let missing = wanted.missing_in(&line);
    if missing.is_empty() {
        log::info!("the kernel was started with the arguments of the config: no restart");
        return Ok(());
    }
    if !in_initramfs()? {
        log::warn!(
            "this is no initramfs: restart the machine, so that the kernel gets its arguments: {missing}"
        );
        return Ok(());
    }
    say(&format!("the config changes the kernel's arguments: {missing}"));
    // The kernel does not wait for file systems.
    sync();
    let Err(error) = start_kernel(root, &wanted, &line);
    let podman = if PODMAN.contains(&details.platform) {
        ". podman ends a machine that restarts while it starts. It is provisioned: start it again"
    } else {
        ""
    };
    say(&format!("no kexec ({error}): the firmware restarts the machine{podman}"));
    restart(RebootCommand::Restart)
}

/// Starts a kernel of `root` with the running command line `line`, changed as `wanted`. So arguments that were typed by hand
/// stay.
fn start_kernel(root: &Root, wanted: &Wanted<'_>, line: &[u8]) -> Result<std::convert::Infallible> {
    let edited = wanted.edit_line(line.trim_ascii())?.unwrap_or_default();
    let edited =
        CString::new(edited).map_err(|_| Error::system("read the kernel command line", Errno::INVAL))?;
    let kernel = load_kernel(root, &edited)?;
    say(&format!("restarting once by kexec, with {}", kernel.display()));
    restart(RebootCommand::Kexec)
}

/// Has the running kernel load one of `root`, with this command `line`, and returns the path of the one that was loaded.
fn load_kernel(root: &Root, line: &CStr) -> Result<PathBuf> {
    // The kernels may be on a file system of their own, which nothing has mounted yet. It is taken down at the end.
    let _boot = BootMounts::mount(&["/boot"], Tools::of(root))?;
    let name = uname();
    let mut failure = Error::system("find a kernel below /boot in the root", Errno::NOENT);
    for (path, initrd) in boot_files(&name.release().to_string_lossy(), root)? {
        let kernel = root.open_file(&path)?;
        let initrd = initrd.map(|initrd| root.open_file(&initrd)).transpose()?;
        match sys::load_kernel(kernel.as_fd(), initrd.as_ref().map(OwnedFd::as_fd), line) {
            Ok(()) => return Ok(path),
            Err(errno) => failure = Error::system_at("load the kernel", &path, errno),
        }
    }
    Err(failure)
}

fn restart<T>(how: RebootCommand) -> Result<T> {
    let done = reboot(how);
    // A successful call does not return.
    let error = Error::system("restart the machine", done.err().unwrap_or(Errno::CANCELED));
    Err(error.advise(
        "The machine is provisioned. Restart it, so that the kernel gets the arguments of the config.",
    ))
}

/// Returns whether the running system is an initramfs. Only there the kernel's first file system, `rootfs`, is the root. A
/// container or a test never restarts the machine that it runs on.
fn in_initramfs() -> Result<bool> {
    const MOUNTS: &str = "/proc/self/mounts";
    let mounts = fd::read_text(MOUNTS).map_err(|errno| Error::system_at("read", Path::new(MOUNTS), errno))?;
    Ok(mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq(["/", "rootfs"])))
}

/// Logs `words` and writes them to the consoles, because under `quiet` the log does not come there.
fn say(words: &str) {
    log::info!("{words}");
    show(&format!("glowplug: {words}\n"));
}
