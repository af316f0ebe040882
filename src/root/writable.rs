//! Remounting a root that the initramfs has mounted read-only: read-write for the work, and read-only again afterwards.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};

use super::Root;
use crate::error::{Error, Reason, Result, errno_words};

/// A root that is mounted read-write. [`Writable::restore`] remounts the root as it was mounted before.
#[must_use]
#[derive(Debug)]
pub struct Writable<'r> {
    /// The mount point and its original flags, if the root was remounted.
    changed: Option<(&'r Path, MountFlags)>,
}

impl Root {
    /// Remounts this root read-write if it is mounted read-only.
    ///
    /// # Errors
    /// [`Reason::ReadOnly`] for a write-protected device, [`Reason::RootIo`] for any other failure.
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
    /// Remounts the root read-only if it was mounted read-only before.
    ///
    /// # Errors
    /// As for [`Root::make_writable`].
    pub fn restore(self) -> Result<()> {
        match self.changed {
            Some((path, flags)) => remount(path, flags, "read-only"),
            None => Ok(()),
        }
    }
}

fn remount(path: &Path, flags: MountFlags, how: &str) -> Result<()> {
    mount_remount(path, flags, "").map_err(|errno| {
        // mount(2) fails with EACCES on a write-protected device.
        let reason =
            if matches!(errno, Errno::ROFS | Errno::ACCESS) { Reason::ReadOnly } else { Reason::RootIo };
        Error::new(reason, format!("remount {} {how}: {}", path.display(), errno_words(errno)))
    })
}

/// Converts the mount flags of statvfs(3) to those of mount(2). A remount clears every flag that is not given.
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
