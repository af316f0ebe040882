//! A config in a file of a labelled file system, which is mounted for no longer than the file is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::memory;
use crate::error::{Error, Reason, Result, errno_words, io_words};

/// udev's links to the file systems that have a label.
pub(super) const BY_LABEL: &str = "/dev/disk/by-label";
const FILE_SYSTEMS: &str = "/proc/filesystems";
/// What usually holds a config. The kernel loads their modules itself, and lists them only then.
const USUAL: [&str; 5] = ["vfat", "iso9660", "ext4", "xfs", "btrfs"];
const PAUSE: Duration = Duration::from_millis(100);

/// Reads `path` in the file system labelled `label`, waiting until `patience` is over for its device to appear
/// among `labels`.
///
/// # Errors
/// [`Reason::Usage`] for a label that is not a file name, [`Reason::NoHost`] where the device does not appear or has
/// no such file, [`Reason::System`] where it cannot be read.
pub(super) fn fetch(labels: &Path, label: &str, path: &str, patience: Duration) -> Result<Vec<u8>> {
    // The label becomes part of a path, which it may not lead elsewhere.
    if label.contains('/') || label == "." || label == ".." {
        let what = format!("ignition.config.device=\"{label}\" on the kernel command line is not a label");
        return Err(Error::new(Reason::Usage, what));
    }
    let device = labels.join(label);
    wait_for(&device, patience)?;
    let failed =
        |act: &str, words: &str| Error::new(Reason::System, format!("{act} {}: {words}", device.display()));
    let names = std::fs::read_to_string(FILE_SYSTEMS)
        .map_err(|error| Error::new(Reason::System, format!("read {FILE_SYSTEMS}: {}", io_words(&error))))?;
    let mount = mount(&device, &names).map_err(|errno| match errno {
        Errno::NODEV => failed("mount", "it has no file system that the kernel knows"),
        _ => failed("mount", &errno_words(errno)),
    })?;
    let file = match open(&mount, path) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let what = format!("the file system labelled \"{label}\" has no file {path}");
            return Err(Error::new(Reason::NoHost, what));
        }
        Err(errno) => return Err(failed(&format!("open {path} on"), &errno_words(errno))),
    };
    let limit = memory::limit();
    let text = read(file, limit).map_err(|error| failed(&format!("read {path} on"), &io_words(&error)))?;
    if text.len() as u64 > limit {
        return Err(memory::too_large(limit));
    }
    Ok(text)
}

/// Waits for `link` to lead to a device.
fn wait_for(link: &Path, patience: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        match link.metadata() {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("look up {}: {}", link.display(), io_words(&error));
                return Err(Error::new(Reason::System, what));
            }
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            let what = format!("{} did not appear within {} s", link.display(), patience.as_secs());
            return Err(Error::new(Reason::NoHost, what));
        }
        std::thread::sleep(left.min(PAUSE));
    }
}

/// Mounts `device` read-only with the first type that takes it, attached nowhere: it goes with the descriptor.
/// `NODEV` where none does.
fn mount(device: &Path, names: &str) -> std::result::Result<OwnedFd, Errno> {
    let mut failure = Errno::NODEV;
    for name in types(names) {
        match mount_as(device, name) {
            Ok(mount) => return Ok(mount),
            // Not of this type, or there is no such type.
            Err(Errno::INVAL | Errno::NODEV) => {}
            Err(errno) => failure = errno,
        }
    }
    Err(failure)
}

fn mount_as(device: &Path, name: &str) -> std::result::Result<OwnedFd, Errno> {
    let context = match create(device, name, true) {
        // Mounted for writing elsewhere; there is one state for both, and only the mount is read-only.
        Err(Errno::BUSY) => create(device, name, false)?,
        context => context?,
    };
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn create(device: &Path, name: &str, read_only: bool) -> std::result::Result<OwnedFd, Errno> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    if read_only {
        fsconfig_set_flag(&context, "ro")?;
    }
    fsconfig_create(&context)?;
    Ok(context)
}

/// The types that need a device, of those that the kernel lists, and the usual ones that it does not list yet.
fn types(names: &str) -> impl Iterator<Item = &str> {
    let listed = names.lines().filter_map(|line| line.strip_prefix('\t'));
    let rest = USUAL.into_iter().filter(move |name| !names.lines().any(|line| line.trim() == *name));
    listed.chain(rest)
}

/// Opens a file as a process whose root is `mount` would.
#[allow(clippy::disallowed_methods, reason = "a file system of its own, not a path of the root")]
fn open(mount: &OwnedFd, path: &str) -> std::result::Result<OwnedFd, Errno> {
    // Without NONBLOCK the open of a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(mount, path, flags, Mode::empty(), resolve)
}

fn read(file: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::from(file).take(limit.saturating_add(1)).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
