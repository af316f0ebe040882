//! What the commit could not change, found out before anything is visible: immutable files, and mounts.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use super::c_name;
use super::view::kind;
use crate::change::{Attributes, Kind};
use crate::error::{Error, Reason, Result};

/// Where an operation has its effect.
pub(super) enum Target {
    /// In a directory that is there.
    In {
        /// The directory.
        directory: OwnedFd,
        /// What is particular to it.
        attributes: StatxAttributes,
    },
    /// In one that an earlier operation makes, where nothing can be in the way.
    Nowhere,
}

/// What is done to a name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Something takes its place.
    Put,
    /// What stands there goes to another name.
    Move,
    /// What stands there is taken away, with what is below.
    Take,
    /// A directory is made, or the one that stands there gets owner and mode.
    Directory(Attributes),
    /// What stands there gets owner and mode.
    Attributes(Attributes),
}

/// Refuses a `change` of `path`, whose last component is in `target`, that the kernel would not allow.
///
/// # Errors
/// [`Reason::ReadOnly`] where something is immutable, [`Reason::Conflict`] for a mount point in the way.
pub(super) fn check(target: &Target, path: &Path, change: Change) -> Result<()> {
    let (Target::In { directory, attributes }, Some(name)) = (target, path.file_name()) else {
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
        // An append-only directory still takes new names.
        let adds = matches!(change, Change::Put | Change::Directory(_));
        let refuses = adds && attributes.contains(StatxAttributes::IMMUTABLE);
        return if refuses { Err(immutable(path, parent, "immutable")) } else { Ok(()) };
    };
    let keeps_it = match change {
        Change::Directory(wanted) if is_directory(&stat) => Some(wanted),
        Change::Attributes(wanted) => Some(wanted),
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
    // What is to be taken away is looked through as a whole elsewhere.
    if change != Change::Take && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        let what = "a file system is mounted there";
        return Err(Error::new(Reason::Conflict, format!("replace {} in the root: {what}", path.display())));
    }
    Ok(())
}

/// `path` cannot be changed since `holder`, which is it or holds it, is `how`.
pub(super) fn immutable(path: &Path, holder: &Path, how: &str) -> Error {
    let (path, holder) = (path.display(), holder.display());
    Error::new(Reason::ReadOnly, format!("change {path} in the root: {holder} is {how} (see chattr(1))"))
}

/// How a file cannot be changed.
fn fixed(attributes: StatxAttributes) -> Option<&'static str> {
    if attributes.contains(StatxAttributes::IMMUTABLE) {
        Some("immutable")
    } else {
        attributes.contains(StatxAttributes::APPEND).then_some("append-only")
    }
}

fn is_directory(stat: &Statx) -> bool {
    kind(stat.stx_mode.into()) == Kind::Directory
}

fn differs(stat: &Statx, wanted: Attributes) -> bool {
    let is_link = kind(stat.stx_mode.into()) == Kind::Symlink;
    (stat.stx_uid, stat.stx_gid) != (wanted.uid, wanted.gid)
        || !is_link && u32::from(stat.stx_mode) & 0o7777 != wanted.mode
}
