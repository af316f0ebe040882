//! The copy of a directory tree of the root, as the shadow tools make it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::change::{Attributes, Kind};
use crate::error::{Error, Reason, Result};
use crate::plan::Tree;
use crate::plan::map::Map;

/// What is the same for every file of one copy.
pub(super) struct Copy<'p> {
    /// The tree's old name: links that begin with it are made to begin with `new_root`.
    pub(super) old_root: &'p Path,
    /// The tree's new name.
    pub(super) new_root: &'p Path,
    /// Who the copy belongs to.
    pub(super) owner: &'p dyn Fn(Attributes) -> Attributes,
}

/// The copy of each file, by the file's identity: its other names become names of the copy.
pub(super) type Names = Map<PathBuf>;

/// Copies all that is in the directory `from` into the directory `to`. What is there stays.
pub(super) fn copy(tree: &mut Tree, from: &Path, to: &Path, what: &Copy, names: &mut Names) -> Result<()> {
    for name in tree.list(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let Some(stat) = tree.stat(&source)? else { continue };
        let there = tree.stat(&target)?;
        let attributes = (what.owner)(stat.attributes);
        if stat.kind == Kind::Directory {
            match there {
                Some(there) if there.kind != Kind::Directory => continue,
                Some(_) => {}
                None => tree.put_directory(target.clone(), attributes),
            }
            copy(tree, &source, &target, what, names)?;
            continue;
        }
        if there.is_some() {
            continue;
        }
        match stat.kind {
            Kind::Symlink => {
                let link = moved(&tree.read_link(&source)?, what);
                tree.put_symlink(target, link, attributes.uid, attributes.gid);
            }
            Kind::File => {
                // A file that is only planned has no identity yet.
                let (device, inode) = stat.identity;
                let identity = [device.to_ne_bytes(), inode.to_ne_bytes()].concat();
                let copied = names.get(&identity).filter(|_| stat.identity != (0, 0));
                if let Some(copied) = copied {
                    tree.put_hard_link(target, copied.clone())?;
                } else {
                    names.insert(&identity, target.clone());
                    let contents = tree.contents(&source)?;
                    tree.put_file(target, contents, attributes);
                }
            }
            _ => {
                let what = format!("copy {} in the root: it is {}", source.display(), stat.kind.word());
                let advice = "Take it out of the image's /etc/skel, then start again: nothing was written.";
                return Err(Error::new(Reason::Unsupported, what).advise(advice));
            }
        }
    }
    Ok(())
}

/// Where a link of the copy points: into the copy, if it pointed into the tree by the tree's name.
fn moved(link: &Path, what: &Copy) -> PathBuf {
    let bytes = link.as_os_str().as_bytes();
    match bytes.strip_prefix(what.old_root.as_os_str().as_bytes()) {
        Some(rest) => {
            let moved = [what.new_root.as_os_str().as_bytes(), rest].concat();
            PathBuf::from(OsStr::from_bytes(&moved))
        }
        None => link.to_owned(),
    }
}
