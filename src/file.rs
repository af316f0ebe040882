//! Reads whole files of the running system, such as configs.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Reason, Result};
use crate::sys::Mapped;
use crate::{fd, memory};

/// Reads a file of the running system, at most `limit` bytes.
///
/// # Errors
/// [`Reason::System`] if it cannot be read, [`Reason::BadAnswer`] if it is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    within(path, limit, fd::read_file(path, limit))
}

/// Turns a failure to read `path`, or more than `limit` bytes of it, into an error.
fn within(path: &Path, limit: u64, read: std::result::Result<Vec<u8>, Errno>) -> Result<Vec<u8>> {
    let bytes = read.map_err(|errno| Error::system_at("read", path, errno))?;
    if bytes.len() as u64 > limit {
        let what = format!("{} is larger than {limit} bytes", path.display());
        return Err(Error::new(Reason::BadAnswer, what)
            .advise("Make the file smaller, or give the machine more memory."));
    }
    Ok(bytes)
}

/// The bytes of a file, in memory or mapped.
#[derive(Debug)]
pub enum FileBytes {
    /// Read into memory.
    Read(Vec<u8>),
    /// Mapped from the file.
    Mapped(Mapped),
}

impl std::ops::Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(mapped) => mapped,
        }
    }
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Read(bytes)
    }
}

/// Reads a file of the running system, or standard input if `path` is `-`. The limit is half of the available memory.
///
/// # Errors
/// As for [`read`].
pub fn read_argument(path: &Path) -> Result<Vec<u8>> {
    let limit = memory::limit();
    if path == Path::new("-") {
        within(path, limit, fd::read_all(std::io::stdin().as_fd(), limit))
    } else {
        read(path, limit)
    }
}

/// Maps a file that this program has written and never changes in place. A file that cannot be mapped is read.
///
/// # Errors
/// As for [`read`].
pub fn map(path: &Path) -> Result<FileBytes> {
    // An empty file cannot be mapped. For other failures the read reports what is wrong.
    match Mapped::new(path) {
        Ok(mapped) => Ok(FileBytes::Mapped(mapped)),
        Err(_) => read(path, memory::limit()).map(FileBytes::Read),
    }
}
