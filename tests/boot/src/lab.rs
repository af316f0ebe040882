//! Where the lab's parts are: the prepared guest, the program, short folders.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Doing, Error, Result};

/// The prepared guest and the program under test.
#[derive(Clone, Debug)]
pub struct Lab {
    dir: PathBuf,
}

impl Lab {
    /// Returns the lab that `GLOWPLUG_LAB` names.
    ///
    /// # Errors
    /// When the variable is not set, or a part is missing. The text says which make target prepares it.
    pub fn from_env() -> Result<Self> {
        let lab = Self::without_dracut()?;
        lab.has("initrd-dracut.img")?;
        Ok(lab)
    }

    /// Returns the same lab, but does not require the images of dracut, because `make demo` does not make them.
    ///
    /// # Errors
    /// As [`Lab::from_env`].
    pub fn without_dracut() -> Result<Self> {
        Self::at(from_variable("GLOWPLUG_LAB", "make lab")?)
    }

    /// Returns the lab whose guest also has the package glowplug-podman-machine.
    ///
    /// # Errors
    /// As [`Lab::from_env`].
    pub fn podman_machine() -> Result<Self> {
        Self::at(from_variable("GLOWPLUG_MACHINE_LAB", "make machine-lab")?)
    }

    fn at(dir: PathBuf) -> Result<Self> {
        let lab = Self { dir };
        for part in ["stamp", "root", "vmlinuz", "initrd.img", "root.img"] {
            lab.has(part)?;
        }
        Ok(lab)
    }

    fn has(&self, part: &str) -> Result<()> {
        let path = self.part(part);
        if path.exists() {
            return Ok(());
        }
        Err(Error::new(format!("{} is missing: `make lab machine-lab` prepares it", path.display())))
    }

    /// Returns the folder of disk images that `GLOWPLUG_IMAGES` names, in the place of the prepared guest.
    ///
    /// # Errors
    /// When the variable is not set or names nothing.
    pub fn of_images() -> Result<Self> {
        Ok(Self { dir: from_variable("GLOWPLUG_IMAGES", "make image")? })
    }

    /// Returns the path of a part of the lab: `vmlinuz`, `initrd.img`, `root.img`, `root`, ...
    pub fn part(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes `root` anew, with the account files, the units and the lists of defaults of the guest, but without the rest of
    /// Debian.
    ///
    /// # Errors
    /// When the old `root` cannot be removed, or the files cannot be copied.
    pub fn small_root(&self, root: &Path) -> Result<()> {
        if root.is_dir() {
            fs::remove_dir_all(root).doing_to("remove the last root", root)?;
        }
        for dir in ["usr/lib/systemd", "home", "root"] {
            fs::create_dir_all(root.join(dir)).doing_to("make a root", root)?;
        }
        for part in ["etc", "usr/lib/systemd/system", "usr/lib/glowplug"] {
            let copied =
                Command::new("cp").arg("-a").arg(self.part("root").join(part)).arg(root.join(part)).status();
            if !copied.doing("copy the guest's root")?.success() {
                return Err(Error::new("cp failed"));
            }
        }
        Ok(())
    }

    /// Returns the path of a tool in the tool folder beside the lab, or its name if it must be in `PATH`.
    pub fn tool(&self, name: &str) -> PathBuf {
        let own = self.dir.with_file_name("tools").join("bin").join(name);
        if own.exists() { own } else { PathBuf::from(name) }
    }
}

/// Returns the `glowplug` that runs on this machine, named by `GLOWPLUG_BIN`.
///
/// # Errors
/// When the variable is not set or names no file.
pub fn program() -> Result<PathBuf> {
    from_variable("GLOWPLUG_BIN", "make build")
}

/// Returns the host's real gvproxy, named by `GLOWPLUG_GVPROXY`.
///
/// # Errors
/// When the variable is not set or names no file.
pub fn gvproxy() -> Result<PathBuf> {
    from_variable("GLOWPLUG_GVPROXY", "make machine-lab")
}

fn from_variable(name: &str, target: &str) -> Result<PathBuf> {
    let path = env::var_os(name).ok_or_else(|| {
        Error::new(format!("{name} is not set: `{target}` prepares what it names, `make boot` sets it"))
    })?;
    let path = PathBuf::from(path);
    if !path.exists() {
        return Err(Error::new(format!(
            "{name} names {}, which is missing: `{target}` prepares it",
            path.display()
        )));
    }
    fs::canonicalize(&path).doing_to("resolve", &path)
}

/// A private folder that is removed with this value. Its name is short, because the path of a socket may have at most 108
/// bytes.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

const PREFIX: &str = "boot-lab-";

/// A socket path with the names used below a scratch folder must stay under this.
const LONGEST: usize = 80;

impl Scratch {
    /// Makes a new folder below `$TMPDIR`, for this user only.
    ///
    /// # Errors
    /// When it cannot be made, or its name would be too long for a socket.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("{PREFIX}{}-{count}", process::id()));
        if path.as_os_str().len() > LONGEST {
            return Err(Error::new(format!(
                "{} is too long for sockets: set TMPDIR to a shorter one",
                path.display()
            )));
        }
        DirBuilder::new().mode(0o700).create(&path).doing_to("make the folder", &path)?;
        Ok(Self { path })
    }

    /// Returns the folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of `name` in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of runs that were killed, which are those whose process no longer exists.
fn sweep() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((id, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let ours = id == process::id().to_string();
        if ours || (id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
