//! The verdict on a stamp: whether it was written for the root that it stands in.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawMode, ResolveFlags, Statx, StatxFlags, fstatfs, openat, openat2,
    statx,
};
use rustix::io::{Errno, retry_on_intr};

use super::identity::OVERLAYFS;
use super::parse::parse;
use super::{FileIdentity, LIMIT, STAMP, Stamp, boot_id};
use crate::error::{Reason, errno_words};

/// The verdict on a root: it has no stamp, or one that says that this root is provisioned.
#[derive(Debug)]
pub enum StampVerdict<'b> {
    /// There is no stamp: the root has not been provisioned.
    Missing,
    /// glowplug wrote the stamp for this root.
    Ours(Stamp<'b>),
    /// The reference wrote the stamp, in this boot. Such a stamp does not name its root: see [`judge`].
    Reference(Stamp<'b>),
}

/// Why a stamp says nothing about the root that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampFault {
    /// The file at this path cannot be read.
    Unreadable(&'static str, Errno),
    /// Something other than a stamp stands at its path: not a file, an empty file, or other JSON.
    Broken,
    /// glowplug wrote the stamp for another root.
    Copied,
    /// The reference wrote the stamp, in another boot.
    ReferenceOfAnotherBoot,
}

impl StampFault {
    /// Returns the reason, whose word and exit code `glowplug` and `glowplug-ready` share.
    pub fn reason(self) -> Reason {
        match self {
            Self::Unreadable(..) => Reason::StampUnreadable,
            Self::Broken => Reason::StampBroken,
            Self::Copied | Self::ReferenceOfAnotherBoot => Reason::StampForeign,
        }
    }
}

impl fmt::Display for StampFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, errno) => write!(f, "read {path}: {}", errno_words(*errno)),
            Self::Broken => write!(f, "{STAMP} is not a stamp"),
            Self::Copied => {
                write!(f, "{STAMP} was copied from another root: glowplug has not provisioned this one")
            }
            Self::ReferenceOfAnotherBoot => write!(
                f,
                "the program ignition wrote {STAMP} in another boot, perhaps in another root: glowplug has not \
                 provisioned this one"
            ),
        }
    }
}

/// Judges the stamp in `root`, an open directory. The verdict borrows from `buffer`, which holds the stamp.
///
/// A stamp of glowplug names its own inode. So a root that was copied file by file is told from the original. A stamp of the
/// reference names only its boot. It is trusted in that boot, because a stamp that an image brings is from another one.
///
/// # Errors
/// The [`StampFault`] of a stamp that says nothing about this root; a file of more than [`LIMIT`] bytes is unreadable.
pub fn judge(root: impl AsFd, buffer: &mut [u8; LIMIT]) -> Result<StampVerdict<'_>, StampFault> {
    let Some((stamp, file)) = read_from(root.as_fd(), buffer)? else { return Ok(StampVerdict::Missing) };
    let unreadable = |errno| StampFault::Unreadable(STAMP, errno);
    let found = FileIdentity::of(&file).map_err(unreadable)?;
    let Some(details) = &stamp.glowplug else {
        let boot_id = boot_id().map_err(|(path, errno)| StampFault::Unreadable(path, errno))?;
        return if stamp.boot_id == boot_id {
            Ok(StampVerdict::Reference(stamp))
        } else {
            Err(StampFault::ReferenceOfAnotherBoot)
        };
    };
    let recorded = details.file();
    let is_on_overlay = || fstatfs(&file).map(|system| system.f_type == OVERLAYFS);
    if recorded.is(found) || recorded.is_on_overlay(found) && is_on_overlay().map_err(unreadable)? {
        Ok(StampVerdict::Ours(stamp))
    } else {
        Err(StampFault::Copied)
    }
}

/// Reads the stamp in `root`, also one that was written for another root. Returns `None` if nothing stands at its path.
///
/// # Errors
/// [`StampFault::Unreadable`] and [`StampFault::Broken`].
pub fn read(root: impl AsFd, buffer: &mut [u8; LIMIT]) -> Result<Option<Stamp<'_>>, StampFault> {
    Ok(read_from(root.as_fd(), buffer)?.map(|(stamp, _)| stamp))
}

fn read_from<'b>(
    root: BorrowedFd<'_>,
    buffer: &'b mut [u8; LIMIT],
) -> Result<Option<(Stamp<'b>, OwnedFd)>, StampFault> {
    let Some(file) = open(root)? else { return Ok(None) };
    let text = read_to_end(file.as_fd(), buffer).map_err(|errno| StampFault::Unreadable(STAMP, errno))?;
    let stamp = parse(text).ok_or(StampFault::Broken)?;
    Ok(Some((stamp, file)))
}

/// Judges the stamp of the running system, as [`judge`] does.
///
/// # Errors
/// Those of [`judge`].
#[allow(clippy::disallowed_methods, reason = "opens a directory, to read")]
pub fn judge_running_system(buffer: &mut [u8; LIMIT]) -> Result<StampVerdict<'_>, StampFault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::open("/", flags, Mode::empty()).map_err(|errno| StampFault::Unreadable("/", errno))?;
    judge(root, buffer)
}

/// Opens the stamp for reading. Returns `None` if nothing stands at its path.
fn open(root: BorrowedFd<'_>) -> Result<Option<OwnedFd>, StampFault> {
    // The kind is checked first, because to open a device for reading has effects of its own.
    let looked_up = open_as(root, OFlags::PATH).and_then(|fd| is_file(&fd));
    match looked_up {
        Ok(true) => {}
        Ok(false) => return Err(StampFault::Broken),
        // If its directory is missing or is not a directory, there is no stamp either.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(StampFault::Unreadable(STAMP, errno)),
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    open_as(root, flags).map(Some).map_err(|errno| StampFault::Unreadable(STAMP, errno))
}

#[allow(clippy::disallowed_methods, reason = "opens to read, confined to the root")]
fn open_as(root: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = STAMP.trim_start_matches('/');
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags, Mode::empty(), confined) {
        // The units of glowplug-ready and glowplug-agent have RestrictSUIDSGID=, with which systemd forbids openat2(2).
        // These programs judge their own root directory, and no path leads out of that.
        Err(Errno::NOSYS) if is_own_root(root)? => openat(root, path, flags, Mode::empty()),
        opened => opened,
    }
}

/// Returns whether `root` is this process's own root directory.
fn is_own_root(root: BorrowedFd<'_>) -> Result<bool, Errno> {
    let asked = statx(root, c"", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
    let own = statx(CWD, c"/", AtFlags::empty(), StatxFlags::INO)?;
    let id = |stat: &Statx| (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
    Ok(id(&asked) == id(&own))
}

fn is_file(fd: &OwnedFd) -> Result<bool, Errno> {
    let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    Ok(FileType::from_raw_mode(RawMode::from(stat.stx_mode)) == FileType::RegularFile)
}

/// Reads `file` to its end into `buffer`. Returns the part of `buffer` that was filled.
///
/// # Errors
/// `EFBIG` if the file does not fit into the buffer with a byte to spare.
fn read_to_end<'b>(file: BorrowedFd<'_>, buffer: &'b mut [u8; LIMIT]) -> Result<&'b [u8], Errno> {
    let mut length: usize = 0;
    loop {
        let rest = buffer.get_mut(length..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Errno::FBIG);
        }
        match retry_on_intr(|| rustix::io::read(file, &mut *rest))? {
            0 => break,
            count => length = length.saturating_add(count),
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests;
