//! Every system call that changes the root. They are here together so that tests can stop at each of them
//! (`failpoints`), and so that each has its code once.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FallocateFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

type OsResult<T> = std::result::Result<T, Errno>;

#[cfg(feature = "failpoints")]
use super::failpoints::{pass, pass_sync, synced, written};

/// Whether a call that changes the file system of the descriptor is made: a test can say that it is not.
#[cfg(not(feature = "failpoints"))]
#[allow(clippy::unnecessary_wraps, reason = "with failpoints it can fail")]
fn pass(_: BorrowedFd<'_>) -> OsResult<bool> {
    Ok(true)
}

#[cfg(not(feature = "failpoints"))]
use pass as pass_sync;

#[cfg(not(feature = "failpoints"))]
fn written(_: BorrowedFd<'_>) {}

#[cfg(not(feature = "failpoints"))]
fn synced(_: BorrowedFd<'_>, _: bool) {}

/// What all directories are opened with to be read.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) fn make_directory(parent: BorrowedFd<'_>, name: &CStr, mode: Mode) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    rustix::fs::mkdirat(parent, name, mode)
}

/// Makes a file that is not there yet, to be written.
pub(super) fn create(parent: BorrowedFd<'_>, name: &CStr, mode: Mode) -> OsResult<OwnedFd> {
    if !pass(parent)? {
        return Err(Errno::IO);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, mode)
}

pub(super) fn write_all(file: BorrowedFd<'_>, bytes: &[u8]) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    written(file);
    crate::fd::write_all(file, bytes)
}

/// Takes room for a file that has nothing to hold.
pub(super) fn allocate(file: BorrowedFd<'_>, bytes: u64) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)
}

pub(super) fn make_link(target: &CStr, parent: BorrowedFd<'_>, name: &CStr) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    rustix::fs::symlinkat(target, parent, name)
}

/// Gives a file a second name; a symbolic link itself, not its target.
pub(super) fn make_hard_link(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    to_name: &CStr,
) -> OsResult<()> {
    if !pass(to)? {
        return Ok(());
    }
    rustix::fs::linkat(from, name, to, to_name, AtFlags::empty())
}

pub(super) fn rename(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    to_name: &CStr,
    flags: RenameFlags,
) -> OsResult<()> {
    if !pass(from)? {
        return Ok(());
    }
    rustix::fs::renameat_with(from, name, to, to_name, flags)
}

pub(super) fn unlink(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    rustix::fs::unlinkat(parent, name, flags)
}

/// The owner of an open file, which may be opened with `O_PATH`.
pub(super) fn set_owner(file: BorrowedFd<'_>, uid: u32, gid: u32) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)
}

/// The owner of a name; of a symbolic link itself.
pub(super) fn set_owner_at(parent: BorrowedFd<'_>, name: &CStr, uid: u32, gid: u32) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// The mode of an open file that is no symbolic link. It may be opened with `O_PATH`.
pub(super) fn set_mode(file: BorrowedFd<'_>, mode: u32) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    match rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
        Err(Errno::BADF) => {}
        set => return set,
    }
    match crate::sys::set_mode_of(file, mode) {
        // Before Linux 6.6 there is no such call.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {}
        set => return set,
    }
    // The kernel leads this name to the open file itself.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::chmodat(rustix::fs::CWD, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Brings a file, or the names in a directory, to the disk.
pub(super) fn sync(file: BorrowedFd<'_>) -> OsResult<()> {
    if pass_sync(file)? {
        rustix::fs::fsync(file)?;
        synced(file, false);
    }
    Ok(())
}

/// Brings a whole file system to the disk.
pub(super) fn sync_file_system(inside: BorrowedFd<'_>) -> OsResult<()> {
    if pass_sync(inside)? {
        rustix::fs::syncfs(inside)?;
        synced(inside, true);
    }
    Ok(())
}
