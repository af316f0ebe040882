//! How the work of planning grows with a config: the view is asked, and names are looked up in the tree, in proportion.

use super::*;
use crate::change::memory::Memory;
use crate::config::Report;
use crate::error::{Error, Reason};
use crate::source::NoTransport;

/// A config's list, its entry for a number, and what the root has of that number.
struct ListGrowth {
    list: &'static str,
    entry: fn(usize) -> String,
    root: fn(&mut Memory, usize),
}

const UNITS: &str = "/usr/lib/systemd/system";
const INSTALL: &str = "[Install]\nWantedBy=a.target\n";

fn nothing(_: &mut Memory, _: usize) {}

fn users(root: &mut Memory, count: usize) {
    let lines = |line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    root.file("/etc/passwd", lines(&|n| format!("u{n}:x:{}:{}::/home/u{n}:/bin/sh\n", 2000 + n, 2000 + n)));
    root.file("/etc/group", lines(&|n| format!("u{n}:x:{}:\n", 2000 + n)));
    root.file("/etc/shadow", lines(&|n| format!("u{n}:*:20000::::::\n")));
    root.file("/etc/gshadow", lines(&|n| format!("u{n}:!::\n")));
}

fn units(root: &mut Memory, count: usize) {
    root.file(&format!("{UNITS}/t@.service"), INSTALL);
    root.file(&format!("{UNITS}/t@.service.d/a.conf"), "[Install]\nWantedBy=b.target\n");
    for n in 0..count {
        root.file(&format!("{UNITS}/s{n}.service"), INSTALL);
        let link = format!("/etc/systemd/system/a.target.wants/s{n}.service");
        root.link(&link, &format!("{UNITS}/s{n}.service"));
    }
}

const KINDS: &[ListGrowth] = &[
    ListGrowth { list: "passwd.users", entry: |n| format!(r#"{{"name":"n{n}"}}"#), root: nothing },
    ListGrowth {
        list: "passwd.users",
        entry: |n| format!(r#"{{"name":"n{n}","groups":["sudo"],"sshAuthorizedKeys":["ssh-rsa A"]}}"#),
        root: |root, _| root.file("/etc/group", "sudo:x:27:\n"),
    },
    ListGrowth {
        list: "passwd.users",
        entry: |n| format!(r#"{{"name":"u{n}","shell":"/bin/x"}}"#),
        root: users,
    },
    ListGrowth {
        list: "passwd.users",
        entry: |n| format!(r#"{{"name":"u{n}","shouldExist":false}}"#),
        root: users,
    },
    ListGrowth { list: "passwd.groups", entry: |n| format!(r#"{{"name":"n{n}"}}"#), root: users },
    ListGrowth { list: "systemd.units", entry: |n| unit(n, ""), root: nothing },
    ListGrowth { list: "systemd.units", entry: |n| unit(n, &format!("Alias=b{n}.service")), root: nothing },
    ListGrowth {
        list: "systemd.units",
        entry: |n| unit(n, &format!("Also=n{}.service", n + 1)),
        root: nothing,
    },
    ListGrowth {
        list: "systemd.units",
        entry: |n| format!(r#"{{"name":"s{n}.service","enabled":false}}"#),
        root: units,
    },
    ListGrowth {
        list: "systemd.units",
        entry: |n| format!(r#"{{"name":"s{n}.service","mask":true}}"#),
        root: units,
    },
    ListGrowth {
        list: "systemd.units",
        entry: |n| format!(r#"{{"name":"t@{n}.service","enabled":true}}"#),
        root: units,
    },
    ListGrowth {
        list: "systemd.units",
        entry: |n| format!(r#"{{"name":"t@{n}.service","enabled":false}}"#),
        root: units,
    },
    ListGrowth {
        list: "systemd.units",
        entry: |n| {
            format!(r#"{{"name":"n{n}.service","dropins":[{{"name":"a.conf","contents":"[Unit]"}}]}}"#)
        },
        root: nothing,
    },
    ListGrowth {
        list: "storage.files",
        entry: |n| format!(r#"{{"path":"/a/n{n}","append":[{{"source":"data:,a"}}]}}"#),
        root: nothing,
    },
    ListGrowth {
        list: "storage.files",
        entry: |n| format!(r#"{{"path":"/n{n}/a/b/c/d/e/f"}}"#),
        root: nothing,
    },
    ListGrowth { list: "storage.directories", entry: |n| format!(r#"{{"path":"/a/n{n}"}}"#), root: nothing },
    ListGrowth {
        list: "storage.links",
        entry: |n| format!(r#"{{"path":"/a/n{n}","target":"b"}}"#),
        root: nothing,
    },
];

fn unit(n: usize, line: &str) -> String {
    format!(r#"{{"name":"n{n}.service","enabled":true,"contents":"[Install]\nWantedBy=a.target\n{line}\n"}}"#)
}

fn planned(root: &Memory, list: &str, entries: &[String]) -> Result<usize> {
    let (object, list) = list.split_once('.').unwrap();
    let text =
        format!(r#"{{"ignition":{{"version":"3.4.0"}},"{object}":{{"{list}":[{}]}}}}"#, entries.join(","));
    let parsed = config::parse(text.as_bytes(), &mut Report::default()).unwrap();
    let options = Options {
        kernel_command_line: None,
        today: Today(20_500),
        ssh_key_fragment: false,
        image_defaults: false,
        changes_disks: false,
        unlocks: &[],
        made_directories: &[],
        transport: &NoTransport,
    };
    plan(&parsed.config, root, options).map(|planned| planned.ops.len())
}

/// How often the view was asked, and how many names were looked up in the tree.
fn work(kind: &ListGrowth, count: usize) -> (usize, usize) {
    let mut root = Memory::debian();
    (kind.root)(&mut root, count);
    let entries: Vec<String> = (0..count).map(kind.entry).collect();
    let before = tree::lookups();
    assert!(planned(&root, kind.list, &entries).unwrap() > 0);
    (root.calls.get(), tree::lookups() - before)
}

#[test]
fn work_grows_in_proportion_to_the_config() {
    for kind in KINDS {
        let ((calls, lookups), (more_calls, more_lookups)) = (work(kind, 100), work(kind, 200));
        let entry = (kind.entry)(0);
        assert!(more_calls * 10 <= calls * 21, "{entry}: {calls} {more_calls} calls");
        assert!(more_lookups * 10 <= lookups * 21, "{entry}: {lookups} {more_lookups} names");
    }
}

#[test]
fn a_template_is_read_once_for_all_instances() {
    let calls = |count| {
        let mut root = Memory::debian();
        units(&mut root, 0);
        let entries: Vec<String> =
            (0..count).map(|n| format!(r#"{{"name":"t@{n}.service","enabled":true}}"#)).collect();
        planned(&root, "systemd.units", &entries).unwrap();
        root.calls.get()
    };
    assert_eq!(calls(100), calls(200));
}

#[test]
fn account_files_are_read_only_for_users_groups_and_owners() {
    let mut root = Memory::debian().without("/etc/passwd");
    root.directory("/etc/passwd", 0, 0, 0o755);
    let planned = |list: &str, entry: &str| planned(&root, list, &[entry.to_owned()]);
    assert_eq!(planned("storage.files", r#"{"path":"/a","user":{"id":5}}"#).unwrap(), 1);
    for (list, entry) in [
        ("storage.files", r#"{"path":"/a","user":{"name":"root"}}"#),
        ("storage.directories", r#"{"path":"/a","group":{"name":"root"}}"#),
        ("storage.links", r#"{"path":"/a","target":"b","user":{"name":"root"}}"#),
        ("passwd.groups", r#"{"name":"a"}"#),
        ("passwd.users", r#"{"name":"a"}"#),
    ] {
        assert_eq!(planned(list, entry).unwrap_err().reason(), Reason::Account, "{entry}");
    }
}

#[test]
fn what_the_config_does_not_name_is_bounded() {
    // 1 MiB of such paths would be half a million directories, with paths of 130 MB.
    let refusal = |list: &str, entries: &[String]| -> Error {
        let mut root = Memory::debian();
        root.file(&format!("{UNITS}/t@.service"), INSTALL);
        planned(&root, list, entries).unwrap_err()
    };
    let directories = "/directory-name".repeat(250);
    let deep: Vec<String> = (0..60).map(|n| format!(r#"{{"path":"/{n}{directories}"}}"#)).collect();
    let error = refusal("storage.directories", &deep);
    assert_eq!(error.reason(), Reason::ConfigInvalid);
    assert!(error.to_string().contains("paths are more than 16 MiB in all"), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");

    // Every instance is wanted by all that the template names.
    let long = "w".repeat(230);
    let wants: Vec<String> = (0..200).map(|n| format!("WantedBy={long}{n}.target")).collect();
    let template = format!(r#"{{"name":"x@.service","contents":"[Install]\n{}"}}"#, wants.join("\\n"));
    let instances = (0..200).map(|n| format!(r#"{{"name":"x@{long}{n}.service","enabled":true}}"#));
    let error = refusal("systemd.units", &std::iter::once(template).chain(instances).collect::<Vec<_>>());
    assert!(error.to_string().contains("paths are more than 16 MiB in all"), "{error}");

    // Every line of a template is one of each instance.
    let lines = "WantedBy=\\n".repeat(2000);
    let template = format!(r#"{{"name":"x@.service","contents":"[Install]\n{lines}"}}"#);
    let instances = (0..600).map(|n| format!(r#"{{"name":"x@{n}.service","enabled":true}}"#));
    let error = refusal("systemd.units", &std::iter::once(template).chain(instances).collect::<Vec<_>>());
    assert!(error.to_string().contains("lines in [Install]"), "{error}");
}
