//! Kernel arguments: which files of the root a boot loader takes them from, and what these files shall hold. Nothing here
//! writes.
//!
//! `wanted` has the words that a config asks for, and edits lists of words. `grub`, `entries` and `extlinux` each know the
//! files of one boot loader, and `shell` writes the files that Debian's generators source. `boot_partitions` knows where boot
//! loaders have file systems of their own. `loaders` looks into the root.
//! `docs/kernel-arguments.md` tells users about all of it.

mod boot_partitions;
mod entries;
mod extlinux;
mod grub;
mod loaders;
mod shell;
mod wanted;

pub use boot_partitions::{BOOT_PARTITIONS, BootPartition, is_mounted, unmounted};
pub use loaders::{Change, boot_files, changes, is_found};
pub use wanted::Wanted;

/// The kernel and the initramfs that an entry of a boot loader starts, as paths of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFiles {
    /// The kernel.
    pub kernel: String,
    /// The initramfs: the last one if there are several. The first ones then only have microcode.
    pub initrd: Option<String>,
}
