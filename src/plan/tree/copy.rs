//! Copies a directory tree of the root, as the shadow tools do. Each new user gets the same few files, so each copy is
//! found by the place of its directory, and no path is walked for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::places::{enter, place_below};
use super::{Tree, bytes};
use crate::change::{Attributes, FileKind, Stat};
use crate::error::{Error, Reason, Result};
use crate::map::Map;

/// The settings of one copy.
pub(in crate::plan) struct Copy<'p> {
    /// The old path of the tree. Links whose targets begin with it point below `new_root` in the copy.
    pub old_root: &'p Path,
    /// The new path of the tree.
    pub new_root: &'p Path,
    /// Returns the owner and mode of a copied file, by those of the original.
    pub owner: &'p dyn Fn(Attributes) -> Attributes,
}

/// The copy of each file that has several names, by the original's device and inode. Further names of the original become
/// names of the copy.
pub(in crate::plan) type Copies = Map<PathBuf>;

impl Tree<'_, '_> {
    /// Copies everything in the directory `from` into the directory `to`. Existing files stay.
    pub(in crate::plan) fn copy(
        &mut self,
        from: &Path,
        to: &Path,
        what: &Copy,
        copies: &mut Copies,
    ) -> Result<()> {
        let mut names = Vec::new();
        self.list_into(from, &mut |name, number, _| names.push((to.join(name), number)))?;
        let (in_from, in_to) = (self.enter(from), self.enter(to));
        for (target, number) in names {
            let source = from.join(target.file_name().unwrap_or_default());
            let step = place_below(&self.places.borrow(), in_from, number, bytes(&source).len());
            let Some(stat) = self.stat_at(step, &source)? else { continue };
            let name = bytes(&target).rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let copy = enter(self.places.get_mut(), in_to, name, bytes(&target).len());
            let there = self.stat_at(copy, &target)?.map(|there| there.kind);
            let attributes = (what.owner)(stat.attributes);
            match (stat.kind, there) {
                (FileKind::Directory, None | Some(FileKind::Directory)) => {
                    if there.is_none() {
                        self.put_directory(target.clone(), attributes);
                    }
                    self.copy(&source, &target, what, copies)?;
                }
                (_, Some(_)) => {}
                (FileKind::Symlink, None) => {
                    let link = moved(&self.read_link(&source)?, what);
                    self.put_symlink(target, link, attributes.uid, attributes.gid);
                }
                (FileKind::File, None) => {
                    if let Some(first) = first_name(copies, &stat, &target) {
                        self.put_hard_link(target, first)?;
                    } else {
                        let contents = self.contents_at(step, &source)?;
                        self.put_file_at(copy, target, contents, attributes);
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
}

/// Returns the name that an earlier copy of the same file has. Without one, `target` becomes the first name, and `None` is
/// returned.
fn first_name(copies: &mut Copies, stat: &Stat, target: &Path) -> Option<PathBuf> {
    // A file that is only planned has no inode yet.
    if stat.links < 2 || stat.identity == (0, 0) {
        return None;
    }
    let (device, inode) = stat.identity;
    let identity = [device.to_ne_bytes(), inode.to_ne_bytes()].concat();
    let first = copies.get(&identity).cloned();
    if first.is_none() {
        copies.insert(&identity, target.to_owned());
    }
    first
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
