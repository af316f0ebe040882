//! Mail spools: one file for each user, if the image uses them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::defaults::LoginDefs;
use super::entry::Passwd;
use super::subject::Subject;
use crate::change::{Attributes, FileKind};
use crate::error::Result;
use crate::plan::Tree;

/// Makes an empty spool if its directory exists and the spool does not. The group `mail` may write to it, if the root
/// has that group.
pub(super) fn create(tree: &mut Tree, db: &Database, user: &Passwd) -> Result<()> {
    let Some(at) = path(tree, &db.defs, &user.name)? else { return Ok(()) };
    let Some(parent) = at.parent() else { return Ok(()) };
    let has_place = tree.stat(parent)?.is_some_and(|stat| stat.kind == FileKind::Directory);
    if has_place && tree.stat(&at)?.is_none() {
        let (gid, mode) = db.group(b"mail").map_or((user.gid, 0o600), |group| (group.gid, 0o660));
        let attributes = Attributes { uid: user.uid, gid, mode };
        tree.put_file(at, Vec::new(), attributes);
    }
    Ok(())
}

/// Gives the user's spool to the new uid. A spool of somebody else stays unchanged.
pub(super) fn hand_over(tree: &mut Tree, defs: &LoginDefs, name: &[u8], old: u32, new: u32) -> Result<()> {
    let Some(at) = path(tree, defs, name)? else { return Ok(()) };
    let at = tree.resolve(&at)?;
    match tree.stat(&at)? {
        Some(stat) if stat.attributes.uid == old => {
            tree.set_attributes(at, Attributes { uid: new, ..stat.attributes })
        }
        _ => Ok(()),
    }
}

/// Removes the user's spool, which must belong to the user.
pub(super) fn remove(tree: &mut Tree, defs: &LoginDefs, user: &Passwd, subject: &Subject) -> Result<()> {
    let Some(at) = path(tree, defs, &user.name)? else { return Ok(()) };
    let Some(stat) = tree.stat(&tree.resolve(&at)?)? else { return Ok(()) };
    if stat.attributes.uid != user.uid || stat.kind == FileKind::Directory {
        let what = format!("the mail spool {} is not a file of the user and is not removed", at.display());
        return Err(subject.refuse(&what));
    }
    tree.remove(at);
    Ok(())
}

fn path(tree: &Tree, defs: &LoginDefs, name: &[u8]) -> Result<Option<PathBuf>> {
    let Some(directory) = defs.mail_dir() else { return Ok(None) };
    let path = Path::new(OsStr::from_bytes(directory)).join(OsStr::from_bytes(name));
    tree.resolve_parent(&path).map(Some)
}
