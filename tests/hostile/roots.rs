//! Roots in which something stands in the way. Nothing outside of the root may be touched, and the root must be provisioned
//! or as it was.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

use crate::manifest::Tree;
use crate::sandbox::{Done, Sandbox, debian, with};
use crate::table;
use crate::watch::{Watch, difference, state};

/// A config with an entry of every kind.
pub const CONFIG: &str = r#"{"ignition":{"version":"3.5.0"},
    "passwd":{"groups":[{"name":"web","gid":2000}],"users":[
    {"name":"core","groups":["sudo"],"sshAuthorizedKeys":["ssh-ed25519 AAAA core"]},
    {"name":"ann","homeDir":"/home/ann","shell":"/bin/sh","sshAuthorizedKeys":["ssh-ed25519 AAAA ann"]},
    {"name":"games","shouldExist":false}]},
    "storage":{"directories":[{"path":"/srv/d","mode":448,"user":{"name":"core"}},{"path":"/opt/over","overwrite":true}],
    "files":[{"path":"/srv/a/f","contents":{"source":"data:,x"}},
    {"path":"/var/lib/app/f","mode":384,"contents":{"source":"data:,x"}},
    {"path":"/etc/motd","overwrite":true,"contents":{"source":"data:,x"}},
    {"path":"/etc/hosts","append":[{"source":"data:,x"}]},
    {"path":"/etc/issue","mode":384,"user":{"name":"core"}}],
    "links":[{"path":"/etc/localtime","target":"../usr/share/zoneinfo/UTC"},
    {"path":"/srv/hard","target":"/etc/issue","hard":true}]},
    "systemd":{"units":[{"name":"a.service","enabled":true,
    "contents":"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    "dropins":[{"name":"x.conf","contents":"[Unit]\n"}]},
    {"name":"b.service","enabled":false},{"name":"m.service","mask":true}]}}"#;

/// What the root has besides Debian's files.
const MORE: &str = "\
dir 0755 0:0 /opt
dir 0755 0:0 /opt/over
file 0644 0:0 /opt/over/old
dir 0755 0:0 /srv
dir 0755 0:0 /proc
file 0644 0:0 /etc/motd
file 0644 0:0 /etc/hosts
| 127.0.0.1 localhost
file 0644 0:0 /etc/issue
file 0644 0:0 /etc/subuid
| ann:100000:65536
file 0644 0:0 /etc/subgid
| ann:100000:65536
dir 0700 1000:1000 /home/ann/.ssh
dir 0755 0:0 /var/lib
dir 0755 0:0 /etc/systemd/system/multi-user.target.wants
link 0:0 /etc/systemd/system/multi-user.target.wants/b.service -> /usr/lib/systemd/system/b.service
file 0644 0:0 /usr/lib/systemd/system/b.service
| [Install]
| WantedBy=multi-user.target
";

/// Every component of each path that the config names, or that the program uses for it.
const PLACES: [&str; 45] = [
    "/etc",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/login.defs",
    "/etc/default",
    "/etc/default/useradd",
    "/etc/skel",
    "/etc/skel/.profile",
    "/etc/motd",
    "/etc/hosts",
    "/etc/issue",
    "/etc/localtime",
    "/etc/systemd",
    "/etc/systemd/system",
    "/etc/systemd/system/a.service",
    "/etc/systemd/system/a.service.d",
    "/etc/systemd/system/a.service.d/x.conf",
    "/etc/systemd/system/m.service",
    "/etc/systemd/system/multi-user.target.wants",
    "/etc/systemd/system/multi-user.target.wants/a.service",
    "/etc/systemd/system/multi-user.target.wants/b.service",
    "/etc/systemd/system-preset",
    "/etc/systemd/system-preset/20-ignition.preset",
    "/usr",
    "/usr/lib/systemd/system",
    "/usr/lib/systemd/system/b.service",
    "/home",
    "/home/ann",
    "/home/ann/.ssh",
    "/home/ann/.ssh/authorized_keys",
    "/home/core",
    "/var",
    "/var/lib",
    "/var/lib/glowplug",
    "/var/mail",
    "/srv",
    "/srv/a",
    "/srv/d",
    "/srv/hard",
    "/opt",
    "/opt/over",
];

pub fn root() -> Tree {
    with(&debian(), MORE)
}

/// Makes the files beside the root, which must stay as they are.
fn fill_outside(sandbox: &Sandbox) {
    let outside = sandbox.outside();
    for path in ["dir", "etc", "systemd/system", "skel", "home"] {
        fs::create_dir_all(outside.join(path)).unwrap();
    }
    for path in ["file", "etc/passwd", "etc/group", "etc/shadow", "dir/f", "dir/x.conf"] {
        fs::write(outside.join(path), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    }
}

/// Provisions the root of `sandbox` with `config`. Returns the outcome: "done", or the reason of a failure that left
/// everything as it was.
///
/// # Errors
/// A description of what the run did wrong.
pub fn outcome(sandbox: &Sandbox, config: &str) -> Result<(String, Done), String> {
    let before = sandbox.state();
    let watch = Watch::new(sandbox);
    let done = sandbox.run(config);
    let seen = watch.seen();
    drop(watch);
    let after = sandbox.state();
    if !seen.is_empty() {
        return Err(format!("outside of the root: {seen}"));
    }
    if after.iter().any(|line| line.starts_with("/.glowplug ")) {
        return Err(format!("the staging directory was left: {}", done.said));
    }
    // /etc may be a link.
    let has_stamp = after.iter().any(|line| line.contains("/.ignition-result.json 100600 0:0 "));
    match done.reason() {
        "" if done.code == 0 && has_stamp && done.said.is_empty() => Ok(("done".to_owned(), done)),
        reason if done.code > 0 && !reason.is_empty() && !has_stamp && before == after => {
            Ok((reason.to_owned(), done))
        }
        _ => Err(format!("{}: {}\n{}", done.code, done.said, difference(&before, &after))),
    }
}

/// Something that stands in the way, and its name in the table.
struct Thing {
    name: String,
    put: Box<dyn Fn(&Path)>,
}

fn thing(name: &str, put: impl Fn(&Path) + 'static) -> Thing {
    Thing { name: name.to_owned(), put: Box::new(put) }
}

/// Puts each of the things at each of [`PLACES`] in turn, provisions the root, and compares the table of outcomes.
fn try_all(title: &str, things: &dyn Fn(&Sandbox, &str) -> Vec<Thing>) {
    let sandbox = Sandbox::with_devices();
    fill_outside(&sandbox);
    let (before, debian) = (state(&sandbox.outside()), root());
    let mut problems = Vec::new();
    let mut names = Vec::new();
    let mut rows = Vec::new();
    for place in PLACES {
        let mut cells = Vec::new();
        names.clear();
        for Thing { name, put } in things(&sandbox, place) {
            sandbox.make_root(&debian);
            let at = sandbox.at(place);
            if fs::symlink_metadata(&at).is_ok() {
                fs::rename(&at, sandbox.at("/moved")).unwrap();
            }
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            put(&at);
            lsetxattr(sandbox.root(), "trusted.mark", b"kept", XattrFlags::empty()).unwrap();
            cells.push(match outcome(&sandbox, CONFIG) {
                Ok((word, _)) => word,
                Err(what) => {
                    problems.push(format!("{place} as {name}: {what}"));
                    "-".to_owned()
                }
            });
            names.push(name);
        }
        rows.push((place.to_owned(), cells));
    }
    assert_eq!(state(&sandbox.outside()), before, "something outside of the root has changed");
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
    table::check(title, &names, &rows);
}

#[test]
fn links_at_every_place() {
    try_all("Links", &|sandbox, place| {
        let outside = sandbox.outside().display().to_string();
        let up = "../".repeat(20);
        let link = |name: &str, target: String| thing(name, move |at| symlink(&target, at).unwrap());
        let root = sandbox.root();
        let end = format!("{outside}/dir");
        let steps = "../".repeat(place.matches('/').count() - 1);
        vec![
            link("the original, moved elsewhere in the root, by an absolute path", "/moved".to_owned()),
            link("the original, moved elsewhere in the root, by a relative path", format!("{steps}moved")),
            link("a directory outside, absolute", format!("{outside}/dir")),
            link("a file outside, absolute", format!("{outside}/etc/passwd")),
            link("a directory outside, by `..`", format!("{up}{}", outside.trim_start_matches('/'))),
            link("a file outside, by `..`", format!("{up}{}/file", outside.trim_start_matches('/'))),
            link("`/proc/self/root` and a directory outside", format!("/proc/self/root{outside}/dir")),
            link("`/proc/self/cwd`", "/proc/self/cwd".to_owned()),
            link("`/proc/thread-self/root/etc`", "/proc/thread-self/root/etc".to_owned()),
            link("`/dev`", "/dev".to_owned()),
            link("`/dev/null`", "/dev/null".to_owned()),
            link("a directory of the initramfs", "/scripts/init-bottom".to_owned()),
            link("nothing", "/nothing/there".to_owned()),
            link("`..`", "..".to_owned()),
            link("`/`", "/".to_owned()),
            link("itself", place.to_owned()),
            thing("a chain of links that ends outside", move |at| {
                symlink("/chain-1", at).unwrap();
                symlink("chain-2", root.join("chain-1")).unwrap();
                symlink(&end, root.join("chain-2")).unwrap();
            }),
        ]
    });
}

#[test]
fn things_at_every_place() {
    try_all("Other things", &|sandbox, _| {
        let other_name = sandbox.at("/other-name");
        let node = |name: &str, kind: FileType, major| {
            thing(name, move |at| {
                mknodat(CWD, at, kind, Mode::from_raw_mode(0o644), makedev(major, 0)).unwrap();
            })
        };
        vec![
            thing("nothing", |_| {}),
            node("a FIFO", FileType::Fifo, 0),
            node("a socket", FileType::Socket, 0),
            node("a character device", FileType::CharacterDevice, 240),
            node("a block device", FileType::BlockDevice, 240),
            thing("an empty file", |at| drop(File::create(at).unwrap())),
            thing("an empty directory", |at| fs::create_dir(at).unwrap()),
            thing("a directory with something in it", |at| fs::create_dir_all(at.join("a/b")).unwrap()),
            thing("a file with NUL bytes, odd lines and no newline at its end", |at| {
                fs::write(at, b"root:x:0:0\0:\r\n\xff\xfe::::::::\n:\n\n::0").unwrap();
            }),
            thing("a file of 17 MiB", |at| File::create(at).unwrap().set_len(17 << 20).unwrap()),
            thing("a file that has a second name", move |at| {
                fs::write(&other_name, "root:x:0:0:root:/root:/bin/sh\n").unwrap();
                fs::hard_link(&other_name, at).unwrap();
            }),
        ]
    });
}

/// The names of the program's own files may belong to somebody else's files.
#[test]
fn the_places_of_files_that_do_not_stay() {
    let sandbox = Sandbox::with_devices();
    fill_outside(&sandbox);
    let end = sandbox.outside().join("dir");
    let before = state(&sandbox.outside());
    let mut problems = Vec::new();
    for place in ["/.glowplug", "/etc/.ignition-result.json.glowplug"] {
        for Thing { name, put } in [
            thing("a file", |at| fs::write(at, "x").unwrap()),
            thing("a link outside", {
                let end = end.clone();
                move |at| symlink(&end, at).unwrap()
            }),
            thing("a link to nothing", |at| symlink("nothing", at).unwrap()),
            thing("a FIFO", |at| mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap()),
            thing("an empty directory", |at| fs::create_dir(at).unwrap()),
            thing("a directory with a file", |at| {
                fs::create_dir(at).unwrap();
                fs::write(at.join("0"), "x").unwrap();
            }),
            thing("a directory with a link outside", {
                let end = end.clone();
                move |at| {
                    fs::create_dir(at).unwrap();
                    symlink(&end, at.join("0")).unwrap();
                }
            }),
        ] {
            sandbox.make_root(&root());
            put(&sandbox.at(place));
            let (before, watch) = (sandbox.state(), Watch::new(&sandbox));
            let done = sandbox.run(CONFIG);
            let seen = watch.seen();
            let after = sandbox.state();
            if !seen.is_empty() || (done.code != 0 && before != after) {
                problems.push(format!("{place}: {name}: {seen}{}{}", done.said, difference(&before, &after)));
            }
        }
    }
    assert_eq!(state(&sandbox.outside()), before);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Tests the watch itself, because a watch that never sees anything would prove nothing.
#[test]
fn the_watch_sees() {
    let sandbox = Sandbox::new();
    fill_outside(&sandbox);
    let elsewhere = std::env::temp_dir().join(format!("glowplug-watched-{}", std::process::id()));
    fs::write(&elsewhere, "").unwrap();
    for touch in [
        &|| drop(fs::OpenOptions::new().write(true).open(&elsewhere).unwrap()) as _,
        &|| drop(fs::OpenOptions::new().write(true).open(sandbox.outside().join("file")).unwrap()) as _,
        &|| drop(File::open(sandbox.outside().join("dir/f")).unwrap()),
        &|| fs::create_dir(sandbox.outside().join("new")).unwrap(),
        &|| symlink("x", sandbox.outside().join("dir/link")).unwrap(),
        &|| fs::remove_file(sandbox.outside().join("dir/f")).unwrap(),
        &|| std::os::unix::fs::chown(sandbox.outside().join("etc"), Some(1), None).unwrap(),
    ] as [&dyn Fn(); 7]
    {
        let watch = Watch::new(&sandbox);
        assert_eq!(watch.seen(), "");
        touch();
        assert_ne!(watch.seen(), "");
    }
    fs::remove_file(elsewhere).unwrap();
}

/// A file of the root has another name outside of it, as backups make them. The program must put a new file into place, not
/// write to the shared one.
#[test]
fn other_names_of_a_file_keep_what_they_had() {
    const NAMES: [&str; 5] = ["passwd", "group", "shadow", "hosts", "motd"];
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    for name in NAMES {
        fs::hard_link(sandbox.at("etc").join(name), sandbox.outside().join(name)).unwrap();
    }
    let contents = || NAMES.map(|name| fs::read(sandbox.outside().join(name)).unwrap());
    let (before, watch) = (contents(), Watch::new(&sandbox));
    let done = sandbox.run(CONFIG);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(contents(), before);
    // The shared files are the root's own as well, so the program may read them.
    let seen = watch.seen();
    assert!(!seen.contains("CLOSE_WRITE") && !seen.contains("MODIFY"), "{seen}");
}

/// An entry that only changes owner or mode must not change the file's names that are not in the config.
#[test]
fn other_names_of_a_file_keep_owner_and_mode() {
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    fs::write(sandbox.at("/srv/one"), "text").unwrap();
    for (from, to) in [
        (sandbox.at("/etc/issue"), sandbox.outside().join("issue")),
        (sandbox.at("/srv/one"), sandbox.at("/srv/two")),
        (sandbox.at("/srv/one"), sandbox.outside().join("one")),
        (sandbox.at("/etc/motd"), sandbox.at("/srv/motd")),
    ] {
        fs::hard_link(from, to).unwrap();
    }
    symlink("target", sandbox.at("/srv/link")).unwrap();
    fs::hard_link(sandbox.at("/srv/link"), sandbox.outside().join("link")).unwrap();
    let told = |path: &Path| {
        let stat = fs::symlink_metadata(path).unwrap();
        (stat.mode(), stat.uid(), stat.gid(), stat.ino())
    };
    let outside = || ["issue", "one", "link"].map(|name| told(&sandbox.outside().join(name)));
    let before = outside();
    let motd = told(&sandbox.at("/etc/motd")).3;
    let config = r#"{"ignition":{"version":"3.5.0"},"storage":{
        "files":[{"path":"/etc/issue","mode":384,"user":{"id":7}},{"path":"/srv/one","mode":256},
        {"path":"/etc/motd","mode":384},{"path":"/srv/motd","mode":384}],
        "links":[{"path":"/srv/two","target":"/srv/one","hard":true},
        {"path":"/srv/link","target":"target","user":{"id":7}}]}}"#;
    let done = sandbox.run(config);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(outside(), before);
    let issue = told(&sandbox.at("/etc/issue"));
    assert_eq!((issue.0 & 0o7777, issue.1), (0o600, 7));
    let one = told(&sandbox.at("/srv/one"));
    assert_eq!((one.0 & 0o7777, fs::read(sandbox.at("/srv/one")).unwrap()), (0o400, b"text".to_vec()));
    assert_eq!(told(&sandbox.at("/srv/two")), one, "names in the config stay names of one file");
    assert_eq!(told(&sandbox.at("/srv/link")).1, 7);
    // All names of this file are in the config.
    assert_eq!((told(&sandbox.at("/etc/motd")).3, told(&sandbox.at("/srv/motd")).3), (motd, motd));
    assert_eq!(told(&sandbox.at("/etc/motd")).0 & 0o7777, 0o600);
}

/// Only a stamp at the path of the stamp says that a machine is provisioned. Anything else there is an error.
#[test]
fn the_place_of_the_stamp() {
    let sandbox = Sandbox::with_devices();
    fill_outside(&sandbox);
    let outside = sandbox.outside().display().to_string();
    let before = state(&sandbox.outside());
    let mut problems = Vec::new();
    for text in [
        "dir 0755 0:0 /etc/.ignition-result.json\n".to_owned(),
        format!("link 0:0 /etc/.ignition-result.json -> {outside}/file\n"),
        "link 0:0 /etc/.ignition-result.json -> nowhere\n".to_owned(),
        "fifo 0600 0:0 /etc/.ignition-result.json\n".to_owned(),
        "gone /etc\nfile 0644 0:0 /etc\n".to_owned(),
        "gone /etc\nlink 0:0 /etc -> etc\n".to_owned(),
        "gone /etc\nlink 0:0 /etc -> missing/../var\n".to_owned(),
        "gone /etc\nlink 0:0 /etc -> /proc/self/root/etc\nlink 0:0 /proc -> proc\n".to_owned(),
    ] {
        let tree: Tree = with(&root(), &text);
        sandbox.make_root(&tree);
        // The config has nothing that would fail earlier.
        match outcome(&sandbox, r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/srv/f"}]}}"#)
        {
            Ok((word, done)) if word != "done" => {
                let place = "/etc/.ignition-result.json";
                assert!(done.said.contains(place) && done.console.contains("What failed:"), "{done:?}");
            }
            other => problems.push(format!("{text}{other:?}")),
        }
    }
    assert_eq!(state(&sandbox.outside()), before);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A link at /etc leads to the stamp inside the root, whatever its target is. No config may make it lead elsewhere.
#[test]
fn the_stamp_behind_links() {
    let sandbox = Sandbox::with_devices();
    fill_outside(&sandbox);
    let outside = sandbox.outside().display().to_string();
    let before = state(&sandbox.outside());
    let config = r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/etc/f"}]}}"#;
    for (links, directory) in [
        ("link 0:0 /etc -> var\n".to_owned(), "/var".to_owned()),
        ("link 0:0 /etc -> /srv/real\n".to_owned(), "/srv/real".to_owned()),
        (
            "link 0:0 /etc -> ../../../var/../srv/hop\nlink 0:0 /srv/hop -> a/b\n".to_owned(),
            "/srv/a/b".to_owned(),
        ),
        (format!("link 0:0 /etc -> {outside}/etc\n"), format!("{outside}/etc")),
    ] {
        sandbox.make_root(&with(&root(), &format!("gone /etc\n{links}")));
        let (word, done) = outcome(&sandbox, config).unwrap();
        assert_eq!(word, "done", "{links}: {done:?}");
        assert!(sandbox.at(&format!("{directory}/.ignition-result.json")).exists(), "{links}");
        assert!(sandbox.at(&format!("{directory}/f")).exists(), "{links}");
        // The next start finds the stamp and has nothing to do.
        let first = sandbox.state();
        assert_eq!(sandbox.run("no config").code, 0, "{links}");
        assert_eq!(sandbox.state(), first, "{links}");
    }
    assert_eq!(state(&sandbox.outside()), before);
    for entry in [
        r#""files":[{"path":"/srv/real/.ignition-result.json"}]"#,
        r#""files":[{"path":"/srv/real","overwrite":true}]"#,
        r#""links":[{"path":"/srv/hop","target":"/var","overwrite":true}]"#,
        r#""directories":[{"path":"/srv","overwrite":true}]"#,
    ] {
        let links =
            "gone /etc\nlink 0:0 /etc -> /srv/hop\nlink 0:0 /srv/hop -> real\ndir 0755 0:0 /srv/real\n";
        sandbox.make_root(&with(&root(), links));
        let config = format!(r#"{{"ignition":{{"version":"3.0.0"}},"storage":{{{entry}}}}}"#);
        assert_eq!(outcome(&sandbox, &config).unwrap().0, "config-invalid", "{entry}");
    }
}
