//! Configs, and bare operations (`remove /a`, one a line), applied to a directory tree that is a maze of links. Nothing
//! outside of the tree may be touched or read. Planning resolves links itself; bare operations test the guard of the
//! root without planning.
#![no_main]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use glowplug::change::{Attributes, Op, Piece, View as _};
use glowplug::provision;
use glowplug::root::Root;
use glowplug::source::NoTransport;
use libfuzzer_sys::fuzz_target;

/// The root and what is outside of it lie side by side, in the sandbox of `fuzz/run`.
static BASE: LazyLock<PathBuf> = LazyLock::new(|| {
    let base = std::env::temp_dir().join(format!("glowplug-fuzz-{}", std::process::id()));
    fs::create_dir_all(base.join("outside/below")).unwrap();
    fs::write(base.join("outside/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(base.join("outside/below/file"), SECRET).unwrap();
    symlink("below/file", base.join("outside/link")).unwrap();
    base
});

const SECRET: &str = "this is outside of the root\n";

fuzz_target!(|text: &[u8]| {
    let path = BASE.join("root");
    make_maze(&path).unwrap();
    let before = snapshot();
    let root = Root::open(&path).unwrap();
    if text.starts_with(b"{") {
        let _ = provision::apply(&root, text, &NoTransport);
    } else {
        let text = String::from_utf8_lossy(text);
        let mut ops: Vec<Op<'_>> = text.lines().filter_map(op).collect();
        for op in &ops {
            look(&root, op.path());
        }
        let _ = root.apply(&mut ops);
    }
    assert_eq!(snapshot(), before, "something outside of the root has changed");
    fs::remove_dir_all(&path).unwrap();
});

/// `remove /a`, `directory /a`, `file /a` (`file /a /b` copies), `symlink /a TARGET`, `hardlink /a /b`,
/// `attributes /a`, `rename /a /b`.
fn op(line: &str) -> Option<Op<'_>> {
    let mut words = line.splitn(3, ' ');
    let (kind, path, other) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let path = PathBuf::from(path);
    let attributes = Attributes { uid: 0, gid: 0, mode: 0o751 };
    Some(match kind {
        "remove" => Op::Remove { path },
        "directory" => Op::Directory { path, attributes },
        "file" if other.is_empty() => {
            Op::File { path, contents: vec![Piece::Bytes(b"new".into())], attributes }
        }
        "file" => Op::File { path, contents: vec![Piece::Existing(other.into())], attributes },
        "symlink" => Op::Symlink { path, target: other.into(), uid: 0, gid: 0 },
        "hardlink" => Op::HardLink { path, target: other.into() },
        "attributes" => Op::Attributes { path, attributes },
        "rename" => Op::Rename { from: path, to: other.into() },
        _ => return None,
    })
}

/// Reading stays inside as well.
fn look(root: &Root, path: &Path) {
    assert!(!root.read(path, 1024).is_ok_and(|bytes| bytes == SECRET.as_bytes()), "{}", path.display());
    let entries = root.list(path).unwrap_or_default();
    assert!(!entries.iter().any(|entry| entry.name == "outside"), "{}", path.display());
    let _ = (root.stat(path), root.read_link(path));
}

fn make_maze(root: &Path) -> std::io::Result<()> {
    let outside = BASE.join("outside");
    for directory in ["etc/systemd/system", "home", "usr/lib/systemd/system", "a/b", "var"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::write(
        root.join("usr/lib/systemd/system/u.service"),
        "[Install]\nWantedBy=w.target\nAlias=v.service\n",
    )?;
    fs::write(root.join("a/file"), "")?;
    symlink(outside.join("passwd"), root.join("etc/passwd"))?;
    symlink("../../../../../../../../..", root.join("up"))?;
    symlink("../../outside", root.join("a/side"))?;
    symlink(&outside, root.join("out"))?;
    symlink("/out/below", root.join("two"))?;
    symlink("/proc/self/root", root.join("magic"))?;
    symlink(outside.join("below/file"), root.join("file"))?;
    symlink("loop", root.join("loop"))?;
    symlink(outside.join("below"), root.join("home/u"))?;
    symlink(outside.join("below"), root.join("etc/systemd/system/w.target.wants"))?;
    symlink(outside.join("link"), root.join("etc/systemd/system/l.service"))?;
    Ok(())
}

/// Everything outside of the root that a step out of it would change.
fn snapshot() -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["", "outside", "outside/passwd", "outside/below", "outside/below/file", "outside/link"] {
        let stat = fs::symlink_metadata(BASE.join(name)).unwrap();
        let (mode, names, size) = (stat.mode(), stat.nlink(), stat.size());
        let (changed, nanoseconds) = (stat.ctime(), stat.ctime_nsec());
        lines.push(format!("{name} {mode:o} {names} {size} {changed}.{nanoseconds}"));
    }
    lines
}
