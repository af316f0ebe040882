//! Whole reads and writes of open files. The standard library's cost several KB more of the initramfs.

use std::os::fd::BorrowedFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read, retry_on_intr, write};

/// Room for so much is made before each read.
const CHUNK: usize = 8 << 10;

/// What `fd` holds from where it stands, to the end or until it is more than `limit`.
pub fn read_all(fd: BorrowedFd<'_>, limit: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    while bytes.len() as u64 <= limit {
        bytes.reserve(CHUNK);
        if retry_on_intr(|| read(fd, spare_capacity(&mut bytes)))? == 0 {
            break;
        }
    }
    Ok(bytes)
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
