//! Checks that run before anything visible changes. They find what would make the commit fail: immutable files and mounts.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use super::c_name;
use super::view::kind;
use crate::change::{Attributes, FileKind};
use crate::error::{Error, Reason, Result};

/// The directory in which an operation changes a name.
pub(super) enum Parent {
    /// The directory exists.
    Existing {
        /// The directory, opened with `O_PATH`.
        directory: OwnedFd,
        /// Its attributes, as statx(2) gives them: whether it is immutable or append-only.
        attributes: StatxAttributes,
    },
    /// An earlier operation will make the directory, so nothing in it can be in the way.
    NotYet,
    /// The operation with the number `op` has staged the directory, open here. New names can be put into it at once.
    Staged { directory: OwnedFd, op: usize },
}

/// What an operation does to a name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameChange {
    /// A file or link is put at the name, and replaces what stands there.
    Put,
    /// What stands there gets another name.
    Move,
    /// What stands there is removed, with everything below it.
    Remove,
    /// A directory is made, or an existing one gets this owner and mode.
    Directory(Attributes),
    /// What stands there gets this owner and mode.
    Attributes(Attributes),
}

/// Refuses a `change` that the kernel would not allow. It changes the last component of `path` in the directory `parent`.
///
/// # Errors
/// [`Reason::ReadOnly`] if something is immutable or append-only; [`Reason::Conflict`] if a file system is mounted at the
/// path.
pub(super) fn check(parent: &Parent, path: &Path, change: NameChange) -> Result<()> {
    let (Parent::Existing { directory, attributes }, Some(name)) = (parent, path.file_name()) else {
        return Ok(());
    };
    let flags = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID;
    let found = c_name(name).and_then(|name| statx(directory, &name, AtFlags::SYMLINK_NOFOLLOW, flags));
    let found = match found {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => None,
        Err(errno) => return Err(Error::root("look up", path, errno)),
    };
    let parent = path.parent().unwrap_or(path);
    let Some(stat) = found else {
        // An append-only directory still accepts new names.
        let adds = matches!(change, NameChange::Put | NameChange::Directory(_));
        let refuses = adds && attributes.contains(StatxAttributes::IMMUTABLE);
        return if refuses { Err(immutable(path, parent, "immutable")) } else { Ok(()) };
    };
    let keeps_it = match change {
        NameChange::Directory(wanted) if is_directory(&stat) => Some(wanted),
        NameChange::Attributes(wanted) => Some(wanted),
        _ => None,
    };
    if let Some(wanted) = keeps_it {
        return match fixed(stat.stx_attributes) {
            Some(how) if differs(&stat, wanted) => Err(immutable(path, path, how)),
            _ => Ok(()),
        };
    }
    for (holder, attributes) in [(parent, *attributes), (path, stat.stx_attributes)] {
        if let Some(how) = fixed(attributes) {
            return Err(immutable(path, holder, how));
        }
    }
    // For a removal, `walk::check_removal` looks for mounts at the path and below it.
    if change != NameChange::Remove && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        let what = "a file system is mounted there";
        return Err(Error::new(Reason::Conflict, format!("replace {} in the root: {what}", path.display())));
    }
    Ok(())
}

/// Returns the error for a `path` that cannot be changed because `holder` is `how`: "immutable" or "append-only". `holder` is
/// the path itself or its directory.
pub(super) fn immutable(path: &Path, holder: &Path, how: &str) -> Error {
    let (path, holder) = (path.display(), holder.display());
    Error::new(Reason::ReadOnly, format!("change {path} in the root: {holder} is {how} (see chattr(1))"))
}

/// Returns the word for a file that cannot be changed, or `None` for one that can.
fn fixed(attributes: StatxAttributes) -> Option<&'static str> {
    if attributes.contains(StatxAttributes::IMMUTABLE) {
        Some("immutable")
    } else {
        attributes.contains(StatxAttributes::APPEND).then_some("append-only")
    }
}

fn is_directory(stat: &Statx) -> bool {
    kind(stat.stx_mode.into()) == FileKind::Directory
}

/// Returns whether owner or mode differ from those `wanted`. The mode of a symbolic link does not count.
fn differs(stat: &Statx, wanted: Attributes) -> bool {
    let is_link = kind(stat.stx_mode.into()) == FileKind::Symlink;
    (stat.stx_uid, stat.stx_gid) != (wanted.uid, wanted.gid)
        || !is_link && u32::from(stat.stx_mode) & 0o7777 != wanted.mode
}
