//! Gives up what the program does not need, before it reads anything. What a server sends is then parsed by a process that can
//! read a few public files and can change nothing.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use glowplug::error::{Error, Result};
use glowplug::{privileges, sys};
use rustix::fs::{FileType, fstat};
use rustix::process::{Resource, Rlimit, Signal, geteuid, set_parent_process_death_signal, setrlimit};

/// The files and directories that may be read: CA certificates, and what the C library needs to resolve names.
const READABLE: [&str; 8] = [
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/dev/urandom",
];

/// Gives up privileges and access to files. Returns a note if the kernel cannot do all of it.
///
/// # Errors
/// [`Reason::System`](glowplug::error::Reason::System) if a step fails that this kernel should be able to do.
pub fn enter() -> Result<Option<&'static str>> {
    let is_root = geteuid().is_root();
    // The keys and tokens of a config are in this memory, so it must not reach a core file either.
    privileges::give_up()?;
    // A change of the user has undone what the parent may have set.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| Error::system("ask for a signal at the parent's end", errno))?;
    set_limits(is_root).map_err(|errno| Error::system("limit resources", errno))?;
    let paths = READABLE.map(Path::new);
    match sys::allow_only_reading(&paths) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some("this kernel has no Landlock: public files of the system can be read")),
        Err(errno) => Err(Error::system("restrict access to files by Landlock", errno)),
    }
}

fn set_limits(is_root: bool) -> rustix::io::Result<()> {
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    limit(Resource::As, 256 << 20)?;
    limit(Resource::Nofile, 64)?;
    limit(Resource::Core, 0)?;
    // An ordinary user may have many processes already, which would count.
    if is_root {
        limit(Resource::Nproc, 64)?;
    }
    // A person may redirect the output to a file; glowplug reads it from pipes.
    let is_file = |fd: BorrowedFd<'_>| {
        fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    };
    if is_file(std::io::stdout().as_fd()) || is_file(std::io::stderr().as_fd()) {
        return Ok(());
    }
    limit(Resource::Fsize, 0)
}
