//! The request of the config for a user, with each field checked.

use super::database::Database;
use super::subject::Subject;
use crate::config;
use crate::error::{Error, Problems, Result};

/// The checked request for a user who is to exist. `None` means that the config does not ask for this.
pub(super) struct Wanted<'c> {
    pub(super) name: &'c [u8],
    pub(super) password: Option<&'c [u8]>,
    pub(super) uid: Option<u32>,
    pub(super) gecos: Option<&'c [u8]>,
    pub(super) home: Option<&'c [u8]>,
    pub(super) shell: Option<&'c [u8]>,
    /// The primary group.
    pub(super) gid: Option<u32>,
    /// The names of the supplementary groups.
    pub(super) groups: Option<Vec<Vec<u8>>>,
    flags: &'c config::User<'c>,
}

impl<'c> Wanted<'c> {
    /// Checks each field by itself. An invalid field is added to `problems` and then treated as missing, so that the
    /// other fields are checked too.
    pub(super) fn check(
        db: &Database,
        wanted: &'c config::User,
        name: &'c [u8],
        subject: &Subject,
        problems: &mut Problems,
    ) -> Self {
        let field = |key: &str, text: &'c config::OptionalText| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => subject.field(key, text).map(Some),
        };
        let home = problems.take(field("homeDir", &wanted.home_dir)).flatten();
        if home.is_some_and(|home| !home.starts_with(b"/")) {
            problems.add(subject.invalid("homeDir", "it must be an absolute path"));
        }
        let shell = problems.take(field("shell", &wanted.shell)).flatten();
        if shell.is_some_and(|shell| !shell.starts_with(b"/") && !shell.starts_with(b"*")) {
            problems.add(subject.invalid("shell", "it must be an absolute path"));
        }
        let password = match wanted.password_hash.as_deref() {
            Some("") => Some("*".as_bytes()),
            Some(hash) => problems.take(subject.field("passwordHash", hash)),
            None => None,
        };
        let gid = match problems.take(field("primaryGroup", &wanted.primary_group)).flatten() {
            Some(group) => {
                let found = db.group_by_any(group).map(|group| group.gid);
                let found = found.ok_or_else(|| no_group(subject, "primaryGroup", group));
                // Without a group the user would get a group of the same name, which could fail as well.
                Some(problems.take(found).unwrap_or_default())
            }
            None => None,
        };
        let uid = problems.take(subject.id("uid", wanted.uid)).flatten();
        let gecos = problems.take(field("gecos", &wanted.gecos)).flatten();
        let groups = problems.take(groups(db, wanted, subject)).flatten();
        Self { name, password, uid, gecos, home, shell, gid, groups, flags: wanted }
    }

    /// Returns whether a new user gets a home directory.
    pub(super) fn create_home(&self) -> bool {
        self.flags.no_create_home != Some(true)
    }

    /// Returns whether a new user without a primary group may get a group of the same name.
    pub(super) fn user_group(&self) -> bool {
        self.flags.no_user_group != Some(true)
    }

    /// Returns whether records of failed logins by an earlier user of the uid are cleared.
    pub(super) fn log_init(&self) -> bool {
        self.flags.no_log_init != Some(true)
    }

    /// Returns whether a new user is a system user.
    pub(super) fn system(&self) -> bool {
        self.flags.system == Some(true)
    }
}

fn groups(db: &Database, wanted: &config::User, subject: &Subject) -> Result<Option<Vec<Vec<u8>>>> {
    if wanted.groups.is_empty() {
        return Ok(None);
    }
    let mut names = Vec::new();
    let mut problems = Problems::default();
    for (index, list) in wanted.groups.iter().enumerate() {
        let key = format!("groups.{index}");
        let Some(list) = problems.take(subject.field(&key, list)) else { continue };
        // The reference passes all of them to the tools as one list with commas.
        for group in list.split(|byte| *byte == b',') {
            match db.group_by_any(group) {
                _ if group.is_empty() => problems.add(subject.invalid(&key, "a group's name is required")),
                Some(group) => names.push(group.name.to_vec()),
                None => problems.add(no_group(subject, &key, group)),
            }
        }
    }
    problems.finish().map(|()| Some(names))
}

fn no_group(subject: &Subject, key: &str, group: &[u8]) -> Error {
    let advice = match group {
        b"wheel" => {
            "Debian has no group wheel: name the group sudo, whose members may become root, then start again."
        }
        b"docker" => {
            "The group docker comes with the package docker.io: install it in the image, or add the group in \
             passwd.groups of the config, then start again."
        }
        _ => {
            "Name a group that the image has, or add it in passwd.groups of the config, then start again: nothing was \
             written."
        }
    };
    subject.refuse(&format!("{key}: there is no group {:?}", String::from_utf8_lossy(group))).advise(advice)
}
