//! The whole of accounts on a root in memory. Comparisons with Debian's own tools are in the boot lab.

use std::path::{Path, PathBuf};

use super::{Accounts, Today, plan};
use crate::change::memory::Memory;
use crate::change::{Attributes, Op, Piece};
use crate::error::{Error, Problems, Reason};
use crate::plan::Tree;

const TODAY: Today = Today(20_500);

fn provision(root: &Memory, passwd: &str) -> Result<(Accounts, Vec<Op<'static>>), Error> {
    let config = format!(r#"{{"ignition": {{"version": "3.4.0"}}, "passwd": {passwd}}}"#);
    let parsed = crate::config::parse(config.as_bytes(), &mut crate::config::Report::default()).unwrap();
    let mut tree = Tree::new(root);
    let mut problems = Problems::default();
    let accounts = plan(&parsed.config.passwd, &mut tree, TODAY, &mut problems);
    problems.finish()?;
    Ok((accounts, tree.into_planned().ops))
}

fn refusal(root: &Memory, passwd: &str) -> (Reason, String) {
    let error = provision(root, passwd).map(|(_, ops)| ops).unwrap_err();
    (error.reason(), error.to_string())
}

/// What is put at `path`, and whose it is.
fn file<'o>(ops: &'o [Op], path: &str) -> Option<(&'o str, Attributes)> {
    ops.iter().find_map(|op| match op {
        Op::File { path: at, contents, attributes } if at == Path::new(path) => match contents.as_slice() {
            [Piece::Bytes(bytes)] => Some((std::str::from_utf8(bytes).unwrap(), *attributes)),
            _ => None,
        },
        _ => None,
    })
}

fn paths(ops: &[Op]) -> Vec<String> {
    let path = |op: &Op| op.path().to_str().unwrap().to_owned();
    ops.iter().map(path).collect()
}

#[test]
fn a_new_user_is_in_every_file_and_has_a_home() {
    let (accounts, ops) = provision(&Memory::debian(), r#"{"users": [{"name": "core"}]}"#).unwrap();
    let expected =
        ["/home/core", "/home/core/.profile", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];
    assert_eq!(paths(&ops), expected);
    let (passwd, attributes) = file(&ops, "/etc/passwd").unwrap();
    assert!(passwd.ends_with("/bin/sh\ncore:x:1000:1000::/home/core:/bin/sh\n"), "{passwd}");
    assert_eq!(attributes, Attributes::root(0o644));
    let (shadow, attributes) = file(&ops, "/etc/shadow").unwrap();
    assert!(shadow.ends_with("\ncore:*:20500::::::\n"), "{shadow}");
    assert_eq!(attributes, Attributes { uid: 0, gid: 42, mode: 0o640 });
    assert!(file(&ops, "/etc/gshadow").unwrap().0.ends_with("\ncore:!::\n"));
    let owner = Attributes { uid: 1000, gid: 1000, mode: 0o700 };
    assert_eq!(ops[0], Op::Directory { path: "/home/core".into(), attributes: owner });
    let contents = vec![Piece::Existing("/etc/skel/.profile".into())];
    let attributes = Attributes { mode: 0o644, ..owner };
    assert_eq!(ops[1], Op::File { path: "/home/core/.profile".into(), contents, attributes });

    let user = accounts.user("core").unwrap();
    assert_eq!((user.uid, user.gid, user.home.as_path()), (1000, 1000, Path::new("/home/core")));
    assert_eq!((accounts.uid("games"), accounts.gid("adm")), (Some(5), Some(4)));
    assert_eq!((accounts.uid("nobody"), accounts.gid("nobody")), (None, None));
}

#[test]
fn no_wishes_change_nothing() {
    let root = Memory::debian();
    for passwd in [
        "{}",
        r#"{"users": [{"name": "games"}]}"#,
        r#"{"groups": [{"name": "adm", "gid": 4}], "users": [{"name": "games", "uid": 5, "homeDir": "/usr/games/"}]}"#,
        r#"{"groups": [{"name": "no", "shouldExist": false}], "users": [{"name": "no", "shouldExist": false}]}"#,
    ] {
        assert_eq!(paths(&provision(&root, passwd).unwrap().1), [""; 0], "{passwd}");
    }
}

#[test]
fn a_second_run_changes_nothing_more() {
    let config = r#"{"groups": [{"name": "g", "gid": 2000, "passwordHash": "h"}],
        "users": [{"name": "core", "groups": ["adm", "g"], "passwordHash": "$6$x"}]}"#;
    let (_, ops) = provision(&Memory::debian(), config).unwrap();
    let mut root = Memory::debian();
    root.directory("/home/core", 1000, 1000, 0o700);
    for path in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
        root.file(path, file(&ops, path).unwrap().0);
    }
    assert_eq!(paths(&provision(&root, config).unwrap().1), [""; 0]);
}

#[test]
fn linked_account_files_are_replaced_where_they_are() {
    let mut root = Memory::debian().without("/etc/passwd");
    root.link("/etc/passwd", "/usr/share/passwd");
    root.link("/usr", "var/usr");
    root.file("/var/usr/share/passwd", "root:x:0:0::/root:/bin/sh");
    let (_, ops) = provision(&root, r#"{"users": [{"name": "root", "shell": "/bin/bash"}]}"#).unwrap();
    assert_eq!(paths(&ops), ["/var/usr/share/passwd"]);
    // Nothing was appended: the file still ends as it did.
    assert_eq!(file(&ops, "/var/usr/share/passwd").unwrap().0, "root:x:0:0::/root:/bin/bash");
}

#[test]
fn what_cannot_be_read_is_never_taken_for_empty() {
    let root = Memory::debian();
    root.broken.set(true);
    assert_eq!(refusal(&root, "{}").0, Reason::RootIo);
    let mut root = Memory::debian().without("/etc/shadow");
    root.directory("/etc/shadow", 0, 0, 0o755);
    assert_eq!(
        refusal(&root, "{}"),
        (Reason::Account, "/etc/shadow in the root is a directory, not a file".into())
    );
}

#[test]
fn without_the_files_there_are_no_users_and_groups() {
    let user = r#"{"users": [{"name": "core"}]}"#;
    let (reason, text) = refusal(&Memory::debian().without("/etc/passwd"), user);
    assert_eq!(reason, Reason::Account);
    assert_eq!(text, "$.passwd.users.0: user \"core\": the root has no /etc/passwd");
    assert_eq!(refusal(&Memory::debian().without("/etc/group"), user).0, Reason::Account);
    let group = r#"{"groups": [{"name": "g"}]}"#;
    assert_eq!(refusal(&Memory::debian().without("/etc/group"), group).0, Reason::Account);
    assert!(provision(&Memory::debian().without("/etc/passwd"), group).is_ok());
    let (accounts, ops) = provision(&Memory::debian().without("/etc/passwd"), "{}").unwrap();
    assert_eq!((accounts.uid("root"), ops.len()), (None, 0));
}

#[test]
fn forced_shadow_files_are_made_for_the_group_shadow() {
    let mut root = Memory::debian().without("/etc/shadow").without("/etc/gshadow");
    root.file("/etc/login.defs", "FORCE_SHADOW yes\n");
    let (_, ops) = provision(&root, r#"{"users": [{"name": "core", "primaryGroup": "adm"}]}"#).unwrap();
    let attributes = Attributes { uid: 0, gid: 42, mode: 0o640 };
    assert_eq!(file(&ops, "/etc/shadow"), Some(("core:*:20500::::::\n", attributes)));
    assert_eq!(file(&ops, "/etc/gshadow"), None);
}

#[test]
fn the_first_day_is_no_demand_for_a_new_password() {
    assert_eq!(Today(0).last_change(), None);
    assert_eq!(Today(1).last_change(), Some(1));
}

#[test]
fn errors_name_the_place_and_never_a_hash() {
    let root = Memory::debian();
    for (passwd, reason, place) in [
        (r#"{"users": [{"name": "ok"}, {"name": "a b"}]}"#, Reason::ConfigInvalid, "$.passwd.users.1.name: "),
        (r#"{"users": [{}]}"#, Reason::ConfigInvalid, "$.passwd.users.0.name: "),
        (r#"{"groups": [{"name": "a/b"}]}"#, Reason::ConfigInvalid, "$.passwd.groups.0.name: "),
        (r#"{"users": [{"name": "u", "uid": -1}]}"#, Reason::ConfigInvalid, "$.passwd.users.0.uid: "),
        (
            r#"{"groups": [{"name": "g", "gid": 4294967295}]}"#,
            Reason::ConfigInvalid,
            "$.passwd.groups.0.gid: ",
        ),
        (
            r#"{"users": [{"name": "u", "homeDir": "x"}]}"#,
            Reason::ConfigInvalid,
            "$.passwd.users.0.homeDir: ",
        ),
        (r#"{"users": [{"name": "u", "shell": "sh"}]}"#, Reason::ConfigInvalid, "$.passwd.users.0.shell: "),
        (
            r#"{"users": [{"name": "u", "groups": ["adm", ""]}]}"#,
            Reason::ConfigInvalid,
            "$.passwd.users.0.groups.1: ",
        ),
        (
            r#"{"users": [{"name": "u", "passwordHash": "a:hush"}]}"#,
            Reason::ConfigInvalid,
            "$.passwd.users.0.passwordHash: ",
        ),
        (
            r#"{"groups": [{"name": "g", "passwordHash": "a\nhush"}]}"#,
            Reason::ConfigInvalid,
            "$.passwd.groups.0.passwordHash: ",
        ),
        (
            r#"{"users": [{"name": "u", "groups": ["no"]}]}"#,
            Reason::Account,
            "$.passwd.users.0: user \"u\": groups.0: ",
        ),
        (
            r#"{"users": [{"name": "u", "primaryGroup": "9"}]}"#,
            Reason::Account,
            "$.passwd.users.0: user \"u\": primaryGroup: ",
        ),
        (
            r#"{"users": [{"name": "u", "uid": 5, "passwordHash": "hush"}]}"#,
            Reason::Account,
            "$.passwd.users.0: user \"u\": ",
        ),
        (r#"{"groups": [{"name": "g", "gid": 60}]}"#, Reason::Account, "$.passwd.groups.0: group \"g\": "),
    ] {
        let (found, text) = refusal(&root, passwd);
        assert_eq!(found, reason, "{passwd}: {text}");
        assert!(text.starts_with(place), "{passwd}: {text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn defaults_that_would_break_passwd_are_refused() {
    for defaults in ["HOME=/srv:/x\n", "SHELL=/bin/sh:\n", "SHELL=/bin/sh\r\n"] {
        let mut root = Memory::debian();
        root.file("/etc/default/useradd", defaults);
        let (reason, text) = refusal(&root, r#"{"users": [{"name": "core"}]}"#);
        assert_eq!(reason, Reason::Account, "{defaults:?}");
        assert!(text.contains("/etc/default/useradd"), "{text}");
    }
}

#[test]
fn a_home_moves_by_its_name_or_across_file_systems_by_copy() {
    let mut root = Memory::debian();
    root.directory("/usr/games", 5, 60, 0o755);
    root.file("/usr/games/score", "1");
    root.owned("/usr/games/score", 5, 0, 0o6755);
    root.link("/usr/games/last", "/usr/games/score");
    root.directory("/srv", 0, 0, 0o755);
    root.next_device();
    root.directory("/data", 0, 0, 0o755);

    let moved = |to: &str| {
        let config = format!(r#"{{"users": [{{"name": "games", "homeDir": "{to}", "uid": 2000}}]}}"#);
        provision(&root, &config).unwrap().1
    };
    let here = moved("/srv/games");
    assert_eq!(here[0], Op::Rename { from: "/usr/games".into(), to: "/srv/games".into() });
    let score = Attributes { uid: 2000, gid: 0, mode: 0o755 };
    let attributes = |path: &str, attributes| Op::Attributes { path: path.into(), attributes };
    assert_eq!(here[1], attributes("/srv/games/score", score));
    assert_eq!(here[2], attributes("/srv/games", Attributes { uid: 2000, gid: 60, mode: 0o755 }));

    let there = moved("/data/games");
    let names = ["/data/games", "/data/games/last", "/data/games/score", "/usr/games", "/etc/passwd"];
    assert_eq!(paths(&there), names);
    let link =
        Op::Symlink { path: "/data/games/last".into(), target: "/data/games/score".into(), uid: 0, gid: 0 };
    assert_eq!(there[1], link);
    assert_eq!(there[3], Op::Remove { path: PathBuf::from("/usr/games") });
}

#[test]
fn a_home_inside_its_own_skeleton_is_refused() {
    for skeleton in ["/home", "/"] {
        let mut root = Memory::debian();
        root.file("/etc/default/useradd", format!("SKEL={skeleton}\n"));
        let (reason, text) = refusal(&root, r#"{"users": [{"name": "core"}]}"#);
        assert_eq!(reason, Reason::Account);
        assert!(text.contains("/home/core"), "{text}");
    }
}

#[test]
fn a_skeleton_that_cannot_be_copied_is_refused() {
    let mut root = Memory::debian();
    root.special("/etc/skel/fifo");
    let (reason, text) = refusal(&root, r#"{"users": [{"name": "core"}]}"#);
    assert_eq!(reason, Reason::Unsupported);
    assert_eq!(text, "copy /etc/skel/fifo in the root: it is a device, FIFO or socket");
}

/// How often the root is asked while `count` users are planned.
fn calls(count: usize, user: impl Fn(usize) -> String) -> usize {
    let root = Memory::debian();
    let users: Vec<String> = (0..count).map(user).collect();
    provision(&root, &format!(r#"{{"users": [{}]}}"#, users.join(","))).unwrap();
    root.calls.get()
}

#[test]
fn the_root_is_not_asked_again_for_each_user() {
    let new = |number: usize| format!(r#"{{"name": "n{number}"}}"#);
    assert_eq!(calls(1000, new), calls(2000, new));
}

#[test]
fn eight_thousand_users_after_the_highest_id_take_no_time() {
    // Each id was compared with each other one before: with 8,000 users that is 250,000,000,000 comparisons.
    let user = |number: usize| match number {
        0 => r#"{"name": "top", "uid": 60000}"#.to_owned(),
        _ => format!(r#"{{"name": "n{number}", "noCreateHome": true}}"#),
    };
    let users: Vec<String> = (0..8000).map(user).collect();
    let root = Memory::debian();
    let (accounts, _) = provision(&root, &format!(r#"{{"users": [{}]}}"#, users.join(","))).unwrap();
    assert_eq!(accounts.uid("n7999"), Some(8998));
}
