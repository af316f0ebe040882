//! Gives the directories that were made in homes for mounts to their users, as the reference does.

use std::path::PathBuf;

use super::Part;
use super::accounts::Accounts;
use super::tree::Tree;
use crate::change::Attributes;
use crate::config::Passwd;
use crate::error::{Problems, Result};

/// Plans owner and mode (0700) of each directory of `made` that is the home of one of the config's users, or below it.
///
/// # Errors
/// Those of reading the root.
pub(super) fn plan(passwd: &Passwd, accounts: &Accounts, made: &[PathBuf], tree: &mut Tree) -> Result<()> {
    let mut problems = Problems::default();
    for (index, user) in passwd.users.iter().enumerate() {
        let name = user.name.as_ref();
        if user.should_exist == Some(false) || accounts.has_failed(name) {
            continue;
        }
        // The whole root is nobody's home, even if an account says so.
        let Some(account) = accounts.user(name).filter(|account| account.home.file_name().is_some()) else {
            continue;
        };
        tree.begin(Part::User(index));
        for directory in made.iter().filter(|directory| directory.starts_with(&account.home)) {
            let owned = Attributes { uid: account.uid, gid: account.gid, mode: 0o700 };
            let given = tree.resolve(directory).and_then(|at| match tree.stat(&at)? {
                Some(_) => tree.set_attributes(at, owned),
                None => Ok(()),
            });
            problems.take(given.map_err(|error| error.at(&format!("$.passwd.users.{index}"))));
        }
    }
    problems.finish()
}
