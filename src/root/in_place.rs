//! Files that are rewritten in place, on file systems that have no links: vfat.
//!
//! Such a file system cannot hold an area, and a power cut during a rename can leave two names with the same blocks. So the
//! new contents are staged in the root's own area, and are copied from there into the file. A power cut can come between any
//! two sectors of this. So only such a file is rewritten that its reader understands at every moment: the new text is the old
//! one with bytes that have become [`MARK`], and with more at its end. The entries of systemd-boot are edited that way.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FsWord, Mode, OFlags, StatVfs, StatVfsMountFlags, StatxFlags, fstatfs, fstatvfs, statx,
};
use rustix::io::Errno;

use super::area::Area;
use super::calls::{self, DIRECTORY, OsResult};
use super::staged::staged_name;
use super::{Root, c_name};
use crate::change::{Op, Piece};
use crate::error::{Error, Reason, Result};
use crate::fd::{names, read_all};

/// `MSDOS_SUPER_MAGIC` of linux/magic.h, which vfat has too.
const MSDOS_SUPER_MAGIC: FsWord = 0x4d44;
/// What a byte of the old text may become. It begins a comment in an entry of systemd-boot.
const MARK: u8 = b'#';
/// The most bytes of a file that is rewritten. An entry has less than 1 KiB.
const MOST_BYTES: u64 = 256 << 10;

/// Returns whether files of this file system, of which `fd` is any file, can only be rewritten in place.
pub(super) fn is_needed(fd: impl AsFd) -> OsResult<bool> {
    Ok(fstatfs(fd)?.f_type == MSDOS_SUPER_MAGIC)
}

/// Refuses an operation in `directory` that is more than a rewrite of a file with the owner and mode that it has. Its
/// contents are checked when they are staged ([`check_rewrites`]).
///
/// # Errors
/// [`Reason::Unsupported`]; [`Reason::ReadOnly`] for a file system that is read-only.
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
    if fstatvfs(directory).map_err(failed)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::root("write", path, Errno::ROFS));
    }
    Ok(())
}

/// Returns the error for something at `path` that cannot be done safely on vfat.
pub(super) fn refused(path: &Path) -> Error {
    let what = format!(
        "{} is on a file system of the format vfat, where a power cut can spoil whatever is changed: only entries of \
         systemd-boot are changed there, and only by their kernel arguments",
        path.display()
    );
    Error::new(Reason::Unsupported, what)
        .advise("Let a unit of the config do this at the first boot, then start again: nothing was written.")
}

/// Checks the new contents of files that are to be rewritten. `rewrites` has their paths with the numbers of the entries
/// that are staged for them in `area`.
///
/// # Errors
/// [`Reason::Unsupported`] for a file that a power cut could spoil, [`Reason::NoSpace`] for a file system with too little
/// room for all of them, and those of reading.
pub(super) fn check_rewrites(root: &Root, area: &Area, rewrites: &[(usize, PathBuf)]) -> Result<()> {
    let mut blocks: u64 = 0;
    for (entry, path) in rewrites {
        let mut compare = || {
            let file = root.open_at(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())?;
            let (old, new) = (read(&file)?, read(&area.open(&staged_name(*entry)?)?)?);
            if !is_safe(&old, &new) {
                return Ok(false);
            }
            // Each of the files needs room, whatever the others take.
            let StatVfs { f_bavail, f_frsize, .. } = fstatvfs(&file)?;
            let blocks_of = |text: &[u8]| (text.len() as u64).div_ceil(f_frsize.max(1));
            blocks = blocks.saturating_add(blocks_of(&new).saturating_sub(blocks_of(&old)));
            if blocks > f_bavail { Err(Errno::NOSPC) } else { Ok(true) }
        };
        match compare() {
            Ok(true) => {}
            Ok(false) => return Err(refused(path)),
            Err(errno) => return Err(Error::root("write", path, errno)),
        }
    }
    Ok(())
}

impl Root {
    /// Refuses those of `ops` that cannot be carried out because of the format of a file system. For a dry run, which stages
    /// nothing.
    ///
    /// # Errors
    /// [`Reason::Unsupported`] and those of the root. Directories that this user may not look into are skipped.
    pub fn refuse_unsafe(&self, ops: &[Op<'_>]) -> Result<()> {
        let mut last = Path::new("");
        let mut directory = None;
        for op in ops {
            let path = op.path();
            let Some(parent) = path.parent() else { continue };
            if parent.as_os_str() != last.as_os_str() {
                last = parent;
                directory = match self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
                    Ok(fd) => is_needed(&fd).map(|is_needed| is_needed.then_some(fd)),
                    // It does not exist yet, or this user may not look into it.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::ACCESS) => {
                        Ok(None)
                    }
                    Err(errno) => Err(errno),
                }
                .map_err(|errno| Error::root("look up", parent, errno))?;
            }
            let Some(directory) = &directory else { continue };
            check(op, directory.as_fd())?;
            let Op::File { contents, .. } = op else { continue };
            let bytes = contents.iter().map(|piece| match piece {
                Piece::Bytes(bytes) => Some(&**bytes),
                _ => None,
            });
            let Some(new) = bytes.collect::<Option<Vec<&[u8]>>>() else { continue };
            let old = self.open_at(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty());
            if old.and_then(|file| read(&file)).is_ok_and(|old| !is_safe(&old, &new.concat())) {
                return Err(refused(path));
            }
        }
        Ok(())
    }
}

/// Reads all of a file.
///
/// # Errors
/// `EFBIG` if it is too large to be rewritten.
fn read(file: &OwnedFd) -> OsResult<Vec<u8>> {
    let bytes = read_all(file.as_fd(), MOST_BYTES)?;
    if bytes.len() as u64 > MOST_BYTES { Err(Errno::FBIG) } else { Ok(bytes) }
}

/// Returns how many bytes of a text systemd-boot reads: those before the first NUL byte.
fn read_length(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == 0).unwrap_or(text.len())
}

/// Returns whether a file is whole at every moment while its text `old` becomes `new`.
fn is_safe(old: &[u8], new: &[u8]) -> bool {
    let kept = old.get(..read_length(old)).unwrap_or_default();
    new.len() >= old.len() && kept.iter().zip(new).all(|(old, new)| old == new || *new == MARK)
}

/// Rewrites the file at `path`, so that it holds what the staged file `from` holds. A second call completes what a stopped
/// one began.
///
/// # Errors
/// `EXDEV` for a file that need not be rewritten in place, and those of the calls.
pub(super) fn rewrite(root: &Root, path: &Path, from: &OwnedFd) -> OsResult<()> {
    let open = |path: &Path| root.open_at(path, OFlags::RDWR | OFlags::NOFOLLOW, Mode::empty());
    let file = match open(path) {
        Err(Errno::NOENT) => open(&renamed(root, path)?)?,
        file => file?,
    };
    if !is_needed(&file)? {
        return Err(Errno::XDEV);
    }
    copy(&read(from)?, &file)
}

/// Returns the path that an entry has got because its starts are counted: systemd-boot renames `a+3.conf` to `a+2-1.conf`, and
/// systemd renames it to `a.conf` when a start was good. A power cut lies between the search for the entry and now.
///
/// # Errors
/// `ENOENT` if there is none, and those of reading its directory.
fn renamed(root: &Root, path: &Path) -> OsResult<PathBuf> {
    let directory = root.open_at(path.parent().ok_or(Errno::INVAL)?, DIRECTORY, Mode::empty())?;
    let entry = path.file_name().and_then(uncounted).ok_or(Errno::NOENT)?;
    let mut names = names(rustix::fs::Dir::new(directory)?)?.into_iter();
    names
        .find(|name| uncounted(name) == Some(entry))
        .map(|name| path.with_file_name(name))
        .ok_or(Errno::NOENT)
}

/// Returns the name of an entry without its ending and without the counts of its starts; `None` for another file.
fn uncounted(name: &OsStr) -> Option<&[u8]> {
    let name = name.as_bytes().strip_suffix(b".conf")?;
    let counts = name.iter().rposition(|byte| *byte == b'+').and_then(|plus| name.split_at_checked(plus));
    let is_count = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    let entry = counts.filter(|(_, counts)| counts.iter().skip(1).all(is_count)).map(|(entry, _)| entry);
    Some(entry.unwrap_or(name))
}

/// Lets `file` hold the text `new`, if [`is_safe`] has found that this can be done.
///
/// What comes behind the old end is written first, but with a NUL byte before it, so that nobody reads it. When it is on the
/// disk, its first byte takes the place of the NUL byte: a byte is in one sector, and a disk writes a sector whole or not at
/// all. Then the old text gets its marks. With or without any of them the file says what is needed, because the new end does.
fn copy(new: &[u8], file: &OwnedFd) -> OsResult<()> {
    let old = read(file)?;
    let end = read_length(&old);
    let (position, size) = (end as u64, old.len() as u64);
    let more = (new.len() as u64).saturating_sub(size);
    let (text, tail) = new.split_at_checked(end).unwrap_or((new, &[]));
    if let Some((first, rest)) = tail.split_first().filter(|_| old.get(end..) != Some(tail)) {
        if more > 0 {
            // Blocks first: a file must not end behind those that it has.
            match calls::reserve(file.as_fd(), size, more) {
                Ok(()) => calls::sync(file.as_fd())?,
                Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno),
            }
        }
        calls::write_all_at(file.as_fd(), &[&[0], rest].concat(), position)?;
        calls::sync(file.as_fd())?;
        calls::write_all_at(file.as_fd(), &[*first], position)?;
        calls::sync(file.as_fd())?;
    }
    for ((at, old), new) in (0..).zip(&old).zip(text) {
        if old != new {
            calls::write_all_at(file.as_fd(), &[*new], at)?;
        }
    }
    if (new.len() as u64) < size {
        calls::shorten(file.as_fd(), size.saturating_sub(new.len() as u64))?;
    }
    calls::sync(file.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::fs;

    const OLD: &[u8] = b"options a\nlinux /k\n";
    const NEW: &[u8] = b"#ptions a\nlinux /k\noptions b\n";

    /// Copies `new` into a file that holds `old`, and returns what it holds then.
    fn copied(old: &[u8], new: &[u8]) -> Vec<u8> {
        let directory = TempDir::new("in-place");
        let path = directory.path().join("file");
        fs::write(&path, old).unwrap();
        copy(new, &fs::File::options().read(true).write(true).open(&path).unwrap().into()).unwrap();
        fs::read(&path).unwrap()
    }

    #[test]
    fn only_marks_and_a_new_end_are_safe() {
        assert!(is_safe(OLD, NEW) && is_safe(NEW, NEW) && is_safe(b"", NEW));
        assert!(
            is_safe(b"options a\n\0\0\0", b"#ptions a\noptions b\n"),
            "nobody reads what is behind a NUL byte"
        );
        for (old, new) in [
            (OLD, &b"options b\nlinux /k\n"[..]),
            (OLD, b"options a\n"),
            (b"linux /k quiet\ninitrd /i\n", b"linux /k a\ninitrd /i\n"),
            (b"options a\n\0\0\0\0\0\0\0\0\0\0\0\0\0", b"#ptions a\noptions b\n"),
        ] {
            assert!(!is_safe(old, new), "{}", String::from_utf8_lossy(new));
        }
    }

    /// The states in which a power cut can leave the file: without the new end, with a part of it, with all of it, and marked.
    #[test]
    fn a_second_call_completes_what_a_stopped_one_began() {
        let end = &NEW[OLD.len()..];
        let unread = |rest: &[u8]| [OLD, b"\0", rest].concat();
        for old in [
            OLD.to_vec(),
            unread(b""),
            unread(&vec![0; end.len() - 1]),
            unread(&end[1..]),
            [OLD, end].concat(),
            NEW.to_vec(),
            b"options a\nlinux /k\noptions b\ngarbage of another file".to_vec(),
        ] {
            assert!(copied(&old, NEW) == NEW, "{}", String::from_utf8_lossy(&old));
        }
        let longer = [OLD, &vec![b'x'; 200_000]].concat();
        assert!(copied(OLD, &longer) == longer);
        assert_eq!(copied(b"options a\n\0\0\0", b"#ptions a\n\0\0\0"), b"#ptions a\n\0\0\0");
        assert_eq!(copied(b"", b""), b"");
    }

    #[test]
    fn an_entry_is_found_by_another_count() {
        let counted = |name: &str| uncounted(OsStr::new(name)).map(<[u8]>::to_vec);
        for name in ["debian.conf", "debian+3.conf", "debian+2-1.conf", "debian+0-3.conf"] {
            assert_eq!(counted(name).as_deref(), Some(&b"debian"[..]), "{name}");
        }
        assert_eq!(counted("6.12+deb13-amd64.conf").as_deref(), Some(&b"6.12+deb13-amd64"[..]));
        assert_eq!(counted("debian+3.txt"), None);
        let directory = TempDir::new("counted");
        fs::create_dir(directory.path().join("entries")).unwrap();
        fs::write(directory.path().join("entries/debian+2-1.conf"), "").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let found = renamed(&root, Path::new("/entries/debian+3.conf")).unwrap();
        assert_eq!(found, Path::new("/entries/debian+2-1.conf"));
        assert_eq!(renamed(&root, Path::new("/entries/other+3.conf")), Err(Errno::NOENT));
    }
}
