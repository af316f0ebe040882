//! Groups, as `groupadd`, `groupmod` and `groupdel` leave them.

use super::database::Database;
use super::entry::{Entry, Group, Gshadow};
use super::ids::{Choice, Space};
use super::subject::Subject;
use crate::config;
use crate::error::Result;

/// The longest name that Debian's `groupadd` gives out.
const LONGEST_NAME: usize = 32;

/// Makes the group as the config wants it.
pub(super) fn ensure(db: &mut Database, wanted: &config::Group, subject: &Subject) -> Result<()> {
    let name = subject.checked_name()?;
    if db.group.is_none() {
        return Err(subject.refuse("the root has no /etc/group"));
    }
    let gid = subject.id("gid", wanted.gid)?;
    let password = match wanted.password_hash.as_deref() {
        Some("") => Some("*".as_bytes()),
        Some(hash) => Some(subject.field("passwordHash", hash)?),
        None => None,
    };
    let old = db.group(name).cloned();
    match (old, wanted.should_exist) {
        (None, Some(false)) => Ok(()),
        (Some(old), Some(false)) => delete(db, &old, subject),
        (Some(old), _) => modify(db, &old, gid, password, subject),
        (None, _) => {
            subject.checked_new_name(LONGEST_NAME)?;
            let gid = choose(db, gid, wanted.system == Some(true), subject)?;
            // The reference gives a group without a password one that never matches.
            add(db, name, gid, password.unwrap_or(b"*"), subject)
        }
    }
}

fn choose(db: &Database, wish: Option<u32>, system: bool, subject: &Subject) -> Result<u32> {
    let used = db.gids();
    match wish {
        Some(gid) if used.contains(&gid) => Err(subject.refuse(&format!("group id {gid} is in use already"))),
        Some(gid) => Ok(gid),
        None => free_gid(db, None, system, subject),
    }
}

/// A free group id, `wish` if it can be had.
pub(super) fn free_gid(db: &Database, wish: Option<u32>, system: bool, subject: &Subject) -> Result<u32> {
    let used = db.gids();
    let choice = Choice::new(&db.defs, Space::Groups, system)
        .ok_or_else(|| subject.refuse("/etc/login.defs has a GID_MAX below its GID_MIN"))?;
    if let Some(wish) = wish.filter(|wish| choice.grants(*wish, &used)) {
        return Ok(wish);
    }
    choice.free(&used).ok_or_else(|| subject.refuse("no group id is free"))
}

/// Adds a group that is not there.
pub(super) fn add(
    db: &mut Database,
    name: &[u8],
    gid: u32,
    password: &[u8],
    subject: &Subject,
) -> Result<()> {
    let shadowed = db.gshadow.is_some();
    if let Some(file) = &mut db.group {
        let password = if shadowed { b"x" } else { password };
        let entry = Group { name: name.into(), password: password.into(), gid, members: Vec::new() };
        file.update(Entry::Group(entry), subject)?;
    }
    if let Some(file) = &mut db.gshadow {
        let (admins, members) = (Vec::new(), Vec::new());
        let entry = Gshadow { name: name.into(), password: password.into(), admins, members };
        file.update(Entry::Gshadow(entry), subject)?;
    }
    Ok(())
}

fn modify(
    db: &mut Database,
    old: &Group,
    gid: Option<u32>,
    password: Option<&[u8]>,
    subject: &Subject,
) -> Result<()> {
    let mut new = old.clone();
    if let Some(gid) = gid.filter(|gid| *gid != old.gid) {
        if db.gids().contains(&gid) {
            return Err(subject.refuse(&format!("group id {gid} is in use already")));
        }
        new.gid = gid;
        if let Some(file) = &mut db.passwd {
            let mut follow = |entry: &mut Entry| match entry {
                Entry::Passwd(user) if user.gid == old.gid => {
                    user.gid = gid;
                    true
                }
                _ => false,
            };
            file.update_all(&mut follow, subject)?;
        }
    }
    if let Some(password) = password {
        let shadowed = db.gshadow.is_some() && old.password == b"x";
        if let Some(file) = &mut db.gshadow {
            let entry = match file.table.find(&old.name) {
                Some(Entry::Gshadow(entry)) => Some(Gshadow { password: password.into(), ..entry.clone() }),
                _ if shadowed => Some(Gshadow {
                    name: old.name.clone(),
                    password: password.into(),
                    admins: Vec::new(),
                    members: old.members.clone(),
                }),
                _ => None,
            };
            if let Some(entry) = entry {
                file.update(Entry::Gshadow(entry), subject)?;
            }
        }
        if !shadowed {
            new.password = password.into();
        }
    }
    match &mut db.group {
        Some(file) => file.update(Entry::Group(new), subject),
        None => Ok(()),
    }
}

fn delete(db: &mut Database, old: &Group, subject: &Subject) -> Result<()> {
    if let Some(user) = db.users().find(|user| user.gid == old.gid) {
        let user = String::from_utf8_lossy(&user.name);
        return Err(subject.refuse(&format!("it is the primary group of user {user:?}")));
    }
    remove(db, &old.name, subject)
}

/// Takes the group out of both files.
pub(super) fn remove(db: &mut Database, name: &[u8], subject: &Subject) -> Result<()> {
    [&mut db.group, &mut db.gshadow].into_iter().flatten().try_for_each(|file| file.remove(name, subject))
}
