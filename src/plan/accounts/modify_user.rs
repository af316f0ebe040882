//! Changes an existing user, as `usermod` does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::database::Database;
use super::entry::{AccountEntry, Passwd, Shadow};
use super::home::{self, NewOwner};
use super::mail;
use super::subject::Subject;
use super::wanted::Wanted;
use crate::error::Result;
use crate::map::Map;
use crate::plan::Tree;

/// Changes the account files and the user's files where the config differs from them.
pub(super) fn modify(
    db: &mut Database,
    tree: &mut Tree,
    wanted: &Wanted,
    old: &Passwd,
    subject: &Subject,
) -> Result<()> {
    let uid = wanted.uid.filter(|uid| *uid != old.uid);
    let gid = wanted.gid.filter(|gid| *gid != old.gid);
    let new_home = wanted.home.map(without_last_slash).filter(|home| *home != &*old.home);
    if let Some(other) = uid.and_then(|uid| db.user_of_id(uid)) {
        return Err(subject.in_use("user", other.uid, &other.name));
    }

    let mut new = old.clone();
    new.uid = uid.unwrap_or(old.uid);
    new.gid = gid.unwrap_or(old.gid);
    let set = |field: &mut Box<[u8]>, value: Option<&[u8]>| {
        if let Some(value) = value {
            *field = value.into();
        }
    };
    set(&mut new.gecos, wanted.gecos);
    set(&mut new.home, new_home);
    set(&mut new.shell, wanted.shell);
    // A password that stands in `passwd` is changed there. One in `shadow` is changed as well.
    if db.shadow.is_none() || *old.password != *b"x" {
        set(&mut new.password, wanted.password);
    }
    let text_changed = new != *old;
    if let Some(password) = wanted.password {
        change_shadow(db, old, password, subject)?;
    }
    if let Some(file) = db.passwd.as_mut().filter(|_| text_changed || wanted.password.is_some()) {
        file.update(AccountEntry::Passwd(new), subject)?;
    }
    if let Some(groups) = &wanted.groups {
        replace_groups(db, wanted.name, groups, subject)?;
    }

    let owner = NewOwner { old_uid: old.uid, uid, old_gid: old.gid, gid };
    let old_home = Path::new(OsStr::from_bytes(&old.home));
    match new_home.map(|home| Path::new(OsStr::from_bytes(home))) {
        Some(new_home) => home::relocate(tree, old_home, new_home, &owner, subject)?,
        None => home::hand_over(tree, old_home, &owner)?,
    }
    if let Some(uid) = uid {
        mail::hand_over(tree, &db.defs, wanted.name, old.uid, uid)?;
        db.faillog.relocate(tree, old.uid, uid)?;
    }
    Ok(())
}

fn without_last_slash(home: &[u8]) -> &[u8] {
    match home.strip_suffix(b"/") {
        Some(rest) if !rest.is_empty() => rest,
        _ => home,
    }
}

fn change_shadow(db: &mut Database, user: &Passwd, password: &[u8], subject: &Subject) -> Result<()> {
    let Some(file) = &mut db.shadow else { return Ok(()) };
    let entry = match file.table.find(&user.name) {
        Some(AccountEntry::Shadow(entry)) => {
            Shadow { password: password.into(), last_change: db.today.last_change(), ..entry.clone() }
        }
        // `passwd` refers to an entry in `shadow` that is missing, so one is added.
        _ if *user.password == *b"x" => Shadow {
            name: user.name.clone(),
            password: password.into(),
            last_change: db.today.last_change(),
            rest: Shadow::rest([
                db.defs.days("PASS_MIN_DAYS"),
                db.defs.days("PASS_MAX_DAYS"),
                db.defs.days("PASS_WARN_AGE"),
                None,
                None,
                None,
            ]),
        },
        _ => return Ok(()),
    };
    file.update(AccountEntry::Shadow(entry), subject)
}

fn replace_groups(db: &mut Database, name: &[u8], groups: &[Vec<u8>], subject: &Subject) -> Result<()> {
    let mut keep: Map<()> = Map::default();
    for group in groups {
        keep.insert(group, ());
    }
    for file in [&mut db.group, &mut db.gshadow].into_iter().flatten() {
        file.try_change(subject, |table| table.leave(name, &keep, false))?;
        file.try_change(subject, |table| table.join(name, groups, false))?;
    }
    Ok(())
}
