//! Rules for users and groups. The reference has none, so that everything here is a hint.

use super::super::checker::{Checker, Rules};
use super::super::hints;
use super::super::keys::Keys;
use super::super::report::Step;
use super::super::types::{Group, Passwd, User};

impl Rules for Passwd<'_> {}

impl Rules for Group<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_password_hash(self.password_hash.as_deref(), checker);
    }
}

impl Rules for User<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_password_hash(self.password_hash.as_deref(), checker);
        for (index, key) in self.ssh_authorized_keys.iter().enumerate() {
            if let Some(hint) = hints::for_ssh_key(key) {
                checker.hint(&[Step::Key("sshAuthorizedKeys"), Step::Index(index)], hint);
            }
        }
        for key in ["homeDir", "shell"] {
            let path = if key == "shell" { &self.shell } else { &self.home_dir };
            if let Some(hint) = path.as_deref().and_then(hints::for_path) {
                checker.hint(&[Step::Key(key)], hint);
            }
        }
    }
}

fn check_password_hash(hash: Option<&str>, checker: &mut Checker<'_>) {
    if let Some(hint) = hash.and_then(hints::for_password_hash) {
        checker.hint(&[Step::Key("passwordHash")], hint);
    }
}

/// Adds a hint for every group of another distribution that a user shall belong to, unless the config creates the
/// group.
pub(super) fn check_groups(passwd: &Passwd<'_>, checker: &mut Checker<'_>) {
    let groups = Keys::of(&[&passwd.groups]);
    for (index, user) in passwd.users.iter().enumerate() {
        let user_at = |key| vec![Step::Key("passwd"), Step::Key("users"), Step::Index(index), Step::Key(key)];
        let others = user
            .groups
            .iter()
            .enumerate()
            .map(|(number, group)| ([user_at("groups"), vec![Step::Index(number)]].concat(), group));
        let primary = user.primary_group.iter().map(|group| (user_at("primaryGroup"), group));
        for (steps, group) in others.chain(primary) {
            if let Some(hint) = hints::for_group(group).filter(|_| !groups.has(group)) {
                checker.hint(&steps, hint);
            }
        }
    }
}
