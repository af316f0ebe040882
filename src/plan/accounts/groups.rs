//! Adds, changes and deletes groups, as `groupadd`, `groupmod` and `groupdel` do.

use super::database::Database;
use super::entry::{AccountEntry, Group, Gshadow, Names};
use super::ids::{IdRange, Ids, Space};
use super::subject::Subject;
use crate::config;
use crate::error::Result;

/// The most bytes of a name that Debian's `groupadd` accepts.
const LONGEST_NAME: usize = 32;
/// A password that no input matches, as `groupadd` writes it.
pub(super) const LOCKED: &[u8] = b"!";

/// Brings the group to what the config asks for.
pub(super) fn ensure(db: &mut Database, wanted: &config::Group, subject: &Subject) -> Result<()> {
    let name = subject.checked_name()?;
    let gid = subject.id("gid", wanted.gid)?;
    // The reference treats an empty hash as no hash, so the password stays unchanged.
    let password = match wanted.password_hash.as_deref() {
        None | Some("") => None,
        Some(hash) => Some(subject.field("passwordHash", hash)?),
    };
    if wanted.should_exist != Some(false) && db.group.is_none() {
        return Err(subject.refuse("the root has no /etc/group"));
    }
    let old = db.group(name).cloned();
    match (old, wanted.should_exist) {
        (None, Some(false)) => Ok(()),
        (Some(old), Some(false)) => delete(db, &old, subject),
        (Some(old), _) => modify(db, &old, gid, password, subject),
        (None, _) => {
            subject.checked_new_name(LONGEST_NAME)?;
            let gid = choose(db, gid, wanted.system == Some(true), subject)?;
            add(db, name, gid, password.unwrap_or(LOCKED), subject)
        }
    }
}

fn choose(db: &Database, wish: Option<u32>, system: bool, subject: &Subject) -> Result<u32> {
    match wish {
        Some(gid) => unused(db, gid, subject),
        None => free_gid(db, None, system, subject),
    }
}

/// Returns `gid`; an error if a group already has this id.
fn unused(db: &Database, gid: u32, subject: &Subject) -> Result<u32> {
    match db.group_of_id(gid) {
        Some(other) => Err(subject.in_use("group", gid, &other.name)),
        None => Ok(gid),
    }
}

/// Returns a free group id: `wish` if it is free and allowed, otherwise the next one.
pub(super) fn free_gid(db: &Database, wish: Option<u32>, system: bool, subject: &Subject) -> Result<u32> {
    let none = Ids::default();
    let used = db.group.as_ref().map_or(&none, |file| &file.table.ids);
    let choice = IdRange::new(&db.defs, Space::Groups, system)
        .ok_or_else(|| subject.refuse("/etc/login.defs has a GID_MAX below its GID_MIN"))?;
    if let Some(wish) = wish.filter(|wish| choice.grants(*wish, used)) {
        return Ok(wish);
    }
    choice.free(used).ok_or_else(|| subject.refuse("no group id is free"))
}

/// Adds a new group.
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
        let entry = Group { name: name.into(), password: password.into(), gid, members: Names::default() };
        file.update(AccountEntry::Group(entry), subject)?;
    }
    if let Some(file) = &mut db.gshadow {
        let (admins, members) = (Names::default(), Names::default());
        let entry = Gshadow { name: name.into(), password: password.into(), admins, members };
        file.update(AccountEntry::Gshadow(entry), subject)?;
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
        new.gid = unused(db, gid, subject)?;
        if let Some(file) = &mut db.passwd {
            file.try_change(subject, |table| table.change_primary(old.gid, gid))?;
        }
    }
    if let Some(password) = password {
        let shadowed = db.gshadow.is_some() && *old.password == *b"x";
        if let Some(file) = &mut db.gshadow {
            let entry = match file.table.find(&old.name) {
                Some(AccountEntry::Gshadow(entry)) => {
                    Some(Gshadow { password: password.into(), ..entry.clone() })
                }
                _ if shadowed => Some(Gshadow {
                    name: old.name.clone(),
                    password: password.into(),
                    admins: Names::default(),
                    members: old.members.clone(),
                }),
                _ => None,
            };
            if let Some(entry) = entry {
                file.update(AccountEntry::Gshadow(entry), subject)?;
            }
        }
        if !shadowed {
            new.password = password.into();
        }
    }
    match &mut db.group {
        Some(file) => file.update(AccountEntry::Group(new), subject),
        None => Ok(()),
    }
}

fn delete(db: &mut Database, old: &Group, subject: &Subject) -> Result<()> {
    if let Some(user) = db.user_of_group(old.gid) {
        let user = String::from_utf8_lossy(&user.name);
        return Err(subject.refuse(&format!("it is the primary group of user {user:?}")));
    }
    remove(db, &old.name, subject)
}

/// Removes the group from `group` and `gshadow`.
pub(super) fn remove(db: &mut Database, name: &[u8], subject: &Subject) -> Result<()> {
    [&mut db.group, &mut db.gshadow].into_iter().flatten().try_for_each(|file| file.remove(name, subject))
}
