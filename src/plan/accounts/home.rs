//! Makes, hands over, moves and removes home directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::entry::Passwd;
use super::subject::Subject;
use crate::change::{Attributes, FileKind, Stat};
use crate::error::{Error, Reason, Result};
use crate::plan::Tree;
use crate::plan::tree::{Copies, Copy};

/// The new owner of files that belonged to the user. `None` leaves the id unchanged.
pub(super) struct NewOwner {
    pub(super) old_uid: u32,
    pub(super) uid: Option<u32>,
    pub(super) old_gid: u32,
    pub(super) gid: Option<u32>,
}

impl NewOwner {
    fn of(&self, old: Attributes) -> Attributes {
        let uid = self.uid.filter(|_| old.uid == self.old_uid).unwrap_or(old.uid);
        let gid = self.gid.filter(|_| old.gid == self.old_gid).unwrap_or(old.gid);
        Attributes { uid, gid, ..old }
    }

    fn changes_nothing(&self) -> bool {
        self.uid.is_none() && self.gid.is_none()
    }
}

/// Makes the home directory and fills it. If something exists at its path, that stays unchanged.
pub(super) fn create(tree: &mut Tree, db: &Database, user: &Passwd) -> Result<()> {
    let home = Path::new(OsStr::from_bytes(&user.home));
    if let Some(parent) = home.parent() {
        tree.look_into(&tree.resolve(parent)?)?;
    }
    let at = tree.resolve(home)?;
    if tree.stat(&at)?.is_some() {
        return Ok(());
    }
    tree.make_parents(&at)?;
    let (uid, gid) = (user.uid, user.gid);
    tree.put_directory(at.clone(), Attributes { uid, gid, mode: db.defs.home_mode() });
    let owner = |old: Attributes| Attributes { uid, gid, ..old };
    let mut copies = Copies::default();
    for skeleton in &db.useradd.skeletons {
        let skeleton = Path::new(OsStr::from_bytes(skeleton));
        let from = tree.resolve_parent(skeleton)?;
        // Like useradd, a skeleton that is missing or a symbolic link is skipped.
        if is_directory(tree, &from)? {
            if at.starts_with(&from) {
                let (at, from) = (at.display(), from.display());
                let what = format!("fill {at} in the root from {from}: it would be a copy of itself");
                return Err(Error::new(Reason::Account, what));
            }
            let what = Copy { old_root: skeleton, new_root: home, owner: &owner };
            tree.copy(&from, &at, &what, &mut copies)?;
        }
    }
    Ok(())
}

/// Gives the user's files in the home directory to the new ids.
pub(super) fn hand_over(tree: &mut Tree, home: &Path, owner: &NewOwner) -> Result<()> {
    if owner.changes_nothing() || home.as_os_str().is_empty() {
        return Ok(());
    }
    let at = tree.resolve(home)?;
    match tree.stat(&at)? {
        // A directory of somebody else is not searched for files of the user.
        Some(stat) if stat.kind == FileKind::Directory && is_users(stat, owner) => {
            change(tree, &at, stat, owner)
        }
        _ => Ok(()),
    }
}

fn is_users(stat: Stat, owner: &NewOwner) -> bool {
    stat.attributes.uid == owner.old_uid || owner.uid == Some(stat.attributes.uid)
}

fn change(tree: &mut Tree, at: &Path, stat: Stat, owner: &NewOwner) -> Result<()> {
    if stat.kind == FileKind::Directory {
        for name in tree.list(at)? {
            let below = at.join(name);
            if let Some(stat) = tree.stat(&below)? {
                change(tree, &below, stat, owner)?;
            }
        }
    }
    let old = stat.attributes;
    let mut new = owner.of(old);
    if new == old {
        return Ok(());
    }
    // The kernel also clears these bits when a program gets a new owner.
    if stat.kind != FileKind::Directory {
        new.mode &= !0o4000;
        if new.mode & 0o010 != 0 {
            new.mode &= !0o2000;
        }
    }
    tree.set_attributes(at.to_owned(), new)
}

/// Moves the home directory to a path at which nothing exists, and gives it to the new owner.
pub(super) fn relocate(
    tree: &mut Tree,
    old: &Path,
    new: &Path,
    owner: &NewOwner,
    subject: &Subject,
) -> Result<()> {
    let to = tree.resolve_parent(new)?;
    if tree.stat(&to)?.is_some() {
        return Err(subject.refuse(&format!("the new home directory {} already exists", new.display())));
    }
    let target = tree.resolve(old)?;
    let Some(stat) = tree.stat(&target)?.filter(|_| !old.as_os_str().is_empty()) else {
        // There is no directory to move, so only the account entry changes.
        return Ok(());
    };
    let from = tree.resolve_parent(old)?;
    if stat.kind != FileKind::Directory || from != target {
        return Err(
            subject.refuse(&format!("the home directory {} is a link, or not a directory", old.display()))
        );
    }
    let parent = to.parent().unwrap_or(Path::new("/"));
    if !is_directory(tree, parent)? || to.starts_with(&from) {
        return Err(subject.refuse(&format!(
            "the home directory cannot be moved to {}: that must be in a directory outside of it",
            new.display()
        )));
    }
    if device(tree, &from)? == device(tree, parent)? && tree.renames_directories(&from)? {
        tree.rename(from, to.clone())?;
        return if owner.changes_nothing() { Ok(()) } else { change(tree, &to, stat, owner) };
    }
    // A rename cannot cross file systems, nor the layers of an overlay, so the files are copied.
    let owner = |old: Attributes| owner.of(old);
    let what = Copy { old_root: old, new_root: new, owner: &owner };
    tree.put_directory(to.clone(), owner(stat.attributes));
    tree.copy(&from, &to, &what, &mut Copies::default())?;
    tree.remove(from);
    Ok(())
}

/// Removes the home directory, which must belong to the user.
pub(super) fn remove(tree: &mut Tree, home: &Path, uid: u32, subject: &Subject) -> Result<()> {
    let target = tree.resolve(home)?;
    let Some(stat) = tree.stat(&target)?.filter(|_| !home.as_os_str().is_empty()) else { return Ok(()) };
    let at = tree.resolve_parent(home)?;
    let home = home.display();
    if stat.attributes.uid != uid {
        return Err(
            subject.refuse(&format!("the home directory {home} belongs to somebody else and is not removed"))
        );
    }
    if stat.kind != FileKind::Directory || at != target || at == Path::new("/") {
        return Err(subject.refuse(&format!(
            "the home directory {home} is a link, not a directory, or /, and is not removed"
        )));
    }
    tree.remove(at);
    Ok(())
}

fn is_directory(tree: &Tree, at: &Path) -> Result<bool> {
    Ok(tree.stat(at)?.is_some_and(|stat| stat.kind == FileKind::Directory))
}

/// Returns the device on which the file at `at` is or will be.
fn device(tree: &Tree, at: &Path) -> Result<Option<u64>> {
    let mut at: Option<PathBuf> = Some(at.to_owned());
    while let Some(path) = at {
        // A planned file lies on the device of its nearest existing parent.
        if let Some(stat) = tree.stat(&path)?.filter(|stat| stat.identity != (0, 0)) {
            return Ok(Some(stat.identity.0));
        }
        at = path.parent().map(Path::to_owned);
    }
    Ok(None)
}
