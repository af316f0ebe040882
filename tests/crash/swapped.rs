//! Another process puts something else at a name between two calls. Nothing outside of the root may be changed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use glowplug::change::{Attributes, Op};
use glowplug::root::{Root, failpoints};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What is put at the name in the last moment: a word for it, and how it is made at a path.
type Swap<'s> = (&'s str, &'s dyn Fn(&Path));

/// Counts the swaps.
pub fn check(count: &AtomicUsize) -> Result<(), String> {
    let base = Path::new("/dev/shm").join(format!("glowplug-swapped-{}", std::process::id()));
    let checked = in_folder(&base, count);
    fs::remove_dir_all(&base).map_err(|error| error.to_string())?;
    checked
}

fn in_folder(base: &Path, count: &AtomicUsize) -> Result<(), String> {
    let kinds: [Swap; 4] = [
        ("a FIFO", &|at| mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0).unwrap_or_default()),
        ("a socket", &|at| mknodat(CWD, at, FileType::Socket, Mode::RWXU, 0).unwrap_or_default()),
        ("a file", &|at| fs::write(at, "").unwrap_or_default()),
        ("a directory", &|at| fs::create_dir(at).unwrap_or_default()),
    ];
    for (name, put) in kinds {
        for call in 0.. {
            let (root, outside) = (base.join("root"), base.join("outside"));
            let made = || -> std::io::Result<()> {
                fs::create_dir_all(root.join("srv"))?;
                fs::write(&outside, "")
            };
            made().map_err(|error| error.to_string())?;
            let told = || fs::metadata(&outside).map(|stat| (stat.mode(), stat.uid()));
            let before = told().map_err(|error| error.to_string())?;
            put(&root.join("srv/it"));
            let target: PathBuf = outside.clone();
            let at = root.join("srv/it");
            failpoints::arm_meanwhile(
                call,
                Box::new(move || {
                    // What cannot be moved is not swapped. The operation runs nevertheless.
                    let _ = fs::rename(&at, at.with_extension("away")).and_then(|()| symlink(&target, &at));
                }),
            );
            let attributes = Attributes { uid: 7, gid: 7, mode: 0o1777 };
            let op = Op::Attributes { path: "/srv/it".into(), attributes };
            // The run may fail or succeed. What counts is that nothing outside has changed.
            let _ = Root::open(&root).and_then(|root| root.apply(&mut [op]));
            let calls = failpoints::disarm();
            if told().map_err(|error| error.to_string())? != before {
                return Err(format!(
                    "{name}, swapped before call {call}: a file outside of the root is changed"
                ));
            }
            fs::remove_dir_all(&root).map_err(|error| error.to_string())?;
            count.fetch_add(1, Ordering::Relaxed);
            if call >= calls {
                break;
            }
        }
    }
    Ok(())
}
