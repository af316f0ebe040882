//! The paths that an image ships only as a default. A config may put something else there without `overwrite`.
//!
//! Images for the reference are made for configs and have, for example, no `/etc/hostname`. A plain Debian has one,
//! and most configs were not written with Debian in mind.

use std::path::Path;

use super::tree::Tree;
use crate::change::FileKind;
use crate::config::path_fault;
use crate::error::{Reason, Result};
use crate::map::Map;

/// The directory of the lists. Only files that end in `.conf` are read.
const DIRECTORY: &str = "/usr/lib/glowplug/defaults.d";
/// The largest list, in bytes.
const MOST_BYTES: u64 = 64 << 10;
/// The most paths that are taken from all lists together.
const MOST_PATHS: usize = 1000;

/// The resolved paths of all lists.
#[derive(Debug, Default)]
pub(super) struct ImageDefaults(Map<()>);

impl ImageDefaults {
    /// Reads the lists of the root. A faulty list or line causes a warning and is ignored, because a list must not
    /// prevent a machine from starting.
    ///
    /// # Errors
    /// [`Reason::RootIo`] if the root cannot be read.
    pub(super) fn read(tree: &mut Tree) -> Result<Self> {
        let mut defaults = Self::default();
        let directory = tree.resolve(Path::new(DIRECTORY))?;
        if tree.stat(&directory)?.is_none_or(|stat| stat.kind != FileKind::Directory) {
            return Ok(defaults);
        }
        let mut room = MOST_PATHS;
        for name in tree.list(&directory)? {
            let name = Path::new(&name);
            // A link to `/dev/null` disables a list, because it leads to no regular file.
            let path = tree.resolve(&directory.join(name))?;
            let Some(stat) = tree.stat(&path)?.filter(|stat| stat.kind == FileKind::File) else { continue };
            if name.extension().is_none_or(|extension| extension != "conf") {
                continue;
            }
            let name = format!("{DIRECTORY}/{}", name.display());
            if stat.size > MOST_BYTES {
                tree.warn(format!("{name} is larger than 64 KiB: the list is ignored"));
                continue;
            }
            let bytes = tree.read(&path)?.unwrap_or_default().into_owned();
            defaults.add(&bytes, &name, &mut room, tree)?;
        }
        Ok(defaults)
    }

    /// Adds the paths of the list `name`, at most `room` of them.
    fn add(&mut self, list: &[u8], name: &str, room: &mut usize, tree: &mut Tree) -> Result<()> {
        for (index, line) in list.split(|byte| *byte == b'\n').enumerate() {
            let line = std::str::from_utf8(line).map_or("\u{fffd}", str::trim);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index.saturating_add(1);
            let Some(left) = room.checked_sub(1) else {
                tree.warn(format!(
                    "{name}: the lists have more than 1,000 paths: those from line {number} on are ignored"
                ));
                break;
            };
            *room = left;
            let fault =
                path_fault(line).or((line == "/" || line.contains('\0')).then_some("not the path of a file"));
            if let Some(fault) = fault {
                tree.warn(format!("{name}: line {number} is ignored: {fault}"));
                continue;
            }
            match tree.resolve_parent(Path::new(line)) {
                Ok(path) => drop(self.0.insert(path.as_os_str().as_encoded_bytes(), ())),
                Err(error) if error.reason() == Reason::RootIo => return Err(error),
                Err(error) => tree.warn(format!("{name}: line {number} is ignored: {error}")),
            }
        }
        Ok(())
    }

    /// Returns whether the image ships the file at the resolved `path` only as a default.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.0.get(path.as_os_str().as_encoded_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::memory::Memory;

    /// The list that Debian's package installs.
    const DEBIAN: &str = include_str!("../../defaults/50-debian.conf");

    fn read(lists: &[(&str, &str)]) -> (ImageDefaults, Vec<String>) {
        let mut root = Memory::debian();
        root.directory(DIRECTORY, 0, 0, 0o755);
        for (name, text) in lists {
            root.file(&format!("{DIRECTORY}/{name}"), text);
        }
        let mut tree = Tree::new(&root);
        let defaults = ImageDefaults::read(&mut tree).unwrap();
        (defaults, tree.into_planned().warnings)
    }

    #[test]
    fn the_list_of_the_package_is_read_whole() {
        let (defaults, warnings) = read(&[("50-debian.conf", DEBIAN)]);
        assert_eq!(warnings, [""; 0]);
        for name in ["hostname", "hosts", "issue", "localtime", "motd", "resolv.conf", "timezone"] {
            assert!(defaults.contains(&Path::new("/etc").join(name)), "{name}");
        }
        assert!(!defaults.contains(Path::new("/etc/passwd")));
    }

    #[test]
    fn lists_are_bounded() {
        let long = "/x\n".repeat(30_000);
        let many = (0..1100).map(|number| format!("/{number}")).collect::<Vec<_>>().join("\n");
        let (defaults, warnings) = read(&[("a.conf", &long), ("b.conf", &many)]);
        assert_eq!(
            warnings,
            [
                format!("{DIRECTORY}/a.conf is larger than 64 KiB: the list is ignored"),
                format!(
                    "{DIRECTORY}/b.conf: the lists have more than 1,000 paths: those from line 1001 on are ignored"
                ),
            ]
        );
        assert!(defaults.contains(Path::new("/999")) && !defaults.contains(Path::new("/1000")));
        assert!(!defaults.contains(Path::new("/x")));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_a_failure() {
        let mut root = Memory::debian();
        root.directory(DIRECTORY, 0, 0, 0o755);
        root.file(&format!("{DIRECTORY}/a.conf"), "/etc/hostname");
        root.broken.set(true);
        let error = ImageDefaults::read(&mut Tree::new(&root)).unwrap_err();
        assert_eq!(error.reason(), Reason::RootIo);
    }
}
