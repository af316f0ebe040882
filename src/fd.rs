//! Whole reads and writes of open files, and the names in directories. The standard library's cost several KB more
//! of the initramfs.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Dir, Mode, OFlags, fstat};
use rustix::io::{Errno, read, retry_on_intr, write};

use crate::error::errno_of;

/// Room for so much is made before each read.
const CHUNK: usize = 8 << 10;

/// What the file at `path` of the running system holds, to the end or until it is more than `limit`.
#[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Errno> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_all(fd.as_fd(), limit)
}

/// The same of a text of the kernel's, as those below `/proc`.
pub fn read_text(path: &str) -> Result<String, Errno> {
    const LIMIT: u64 = 1 << 20;
    let bytes = read_file(Path::new(path), LIMIT)?;
    if bytes.len() as u64 > LIMIT {
        Err(Errno::FBIG)
    } else {
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The names in the directory at `path` of the running system, in no order.
#[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
pub fn list(path: &Path) -> Result<Vec<OsString>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).and_then(Dir::new).and_then(names)
}

/// What `fd` holds from where it stands, to the end or until it is more than `limit`.
pub fn read_all(fd: BorrowedFd<'_>, limit: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    // A large file is not copied each time the room for it grows.
    let size = u64::try_from(fstat(fd)?.st_size).unwrap_or(0).min(limit);
    bytes.reserve_exact(usize::try_from(size).unwrap_or(0).saturating_add(CHUNK));
    while bytes.len() as u64 <= limit {
        bytes.reserve(1);
        if retry_on_intr(|| read(fd, spare_capacity(&mut bytes)))? == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// The names in a directory, without `.` and `..`, in no order.
pub fn names(directory: Dir) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in directory {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Replaces the file at `path` in `/run/glowplug` by `text`, whole or not at all, by way of `new` beside it.
#[allow(clippy::disallowed_methods, reason = "/run is the running system's, not a path of the root")]
pub fn replace(path: &Path, new: &Path, text: &str) -> Result<(), Errno> {
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(new, text))
        .and_then(|()| std::fs::rename(new, path))
        .map_err(|error| errno_of(&error))
}

/// Writes all of `bytes`.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(fd, bytes))? {
            0 => return Err(Errno::IO),
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}
