//! Which file is meant: a copy of a file in another root has another identity.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FsWord, Statx, StatxFlags, statx};
use rustix::io::Errno;

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
pub(super) const OVERLAYFS: FsWord = 0x794c_7630;
/// With `xino=` an overlay puts the number of a layer into the highest bits of an inode number.
const INODE_OF_LAYER: u64 = u64::MAX >> 16;

/// A file, told by its inode. A copy of the whole disk is the same root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// Inode number.
    pub inode: u64,
    /// Birth time: seconds since the epoch and nanoseconds. Zeroes mean unknown: the file system keeps no birth times.
    pub born: (i64, u32),
}

impl FileIdentity {
    /// Returns the identity of an open file.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        Self::look_up(fd.as_fd(), c"", AtFlags::EMPTY_PATH)
    }

    /// Returns the identity of `name` in `parent`; of a symbolic link itself.
    pub fn of_name(parent: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        Self::look_up(parent, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn look_up(fd: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Self, Errno> {
        statx(fd, name, flags, StatxFlags::INO | StatxFlags::BTIME).map(|stat| Self::told(&stat))
    }

    /// Returns the identity that `stat` tells, which was asked for inode number and birth time.
    fn told(stat: &Statx) -> Self {
        let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = if has_birth { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { UNKNOWN };
        Self { inode: stat.stx_ino, born }
    }

    /// Whether this identity, which was recorded, is that of the file that is `found` now.
    ///
    /// The inode number and the birth time must both be the same. A birth time that is unknown says nothing.
    pub fn is(self, found: Self) -> bool {
        self.inode == found.inode && self.births(found) != Some(false)
    }

    /// The same on an overlay, which changes one of the two at a time without another file having come there: the
    /// inode number of a lower file gets or loses a layer's number when the layers are mounted in another way, and
    /// the birth time is that of the copy once the overlay has copied the file up.
    pub fn is_on_overlay(self, found: Self) -> bool {
        self.inode & INODE_OF_LAYER == found.inode & INODE_OF_LAYER || self.births(found) == Some(true)
    }

    /// Whether the birth times are the same; `None` if one of them is unknown.
    fn births(self, found: Self) -> Option<bool> {
        (self.born != UNKNOWN && found.born != UNKNOWN).then_some(self.born == found.born)
    }
}

/// The birth time where the file system has none.
const UNKNOWN: (i64, u32) = (0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileIdentity = FileIdentity { inode: 4711, born: (1_700_000_000, 5) };

    #[test]
    fn inode_and_birth_are_compared() {
        assert!(FILE.is(FILE));
        assert!(!FILE.is(FileIdentity { inode: 4712, ..FILE }));
        assert!(!FILE.is(FileIdentity { born: (1_700_000_000, 6), ..FILE }));
    }

    #[test]
    fn without_a_birth_the_inode_alone_decides() {
        let unknown = FileIdentity { born: (0, 0), ..FILE };
        for (recorded, found) in [(unknown, FILE), (FILE, unknown), (unknown, unknown)] {
            assert!(recorded.is(found));
            assert!(!recorded.is(FileIdentity { inode: 1, ..found }));
        }
    }

    #[test]
    fn an_overlay_may_change_one_of_the_two() {
        let layer = FileIdentity { inode: FILE.inode | (1 << 62), ..FILE };
        let copied_up = FileIdentity { born: (1_800_000_000, 1), ..layer };
        assert!(FILE.is_on_overlay(layer) && FILE.is_on_overlay(copied_up));
        assert!(FILE.is_on_overlay(FileIdentity { inode: 1, ..FILE }));
        assert!(!FILE.is_on_overlay(FileIdentity { inode: 1, born: (1_800_000_000, 1) }));
        let unknown = FileIdentity { inode: 1, born: (0, 0) };
        assert!(!FILE.is_on_overlay(unknown) && !unknown.is_on_overlay(FILE));
    }
}
