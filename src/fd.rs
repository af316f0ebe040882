//! Reading and writing whole files, and the names in directories. The same functions of the standard library would make the
//! program several KB larger.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Dir, FileType, Mode, OFlags, fstat};
use rustix::io::{Errno, read, retry_on_intr, write};

use crate::error::errno_of;

/// How many bytes of room the buffer of a read has at first.
const CHUNK: usize = 8 << 10;

/// Reads the file at `path` of the running system. Stops once more than `limit` bytes are read, so that a caller can tell
/// whether the file is larger.
///
/// # Errors
/// errno of open(2) or read(2).
#[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Errno> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_all(fd.as_fd(), limit)
}

/// Reads a text file of the running system, as the kernel's below `/proc`. Invalid UTF-8 is replaced.
///
/// # Errors
/// errno of open(2) or read(2); `EFBIG` for more than 1 MiB.
pub fn read_text(path: &str) -> Result<String, Errno> {
    const LIMIT: u64 = 1 << 20;
    let bytes = read_file(Path::new(path), LIMIT)?;
    if bytes.len() as u64 > LIMIT {
        Err(Errno::FBIG)
    } else {
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Returns the names in the directory at `path` of the running system, in no particular order.
///
/// # Errors
/// errno of open(2) or getdents64(2).
#[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
pub fn list(path: &Path) -> Result<Vec<OsString>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).and_then(Dir::new).and_then(names)
}

/// Reads `fd` from its position to the end. Stops once more than `limit` bytes are read.
///
/// # Errors
/// errno of read(2) or fstat(2).
pub fn read_all(fd: BorrowedFd<'_>, limit: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(CHUNK);
    while bytes.len() as u64 <= limit {
        if bytes.len() == CHUNK {
            // Most files are smaller. With room for the whole file, the bytes are not copied again and again while the buffer
            // grows.
            let rest = u64::try_from(fstat(fd)?.st_size).unwrap_or(0).min(limit);
            bytes.reserve_exact(usize::try_from(rest).unwrap_or(0));
        }
        bytes.reserve(1);
        if retry_on_intr(|| read(fd, spare_capacity(&mut bytes)))? == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// Returns the names in a directory, without `.` and `..`, in no particular order.
///
/// # Errors
/// errno of getdents64(2).
pub fn names(directory: Dir) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    each_entry(directory, &mut |name, _| names.push(OsStr::from_bytes(name).to_owned()))?;
    Ok(names)
}

/// Calls `each` with the names in a directory and their kinds, without `.` and `..`, in no particular order.
///
/// # Errors
/// errno of getdents64(2).
pub fn each_entry(directory: Dir, each: &mut dyn FnMut(&[u8], FileType)) -> Result<(), Errno> {
    for entry in directory {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type());
        }
    }
    Ok(())
}

/// Replaces the file at `path`, in `/run/glowplug`, by `text`, whole or not at all. `new` is the path of an unfinished file in
/// the same directory. The directory is made if it is missing.
///
/// # Errors
/// errno of mkdir(2), open(2), write(2) or rename(2).
#[allow(clippy::disallowed_methods, reason = "/run is the running system's, not a path of the root")]
pub fn replace(path: &Path, new: &Path, text: &str) -> Result<(), Errno> {
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(new, text))
        .and_then(|()| std::fs::rename(new, path))
        .map_err(|error| errno_of(&error))
}

/// Writes `text` to standard output, unbuffered: the standard library's buffer is 2 KB of the initramfs.
///
/// # Errors
/// errno of write(2).
pub fn print(text: &str) -> Result<(), Errno> {
    write_all(std::io::stdout().as_fd(), text.as_bytes())
}

/// Writes `line` to standard error in one call, with a newline. Standard error may be closed. Then the line is lost.
pub fn print_error(line: &str) {
    let _ = write_all(std::io::stderr().as_fd(), [line, "\n"].concat().as_bytes());
}

/// Writes all of `bytes`.
///
/// # Errors
/// errno of write(2); `EIO` if nothing at all is written.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(fd, bytes))? {
            0 => return Err(Errno::IO),
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}
