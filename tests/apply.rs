//! Configs applied to directory trees: what a file, a directory or a link becomes, and what stays untouched when
//! something is in the way. Run as root: owners are part of it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed assumption is the test's own message"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use glowplug::error::{Error, Reason};
use glowplug::root::Root;
use glowplug::stages;

/// A root of its own, with an `outside` beside it that nothing may touch.
struct Tree {
    base: PathBuf,
}

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("glowplug-apply-{}-{number}", std::process::id()));
        fs::create_dir_all(base.join("root/etc")).unwrap();
        fs::create_dir_all(base.join("outside")).unwrap();
        let tree = Self { base };
        tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1001:1002::/home/ann:/bin/sh\n");
        tree.write("etc/group", "root:x:0:\nstaff:x:50:\nann:x:1002:\n");
        tree
    }

    fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn apply_version(&self, version: &str, rest: &str) -> Result<(), Error> {
        let text = format!(r#"{{"ignition":{{"version":"{version}"}},{rest}}}"#);
        stages::apply(&Root::open(&self.root()).unwrap(), text.as_bytes())
    }

    fn apply(&self, storage: &str) -> Result<(), Error> {
        self.apply_version("3.6.0", &format!(r#""storage":{{{storage}}}"#))
    }

    /// Applying `storage` fails for `reason`, says `words`, and leaves everything as it was.
    fn refuses(&self, storage: &str, reason: Reason, words: &str) {
        let before = self.snapshot();
        let error = self.apply(storage).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.text().contains(words), "{error}");
        assert_eq!(self.snapshot(), before, "{error}");
    }

    /// Every path of the root and of what is beside it, with its kind, owner, mode, links and contents.
    fn snapshot(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut left = vec![self.base.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let stat = fs::symlink_metadata(&path).unwrap();
                let contents = if stat.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else if stat.is_file() {
                    format!("{:?}", fs::read(&path).unwrap())
                } else {
                    String::new()
                };
                let (mode, uid, gid) = (stat.mode(), stat.uid(), stat.gid());
                lines.push(format!("{} {mode:o} {uid}:{gid} {contents}", path.display()));
                if stat.is_dir() {
                    left.push(path);
                }
            }
        }
        lines.sort();
        lines
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// Mode, user and group of `path` itself.
    fn attributes(&self, path: &str) -> (u32, u32, u32) {
        let stat = fs::symlink_metadata(self.at(path)).unwrap();
        (stat.mode() & 0o7777, stat.uid(), stat.gid())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.base).unwrap();
    }
}

#[test]
fn files_have_their_contents_modes_and_owners() {
    let tree = Tree::new();
    tree.apply(
        r#""files":[
        {"path":"/a/b/plain","contents":{"source":"data:,hello%0A"}},
        {"path":"/base64","mode":384,"user":{"id":7},"group":{"id":8},"contents":{"source":"data:;base64,aGk="}},
        {"path":"/named","user":{"name":"ann"},"group":{"name":"staff"},"contents":{"source":"data:,x"}},
        {"path":"/empty"},
        {"path":"/setuid","mode":2541,"user":{"id":7},"contents":{"source":"data:,x"}},
        {"path":"/joined","contents":{"source":"data:,1"},"append":[{"source":"data:,2"},{"source":"data:,3"}]}]"#,
    )
    .unwrap();
    assert_eq!(tree.text("a/b/plain"), "hello\n");
    assert_eq!(tree.attributes("a/b/plain"), (0o644, 0, 0));
    assert_eq!(tree.attributes("a/b"), (0o755, 0, 0));
    assert_eq!(tree.text("base64"), "hi");
    assert_eq!(tree.attributes("base64"), (0o600, 7, 8));
    assert_eq!(tree.attributes("named"), (0o644, 1001, 50));
    assert_eq!(tree.text("empty"), "");
    assert_eq!(tree.attributes("setuid"), (0o4755, 7, 0));
    assert_eq!(tree.text("joined"), "123");
    assert!(!tree.at(".glowplug").exists());
}

#[test]
fn special_bits_have_no_effect_before_3_6() {
    let tree = Tree::new();
    tree.apply_version("3.5.0", r#""storage":{"files":[{"path":"/a","mode":2541}]}"#).unwrap();
    assert_eq!(tree.attributes("a").0, 0o755);
}

#[test]
fn an_existing_file_needs_overwrite() {
    let tree = Tree::new();
    tree.write("f", "old");
    tree.refuses(r#""files":[{"path":"/f","contents":{"source":"data:,new"}}]"#, Reason::Conflict, "/f");
    tree.apply(r#""files":[{"path":"/f","overwrite":true,"contents":{"source":"data:,new"}}]"#).unwrap();
    assert_eq!(tree.text("f"), "new");
}

#[test]
fn overwrite_replaces_whatever_stands_there() {
    let tree = Tree::new();
    tree.write("d/deep/file", "old");
    tree.write("file", "old");
    symlink("/etc/passwd", tree.at("link")).unwrap();
    let passwd = tree.text("etc/passwd");
    tree.apply(
        r#""files":[{"path":"/d","overwrite":true,"contents":{"source":"data:,new"}},
            {"path":"/link","overwrite":true,"contents":{"source":"data:,new"}}],
        "directories":[{"path":"/file","overwrite":true,"mode":448}]"#,
    )
    .unwrap();
    assert_eq!(tree.text("d"), "new");
    assert_eq!(tree.text("link"), "new");
    assert!(!tree.at("link").is_symlink());
    assert_eq!(tree.text("etc/passwd"), passwd);
    assert_eq!(tree.attributes("file"), (0o700, 0, 0));
}

#[test]
fn a_file_without_source_keeps_what_is_there() {
    let tree = Tree::new();
    tree.write("f", "old");
    chown(tree.at("f"), Some(5), Some(6)).unwrap();
    fs::set_permissions(tree.at("f"), fs::Permissions::from_mode(0o640)).unwrap();
    tree.apply(r#""files":[{"path":"/f","append":[{"source":"data:,%2Bnew"}]}]"#).unwrap();
    assert_eq!(tree.text("f"), "old+new");
    assert_eq!(tree.attributes("f"), (0o640, 5, 6));
    tree.apply(r#""files":[{"path":"/f","mode":420,"group":{"id":9}}]"#).unwrap();
    assert_eq!(tree.text("f"), "old+new");
    assert_eq!(tree.attributes("f"), (0o644, 5, 9));
    symlink("f", tree.at("l")).unwrap();
    tree.refuses(r#""files":[{"path":"/l","mode":420}]"#, Reason::Conflict, "symbolic link");
}

#[test]
fn directories_are_made_or_only_given_attributes() {
    let tree = Tree::new();
    tree.write("d/kept", "kept");
    fs::set_permissions(tree.at("d"), fs::Permissions::from_mode(0o711)).unwrap();
    tree.apply(
        r#""directories":[{"path":"/d","user":{"name":"ann"}},{"path":"/n/m","mode":1528,"group":{"id":3}}]"#,
    )
    .unwrap();
    assert_eq!(tree.text("d/kept"), "kept");
    assert_eq!(tree.attributes("d"), (0o711, 1001, 0));
    assert_eq!(tree.attributes("n/m"), (0o2770, 0, 3));
    assert_eq!(tree.attributes("n"), (0o755, 0, 0));
    tree.apply(r#""directories":[{"path":"/d","overwrite":true}]"#).unwrap();
    assert!(!tree.at("d/kept").exists());
    assert_eq!(tree.attributes("d"), (0o755, 0, 0));
    symlink("d", tree.at("l")).unwrap();
    tree.refuses(r#""directories":[{"path":"/l"}]"#, Reason::Conflict, "/l");
}

#[test]
fn links_are_made_kept_or_refused() {
    let tree = Tree::new();
    symlink("/usr/./share/y/..//x", tree.at("same")).unwrap();
    symlink("elsewhere", tree.at("other")).unwrap();
    tree.apply(
        r#""links":[{"path":"/l","target":"../a b","user":{"id":3},"group":{"name":"staff"}},
            {"path":"/same","target":"/usr/share/x"},
            {"path":"/hard","target":"/f","hard":true}],
        "files":[{"path":"/f","contents":{"source":"data:,x"}}]"#,
    )
    .unwrap();
    assert_eq!(fs::read_link(tree.at("l")).unwrap(), Path::new("../a b"));
    assert_eq!(tree.attributes("l"), (0o777, 3, 50));
    assert_eq!(fs::read_link(tree.at("same")).unwrap(), Path::new("/usr/./share/y/..//x"));
    assert_eq!(fs::metadata(tree.at("f")).unwrap().ino(), fs::metadata(tree.at("hard")).unwrap().ino());
    // The same hard link once more is already there.
    tree.apply(r#""links":[{"path":"/hard","target":"/f","hard":true}]"#).unwrap();
    tree.refuses(r#""links":[{"path":"/other","target":"here"}]"#, Reason::Conflict, "/other");
    tree.refuses(r#""links":[{"path":"/n"}]"#, Reason::ConfigInvalid, "target is required");
    tree.refuses(r#""links":[{"path":"/n","target":"/none","hard":true}]"#, Reason::ConfigInvalid, "/none");
    tree.refuses(
        r#""links":[{"path":"/n","target":"/etc","hard":true}]"#,
        Reason::ConfigInvalid,
        "directory",
    );
    tree.apply(r#""links":[{"path":"/other","overwrite":true,"target":"here"}]"#).unwrap();
    assert_eq!(fs::read_link(tree.at("other")).unwrap(), Path::new("here"));
}

/// Links of the image in the parents are followed as inside the root: never out of it, however they are chained.
#[test]
fn nothing_is_written_outside_the_root() {
    let tree = Tree::new();
    let outside = tree.base.join("outside");
    symlink("/b/c", tree.at("a")).unwrap();
    symlink(&outside, tree.at("b")).unwrap();
    symlink("../../../../../../../..", tree.at("up")).unwrap();
    symlink("/proc/self/root", tree.at("magic")).unwrap();
    fs::create_dir_all(tree.at("real/dir")).unwrap();
    symlink("real/dir", tree.at("relative")).unwrap();
    tree.apply(
        r#""files":[{"path":"/a/f"},{"path":"/up/up-f"},{"path":"/magic/magic-f"},{"path":"/relative/f"}]"#,
    )
    .unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let inside = tree.root().join(outside.strip_prefix("/").unwrap());
    assert!(inside.join("c/f").is_file());
    assert!(tree.at("up-f").is_file());
    assert!(tree.at("proc/self/root/magic-f").is_file());
    assert!(tree.at("real/dir/f").is_file());
    assert!(!Path::new("/magic-f").exists());
}

#[test]
fn loops_and_doubles_are_refused() {
    let tree = Tree::new();
    symlink("loop2", tree.at("loop1")).unwrap();
    symlink("loop1", tree.at("loop2")).unwrap();
    symlink("etc", tree.at("alias")).unwrap();
    tree.refuses(r#""files":[{"path":"/loop1/f"}]"#, Reason::Conflict, "too many levels");
    tree.refuses(
        r#""files":[{"path":"/etc/f"}],"directories":[{"path":"/alias/f"}]"#,
        Reason::ConfigInvalid,
        "the path of two entries",
    );
    tree.refuses(
        r#""links":[{"path":"/l","target":"/etc"}],"files":[{"path":"/l/f"}]"#,
        Reason::Conflict,
        "a symbolic link",
    );
    tree.refuses(r#""files":[{"path":"/etc/passwd/f"}]"#, Reason::Conflict, "a file");
    for path in ["", "f", "/a/../b", "/a/", "//a"] {
        let storage = format!(r#""files":[{{"path":"{path}"}}]"#);
        tree.refuses(&storage, Reason::ConfigInvalid, "$.storage.files.0.path");
    }
    tree.refuses(r#""directories":[{"path":"/","overwrite":true}]"#, Reason::ConfigInvalid, "root itself");
}

#[test]
fn what_fails_while_staging_leaves_nothing_behind() {
    let tree = Tree::new();
    let first = r#"{"path":"/first","contents":{"source":"data:,x"}}"#;
    for (source, reason) in [
        (
            r#""source":"data:,x","verification":{"hash":"sha256-0000000000000000000000000000000000000000000000000000000000000000"}"#,
            Reason::Verification,
        ),
        (r#""source":"data:;base64,!!!!""#, Reason::Resource),
        (r#""source":"data:,%zz""#, Reason::Resource),
        (r#""source":"data:,notgzip","compression":"gzip""#, Reason::Resource),
        (r#""source":"http://192.0.2.1/x""#, Reason::Unsupported),
    ] {
        let storage = format!(r#""files":[{first},{{"path":"/second","contents":{{{source}}}}}]"#);
        tree.refuses(&storage, reason, "$.storage.files.1.contents");
    }
}

#[test]
fn owners_must_exist_and_be_said_once() {
    let tree = Tree::new();
    for (owner, reason) in [
        (r#""user":{"name":"nobody-here"}"#, Reason::Account),
        (r#""group":{"name":"nobody-here"}"#, Reason::Account),
        (r#""user":{"name":"ann","id":1}"#, Reason::ConfigInvalid),
        (r#""user":{"id":-1}"#, Reason::ConfigInvalid),
        (r#""user":{"id":4294967295}"#, Reason::ConfigInvalid),
        (r#""mode":4096"#, Reason::ConfigInvalid),
        (r#""mode":-1"#, Reason::ConfigInvalid),
    ] {
        tree.refuses(&format!(r#""files":[{{"path":"/f",{owner}}}]"#), reason, "$.storage.files.0");
    }
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let tree = Tree::new();
    for (config, place) in [
        (
            r#""ignition":{"version":"3.6.0","config":{"merge":[{"source":"data:,"}]}}"#,
            "$.ignition.config.merge",
        ),
        (r#""ignition":{"config":{"replace":{"source":"data:,"}}}"#, "$.ignition.config.replace"),
        (r#""storage":{"disks":[{"device":"/dev/vdb"}]}"#, "$.storage.disks"),
        (r#""storage":{"luks":[{"name":"x"}]}"#, "$.storage.luks"),
        (r#""storage":{"raid":[{"name":"x"}]}"#, "$.storage.raid"),
        (r#""storage":{"filesystems":[{"device":"/dev/vdb"}]}"#, "$.storage.filesystems"),
        (r#""kernelArguments":{"shouldExist":["x"]}"#, "$.kernelArguments.shouldExist"),
    ] {
        let before = tree.snapshot();
        let error = tree.apply_version("3.6.0", config).unwrap_err();
        assert_eq!(error.reason(), Reason::Unsupported, "{error}");
        assert!(error.text().ends_with(place), "{error}");
        assert_eq!(tree.snapshot(), before);
    }
}

/// The staging directory is the program's own: a config cannot name it, and what an interrupted run left goes.
#[test]
fn the_staging_directory_is_out_of_reach() {
    let tree = Tree::new();
    tree.write(".glowplug/0", "left by an interrupted run");
    tree.apply(r#""directories":[{"path":"/d"}]"#).unwrap();
    assert!(!tree.at(".glowplug").exists());
    for storage in [
        r#""files":[{"path":"/.glowplug/f"}]"#,
        r#""directories":[{"path":"/.glowplug"}]"#,
        r#""links":[{"path":"/d/.glowplug/l","target":"x"}]"#,
    ] {
        tree.refuses(storage, Reason::ConfigInvalid, "glowplug's own directory");
    }
}

#[test]
fn what_could_only_fail_late_is_refused_early() {
    let tree = Tree::new();
    let long = "x".repeat(256);
    for path in [format!("/{long}"), format!("/new/{long}"), format!("/new{}", "/x".repeat(2047))] {
        let storage = format!(r#""files":[{{"path":"/first"}},{{"path":"{path}"}}]"#);
        tree.refuses(&storage, Reason::ConfigInvalid, "longer than");
    }
}

/// More directories than are remembered at once, and more files than share a staging directory, in mixed order.
#[test]
fn many_files_in_many_directories() {
    let tree = Tree::new();
    tree.write("d7/there", "kept");
    let files: Vec<_> = (0..1000)
        .map(|n| {
            format!(r#"{{"path":"/d{}/f{n}","mode":{},"contents":{{"source":"data:,{n}"}}}}"#, n % 150, 0o600)
        })
        .collect();
    let links: Vec<_> = (0..300)
        .map(|n| format!(r#"{{"path":"/d{}/h{n}","target":"/d{}/f{n}","hard":true}}"#, n % 7, n % 150))
        .collect();
    tree.apply(&format!(r#""files":[{}],"links":[{}]"#, files.join(","), links.join(","))).unwrap();
    for n in 0..1000 {
        let path = format!("d{}/f{n}", n % 150);
        assert_eq!(tree.text(&path), n.to_string());
        assert_eq!(tree.attributes(&path), (0o600, 0, 0));
        assert_eq!(fs::metadata(tree.at(&path)).unwrap().nlink(), if n < 300 { 2 } else { 1 });
    }
    assert_eq!(tree.text("d3/h10"), "10");
    assert_eq!(tree.text("d7/there"), "kept");
    assert_eq!(fs::read_dir(tree.root()).unwrap().count(), 150 + 1);
}

/// In a mount namespace of its own: what is mounted below the root is neither removed nor renamed across.
#[test]
fn mounts_are_respected() {
    let tree = Tree::new();
    tree.write("var/kept", "kept");
    fs::create_dir_all(tree.at("mnt/data")).unwrap();
    let config = tree.base.join("outside/config.ign");
    let program = env!("CARGO_BIN_EXE_glowplug");
    let in_namespace = |mount: &str, storage: &str, after: &str| {
        let text = format!(r#"{{"ignition":{{"version":"3.6.0"}},"storage":{{{storage}}}}}"#);
        fs::write(&config, text).unwrap();
        let script =
            format!("set -e; cd \"$1\"; {mount}; \"$2\" apply --root . \"$3\"; code=$?; {after}; exit $code");
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
            .args([tree.root().as_os_str(), program.as_ref(), config.as_os_str()])
            .output()
            .unwrap()
    };
    // A tmpfs below a directory that is overwritten, and at it.
    for path in ["/mnt", "/mnt/data"] {
        let output = in_namespace(
            "mount -t tmpfs none mnt/data; echo precious >mnt/data/file; set +e",
            &format!(r#""directories":[{{"path":"/first"}},{{"path":"{path}","overwrite":true}}]"#),
            "[ -e first ] && exit 99; grep -q precious mnt/data/file || exit 98",
        );
        assert_eq!(output.status.code(), Some(40), "{output:?}");
    }
    // Another mount of the same file system, with files on both sides.
    let output = in_namespace(
        "mkdir elsewhere; mount --bind elsewhere var; set +e",
        r#""files":[{"path":"/one"},{"path":"/var/two"}],"directories":[{"path":"/var/d"}]"#,
        "ls -A . elsewhere",
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        ".:\nelsewhere\netc\nmnt\none\nvar\n\nelsewhere:\nd\ntwo\n"
    );
    // A read-only file system that only gets a directory.
    let output = in_namespace(
        "mount -t tmpfs -o ro none mnt; set +e",
        r#""directories":[{"path":"/first"},{"path":"/mnt/d"}]"#,
        "[ -e first ] && exit 99",
    );
    assert_eq!(output.status.code(), Some(52), "{output:?}");
}

#[test]
fn sockets_and_fifos_in_a_home_change_their_owner() {
    let tree = Tree::new();
    tree.write("etc/shadow", "root:*:1::::::\nann:*:1::::::\n");
    tree.write("home/ann/file", "x");
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("home/ann/sock")).unwrap();
    assert!(Command::new("mkfifo").arg(tree.at("home/ann/fifo")).status().unwrap().success());
    for path in ["home/ann", "home/ann/file", "home/ann/sock", "home/ann/fifo"] {
        chown(tree.at(path), Some(1001), Some(1002)).unwrap();
    }
    tree.apply_version("3.6.0", r#""passwd":{"users":[{"name":"ann","uid":1500}]}"#).unwrap();
    for path in ["home/ann", "home/ann/file", "home/ann/sock", "home/ann/fifo"] {
        assert_eq!(tree.attributes(path).1, 1500, "{path}");
    }
}

#[test]
fn deep_trees_are_removed() {
    let tree = Tree::new();
    let deep = "d/".repeat(1100);
    // Level by level, since the whole path is longer than a path may be for the tools that make it.
    let script = format!("cd \"$1\" && for step in {}; do mkdir d && cd d; done", "x ".repeat(1100));
    let made = Command::new("sh").args(["-c", &script, "sh"]).arg(tree.root()).status().unwrap();
    assert!(made.success(), "{} levels", deep.len() / 2);
    tree.apply(r#""directories":[{"path":"/d","overwrite":true}]"#).unwrap();
    assert_eq!(fs::read_dir(tree.at("d")).unwrap().count(), 0);
    assert!(!tree.at(".glowplug").exists());
}

#[test]
fn an_empty_source_is_an_empty_file() {
    let tree = Tree::new();
    tree.write("f", "old");
    tree.refuses(r#""files":[{"path":"/f","contents":{"source":""}}]"#, Reason::Conflict, "/f");
    tree.apply(r#""files":[{"path":"/f","overwrite":true,"contents":{"source":""}}]"#).unwrap();
    assert_eq!(tree.text("f"), "");
    tree.refuses(
        r#""files":[{"path":"/f","overwrite":true}]"#,
        Reason::ConfigInvalid,
        "overwrite must be false",
    );
}

#[test]
fn firstboot_0_is_the_way_out_whatever_the_root_is() {
    let tree = Tree::new();
    let line = tree.base.join("outside/cmdline");
    fs::rename(tree.at("etc"), tree.at("usr-etc")).unwrap();
    symlink("usr-etc", tree.at("etc")).unwrap();
    fs::write(&line, b"broken=\xff ignition.firstboot=0\n").unwrap();
    let before = tree.snapshot();
    let status = Command::new(env!("CARGO_BIN_EXE_glowplug"))
        .args(["run", "--platform=file", "--root"])
        .arg(tree.root())
        .env("IGNITION_CONFIG_FILE", "/dev/null")
        .env("IGNITION_KERNEL_CMDLINE_PATH", &line)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(tree.snapshot(), before);
}

/// The whole program on platform `file`: provisioned once, then never again; a copied stamp is told from the
/// original one.
#[test]
fn run_leaves_a_stamp_and_then_does_nothing() {
    let tree = Tree::new();
    let config = tree.base.join("outside/config.ign");
    let run = |text: &str| {
        fs::write(&config, text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_glowplug"))
            .args(["run", "--platform", "file", "--root"])
            .arg(tree.root())
            .env("IGNITION_CONFIG_FILE", &config)
            .env("IGNITION_KERNEL_CMDLINE_PATH", "/dev/null")
            .env("SOURCE_DATE_EPOCH", "1795384800")
            .status()
            .unwrap()
    };
    let first = r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/f"}]}}"#;
    assert!(run(first).success());
    assert!(tree.at("f").is_file());
    assert_eq!(tree.attributes("etc/.ignition-result.json"), (0o600, 0, 0));
    let stamp: serde_json::Value = serde_json::from_str(&tree.text("etc/.ignition-result.json")).unwrap();
    assert_eq!(stamp["provisioningDate"], "2026-11-22T22:00:00Z");
    assert_eq!(stamp["userConfigProvided"], true);
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(stamp["provisioningBootID"], boot_id.trim());
    assert_eq!(stamp["glowplug"]["platform"], "file");
    assert_eq!(stamp["glowplug"]["specVersion"], "3.0.0");
    let inode = fs::metadata(tree.at("etc/.ignition-result.json")).unwrap().ino();
    assert_eq!(stamp["glowplug"]["inode"], inode);
    assert_eq!(stamp["glowplug"]["configSHA512"].as_str().unwrap().len(), 128);

    let before = tree.snapshot();
    assert!(run(r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/second"}]}}"#).success());
    let differs = |line: &&String| !line.contains("outside/config.ign");
    assert!(tree.snapshot().iter().filter(differs).eq(before.iter().filter(differs)));
}

#[test]
fn an_empty_config_is_a_whole_run_without_a_config() {
    let tree = Tree::new();
    let config = tree.base.join("outside/config.ign");
    fs::write(&config, "").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_glowplug"))
        .args(["run", "--platform=file", "--root"])
        .arg(tree.root())
        .env("IGNITION_CONFIG_FILE", &config)
        .env("IGNITION_KERNEL_CMDLINE_PATH", "/dev/null")
        .status()
        .unwrap();
    assert!(status.success());
    let stamp: serde_json::Value = serde_json::from_str(&tree.text("etc/.ignition-result.json")).unwrap();
    assert_eq!(stamp["userConfigProvided"], false);
}

#[test]
fn wrong_calls_are_usage_errors() {
    for arguments in [
        &[][..],
        &["fly"],
        &["run"],
        &["apply", "--root", "/nonexistent"],
        &["run", "--root", "/", "x"],
        &["run", "--root", "/", "--platform", "azure"],
        &["run", "--root"],
        &["--fly"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_glowplug")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stderr.starts_with(b"glowplug: usage: "), "{arguments:?}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_glowplug")).arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().lines().all(|line| line.len() <= 80));
}
