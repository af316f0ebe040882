//! Puts the ssh keys of the config's users where `sshd` looks for them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

use super::Part;
use super::accounts::{Accounts, User};
use super::tree::Tree;
use crate::change::Piece;
use crate::change::{Attributes, FileKind};
use crate::config::{self, Passwd};
use crate::error::{Error, Problems, Reason, Result};

/// Plans each user's keys into `.ssh/authorized_keys` in the user's home. With `fragment`, plans them into
/// `.ssh/authorized_keys.d/ignition`. An existing file is replaced.
///
/// Missing directories are made: the home and those below it get mode 0700 and belong to the user, those above it get
/// mode 0755 and belong to root. The reference writes as the user instead, and fails if the home is missing and
/// cannot be made. Symbolic links below the home are not followed. A link in place of a directory is refused, because
/// it could lead the keys anywhere. A link in place of the file is replaced.
pub(super) fn plan(passwd: &Passwd, accounts: &Accounts, tree: &mut Tree, fragment: bool) -> Result<()> {
    let mut problems = Problems::default();
    for (index, user) in passwd.users.iter().enumerate() {
        let name = user.name.as_ref();
        let has_none = user.ssh_authorized_keys.is_empty() || user.should_exist == Some(false);
        if has_none || accounts.has_failed(name) {
            continue;
        }
        let place = format!("$.passwd.users.{index}.sshAuthorizedKeys");
        let refuse = |what: &str| Error::new(Reason::Account, format!("user {name:?}: {what}"));
        tree.begin(Part::User(index));
        let done = match accounts.user(name) {
            None => Err(refuse("there is no such user")),
            Some(account) if account.home.as_os_str().is_empty() => {
                Err(refuse("the user has no home directory"))
            }
            Some(account) => put(user, account, fragment, tree),
        };
        problems.take(done.map_err(|error| error.at(&place)));
    }
    problems.finish()
}

fn put(user: &config::User, account: &User, fragment: bool, tree: &mut Tree) -> Result<()> {
    let owned = |mode| Attributes { uid: account.uid, gid: account.gid, mode };
    let mut at = tree.resolve(&account.home)?;
    if directory_is_missing(tree, &at)? {
        tree.make_parents(&at)?;
        tree.put_directory(at.clone(), owned(0o700));
    }
    let (directories, file): (&[&str], _) =
        if fragment { (&[".ssh", "authorized_keys.d"], "ignition") } else { (&[".ssh"], "authorized_keys") };
    for directory in directories {
        at.push(directory);
        if directory_is_missing(tree, &at)? {
            tree.put_directory(at.clone(), owned(0o700));
        }
    }
    at.push(OsStr::new(file));
    match tree.stat(&at)?.map(|stat| stat.kind) {
        None | Some(FileKind::File | FileKind::Symlink) => {}
        Some(kind) => return Err(in_the_way(&at, kind)),
    }
    let mut keys = user.ssh_authorized_keys.join("\n");
    if !keys.ends_with('\n') {
        keys.push('\n');
    }
    tree.put_file(at, vec![Piece::Bytes(Cow::Owned(keys.into_bytes()))], owned(0o600));
    Ok(())
}

fn directory_is_missing(tree: &Tree, at: &Path) -> Result<bool> {
    match tree.stat(at)?.map(|stat| stat.kind) {
        None => Ok(true),
        Some(FileKind::Directory) => Ok(false),
        Some(kind) => Err(in_the_way(at, kind)),
    }
}

fn in_the_way(at: &Path, kind: FileKind) -> Error {
    let what = format!("write keys to {} in the root: {} stands there", at.display(), kind.word());
    Error::new(Reason::Conflict, what)
}

#[cfg(test)]
mod tests {
    use super::super::accounts::{self, Today};
    use super::*;
    use crate::change::Op;
    use crate::change::memory::Memory;

    const GAMES: &str = r#"{"name": "games", "sshAuthorizedKeys": ["ssh-ed25519 A a", "ssh-ed25519 B b"]}"#;

    fn keys(root: &Memory, users: &str, fragment: bool) -> Result<Vec<(String, Attributes)>> {
        let text = format!(r#"{{"ignition": {{"version": "3.4.0"}}, "passwd": {{"users": [{users}]}}}}"#);
        let config = config::parse(text.as_bytes(), &mut config::Report::default()).unwrap().config;
        let mut tree = Tree::new(root);
        let mut problems = Problems::default();
        let accounts = accounts::plan(&config.passwd, &mut tree, Today(1), &mut problems);
        problems.finish()?;
        plan(&config.passwd, &accounts, &mut tree, fragment)?;
        let put = |op| match op {
            Op::Directory { path, attributes } => (path.display().to_string(), attributes),
            Op::File { path, contents, attributes } => match contents.as_slice() {
                [Piece::Bytes(bytes)] => {
                    (format!("{} {}", path.display(), String::from_utf8_lossy(bytes)), attributes)
                }
                _ => panic!("{contents:?}"),
            },
            other => panic!("{other:?}"),
        };
        Ok(tree.into_planned().ops.into_iter().map(put).collect())
    }

    fn of_games(path: &str, mode: u32) -> (String, Attributes) {
        (path.to_owned(), Attributes { uid: 5, gid: 60, mode })
    }

    #[test]
    fn what_is_missing_is_made() {
        let file = "/usr/games/.ssh/authorized_keys ssh-ed25519 A a\nssh-ed25519 B b\n";
        let expected = [
            ("/usr".to_owned(), Attributes::root(0o755)),
            of_games("/usr/games", 0o700),
            of_games("/usr/games/.ssh", 0o700),
            of_games(file, 0o600),
        ];
        assert_eq!(keys(&Memory::debian(), GAMES, false).unwrap(), expected);
    }

    #[test]
    fn what_is_there_is_kept_and_the_file_replaced() {
        let mut root = Memory::debian();
        root.directory("/usr/games/.ssh", 1, 2, 0o777);
        root.link("/usr/games/.ssh/authorized_keys", "/etc/shadow");
        let file = "/usr/games/.ssh/authorized_keys ssh-ed25519 A a\nssh-ed25519 B b\n";
        assert_eq!(keys(&root, GAMES, false).unwrap(), [of_games(file, 0o600)]);
        let file = "/usr/games/.ssh/authorized_keys.d/ignition ssh-ed25519 A a\nssh-ed25519 B b\n";
        let expected = [of_games("/usr/games/.ssh/authorized_keys.d", 0o700), of_games(file, 0o600)];
        assert_eq!(keys(&root, GAMES, true).unwrap(), expected);
    }

    #[test]
    fn a_home_may_be_a_link_and_what_is_below_may_not() {
        let mut root = Memory::debian();
        root.link("/usr/games", "/srv/games");
        root.directory("/srv/games/.ssh", 5, 60, 0o700);
        let file = "/srv/games/.ssh/authorized_keys ssh-ed25519 A a\nssh-ed25519 B b\n";
        assert_eq!(keys(&root, GAMES, false).unwrap(), [of_games(file, 0o600)]);

        let mut root = Memory::debian();
        root.link("/usr/games/.ssh", "/etc");
        let error = keys(&root, GAMES, false).unwrap_err();
        assert_eq!(error.reason(), Reason::Conflict);
        let text = "$.passwd.users.0.sshAuthorizedKeys: write keys to /usr/games/.ssh in the root: a symbolic link \
                    stands there";
        assert_eq!(error.text(), text);
        let mut root = Memory::debian();
        root.directory("/usr/games/.ssh/authorized_keys", 0, 0, 0o755);
        assert_eq!(keys(&root, GAMES, false).unwrap_err().reason(), Reason::Conflict);
    }

    #[test]
    fn users_without_keys_and_users_that_go_get_nothing() {
        let root = Memory::debian();
        assert_eq!(keys(&root, r#"{"name": "games"}"#, false).unwrap(), []);
        let gone = r#"{"name": "nosuch", "shouldExist": false, "sshAuthorizedKeys": ["k"]}"#;
        assert_eq!(keys(&root, gone, false).unwrap(), []);
    }
}
