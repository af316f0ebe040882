//! Calls for work on disks: the partitions that the kernel knows, and programs in a mount namespace of their own.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

use super::pointers;
use crate::error::errno_of;

/// What the kernel is told about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelPartition {
    /// It is new.
    Add,
    /// It is gone.
    Delete,
    /// It has another end. This also works while the partition is in use.
    Resize,
}

/// Tells the kernel about the partition `number` of `disk`, which begins at byte `start` and has `length` bytes, by the
/// ioctl `BLKPG`.
///
/// # Errors
/// errno of ioctl(2): `EBUSY` for a partition in use, `ENXIO` for one that the kernel does not know.
pub fn tell_kernel(
    disk: BorrowedFd<'_>,
    what: KernelPartition,
    number: u32,
    (start, length): (u64, u64),
) -> Result<(), Errno> {
    /// `_IO(0x12, 105)`.
    const BLKPG: u16 = 0x1269;
    /// `struct blkpg_partition`.
    #[repr(C)]
    struct Partition {
        start: i64,
        length: i64,
        number: libc::c_int,
        names: [u8; 128],
    }
    /// `struct blkpg_ioctl_arg`.
    #[repr(C)]
    struct Argument {
        operation: libc::c_int,
        flags: libc::c_int,
        length: libc::c_int,
        data: *mut Partition,
    }
    let mut partition = Partition {
        start: i64::try_from(start).map_err(|_| Errno::OVERFLOW)?,
        length: i64::try_from(length).map_err(|_| Errno::OVERFLOW)?,
        number: libc::c_int::try_from(number).map_err(|_| Errno::OVERFLOW)?,
        names: [0; 128],
    };
    let mut argument = Argument {
        operation: match what {
            KernelPartition::Add => 1,
            KernelPartition::Delete => 2,
            KernelPartition::Resize => 3,
        },
        flags: 0,
        length: libc::c_int::try_from(size_of::<Partition>()).map_err(|_| Errno::OVERFLOW)?,
        data: &raw mut partition,
    };
    // SAFETY: both structures are whole and outlive the call, the size of the second is told, and the kernel only reads
    // them.
    let code = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG.into(), &raw mut argument) };
    if code == 0 { Ok(()) } else { Err(errno_of(&std::io::Error::last_os_error())) }
}

/// Gives this process a mount namespace of its own, by unshare(2). Must be called while it has a single thread.
///
/// # Errors
/// errno of unshare(2).
pub fn leave_mount_namespace() -> Result<(), Errno> {
    // SAFETY: no pointers are passed. The call changes nothing in memory.
    let code = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if code == 0 { Ok(()) } else { Err(errno_of(&std::io::Error::last_os_error())) }
}

/// Replaces this process by the program `arguments[0]`, which is found by `PATH` unless it has a slash. Returns only if this
/// fails, with errno of execvp(3).
pub fn replace_by(arguments: &[&CStr]) -> Errno {
    let Some(program) = arguments.first() else { return Errno::INVAL };
    let pointers = pointers(arguments);
    // SAFETY: all pointers but the last are strings that end in NUL and outlive the call, and the last one is null.
    unsafe { libc::execvp(program.as_ptr(), pointers.as_ptr().cast()) };
    errno_of(&std::io::Error::last_os_error())
}
