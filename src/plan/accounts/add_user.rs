//! Adds a user, as `useradd` does.

use super::database::{Database, File};
use super::entry::{AccountEntry, Passwd, Shadow};
use super::ids::{IdRange, Ids, Space};
use super::subject::Subject;
use super::wanted::Wanted;
use super::{groups, home, mail};
use crate::error::Result;
use crate::plan::Tree;

/// The most bytes of a name that Debian's `useradd` accepts.
const LONGEST_NAME: usize = 255;
/// A password that no input matches, as `useradd` writes it.
const LOCKED: &[u8] = b"*";

/// Adds the user to all account files, and makes the home directory and the mail spool.
pub(super) fn add(db: &mut Database, tree: &mut Tree, wanted: &Wanted, subject: &Subject) -> Result<()> {
    let name = subject.checked_new_name(LONGEST_NAME)?;
    let own_group = wanted.gid.is_none() && wanted.user_group() && db.defs.yes("USERGROUPS_ENAB");
    if own_group && db.group(name).is_some() {
        return Err(subject.refuse(
            "a group of this name already exists; name it as primaryGroup to make the user a member of it",
        ));
    }
    let members_of = match &wanted.groups {
        Some(groups) => groups.clone(),
        None => default_groups(db),
    };
    let uid = choose_uid(db, wanted, subject)?;
    let gid = match wanted.gid {
        Some(gid) => gid,
        None if own_group => {
            let gid = groups::free_gid(db, Some(uid), wanted.system(), subject)?;
            groups::add(db, name, gid, groups::LOCKED, subject)?;
            gid
        }
        None => default_group(db),
    };
    add_ranges(db, wanted, subject)?;

    let user = entry(db, wanted, uid, gid, subject)?;
    enter(db, user.clone(), wanted, subject)?;
    join_groups(db, name, &members_of, subject)?;

    if wanted.create_home() {
        home::create(tree, db, &user)?;
    }
    if !wanted.system() && db.useradd.mail_spool {
        mail::create(tree, db, &user)?;
    }
    if wanted.log_init() && db.useradd.log_init {
        db.faillog.reset(tree, uid)?;
    }
    Ok(())
}

fn choose_uid(db: &Database, wanted: &Wanted, subject: &Subject) -> Result<u32> {
    let none = Ids::default();
    let used = db.passwd.as_ref().map_or(&none, |file| &file.table.ids);
    match wanted.uid {
        Some(uid) => match db.user_of_id(uid) {
            Some(other) => Err(subject.in_use("user", uid, &other.name)),
            None => Ok(uid),
        },
        None => IdRange::new(&db.defs, Space::Users, wanted.system())
            .ok_or_else(|| subject.refuse("/etc/login.defs has a UID_MAX below its UID_MIN"))?
            .free(used)
            .ok_or_else(|| subject.refuse("no user id is free")),
    }
}

/// Returns the primary group of users without a group of their own. The fallback is 100, Debian's group `users`, even
/// if the root has no such group.
fn default_group(db: &Database) -> u32 {
    let group = db.useradd.group.as_deref().and_then(|group| db.group_by_any(group));
    group.map_or(100, |group| group.gid)
}

fn default_groups(db: &Database) -> Vec<Vec<u8>> {
    let known = db.useradd.groups.iter().filter_map(|group| db.group_by_any(group));
    known.map(|group| group.name.to_vec()).collect()
}

/// Adds subordinate ids. Only users who are not system users get some, and only if the image has the files.
fn add_ranges(db: &mut Database, wanted: &Wanted, subject: &Subject) -> Result<()> {
    let (min, max) = (db.defs.number("UID_MIN", 1000), db.defs.number("UID_MAX", 60000));
    let of_a_person = match wanted.uid {
        None | Some(0) => true,
        Some(uid) => (min..=max).contains(&u64::from(uid)),
    };
    if wanted.system() || !of_a_person {
        return Ok(());
    }
    let Database { subuid, subgid, defs, .. } = db;
    let add = |file: &mut Option<File>, keys: [&str; 3], path: &str| {
        let [min, max, count] = keys;
        let min = defs.number(min, 100_000);
        let max = defs.number(max, 600_100_000).min(u64::from(u32::MAX));
        let count = defs.number(count, 65536);
        match file {
            Some(file) if count > 0 => file.table.add_range(wanted.name, min, max, count),
            _ => Some(()),
        }
        .ok_or_else(|| subject.refuse(&format!("{path} has no free range of {count} ids")))
    };
    add(subuid, ["SUB_UID_MIN", "SUB_UID_MAX", "SUB_UID_COUNT"], "/etc/subuid")?;
    add(subgid, ["SUB_GID_MIN", "SUB_GID_MAX", "SUB_GID_COUNT"], "/etc/subgid")
}

fn entry(db: &Database, wanted: &Wanted, uid: u32, gid: u32, subject: &Subject) -> Result<Passwd> {
    let home = match wanted.home {
        Some(home) => home.to_vec(),
        None => [db.useradd.home.as_slice(), b"/", wanted.name].concat(),
    };
    let shell = wanted.shell.unwrap_or(&db.useradd.shell);
    // A home and shell from the config were checked before.
    if home.iter().chain(shell).any(|byte| *byte == b':' || byte.is_ascii_control()) {
        return Err(
            subject.refuse("/etc/default/useradd has a HOME or SHELL that is not allowed in /etc/passwd")
        );
    }
    let password = if db.shadow.is_some() { b"x" } else { wanted.password.unwrap_or(LOCKED) };
    Ok(Passwd {
        name: wanted.name.into(),
        password: password.into(),
        uid,
        gid,
        gecos: wanted.gecos.unwrap_or_default().into(),
        home: home.into(),
        shell: shell.into(),
    })
}

fn enter(db: &mut Database, user: Passwd, wanted: &Wanted, subject: &Subject) -> Result<()> {
    if let Some(file) = &mut db.passwd {
        file.update(AccountEntry::Passwd(user), subject)?;
    }
    let Some(file) = &mut db.shadow else { return Ok(()) };
    let mut rest = [None; 6];
    if !wanted.system() {
        let days = |key| db.defs.days(key);
        rest = [
            days("PASS_MIN_DAYS"),
            days("PASS_MAX_DAYS"),
            days("PASS_WARN_AGE"),
            db.useradd.inactive,
            db.useradd.expiry()?,
            None,
        ];
    }
    let entry = Shadow {
        name: wanted.name.into(),
        password: wanted.password.unwrap_or(LOCKED).into(),
        last_change: db.today.last_change(),
        rest: Shadow::rest(rest),
    };
    file.update(AccountEntry::Shadow(entry), subject)
}

fn join_groups(db: &mut Database, name: &[u8], groups: &[Vec<u8>], subject: &Subject) -> Result<()> {
    for file in [&mut db.group, &mut db.gshadow].into_iter().flatten() {
        file.try_change(subject, |table| table.join(name, groups, true))?;
    }
    Ok(())
}
