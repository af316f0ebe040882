//! The file systems of their own that boot loaders read: which of them the root has, and whether they are mounted in it.

use std::path::Path;

use crate::change::{FileKind, View};
use crate::error::Result;

/// Where the file systems that boot loaders read are mounted. The order is that of their mounts.
pub const BOOT_PARTITIONS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];

const FSTAB: &str = "/etc/fstab";
/// The most bytes of `/etc/fstab`.
const MOST_BYTES: u64 = 256 << 10;

/// A file system that a boot loader reads, as `/etc/fstab` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPartition {
    /// Where it is mounted: one of [`BOOT_PARTITIONS`].
    pub path: &'static str,
    /// Its device: a path, or `UUID=`, `LABEL=`, `PARTUUID=` or `PARTLABEL=` with a name.
    pub device: String,
    /// The name of the format, as mount(8) takes it.
    pub format: String,
    /// The options of the mount, separated by commas.
    pub options: String,
}

/// Returns the file systems of `/etc/fstab` that boot loaders read and that are not mounted in the root, in the order of
/// their mounts. `view` follows the links in all paths.
///
/// # Errors
/// Those of the view.
pub fn unmounted(view: &dyn View) -> Result<Vec<BootPartition>> {
    let path = Path::new(FSTAB);
    let text = match view.stat(path)? {
        Some(stat) if stat.kind == FileKind::File => view.read(path, MOST_BYTES)?,
        _ => Vec::new(),
    };
    let text = String::from_utf8_lossy(&text);
    let mut found = Vec::new();
    for path in BOOT_PARTITIONS {
        let mut lines = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let is_of_path = |fields: &Vec<&str>| {
            fields.first().is_some_and(|first| !first.starts_with('#')) && fields.get(1) == Some(&path)
        };
        let Some(fields) = lines.find(is_of_path) else { continue };
        if !is_mounted(path, view)? {
            let field = |number: usize| fields.get(number).copied().unwrap_or_default().to_owned();
            found.push(BootPartition { path, device: field(0), format: field(2), options: field(3) });
        }
    }
    Ok(found)
}

/// Returns whether a file system is mounted at `path`.
///
/// # Errors
/// Those of the view.
pub fn is_mounted(path: &str, view: &dyn View) -> Result<bool> {
    let device = |path: &str| -> Result<_> { Ok(view.stat(Path::new(path))?.map(|stat| stat.identity.0)) };
    let Some(own) = device(path)? else { return Ok(false) };
    let above = Path::new(path).parent().and_then(Path::to_str).unwrap_or("/");
    Ok(device(above)? != Some(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::memory::Memory;

    #[test]
    fn lines_of_fstab_name_what_is_not_mounted() {
        let mut root = Memory::debian();
        assert_eq!(unmounted(&root).unwrap(), []);
        let fstab = "UUID=r / ext4\n#UUID=x /boot ext4 ro\nLABEL=e  /boot/efi vfat umask=0077 0 1\n\tUUID=b\t/boot ext4\n";
        root.file("/etc/fstab", fstab);
        root.directory("/boot", 0, 0, 0o755);
        let partition = |path, device: &str, format: &str, options: &str| BootPartition {
            path,
            device: device.to_owned(),
            format: format.to_owned(),
            options: options.to_owned(),
        };
        let efi = || partition("/boot/efi", "LABEL=e", "vfat", "umask=0077");
        assert_eq!(unmounted(&root).unwrap(), [partition("/boot", "UUID=b", "ext4", ""), efi()]);
        root.next_device();
        root.directory("/boot", 0, 0, 0o755);
        assert_eq!(unmounted(&root).unwrap(), [efi()], "/boot is mounted, and the rest is not");
    }
}
