//! Users and groups. Computes what Debian 13's `groupadd`, `useradd` and related tools would leave in the root: new
//! account files, and operations on home directories. No program of the root is run.
//!
//! These differences from the shadow tools (4.17) are intended:
//! - There are no backups (`passwd-`), no locks, and no hooks (`/etc/shadow-maint`, `USERDEL_CMD`).
//! - Lines that are not entries keep their text and their order. A missing newline at the end of a file is only added
//!   if a line is added at the end.
//! - If a tool would change the account files and then fail, because a home directory cannot be moved or removed,
//!   nothing is changed.
//! - Copies of `/etc/skel`, and of a home directory that moves to another file system, get the time of the copying. ACLs and
//!   extended attributes are not copied.
//! - If a home directory is behind a symbolic link, the link's target is made or gets the new owner.
//! - A slash at the end of a home directory's path makes no difference.
//! - `MAX_MEMBERS_PER_GROUP`, which splits a group over several lines, is not supported. Of the formats of `EXPIRE` in
//!   `/etc/default/useradd`, only days and `YYYY-MM-DD` are supported.

mod add_user;
mod database;
mod defaults;
mod delete_user;
mod entry;
mod faillog;
mod groups;
mod home;
mod ids;
mod mail;
mod modify_user;
mod number;
mod subject;
mod table;
#[cfg(test)]
mod tests;
mod users;
mod wanted;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use self::database::Database;
use self::subject::Subject;
use super::{Part, Tree};
use crate::config::Passwd;
use crate::error::Problems;
use crate::map::Map;

/// The day of the provisioning, in days since 1970-01-01, which becomes the day of the last password change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today(pub u64);

impl Today {
    /// Returns the value of the field in `shadow`. Day 0 would demand a new password at the next login, so the field
    /// stays empty then.
    fn last_change(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }
}

/// A user of the root as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The home directory, as written in `passwd`; empty if the field is empty.
    pub home: PathBuf,
}

/// The users and groups of the root as it will be, by name.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Map<User>,
    groups: Map<u32>,
    /// The names of users who could not be planned. The plan fails anyway, so other entries treat these users as
    /// existing with any id, and the failure is reported only once.
    failed: Map<()>,
    /// Whether the account files could not be read, so that no user or group is known.
    is_unknown: bool,
}

impl Accounts {
    /// Returns the user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name.as_bytes())
    }

    /// Returns whether planning this user has failed. That failure has been reported already.
    pub(super) fn has_failed(&self, name: &str) -> bool {
        self.is_unknown || self.failed.get(name.as_bytes()).is_some()
    }

    /// Returns the user id of this name.
    pub fn uid(&self, name: &str) -> Option<u32> {
        let uid = self.user(name).map(|user| user.uid);
        uid.or_else(|| self.has_failed(name).then_some(0))
    }

    /// Returns the group id of this name.
    pub fn gid(&self, name: &str) -> Option<u32> {
        let gid = self.groups.get(name.as_bytes()).copied();
        gid.or_else(|| self.is_unknown.then_some(0))
    }

    fn of(db: &Database) -> Self {
        let mut accounts = Self::default();
        for user in db.users() {
            // If a name has several entries, the first one counts.
            if accounts.users.get(&user.name).is_none() {
                let home = PathBuf::from(OsStr::from_bytes(&user.home));
                accounts.users.insert(&user.name, User { uid: user.uid, gid: user.gid, home });
            }
        }
        for group in db.groups() {
            if accounts.groups.get(&group.name).is_none() {
                accounts.groups.insert(&group.name, group.gid);
            }
        }
        accounts
    }
}

/// Plans the groups and then the users of `passwd` into `tree`. Returns the accounts by which file owners are
/// resolved. Failures are added to `problems`; entries that depend on a failed one do not fail again.
pub(super) fn plan(passwd: &Passwd, tree: &mut Tree, today: Today, problems: &mut Problems) -> Accounts {
    let Some(mut db) = problems.take(Database::read(tree, today)) else {
        return Accounts { is_unknown: true, ..Accounts::default() };
    };
    for (index, group) in passwd.groups.iter().enumerate() {
        let subject = Subject { list: "groups", index, name: &group.name };
        tree.begin(Part::Group(index));
        if problems.take(groups::ensure(&mut db, group, &subject)).is_some() {
            continue;
        }
        if db.group.is_none() {
            // The file is missing, so every other entry would fail for the same reason.
            return Accounts { is_unknown: true, ..Accounts::default() };
        }
        // The plan has failed already. A stand-in keeps the group's members and files from failing too.
        let _ = groups::add(&mut db, group.name.as_bytes(), 0, b"*", &subject);
    }
    let mut failed = Map::default();
    for (index, user) in passwd.users.iter().enumerate() {
        let subject = Subject { list: "users", index, name: &user.name };
        tree.begin(Part::User(index));
        if problems.take(users::ensure(&mut db, tree, user, &subject)).is_some() {
            continue;
        }
        if db.passwd.is_none() || db.group.is_none() {
            return Accounts { is_unknown: true, ..Accounts::default() };
        }
        failed.insert(user.name.as_bytes(), ());
        if tree.is_full() {
            return Accounts { is_unknown: true, ..Accounts::default() };
        }
    }
    let accounts = Accounts { failed, ..Accounts::of(&db) };
    tree.begin(Part::AccountFiles);
    db.write(tree);
    accounts
}
