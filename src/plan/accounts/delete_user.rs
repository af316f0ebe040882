//! Deletes a user, as `userdel --remove` does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::database::Database;
use super::entry::Passwd;
use super::subject::Subject;
use super::{groups, home, mail};
use crate::error::Result;
use crate::map::Map;
use crate::plan::Tree;

/// Removes the user from all account files. Home directory and mail spool are removed too, and must belong to the
/// user.
pub(super) fn delete(db: &mut Database, tree: &mut Tree, old: &Passwd, subject: &Subject) -> Result<()> {
    for file in [&mut db.passwd, &mut db.shadow].into_iter().flatten() {
        file.remove(&old.name, subject)?;
    }
    for file in [&mut db.subuid, &mut db.subgid].into_iter().flatten() {
        file.table.remove_all(&old.name);
    }
    leave_groups(db, old, subject)?;

    mail::remove(tree, &db.defs, old, subject)?;
    home::remove(tree, Path::new(OsStr::from_bytes(&old.home)), old.uid, subject)
}

fn leave_groups(db: &mut Database, old: &Passwd, subject: &Subject) -> Result<()> {
    let none = Map::default();
    if let Some(file) = &mut db.group {
        file.try_change(subject, |table| table.leave(&old.name, &none, false))?;
    }
    if db.defs.yes("USERGROUPS_ENAB") {
        let own = db.group(&old.name).filter(|group| group.gid == old.gid && group.members.is_empty());
        if own.is_some() && db.user_of_group(old.gid).is_none() {
            groups::remove(db, &old.name, subject)?;
        }
    }
    match &mut db.gshadow {
        Some(file) => file.try_change(subject, |table| table.leave(&old.name, &none, true)),
        None => Ok(()),
    }
}
