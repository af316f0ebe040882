//! Gives up what the program does not need, before it reads anything. What a server sends is then parsed by a process that can
//! read a few public files and can change nothing.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use glowplug::error::{Error, Result};
use glowplug::sys;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, geteuid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// The user nobody and the group nogroup of Debian.
const NOBODY: u32 = 65534;

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
    if is_root {
        become_nobody().map_err(|errno| Error::system("become the user nobody", errno))?;
    }
    set_capabilities(None, NO_CAPABILITIES).map_err(|errno| Error::system("give up capabilities", errno))?;
    set_no_new_privs(true).map_err(|errno| Error::system("forbid new privileges", errno))?;
    // The keys and tokens of a config are in this memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Error::system("forbid core files", errno))?;
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

const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Becomes nobody, without groups, and empties the sets from which a program could get capabilities.
fn become_nobody() -> rustix::io::Result<()> {
    for number in 0..64 {
        match CapabilitySet::from_bits(1 << number).map(remove_capability_from_bounding_set) {
            // The kernel does not know this capability, nor those after it.
            None | Some(Err(Errno::INVAL)) => break,
            // A user namespace may hold root back from this.
            Some(Ok(()) | Err(Errno::PERM)) => {}
            Some(Err(errno)) => return Err(errno),
        }
    }
    clear_ambient_capability_set()?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    // In the user namespace of an ordinary user, nobody may not exist, and groups cannot be changed. Root is that user there,
    // and has no privileges outside once its capabilities are gone.
    let in_namespace = |error| match error {
        Errno::INVAL | Errno::PERM => Ok(()),
        errno => Err(errno),
    };
    set_thread_groups(&[]).or_else(in_namespace)?;
    set_thread_res_gid(group, group, group).or_else(in_namespace)?;
    set_thread_res_uid(user, user, user).or_else(in_namespace)
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
