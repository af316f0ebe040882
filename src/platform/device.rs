//! Reads a config from a file in a labelled file system. The file system is mounted only while the file is read.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::deadline::Deadline;
use crate::error::{Error, Reason, Result};
use crate::fd::{read_all, read_text};
use crate::memory;

/// The directory of udev's links to the labelled file systems.
pub(super) const BY_LABEL: &str = "/dev/disk/by-label";
const FILE_SYSTEMS: &str = "/proc/filesystems";
/// The file system types that usually hold a config. The kernel loads their modules on demand and lists a type only
/// after that.
const USUAL: [&str; 5] = ["vfat", "iso9660", "ext4", "xfs", "btrfs"];
const LABEL_ADVICE: &str =
    "Correct ignition.config.device on the kernel command line: it is the label of a file system.";
const DEVICE_ADVICE: &str = "Check that the disk is attached, that its file system has the label in ignition.config.device, \
    and that the initramfs has the disk's driver; then start again.";
const PATH_ADVICE: &str =
    "Correct ignition.config.path on the kernel command line, or put the config there, then start again.";
const TYPE_ADVICE: &str =
    "Put the config on vfat, iso9660, ext4 or another file system whose driver is in the initramfs.";
/// The advice for every other failure.
pub(super) const ADVICE: &str = "Check the disk that ignition.config.device on the kernel command line names, and its file \
    system, then start again.";
/// The longest wait for a device, as in the reference. A disk that is present appears much earlier, and waiting does
/// not help for a label that no disk has.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
/// How often the lookup of a path is repeated when openat2(2) fails with `EAGAIN`.
const MOST_TRIES: u32 = 1000;

/// Reads `path` in the file system labelled `label`. Waits `patience`, but at most 30 s, for the device to appear in
/// the directory `labels`.
///
/// # Errors
/// [`Reason::Usage`] for a label that is not a file name, [`Reason::NoHost`] if the device does not appear or has no
/// such file, [`Reason::System`] if the device or file cannot be read.
pub(super) fn fetch(labels: &Path, label: &str, path: &str, patience: Duration) -> Result<Vec<u8>> {
    // The label becomes a file name, and must not lead to another directory.
    if label.contains('/') || label == "." || label == ".." {
        let what = format!("ignition.config.device=\"{label}\" on the kernel command line is not a label");
        return Err(Error::new(Reason::Usage, what).advise(LABEL_ADVICE));
    }
    let device = labels.join(label);
    let mount = wait_and_mount(&device, deadline(patience))?;
    let failed =
        |act: &str, errno: Errno| Error::system(&format!("{act} {path} on {}", device.display()), errno);
    let file = match open(&mount, path) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let what = format!("the file system labelled \"{label}\" has no file {path}");
            return Err(Error::new(Reason::NoHost, what).advise(PATH_ADVICE));
        }
        Err(errno) => return Err(failed("open", errno)),
    };
    let limit = memory::limit();
    let text = read_all(file.as_fd(), limit).map_err(|errno| failed("read", errno))?;
    if text.len() as u64 > limit {
        return Err(memory::too_large(limit));
    }
    Ok(text)
}

/// Returns when the wait for a device ends, if the whole fetch may take `patience`.
fn deadline(patience: Duration) -> Deadline {
    Deadline::after(patience.min(LONGEST_WAIT))
}

/// Mounts the device that `link` leads to. Waits until the deadline for the device to appear, and for other programs
/// to release it: a file system check opens it exclusively.
fn wait_and_mount(link: &Path, deadline: Deadline) -> Result<OwnedFd> {
    loop {
        let left = deadline.remaining();
        match link.metadata() {
            Ok(_) => {
                let types = read_text(FILE_SYSTEMS)
                    .map_err(|errno| Error::system_at("read", Path::new(FILE_SYSTEMS), errno))?;
                match mount(link, &types) {
                    Ok(mount) => return Ok(mount),
                    Err(Errno::BUSY) if !left.is_zero() => {}
                    Err(Errno::NODEV) => {
                        let what =
                            format!("mount {}: it has no file system that the kernel knows", link.display());
                        return Err(Error::new(Reason::System, what).advise(TYPE_ADVICE));
                    }
                    Err(errno) => return Err(Error::system_at("mount", link, errno)),
                }
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::system_at("look up", link, error));
            }
            Err(_) if left.is_zero() => {
                let what =
                    format!("{} did not appear within {} s", link.display(), deadline.patience().as_secs());
                return Err(Error::new(Reason::NoHost, what).advise(DEVICE_ADVICE));
            }
            Err(_) => {}
        }
        std::thread::sleep(left.min(PAUSE));
    }
}

/// Mounts `device` read-only with the first type that accepts it. The mount is attached to no directory and ends when
/// its descriptor is closed. `NODEV` if no type accepts the device.
fn mount(device: &Path, names: &str) -> std::result::Result<OwnedFd, Errno> {
    let mut failure = Errno::NODEV;
    for name in types(names) {
        match mount_as(device, name) {
            Ok(mount) => return Ok(mount),
            // The device is not of this type, or the kernel does not have the type.
            Err(Errno::INVAL | Errno::NODEV) => {}
            Err(errno) => failure = errno,
        }
    }
    Err(failure)
}

fn mount_as(device: &Path, name: &str) -> std::result::Result<OwnedFd, Errno> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"source", device)?;
    fsconfig_set_flag(&context, c"ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Returns the types that the kernel lists and that need a device, then the usual types that the kernel does not list
/// yet.
fn types(names: &str) -> impl Iterator<Item = &str> {
    let listed = names.lines().filter_map(|line| line.strip_prefix('\t'));
    let rest = USUAL.into_iter().filter(move |name| !names.lines().any(|line| line.trim() == *name));
    listed.chain(rest)
}

/// Opens `path` as a process whose root is `mount` would open it.
#[allow(clippy::disallowed_methods, reason = "a file system of its own, not a path of the root")]
fn open(mount: &OwnedFd, path: &str) -> std::result::Result<OwnedFd, Errno> {
    // Without NONBLOCK the open of a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut tries = MOST_TRIES;
    loop {
        match rustix::fs::openat2(mount, path, flags, Mode::empty(), resolve) {
            // Somewhere in the system a rename or mount happened while the kernel resolved a `..`.
            Err(Errno::AGAIN) if tries > 0 => tries = tries.saturating_sub(1),
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests;
