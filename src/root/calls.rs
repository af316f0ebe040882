//! Every system call that changes the root. This file holds all of them so that tests can stop at each call (`failpoints`),
//! and so that the code of each call is in the program only once.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FallocateFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::{Errno, pwrite, retry_on_intr};

/// The result of a system call.
pub(super) type OsResult<T> = std::result::Result<T, Errno>;

#[cfg(feature = "failpoints")]
use super::failpoints::{pass, pass_sync, synced, written};

/// Returns whether the call that is about to change the file system of the descriptor is to be made. It always is, except
/// in a test with failpoints.
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

/// The flags to open a directory for reading, without following a link.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes the directory `name` in `parent`.
pub(super) fn make_directory(parent: BorrowedFd<'_>, name: &CStr, mode: Mode) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    rustix::fs::mkdirat(parent, name, mode)
}

/// Creates a file and opens it for writing. A name that exists is an error.
pub(super) fn create(parent: BorrowedFd<'_>, name: &CStr, mode: Mode) -> OsResult<OwnedFd> {
    if !pass(parent)? {
        return Err(Errno::IO);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, mode)
}

/// Opens a file for appending, and creates it if it is missing.
pub(super) fn append(parent: BorrowedFd<'_>, name: &CStr, mode: Mode) -> OsResult<OwnedFd> {
    if !pass(parent)? {
        return Err(Errno::IO);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, mode)
}

/// Writes all of `bytes` to `file`.
pub(super) fn write_all(file: BorrowedFd<'_>, bytes: &[u8]) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    written(file);
    crate::fd::write_all(file, bytes)
}

/// Writes all of `bytes` to `file`, from the byte `offset` on.
pub(super) fn write_all_at(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    let (mut rest, mut offset) = (bytes, offset);
    while !rest.is_empty() {
        let count = retry_on_intr(|| pwrite(file, rest, offset))?;
        if count == 0 {
            return Err(Errno::IO);
        }
        rest = rest.get(count..).unwrap_or_default();
        offset = offset.saturating_add(count as u64);
    }
    Ok(())
}

/// Allocates `bytes` bytes of a file from the byte `offset` on. The file keeps its size.
pub(super) fn reserve(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes)
}

/// Cuts `count` bytes off the end of a file.
pub(super) fn shorten(file: BorrowedFd<'_>, count: u64) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    let size = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or_default();
    rustix::fs::ftruncate(file, size.saturating_sub(count))
}

/// Allocates `bytes` bytes for an empty file, which then has this size.
pub(super) fn allocate(file: BorrowedFd<'_>, bytes: u64) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)
}

/// Makes the symbolic link `name` in `parent`.
pub(super) fn make_link(target: &CStr, parent: BorrowedFd<'_>, name: &CStr) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    rustix::fs::symlinkat(target, parent, name)
}

/// Gives the file `name` in `from` the second name `to_name` in `to`. If `name` is a symbolic link, the link itself gets the
/// second name, not its target.
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

/// Renames `name` in `from` to `to_name` in `to`.
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

/// Removes the name `name` from `parent`. An empty directory is removed only with the flag `REMOVEDIR`.
pub(super) fn unlink(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    rustix::fs::unlinkat(parent, name, flags)
}

/// Sets the owner of an open file, which may be opened with `O_PATH`.
pub(super) fn set_owner(file: BorrowedFd<'_>, uid: u32, gid: u32) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)
}

/// Sets the owner of `name` in `parent`; of a symbolic link itself, not of its target.
pub(super) fn set_owner_at(parent: BorrowedFd<'_>, name: &CStr, uid: u32, gid: u32) -> OsResult<()> {
    if !pass(parent)? {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Sets the mode of an open file that is not a symbolic link. It may be opened with `O_PATH`.
pub(super) fn set_mode(file: BorrowedFd<'_>, mode: u32) -> OsResult<()> {
    if !pass(file)? {
        return Ok(());
    }
    match rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
        Err(Errno::BADF) => {}
        set => return set,
    }
    match crate::sys::set_mode_of(file, mode) {
        // fchmodat2(2) exists since Linux 6.6.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {}
        set => return set,
    }
    // This path leads to the open file itself, whatever names that file has in the root.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::chmodat(rustix::fs::CWD, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Makes a file, or the names in a directory, durable with fsync(2).
pub(super) fn sync(file: BorrowedFd<'_>) -> OsResult<()> {
    if pass_sync(file)? {
        rustix::fs::fsync(file)?;
        synced(file, false);
    }
    Ok(())
}

/// Makes the whole file system of `inside` durable with syncfs(2).
pub(super) fn sync_file_system(inside: BorrowedFd<'_>) -> OsResult<()> {
    if pass_sync(inside)? {
        rustix::fs::syncfs(inside)?;
        synced(inside, true);
    }
    Ok(())
}
