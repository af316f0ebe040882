//! A user that is to go, as `userdel --remove` takes them away.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::database::Database;
use super::entry::{Entry, Passwd, has_member};
use super::subject::Subject;
use super::{groups, home, mail};
use crate::error::Result;
use crate::plan::Tree;

/// Takes the user out of all files, and home and mail spool away if they are the user's own.
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
    let leave = |members: &mut Vec<Vec<u8>>| {
        let was = has_member(members, &old.name);
        members.retain(|member| *member != old.name);
        was
    };
    if let Some(file) = &mut db.group {
        let mut change = |entry: &mut Entry| entry.members().is_some_and(|(_, members)| leave(members));
        file.update_all(&mut change, subject)?;
    }
    if db.defs.yes("USERGROUPS_ENAB") {
        let own = db.group(&old.name).filter(|group| group.gid == old.gid && group.members.is_empty());
        let of_another = db.users().any(|user| user.gid == old.gid);
        if own.is_some() && !of_another {
            groups::remove(db, &old.name, subject)?;
        }
    }
    if let Some(file) = &mut db.gshadow {
        let mut change = |entry: &mut Entry| {
            let Entry::Gshadow(group) = entry else { return false };
            let (member, admin) = (leave(&mut group.members), leave(&mut group.admins));
            member || admin
        };
        file.update_all(&mut change, subject)?;
    }
    Ok(())
}
