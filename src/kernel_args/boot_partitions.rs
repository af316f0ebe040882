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
        let mut lines = text.lines().map(fields);
        let is_of_path = |[device, place, ..]: &[String; 4]| {
            !device.starts_with('#') && (place == path || place.trim_end_matches('/') == path)
        };
        let Some([device, _, format, options]) = lines.find(is_of_path) else { continue };
        if !is_mounted(path, view)? {
            found.push(BootPartition { path, device, format, options });
        }
    }
    Ok(found)
}

/// Returns the first four fields of a line of fstab, without their escapes. Those that are missing are empty.
fn fields(line: &str) -> [String; 4] {
    let mut fields = line.split_ascii_whitespace().map(unescaped);
    std::array::from_fn(|_| fields.next().unwrap_or_default())
}

/// Returns a field of fstab as getmntent(3) does: a blank is `\040`, a tab `\011`, a newline `\012`, and a backslash `\134`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escapes = [("040", ' '), ("011", '\t'), ("012", '\n'), ("134", '\\')];
        let escape = escapes.iter().find_map(|(code, c)| Some((*c, part.strip_prefix(code)?)));
        let (c, rest) = escape.unwrap_or(('\\', part));
        text.push(c);
        text.push_str(rest);
    }
    text
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
    fn fields_have_escapes() {
        let line = r"LABEL=EFI\040system\134 /boot/efi\011x \0 umask=0077";
        assert_eq!(fields(line), [r"LABEL=EFI system\", "/boot/efi\tx", r"\0", "umask=0077"]);
        assert_eq!(fields("a"), ["a", "", "", ""]);
    }

    #[test]
    fn lines_of_fstab_name_what_is_not_mounted() {
        let mut root = Memory::debian();
        assert_eq!(unmounted(&root).unwrap(), []);
        let fstab = "UUID=r / ext4\n#UUID=x /boot ext4 ro\nLABEL=e  /boot/efi/ vfat umask=0077 0 1\n\tUUID=b\t/boot ext4\n";
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
