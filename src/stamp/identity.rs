//! The identity of a file, by which a copy of the file in another root is told from it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FsWord, Statx, StatxFlags, statx};
use rustix::io::Errno;

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
pub(super) const OVERLAYFS: FsWord = 0x794c_7630;
/// The bits of an inode number that an overlay leaves alone. With `xino=` it puts the number of a layer into the highest 16.
const INODE_OF_LAYER: u64 = u64::MAX >> 16;

/// The identity of a file: that of its inode. In a copy of the whole disk every file keeps its identity, so that the copy
/// counts as the same root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// The inode number.
    pub inode: u64,
    /// The birth time: seconds since the epoch, and nanoseconds. It is (0, 0) if the file system keeps no birth times.
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
        statx(fd, name, flags, StatxFlags::INO | StatxFlags::BTIME).map(|stat| Self::in_stat(&stat))
    }

    /// Returns the identity in `stat`, which was asked for inode number and birth time.
    fn in_stat(stat: &Statx) -> Self {
        let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = if has_birth { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { UNKNOWN };
        Self { inode: stat.stx_ino, born }
    }

    /// Returns whether this recorded identity is that of the file that is `found` now. Inode number and birth time must both be
    /// the same. A birth time that is unknown is not compared.
    pub fn is(self, found: Self) -> bool {
        self.inode == found.inode && self.births(found) != Some(false)
    }

    /// Returns whether this recorded identity is that of the file that is `found` now on an overlay. There inode number or
    /// birth time must be the same, because an overlay can change one of them for the same file. The inode number of a file in
    /// a lower layer gets or loses the layer's number when the layers are mounted in another way. The birth time changes when
    /// the overlay copies the file up.
    pub fn is_on_overlay(self, found: Self) -> bool {
        self.inode & INODE_OF_LAYER == found.inode & INODE_OF_LAYER || self.births(found) == Some(true)
    }

    /// Returns whether the birth times are the same, or `None` if one of them is unknown.
    fn births(self, found: Self) -> Option<bool> {
        (self.born != UNKNOWN && found.born != UNKNOWN).then_some(self.born == found.born)
    }
}

/// The birth time of a file if the file system keeps none.
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
