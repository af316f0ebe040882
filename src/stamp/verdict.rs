//! The verdict on a stamp: which root it was written for.

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

/// A stamp that says that the root it stands in is provisioned, or none at all.
#[derive(Debug)]
pub enum Verdict<'b> {
    /// No stamp: the root has not been provisioned.
    Missing,
    /// glowplug wrote the stamp for this root.
    Ours(Stamp<'b>),
    /// The reference wrote the stamp in this boot. A later boot cannot know whose root that was: see [`judge`].
    Reference(Stamp<'b>),
}

/// A stamp that says nothing about the root it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampFault {
    /// The file at this path cannot be read.
    Unreadable(&'static str, Errno),
    /// Something else than a stamp stands there: no file, an empty one, or other JSON.
    Broken,
    /// glowplug wrote the stamp for another root.
    Copied,
    /// The reference wrote the stamp, in another boot.
    ReferenceOfAnotherBoot,
}

impl StampFault {
    /// The reason, whose word and exit code `glowplug` and `glowplug-ready` share.
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

/// Judges the stamp in `root`, an open directory. The answer borrows from `buffer`, which takes a stamp of [`LIMIT`]
/// bytes at most.
///
/// A stamp of glowplug names its own inode, so that a root that was copied file by file is told from the first one. A
/// stamp of the reference names the boot only. It is trusted in that boot, in which nobody can have copied it from an
/// image. In later boots it is not: an image can carry it.
///
/// # Errors
/// The [`StampFault`] of a stamp that says nothing about this root.
pub fn judge(root: impl AsFd, buffer: &mut [u8; LIMIT]) -> Result<Verdict<'_>, StampFault> {
    let Some((stamp, file)) = read_from(root.as_fd(), buffer)? else { return Ok(Verdict::Missing) };
    let unreadable = |errno| StampFault::Unreadable(STAMP, errno);
    let found = FileIdentity::of(&file).map_err(unreadable)?;
    let Some(details) = &stamp.glowplug else {
        let boot_id = boot_id().map_err(|(path, errno)| StampFault::Unreadable(path, errno))?;
        return if stamp.boot_id == boot_id {
            Ok(Verdict::Reference(stamp))
        } else {
            Err(StampFault::ReferenceOfAnotherBoot)
        };
    };
    let recorded = details.file();
    let is_on_overlay = || fstatfs(&file).map(|system| system.f_type == OVERLAYFS);
    if recorded.is(found) || recorded.is_on_overlay(found) && is_on_overlay().map_err(unreadable)? {
        Ok(Verdict::Ours(stamp))
    } else {
        Err(StampFault::Copied)
    }
}

/// Reads the stamp in `root` whatever root it was written for; none where nothing stands at its path.
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

/// Judges the stamp of the running system, as [`judge`].
///
/// # Errors
/// Those of [`judge`].
#[allow(clippy::disallowed_methods, reason = "opens a directory, to read")]
pub fn judge_running_system(buffer: &mut [u8; LIMIT]) -> Result<Verdict<'_>, StampFault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::open("/", flags, Mode::empty()).map_err(|errno| StampFault::Unreadable("/", errno))?;
    judge(root, buffer)
}

/// Opens the stamp to read it; none where nothing stands at its path.
fn open(root: BorrowedFd<'_>) -> Result<Option<OwnedFd>, StampFault> {
    // To open a device would be to use it, so that the kind comes first.
    let looked_up = open_as(root, OFlags::PATH).and_then(|fd| is_file(&fd));
    match looked_up {
        Ok(true) => {}
        Ok(false) => return Err(StampFault::Broken),
        // Where the directory is none, nothing can stand in it.
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
        // systemd's RestrictSUIDSGID= takes openat2(2) away, and the units of glowplug-ready and glowplug-agent have
        // it. Their root is their own, in which a path cannot lead out of the root.
        Err(Errno::NOSYS) if is_own_root(root)? => openat(root, path, flags, Mode::empty()),
        opened => opened,
    }
}

/// Whether `root` is this process's own root directory.
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

/// Reads `file` into `buffer`, to its end.
///
/// # Errors
/// `EFBIG` if the file has more bytes than the buffer takes.
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
