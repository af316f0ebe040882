//! The project of a directory, for quotas: what ext4 and xfs give to new files in it.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

/// `FS_IOC_FSGETXATTR`, for a structure of 28 bytes.
#[cfg(target_env = "musl")]
const GET: libc::Ioctl = i32::from_ne_bytes(0x801c_581f_u32.to_ne_bytes());
#[cfg(not(target_env = "musl"))]
const GET: libc::Ioctl = 0x801c_581f;
/// `FS_XFLAG_PROJINHERIT`.
const INHERITS: u32 = 0x200;

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_on_write: u32,
    padding: [u8; 8],
}

/// Returns the project that new files in the open directory get: 0 if it has none to give, or if its file system knows no
/// projects.
///
/// # Errors
/// errno of ioctl(2).
pub fn project_of_new_files(directory: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut attributes = Attributes::default();
    // SAFETY: the pointer is to a whole `struct fsxattr`, which the kernel fills.
    let code = unsafe { libc::ioctl(directory.as_raw_fd(), GET, &raw mut attributes) };
    match (code, std::io::Error::last_os_error()) {
        (0, _) if attributes.flags & INHERITS != 0 => Ok(attributes.project),
        (0, _) => Ok(0),
        (_, error) => match super::errno_of(&error) {
            Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => Ok(0),
            errno => Err(errno),
        },
    }
}
