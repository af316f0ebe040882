//! Files that are rewritten in place, on file systems that have no links: vfat.
//!
//! Such a file system cannot hold an area, and a power cut during a rename can leave two names with the same blocks. So the
//! new contents are staged in the root's own area, and are copied from there into the file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FsWord, Mode, OFlags, StatVfsMountFlags, StatxFlags, fstat, fstatfs, fstatvfs, statx,
};
use rustix::io::{Errno, pread, retry_on_intr};

use super::calls::{self, OsResult};
use super::{Root, c_name};
use crate::change::Op;
use crate::error::{Error, Reason, Result};

/// `MSDOS_SUPER_MAGIC` of linux/magic.h, which vfat has too.
const MSDOS_SUPER_MAGIC: FsWord = 0x4d44;
/// The free bytes that the file system must have, so that the commit cannot run out of them.
const ROOM_BYTES: u64 = 64 << 10;
/// How many bytes are compared at once.
const CHUNK: usize = 64 << 10;

/// Returns whether files of this file system, of which `fd` is any file, can only be rewritten in place.
pub(super) fn is_needed(fd: impl AsFd) -> OsResult<bool> {
    Ok(fstatfs(fd)?.f_type == MSDOS_SUPER_MAGIC)
}

/// Refuses an operation in `directory` that is more than a rewrite of a file, with the owner and mode that it has.
///
/// # Errors
/// [`Reason::Unsupported`]; [`Reason::ReadOnly`] and [`Reason::NoSpace`] for a file system that cannot take it.
pub(super) fn check(op: &Op<'_>, directory: BorrowedFd<'_>) -> Result<()> {
    let path = op.path();
    let look = || {
        let name = c_name(path.file_name().ok_or(Errno::ISDIR)?)?;
        let flags = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID;
        match statx(directory, &name, AtFlags::SYMLINK_NOFOLLOW, flags) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    };
    let failed = |errno| Error::root("look up", path, errno);
    let is_rewrite = look().map_err(failed)?.is_some_and(|found| {
        let Op::File { attributes, .. } = op else { return false };
        u32::from(found.stx_mode) == 0o100_000 | attributes.mode
            && (found.stx_uid, found.stx_gid) == (attributes.uid, attributes.gid)
    });
    if !is_rewrite {
        return Err(refused(path));
    }
    let system = fstatvfs(directory).map_err(failed)?;
    if system.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::root("write", path, Errno::ROFS));
    }
    if system.f_bavail.saturating_mul(system.f_frsize) < ROOM_BYTES {
        return Err(Error::root("write", path, Errno::NOSPC));
    }
    Ok(())
}

/// Returns the error for something at `path` that vfat cannot take.
pub(super) fn refused(path: &Path) -> Error {
    let what = format!(
        "{} is on a file system of the format vfat, where only files that exist can be changed, without their owner and mode",
        path.display()
    );
    Error::new(Reason::Unsupported, what)
        .advise("Let a unit of the config do this at the first boot, then start again: nothing was written.")
}

/// Rewrites the file at `path`, so that it holds what the staged file `from` holds.
///
/// What is behind its end is on the disk before any of its old bytes changes. If few of these change, as in an entry of a
/// boot loader, the file is whole whenever the machine stops. A second call completes what a stopped one began.
///
/// # Errors
/// `EXDEV` for a file that need not be rewritten in place, and those of the calls.
pub(super) fn rewrite(root: &Root, path: &Path, from: &OwnedFd) -> OsResult<()> {
    let file = root.open_at(path, OFlags::RDWR | OFlags::NOFOLLOW, Mode::empty())?;
    if !is_needed(&file)? {
        return Err(Errno::XDEV);
    }
    copy(from, &file)
}

/// Lets `file` hold what `from` holds, as [`rewrite`] says.
fn copy(from: &OwnedFd, file: &OwnedFd) -> OsResult<()> {
    let size = |file: &OwnedFd| OsResult::Ok(u64::try_from(fstat(file)?.st_size).unwrap_or_default());
    let (old, new) = (size(file)?, size(from)?);
    if let Some(more) = new.checked_sub(old).filter(|more| *more > 0) {
        // Blocks first: a file must not end behind those that it has.
        match calls::reserve(file.as_fd(), old, more) {
            Ok(()) => calls::sync(file.as_fd())?,
            Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
        copy_range(from, file, (old, new))?;
        calls::sync(file.as_fd())?;
    }
    copy_range(from, file, (0, old.min(new)))?;
    if new < old {
        calls::shorten(file.as_fd(), old.saturating_sub(new))?;
    }
    calls::sync(file.as_fd())
}

/// Writes the bytes in which `from` differs from `file`, of those from the first of `range` up to before the last.
fn copy_range(from: &OwnedFd, file: &OwnedFd, range: (u64, u64)) -> OsResult<()> {
    let (mut at, end) = range;
    let (mut new, mut old) = (vec![0; CHUNK], vec![0; CHUNK]);
    while at < end {
        let want = usize::try_from(end.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK);
        let new = new.get_mut(..want).unwrap_or_default();
        let count = retry_on_intr(|| pread(from, &mut *new, at))?;
        if count == 0 {
            return Err(Errno::IO);
        }
        let new = new.get(..count).unwrap_or_default();
        let old = old.get_mut(..count).unwrap_or_default();
        let there = retry_on_intr(|| pread(file, &mut *old, at))?;
        let old = old.get(..there).unwrap_or_default();
        let differs = |index: &usize| new.get(*index) != old.get(*index);
        if let (Some(first), Some(last)) = ((0..count).find(differs), (0..count).rfind(differs)) {
            let offset = at.saturating_add(first as u64);
            calls::write_all_at(file.as_fd(), new.get(first..=last).unwrap_or_default(), offset)?;
        }
        at = at.saturating_add(count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::fs;

    #[test]
    fn a_file_gets_other_contents_and_stays_the_same_file() {
        let directory = TempDir::new("in-place");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let long = vec![b'x'; 200_000];
        let longer = [&long[..], b"end"].concat();
        let mut other = longer.clone();
        other[70_000] = b'y';
        for (old, new) in [
            (&b"#old"[..], &b"old\nnew\n"[..]),
            (b"a long one", b"short"),
            (&long, &longer),
            (&longer, &other),
            (b"", b""),
        ] {
            fs::write(&from, new).unwrap();
            fs::write(&to, old).unwrap();
            let to_write = fs::File::options().read(true).write(true).open(&to).unwrap().into();
            let from = fs::File::open(&from).unwrap().into();
            copy(&from, &to_write).unwrap();
            assert!(fs::read(&to).unwrap() == new, "{:?}", old.get(..9));
        }
    }
}
