//! A root that the initramfs mounted read-only is made writable for the work and left as it was found.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};

use super::Root;
use crate::error::{Error, Reason, Result, errno_words};

/// The root mounted read-write. Give it back with [`Writable::restore`].
#[must_use]
#[derive(Debug)]
pub struct Writable<'r> {
    /// The mount point and the flags it had, if they were changed.
    changed: Option<(&'r Path, MountFlags)>,
}

impl Root {
    /// Remounts the file system that this root was opened at read-write if it is read-only.
    pub fn make_writable(&self) -> Result<Writable<'_>> {
        let mounted =
            fstatvfs(&self.fd).map_err(|errno| Error::root("look up", Path::new("/"), errno))?.f_flag;
        if !mounted.contains(StatVfsMountFlags::RDONLY) {
            return Ok(Writable { changed: None });
        }
        let flags = mount_flags(mounted);
        remount(&self.path, flags.difference(MountFlags::RDONLY), "read-write")?;
        Ok(Writable { changed: Some((&self.path, flags)) })
    }
}

impl Writable<'_> {
    /// Makes the root read-only again if it was so before.
    pub fn restore(self) -> Result<()> {
        match self.changed {
            Some((path, flags)) => remount(path, flags, "read-only"),
            None => Ok(()),
        }
    }
}

fn remount(path: &Path, flags: MountFlags, how: &str) -> Result<()> {
    mount_remount(path, flags, "").map_err(|errno| {
        // A write-protected device says EACCES (mount(2)).
        let reason =
            if matches!(errno, Errno::ROFS | Errno::ACCESS) { Reason::ReadOnly } else { Reason::RootIo };
        Error::new(reason, format!("remount {} {how}: {}", path.display(), errno_words(errno)))
    })
}

/// The flags of mount(2) that statvfs(3) tells; a remount would clear those that are left out.
fn mount_flags(mounted: StatVfsMountFlags) -> MountFlags {
    let pairs = [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        (StatVfsMountFlags::SYNCHRONOUS, MountFlags::SYNCHRONOUS),
    ];
    pairs
        .iter()
        .filter(|(told, _)| mounted.contains(*told))
        .fold(MountFlags::empty(), |all, (_, flag)| all | *flag)
}
