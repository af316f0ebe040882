//! Brings a user to what the config asks for, by adding, changing or deleting the user.

use super::database::Database;
use super::entry::Passwd;
use super::subject::Subject;
use super::wanted::Wanted;
use super::{add_user, delete_user, modify_user};
use crate::config;
use crate::error::{Problems, Result};
use crate::plan::Tree;

/// Brings the user to what the config asks for.
pub(super) fn ensure(
    db: &mut Database,
    tree: &mut Tree,
    wanted: &config::User,
    subject: &Subject,
) -> Result<()> {
    let name = subject.checked_name()?;
    let old: Option<Passwd> = db.user(name).cloned();
    if wanted.should_exist == Some(false) {
        return match old {
            Some(old) => delete_user::delete(db, tree, &old, subject),
            None => Ok(()),
        };
    }
    for (file, missing) in [("/etc/passwd", db.passwd.is_none()), ("/etc/group", db.group.is_none())] {
        if missing {
            return Err(subject.refuse(&format!("the root has no {file}")));
        }
    }
    let mut problems = Problems::default();
    let wanted = Wanted::check(db, wanted, name, subject, &mut problems);
    problems.take(match old {
        Some(old) => modify_user::modify(db, tree, &wanted, &old, subject),
        None => add_user::add(db, tree, &wanted, subject),
    });
    problems.finish()
}
