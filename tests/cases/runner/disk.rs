//! Trees on a real file system.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

use super::manifest::{Kind, Node, Tree};

/// Makes `tree` at `root`, which is a path of the running system.
pub fn write(root: &Path, tree: &Tree) -> Result<(), String> {
    for (path, node) in tree {
        put(root, path, node).map_err(|error| format!("make {}: {error}", path.display()))?;
    }
    Ok(())
}

fn put(root: &Path, path: &Path, node: &Node) -> std::io::Result<()> {
    let at = below(root, path);
    let special = |kind, device| Ok(mknodat(CWD, &at, kind, Mode::from_raw_mode(0o600), device)?);
    match &node.kind {
        Kind::Dir => fs::create_dir_all(&at),
        Kind::File(bytes) => fs::write(&at, bytes),
        Kind::Link(target) => symlink(target, &at),
        Kind::Hard(first) => return fs::hard_link(below(root, first), &at),
        Kind::Fifo => special(FileType::Fifo, 0),
        Kind::Socket => special(FileType::Socket, 0),
        Kind::Char(major, minor) => special(FileType::CharacterDevice, makedev(*major, *minor)),
    }?;
    lchown(&at, Some(node.uid), Some(node.gid))?;
    // The mode is set after the owner, because chown(2) clears setuid and setgid.
    match node.kind {
        Kind::Link(_) => Ok(()),
        _ => fs::set_permissions(&at, Permissions::from_mode(node.mode)),
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Returns whether this process may make devices in `directory`.
pub fn can_make_devices(directory: &Path) -> Result<bool, String> {
    let path = directory.join("device");
    match mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)) {
        Ok(()) => fs::remove_file(&path).map(|()| true).map_err(|error| error.to_string()),
        Err(Errno::PERM) => Ok(false),
        Err(errno) => Err(format!("make {}: {errno}", path.display())),
    }
}

/// Reads what stands at `root`.
pub fn read(root: &Path) -> Result<Tree, String> {
    let mut tree = Tree::new();
    let mut names = BTreeMap::new();
    let mut left = vec![PathBuf::from("/")];
    while let Some(path) = left.pop() {
        let mut add = || {
            let at = below(root, &path);
            let stat = fs::symlink_metadata(&at)?;
            let kind = stat.file_type();
            let kind = if kind.is_dir() {
                for entry in fs::read_dir(&at)? {
                    left.push(path.join(entry?.file_name()));
                }
                Kind::Dir
            } else if kind.is_symlink() {
                Kind::Link(fs::read_link(&at)?)
            } else if kind.is_file() {
                if stat.nlink() > 1 {
                    names.entry((stat.dev(), stat.ino())).or_insert_with(Vec::new).push(path.clone());
                }
                Kind::File(fs::read(&at)?)
            } else if kind.is_fifo() {
                Kind::Fifo
            } else if kind.is_socket() {
                Kind::Socket
            } else {
                Kind::Char(rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()))
            };
            let (mode, uid, gid) = (stat.mode() & 0o7777, stat.uid(), stat.gid());
            tree.insert(path.clone(), Node { kind, mode, uid, gid });
            std::io::Result::Ok(())
        };
        add().map_err(|error| format!("read {}: {error}", path.display()))?;
    }
    for mut paths in names.into_values() {
        paths.sort();
        let mut paths = paths.into_iter();
        let Some(first) = paths.next() else { continue };
        for path in paths {
            tree.insert(path, Node { kind: Kind::Hard(first.clone()), mode: 0, uid: 0, gid: 0 });
        }
    }
    Ok(tree)
}
