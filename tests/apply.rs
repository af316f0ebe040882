//! Tests of applying a config that need more than a tree before and a tree after: mounts, deep trees, the stamp, the
//! command line. All other tests of applying are in `cases/`.
//!
//! Only root can set owners. `tests/runner` makes an ordinary user root of a user namespace.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed assumption is the test's own message"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use glowplug::change::{Attributes, Op, Piece};
use glowplug::error::Error;
use glowplug::provision;
use glowplug::root::Root;
use glowplug::source::NoTransport;

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
        provision::apply(&Root::open(&self.root()).unwrap(), text.as_bytes(), &NoTransport)
    }

    fn apply(&self, storage: &str) -> Result<(), Error> {
        self.apply_version("3.6.0", &format!(r#""storage":{{{storage}}}"#))
    }

    /// Returns every path of the root and of what is beside it, with its kind, owner, mode, links and contents.
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

    /// Returns mode, user and group of `path` itself.
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

/// An absolute path in a link stays inside the root. (Other kinds of links are among the cases.)
#[test]
fn nothing_is_written_outside_the_root() {
    let tree = Tree::new();
    let outside = tree.base.join("outside");
    symlink("/b/c", tree.at("a")).unwrap();
    symlink(&outside, tree.at("b")).unwrap();
    tree.apply(r#""files":[{"path":"/a/f"}]"#).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let inside = tree.root().join(outside.strip_prefix("/").unwrap());
    assert!(inside.join("c/f").is_file());
}

/// More directories than the cache of directories holds, and more files than one staging directory, in mixed order.
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

/// File systems that are mounted below the root are not removed, and nothing is renamed from one to another. The test runs
/// in a mount namespace of its own.
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
    // A read-only file system on which only a directory is to be made.
    let output = in_namespace(
        "mount -t tmpfs -o ro none mnt; set +e",
        r#""directories":[{"path":"/first"},{"path":"/mnt/d"}]"#,
        "[ -e first ] && exit 99",
    );
    assert_eq!(output.status.code(), Some(52), "{output:?}");
}

#[test]
fn deep_trees_are_removed() {
    let tree = Tree::new();
    let deep = "d/".repeat(1100);
    // Level by level, because the whole path is longer than the tools that make it accept.
    let script = format!("cd \"$1\" && for step in {}; do mkdir d && cd d; done", "x ".repeat(1100));
    let made = Command::new("sh").args(["-c", &script, "sh"]).arg(tree.root()).status().unwrap();
    assert!(made.success(), "{} levels", deep.len() / 2);
    tree.apply(r#""directories":[{"path":"/d","overwrite":true}]"#).unwrap();
    assert_eq!(fs::read_dir(tree.at("d")).unwrap().count(), 0);
    assert!(!tree.at(".glowplug").exists());
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

/// The whole program on platform `file` provisions a root once and never again. It tells a copied stamp from the original.
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
        &["run", "--root", "/", "--platform", "nowhere"],
        &["run", "--root"],
        &["--fly"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_glowplug")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stderr.starts_with(b"glowplug: usage: "), "{arguments:?}");
    }
    let azure = ["run", "--root", "/", "--platform", "azure"];
    let status = Command::new(env!("CARGO_BIN_EXE_glowplug")).args(azure).status().unwrap();
    assert_eq!(status.code(), Some(23));
    let help = Command::new(env!("CARGO_BIN_EXE_glowplug")).arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().lines().all(|line| line.len() <= 80));
}

fn directory(path: &str, mode: u32) -> Op<'static> {
    Op::Directory { path: path.into(), attributes: Attributes { uid: 0, gid: 0, mode } }
}

fn file(path: &str, text: &'static str) -> Op<'static> {
    let contents = vec![Piece::Bytes(text.as_bytes().into())];
    Op::File { path: path.into(), contents, attributes: Attributes { uid: 0, gid: 0, mode: 0o644 } }
}

/// A new directory is staged with everything in it, and comes into its place in one step. An operation on one of its names
/// still takes effect between those before and after it.
#[test]
fn operations_within_a_new_directory_keep_their_order() {
    let tree = Tree::new();
    let removal = |path: &str| Op::Remove { path: path.into() };
    let mut ops = vec![
        directory("/p", 0o750),
        file("/p/a", "1"),
        file("/p/a", "2"),
        directory("/p/d", 0o700),
        file("/p/d/b", "1"),
        directory("/p/d", 0o711),
        removal("/p/a"),
        file("/p/d/c", "1"),
        removal("/p/d/c"),
        file("/p/a", "3"),
        directory("/q", 0o755),
        Op::HardLink { path: "/q/l".into(), target: "/p/a".into() },
        file("/q/l", "4"),
    ];
    Root::open(&tree.root()).unwrap().apply(&mut ops).unwrap();
    let read = |path: &str| fs::read_to_string(tree.at(path)).unwrap();
    assert_eq!([read("p/a"), read("p/d/b"), read("q/l")], ["3", "1", "4"]);
    assert!(!tree.at("p/d/c").exists());
    let mode = |path: &str| fs::metadata(tree.at(path)).unwrap().mode() & 0o7777;
    assert_eq!([mode("p"), mode("p/d")], [0o750, 0o711]);
    assert!(!tree.at(".glowplug").exists());
}

/// So many directories in between are not remembered, so the directory is staged twice, both times with its contents.
#[test]
fn a_directory_that_is_staged_twice_has_everything() {
    let tree = Tree::new();
    let mut ops = vec![
        directory("/p", 0o750),
        file("/p/a", "1"),
        file("/p/b", "1"),
        directory("/p/d", 0o700),
        file("/p/d/e", "1"),
    ];
    for number in 0..200 {
        ops.push(directory(&format!("/n{number}"), 0o755));
        ops.push(file(&format!("/n{number}/f"), "1"));
    }
    ops.extend([
        directory("/p", 0o755),
        file("/p/a", "2"),
        file("/p/c", "2"),
        directory("/p/d", 0o710),
        file("/p/d/f", "2"),
    ]);
    Root::open(&tree.root()).unwrap().apply(&mut ops).unwrap();
    let read = |path: &str| fs::read_to_string(tree.at(path)).unwrap();
    assert_eq!(["p/a", "p/b", "p/c", "p/d/e", "p/d/f", "n7/f"].map(read), ["2", "1", "2", "1", "2", "1"]);
    let mode = |path: &str| fs::metadata(tree.at(path)).unwrap().mode() & 0o7777;
    assert_eq!([mode("p"), mode("p/d")], [0o755, 0o710]);
    assert!(!tree.at(".glowplug").exists());
}
