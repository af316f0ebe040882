//! Copies a directory tree of the root, as the shadow tools do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::change::{Attributes, FileKind};
use crate::error::{Error, Reason, Result};
use crate::plan::Tree;
use crate::plan::map::Map;

/// The settings of one copy.
pub(super) struct Copy<'p> {
    /// The old path of the tree. Links whose targets begin with it point below `new_root` in the copy.
    pub(super) old_root: &'p Path,
    /// The new path of the tree.
    pub(super) new_root: &'p Path,
    /// Returns the owner and mode of a copied file, by those of the original.
    pub(super) owner: &'p dyn Fn(Attributes) -> Attributes,
}

/// The copy of each file, by the original's device and inode. Further names of the original become names of the copy.
pub(super) type Copies = Map<PathBuf>;

/// Copies everything in the directory `from` into the directory `to`. Existing files stay.
pub(super) fn copy(tree: &mut Tree, from: &Path, to: &Path, what: &Copy, copies: &mut Copies) -> Result<()> {
    for name in tree.list(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let Some(stat) = tree.stat(&source)? else { continue };
        let there = tree.stat(&target)?;
        let attributes = (what.owner)(stat.attributes);
        if stat.kind == FileKind::Directory {
            match there {
                Some(there) if there.kind != FileKind::Directory => continue,
                Some(_) => {}
                None => tree.put_directory(target.clone(), attributes),
            }
            copy(tree, &source, &target, what, copies)?;
            continue;
        }
        if there.is_some() {
            continue;
        }
        match stat.kind {
            FileKind::Symlink => {
                let link = moved(&tree.read_link(&source)?, what);
                tree.put_symlink(target, link, attributes.uid, attributes.gid);
            }
            FileKind::File => {
                // A file that is only planned has no inode yet.
                let (device, inode) = stat.identity;
                let identity = [device.to_ne_bytes(), inode.to_ne_bytes()].concat();
                let first = copies.get(&identity).filter(|_| stat.identity != (0, 0));
                if let Some(first) = first {
                    tree.put_hard_link(target, first.clone())?;
                } else {
                    copies.insert(&identity, target.clone());
                    let contents = tree.contents(&source)?;
                    tree.put_file(target, contents, attributes);
                }
            }
            _ => {
                let what = format!("copy {} in the root: it is {}", source.display(), stat.kind.word());
                let advice = "Take it out of the image, then start again: nothing was written.";
                return Err(Error::new(Reason::Unsupported, what).advise(advice));
            }
        }
    }
    Ok(())
}

/// Returns the target of a copied link. A target in the old tree becomes one in the new tree.
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
