//! Configs applied to a directory tree that is a maze of links: nothing outside of it is ever touched.
#![no_main]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use glowplug::root::Root;
use glowplug::stages;
use libfuzzer_sys::fuzz_target;

/// The root and what is outside of it lie side by side. `fuzz/run` takes it away.
static BASE: LazyLock<PathBuf> = LazyLock::new(|| {
    let base = std::env::temp_dir().join(format!("glowplug-fuzz-{}", std::process::id()));
    fs::create_dir_all(base.join("outside/below")).unwrap();
    fs::write(base.join("outside/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(base.join("outside/below/file"), "untouched").unwrap();
    symlink("below/file", base.join("outside/link")).unwrap();
    base
});

fuzz_target!(|text: &[u8]| {
    let root = BASE.join("root");
    make_maze(&root).unwrap();
    let before = snapshot();
    let _ = stages::apply(&Root::open(&root).unwrap(), text);
    assert_eq!(snapshot(), before, "something outside of the root has changed");
    fs::remove_dir_all(&root).unwrap();
});

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
