//! A machine that is started on a root, and checks of the root afterwards.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use glowplug::error::{Error, Reason};
use glowplug::fetcher::{FetchOptions, Fetcher, NetworkUse};
use glowplug::ignition::{self, Stage, StageCall};
use glowplug::platform::{Answer, ConfigOrigin, Platform, UserConfig};
use glowplug::provision;
use glowplug::root::failpoints::{self, Injected, Stopped};
use glowplug::root::{Leftovers, Root};
use glowplug::stamp::STAMP;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::disk;
use super::manifest::{self, Kind, Tree};

/// How a start ended.
pub enum Ended {
    Done,
    Failed(Error),
    Stopped,
}

impl Ended {
    pub fn told(&self) -> String {
        match self {
            Self::Done => "it was done".into(),
            Self::Failed(error) => format!("{}: {error}", error.reason().word()),
            Self::Stopped => "it was stopped".into(),
        }
    }
}

/// Where the roots are made: a tmpfs, on which a sync costs nothing.
pub struct Machine {
    base: PathBuf,
    count: AtomicUsize,
}

impl Machine {
    pub fn new() -> Result<Self, String> {
        let base = Path::new("/dev/shm").join(format!("glowplug-crash-{}", std::process::id()));
        fs::create_dir(&base).map_err(|error| format!("make {}: {error}", base.display()))?;
        Ok(Self { base, count: AtomicUsize::new(0) })
    }

    /// Returns the directory that the roots lie in.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Makes a disk with `before` on it. Everything below `mounted` is on a second disk.
    pub fn disk(&self, before: &Tree, mounted: Option<&Path>) -> Result<Disk, String> {
        let root = self.base.join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        let mut disk = Disk { mounted: None, root };
        if let Some(path) = mounted {
            let at = below(&disk.root, path);
            fs::create_dir_all(&at).map_err(|error| format!("make {}: {error}", at.display()))?;
            mount(c"tmpfs", &at, c"tmpfs", MountFlags::empty(), None)
                .map_err(|error| format!("mount {}: {error}", at.display()))?;
            disk.mounted = Some(at);
        }
        disk::write(&disk.root, before)?;
        Ok(disk)
    }

    /// Returns how many calls an undisturbed run makes, and the tree that it makes from `before`.
    pub fn undisturbed(
        &self,
        before: &Tree,
        config: &str,
        mounted: Option<&Path>,
    ) -> Result<(usize, Tree), String> {
        let disk = self.disk(before, mounted)?;
        let ended = disk.start(Some(config), usize::MAX, Injected::Stop);
        let made = failpoints::disarm();
        let after = disk.tree()?;
        let is_right = match &ended {
            Ended::Done => has_stamp(&after),
            Ended::Failed(_) => after == *before,
            Ended::Stopped => false,
        };
        if is_right { Ok((made, after)) } else { Err(format!("undisturbed: {}", ended.told())) }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The failures have been printed already. A directory that stays behind does no harm.
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// The disk of a machine.
pub struct Disk {
    root: PathBuf,
    mounted: Option<PathBuf>,
}

impl Disk {
    /// Puts `before` on the disk anew. A mount is kept, because unmounting takes longer than everything else here.
    pub fn reset(&self, before: &Tree) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("reset {}: {error}", self.root.display());
        let mut directories = vec![self.root.clone()];
        directories.extend(self.mounted.clone());
        for directory in directories {
            for entry in fs::read_dir(&directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if Some(&path) == self.mounted.as_ref() {
                    continue;
                }
                let is_directory = fs::symlink_metadata(&path).map_err(failed)?.is_dir();
                if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                    .map_err(failed)?;
            }
        }
        disk::write(&self.root, before)
    }

    /// Starts the machine. With a `config`, its host serves that. After `allowed` calls, `fault` happens.
    pub fn start(&self, config: Option<&str>, allowed: usize, fault: Injected) -> Ended {
        let provision = || {
            let platform = Platform::named("applehv")?;
            let mut fetch = || match config {
                Some(text) => {
                    let from = ConfigOrigin::Platform(platform);
                    Ok(Answer::Config(UserConfig { text: text.into(), from }))
                }
                None => Err(Error::new(Reason::NoHost, "the host is gone")),
            };
            let fetcher = Fetcher::new(FetchOptions {
                platform: "applehv",
                patience: Duration::from_secs(30),
                network: NetworkUse::AsItIs,
                tell: |_| {},
            });
            provision::provision(&Root::open(&self.root)?, Some(platform), &fetcher, &mut fetch)
        };
        failpoints::arm(allowed, fault);
        match catch_unwind(AssertUnwindSafe(provision)) {
            Ok(Ok(_)) => Ended::Done,
            Ok(Err(error)) => Ended::Failed(error),
            Err(payload) if payload.is::<Stopped>() => Ended::Stopped,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Calls one of the reference's stages, with its files beside the disk. Returns the exit code unless it was stopped.
    pub fn stage(&self, stage: Stage, allowed: usize, fault: Injected) -> Option<u8> {
        let beside = |end: &str| self.root.with_extension(end);
        let request = StageCall {
            stage,
            platform: "file".into(),
            root: self.root.clone(),
            config_cache: beside("cache"),
            need_net: beside("neednet"),
            state_file: beside("state"),
            patience: None,
        };
        failpoints::arm(allowed, fault);
        match catch_unwind(AssertUnwindSafe(|| ignition::run(&request))) {
            Ok(code) => Some(code),
            Err(payload) if payload.is::<Stopped>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Returns what is on the disk. Inode and birth time are taken out of the stamp, because each stamp has its own.
    pub fn tree(&self) -> Result<Tree, String> {
        let mut tree = disk::read(&self.root)?;
        let place = stamp_place(&tree);
        if let Some(stamp) = tree.get_mut(&place) {
            let Kind::File(bytes) = &mut stamp.kind else { return Err("the stamp is no file".into()) };
            let mut json: serde_json::Value =
                serde_json::from_slice(bytes).map_err(|error| format!("the stamp: {error}"))?;
            let file = fs::metadata(below(&self.root, &place)).map_err(|error| error.to_string())?;
            if json["glowplug"]["inode"] != file.ino() {
                return Err("the stamp names another file".into());
            }
            json["glowplug"]["inode"] = 0.into();
            json["glowplug"]["born"] = 0.into();
            *bytes = json.to_string().into_bytes();
        }
        Ok(tree)
    }

    /// Returns the device number of the second disk or of the first.
    pub fn device(&self, second: bool) -> Result<u64, String> {
        let path = self.mounted.as_ref().filter(|_| second).unwrap_or(&self.root);
        fs::metadata(path).map(|stat| stat.dev()).map_err(|error| error.to_string())
    }

    /// Returns what an interrupted run left.
    pub fn leftovers(&self) -> Result<Leftovers, Error> {
        Root::open(&self.root)?.leftovers()
    }

    /// Returns the path of a file in the private directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(".glowplug").join(name)
    }

    pub fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        fs::read(self.path(name)).map_err(|error| format!("read {name}: {error}"))
    }

    /// Makes another disk, with a copy of every file of this one.
    pub fn copy(&self, machine: &Machine) -> Result<Self, String> {
        machine.disk(&disk::read(&self.root)?, None)
    }

    /// Checks the root after a first start that `fault` disturbed. A stamp may stand only on a complete root. After a failure
    /// that left nothing to be completed, the root must be as it was.
    pub fn check_first(
        &self,
        ended: &Ended,
        before: &Tree,
        after: &Tree,
        spoils: bool,
    ) -> Result<(), String> {
        let tree = self.tree()?;
        if has_stamp(&tree) && without_area(&tree) != *after {
            return Err(format!("a stamp stood before the end:\n{}", manifest::changes(after, &tree)));
        }
        match ended {
            Ended::Done if without_area(&tree) == *after => Ok(()),
            Ended::Done => Err(format!("it said it was done:\n{}", manifest::changes(after, &tree))),
            // The stamp stands, but perhaps it is not on the disk yet.
            Ended::Failed(_) if has_stamp(&tree) => Ok(()),
            Ended::Failed(_) if self.leftovers() != Ok(Leftovers::BegunCommit) => {
                let tree = if spoils { without_area(&tree) } else { tree };
                if settled(&tree) == settled(before) {
                    return Ok(());
                }
                Err(format!(
                    "{}, and the root has changed:\n{}",
                    ended.told(),
                    manifest::changes(before, &tree)
                ))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the root is complete after a start without a host. If it is not, it must be as it was.
    pub fn check_last(&self, ended: &Ended, before: &Tree, after: &Tree) -> Result<bool, String> {
        let tree = self.tree()?;
        let expected = match ended {
            Ended::Done => after,
            // If an undisturbed run fails as well, the saved config fails in the same way.
            Ended::Failed(error) if error.reason() == Reason::NoHost || before == after => before,
            _ => return Err(format!("the next start: {}", ended.told())),
        };
        if tree != *expected && tree != settled(expected) {
            let changes = manifest::changes(expected, &tree);
            return Err(format!("after the next start ({}):\n{changes}", ended.told()));
        }
        Ok(matches!(ended, Ended::Done))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(at) = &self.mounted {
            // If a mount stays, the removal of its directory reports it.
            let at = CString::new(at.as_os_str().as_bytes());
            let _ = at.map(|at| unmount(at, UnmountFlags::DETACH));
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Returns `tree` without what an earlier interrupted run had left in it.
fn settled(tree: &Tree) -> Tree {
    let mut inside = tree.keys().filter(|path| path.starts_with("/.glowplug") && path.iter().count() > 2);
    let is_ours = inside.next().is_none() || tree.contains_key(Path::new("/.glowplug/owner"));
    if is_ours { without_area(tree) } else { tree.clone() }
}

/// Returns `tree` without the private directories.
pub fn without_area(tree: &Tree) -> Tree {
    let is_private = |path: &Path| path.iter().any(|name| name == ".glowplug");
    tree.iter()
        .filter(|(path, _)| !is_private(path))
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect()
}

/// Returns the path of the stamp in `tree`: in the directory `/etc`, or in the one that a link at `/etc` names.
fn stamp_place(tree: &Tree) -> PathBuf {
    let stamp = Path::new(STAMP);
    match (tree.get(Path::new("/etc")).map(|node| &node.kind), stamp.file_name()) {
        (Some(Kind::Link(target)), Some(name)) => Path::new("/").join(target).join(name),
        _ => stamp.to_owned(),
    }
}

/// Returns whether a stamp stands in `tree`.
pub fn has_stamp(tree: &Tree) -> bool {
    tree.contains_key(&stamp_place(tree))
}

/// Returns `tree` without the stamp.
pub fn without_stamp(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    tree.remove(&stamp_place(&tree));
    tree
}
