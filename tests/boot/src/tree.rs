//! Reading a path of a directory tree, and finding the paths at which two trees differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::lab::{Lab, Scratch, program};
use crate::process::run_ok;

/// The kinds of paths. A config can make the first three. All others count as one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A device, a socket or a pipe.
    Other,
}

/// What a config can decide about a path. Times are not part of this.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-uid, set-gid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// A file's content, or a link's target.
    pub content: Vec<u8>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, mode, uid, gid, content } = self;
        let text = String::from_utf8_lossy(content);
        write!(f, "{kind:?} {mode:04o} {uid}:{gid}, {} bytes {text:?}", content.len())
    }
}

/// Reads `path` itself, without following a link. Returns `None` if nothing is there.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Option<Node>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(Error::new(format!("stat {}: {e}", path.display()))),
    };
    let kind = meta.file_type();
    let (kind, content) = if kind.is_dir() {
        (Kind::Directory, Vec::new())
    } else if kind.is_file() {
        (Kind::File, fs::read(path).doing_to("read", path)?)
    } else if kind.is_symlink() {
        (Kind::Link, fs::read_link(path).doing_to("read the link", path)?.as_os_str().as_bytes().to_vec())
    } else {
        debug_assert!(kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device());
        (Kind::Other, Vec::new())
    };
    Ok(Some(Node { kind, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid(), content }))
}

/// Returns the paths at which `after` differs from `before`. They are absolute, with the top of a tree as `/`.
///
/// # Errors
/// When a path cannot be read.
pub fn changed(before: &Path, after: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found)?;
    Ok(found)
}

/// Applies the config in the file `config` to a copy of the lab's root. Returns each path that this changes, as it is
/// afterwards.
///
/// # Errors
/// When the program fails, or changes nothing.
pub fn applied(lab: &Lab, config: &Path) -> Result<BTreeMap<String, Option<Node>>> {
    let dir = Scratch::new()?;
    let (before, after) = (lab.part("root"), dir.join("root"));
    let limit = Duration::from_secs(120);
    run_ok(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&before).arg(&after), limit)?;
    run_ok(Command::new(program()?).args(["apply", "--root"]).arg(&after).arg(config), limit)?;
    let paths = changed(&before, &after)?;
    if paths.is_empty() {
        return Err(Error::new("apply has changed nothing"));
    }
    paths.into_iter().map(|path| Ok((path.clone(), read(&after.join(&path[1..]))?))).collect()
}

fn compare(before: &Path, after: &Path, at: &str, found: &mut Vec<String>) -> Result<()> {
    let mut names = BTreeSet::new();
    for tree in [before, after] {
        let folder = tree.join(at.trim_start_matches('/'));
        if !folder.is_dir() || folder.is_symlink() {
            continue;
        }
        for entry in fs::read_dir(&folder).doing_to("list", &folder)? {
            let name = entry.doing_to("list", &folder)?.file_name();
            names.insert(name.into_string().map_err(|name| {
                Error::new(format!(
                    "a name that is no UTF-8 in {}: {}",
                    folder.display(),
                    name.to_string_lossy()
                ))
            })?);
        }
    }
    for name in names {
        let path = format!("{at}/{name}");
        let old = read(&before.join(&path[1..]))?;
        let new = read(&after.join(&path[1..]))?;
        let descend = [&old, &new].iter().any(|n| n.as_ref().is_some_and(|n| n.kind == Kind::Directory));
        if old != new {
            found.push(path.clone());
        }
        if descend {
            compare(before, after, &path, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scratch;
    use std::os::unix::fs::symlink;

    #[test]
    fn differences_are_found_where_they_are() {
        let dir = Scratch::new().unwrap();
        let (a, b) = (dir.join("a"), dir.join("b"));
        for tree in [&a, &b] {
            fs::create_dir_all(tree.join("same")).unwrap();
            fs::write(tree.join("same/file"), "x").unwrap();
            fs::write(tree.join("content"), "x").unwrap();
            symlink("one", tree.join("link")).unwrap();
        }
        assert_eq!(changed(&a, &b).unwrap(), Vec::<String>::new());
        fs::write(b.join("content"), "y").unwrap();
        fs::remove_file(b.join("link")).unwrap();
        symlink("two", b.join("link")).unwrap();
        fs::create_dir(b.join("new")).unwrap();
        fs::write(b.join("new/file"), "").unwrap();
        fs::remove_file(b.join("same/file")).unwrap();
        assert_eq!(changed(&a, &b).unwrap(), ["/content", "/link", "/new", "/new/file", "/same/file"]);
    }
}
