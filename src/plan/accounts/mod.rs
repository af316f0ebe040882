//! Users and groups: what Debian 13's `groupadd`, `useradd` and their sisters would leave in the root, computed
//! as new account files and operations on home directories. No program of the root is run.
//!
//! On purpose otherwise than with the shadow tools (4.17):
//! - no backups (`passwd-`), no locks, and no hooks (`/etc/shadow-maint`, `USERDEL_CMD`);
//! - lines that are not entries stay what they are and in their order, and a missing newline at the end of a file is
//!   added only with a new last line;
//! - where a tool would change the files and then fail (a home that cannot be moved or removed), nothing is changed;
//! - copies of `/etc/skel` have the time of the copying, and neither ACLs nor attributes of the originals;
//! - a home behind a symbolic link is made, or gets its new owner, where the link points;
//! - a home that is named with a slash at its end is the same home;
//! - `MAX_MEMBERS_PER_GROUP`, which splits a group over several lines, is not known, and of the dates that `EXPIRE` in
//!   `/etc/default/useradd` may have only days and `YYYY-MM-DD` are.

mod add_user;
mod copy;
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

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use self::database::Database;
use self::subject::Subject;
use super::{Part, Tree};
use crate::config::Passwd;
use crate::error::Problems;
use crate::plan::map::Map;

/// The day of the provisioning, in days since 1970-01-01: when passwords were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today(pub u64);

impl Today {
    /// The field of `shadow`. Day 0 would demand a new password at the next login: then it stays empty.
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
    /// The home directory, as it stands in `passwd`; empty if none does.
    pub home: PathBuf,
}

/// The users and groups of the root as it will be, by name.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Map<User>,
    groups: Map<u32>,
    /// Names of users who could not be planned. The plan fails, so that for what else is wrong with it they count as
    /// there, with any id.
    failed: Map<()>,
    /// Whether nothing is known of any user or group, because the account files could not be read.
    is_unknown: bool,
}

impl Accounts {
    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name.as_bytes())
    }

    /// Whether planning this user has failed, which is told already.
    pub(super) fn has_failed(&self, name: &str) -> bool {
        self.is_unknown || self.failed.get(name.as_bytes()).is_some()
    }

    /// The id of the user of this name.
    pub fn uid(&self, name: &str) -> Option<u32> {
        let uid = self.user(name).map(|user| user.uid);
        uid.or_else(|| self.has_failed(name).then_some(0))
    }

    /// The id of the group of this name.
    pub fn gid(&self, name: &str) -> Option<u32> {
        let gid = self.groups.get(name.as_bytes()).copied();
        gid.or_else(|| self.is_unknown.then_some(0))
    }

    fn of(db: &Database) -> Self {
        let mut accounts = Self::default();
        for user in db.users() {
            // Of several entries of one name the first counts.
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

/// Plans groups, then users, of `passwd` into `tree`, and returns what file owners are looked up in. What fails is added
/// to `problems`; what depends on it does not fail for a second time.
pub(super) fn plan(passwd: &Passwd, tree: &mut Tree, today: Today, problems: &mut Problems) -> Accounts {
    let Some(mut db) = problems.take(Database::read(tree)) else {
        return Accounts { is_unknown: true, ..Accounts::default() };
    };
    for (index, group) in passwd.groups.iter().enumerate() {
        let subject = Subject { list: "groups", index, name: &group.name };
        tree.begin(Part::Group(index));
        if problems.take(groups::ensure(&mut db, group, &subject)).is_some() {
            continue;
        }
        if db.group.is_none() {
            // No other entry can be planned either, for the same reason.
            return Accounts { is_unknown: true, ..Accounts::default() };
        }
        // The plan fails. A stand-in keeps the group's members and files from being refused as well.
        let _ = groups::add(&mut db, group.name.as_bytes(), 0, b"*", &subject);
    }
    let mut failed = Map::default();
    for (index, user) in passwd.users.iter().enumerate() {
        let subject = Subject { list: "users", index, name: &user.name };
        tree.begin(Part::User(index));
        if problems.take(users::ensure(&mut db, tree, user, &subject, today)).is_some() {
            continue;
        }
        if db.passwd.is_none() || db.group.is_none() {
            return Accounts { is_unknown: true, ..Accounts::default() };
        }
        failed.insert(user.name.as_bytes(), ());
    }
    let accounts = Accounts { failed, ..Accounts::of(&db) };
    tree.begin(Part::AccountFiles);
    db.write(tree);
    accounts
}
