//! A user that is to go, as `userdel --remove` takes them away.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::database::Database;
use super::entry::{Group, Gshadow, Passwd, has_member};
use super::subject::Subject;
use super::{groups, home, mail};
use crate::error::Result;
use crate::plan::Tree;

/// Takes the user out of all files, and home and mail spool away if they are the user's own.
pub(super) fn delete(db: &mut Database, tree: &mut Tree, old: &Passwd, subject: &Subject) -> Result<()> {
    if let Some(file) = &mut db.passwd {
        file.table.remove(&old.name).map_err(|_| subject.ambiguous("/etc/passwd"))?;
    }
    if let Some(file) = &mut db.shadow {
        file.table.remove(&old.name).map_err(|_| subject.ambiguous("/etc/shadow"))?;
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
        let change = |group: &mut Group| leave(&mut group.members);
        file.table.update_all(change).map_err(|_| subject.ambiguous("/etc/group"))?;
    }
    if db.defs.yes("USERGROUPS_ENAB") {
        let own = db.group(&old.name).filter(|group| group.gid == old.gid && group.members.is_empty());
        let of_another = db.users().any(|user| user.gid == old.gid);
        if own.is_some() && !of_another {
            groups::remove(db, &old.name, subject)?;
        }
    }
    if let Some(file) = &mut db.gshadow {
        let change = |group: &mut Gshadow| {
            let (member, admin) = (leave(&mut group.members), leave(&mut group.admins));
            member || admin
        };
        file.table.update_all(change).map_err(|_| subject.ambiguous("/etc/gshadow"))?;
    }
    Ok(())
}
