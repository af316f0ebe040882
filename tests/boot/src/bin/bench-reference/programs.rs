//! The programs side by side: Debian's ignition, glowplug, tar.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use boot_lab::error::{Doing, Error, Result};
use boot_lab::lab::{self, Lab};

use crate::work::Work;

/// One of the programs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Debian's `ignition`, by stages.
    Reference,
    /// `glowplug`, by the same stages, or in one call if this version has no stages.
    Glowplug,
    /// `tar -x` of the same tree.
    Tar,
    /// The same, followed by a sync.
    TarSync,
}

impl Program {
    /// Returns its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "ignition",
            Self::Glowplug => "glowplug",
            Self::Tar => "tar -x",
            Self::TarSync => "tar -x, sync",
        }
    }
}

/// Where everything is.
pub struct Programs {
    lab: Lab,
    glowplug: PathBuf,
    reference: PathBuf,
    scratch: PathBuf,
    /// Whether glowplug has the reference's stages.
    staged: bool,
    /// Whether glowplug can validate alone.
    pub validates: bool,
}

impl Programs {
    /// Finds the programs. They keep their files between stages in `scratch`.
    pub fn find(lab: Lab, scratch: &Path) -> Result<Self> {
        let glowplug = lab::program()?;
        let reference = env::var_os("GLOWPLUG_REFERENCE").map(PathBuf::from).filter(|dir| dir.exists());
        let reference = reference.ok_or_else(|| {
            Error::new(
                "GLOWPLUG_REFERENCE names no folder: `make bench` fetches Debian's ignition and sets it",
            )
        })?;
        let help = Command::new(&glowplug).arg("--help").output().doing("ask glowplug for help")?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        fs::create_dir_all(scratch.join("empty")).doing("make an empty folder")?;
        fs::create_dir_all(scratch.join("bin")).doing("make a folder")?;
        // The reference fails without SELinux, so it gets a configuration, and a setfiles that does nothing.
        symlink("/bin/true", scratch.join("bin/setfiles")).doing("link setfiles")?;
        let mut programs = Self {
            lab,
            glowplug,
            reference: reference.join("tree"),
            scratch: scratch.to_owned(),
            staged: false,
            validates: help.contains("validate"),
        };
        programs.staged = programs.knows_stages()?;
        Ok(programs)
    }

    /// Makes a fresh root for this program, and writes it to the disk.
    pub fn fresh_root(&self, program: Program, root: &Path) -> Result<()> {
        for file in ["cache", "state", "neednet"] {
            let _ = fs::remove_file(self.scratch.join(file));
        }
        self.lab.small_root(root)?;
        if program == Program::Reference {
            let selinux = root.join("etc/selinux");
            fs::create_dir_all(&selinux).doing_to("make", &selinux)?;
            fs::write(selinux.join("config"), "SELINUXTYPE=none\n").doing("write the SELinux config")?;
        }
        sync(root)
    }

    /// Returns the calls that apply `work` to `root`, each with its name in the table.
    pub fn calls(&self, program: Program, work: &Work, root: &Path) -> Vec<(&'static str, Command)> {
        match program {
            Program::Reference => self.stages(&self.reference_program(), work, root),
            Program::Glowplug if self.staged => self.stages(&self.glowplug, work, root),
            Program::Glowplug => {
                let mut apply = Command::new(&self.glowplug);
                apply.args(["apply", "--root"]).arg(root).arg(&work.config);
                vec![("apply", apply)]
            }
            Program::Tar => {
                let mut tar = Command::new("tar");
                tar.arg("-xf").arg(work.archive()).arg("-C").arg(root);
                vec![("", tar)]
            }
            Program::TarSync => {
                let mut both = Command::new("sh");
                both.args(["-c", r#"tar -xf "$1" -C "$2" && sync -f "$2""#, "sh"])
                    .arg(work.archive())
                    .arg(root);
                vec![("", both)]
            }
        }
    }

    /// Returns whether this glowplug has the reference's stages: whether a call of `fetch` is not a usage error. Any other
    /// failure would show in the runs.
    fn knows_stages(&self) -> Result<bool> {
        let root = self.scratch.join("empty");
        let output = self.stage(&self.glowplug, "fetch", Path::new("/dev/null"), &root).output();
        Ok(output.doing("ask glowplug for a stage")?.status.code() != Some(2))
    }

    fn stages(&self, program: &Path, work: &Work, root: &Path) -> Vec<(&'static str, Command)> {
        ["fetch", "files"].map(|stage| (stage, self.stage(program, stage, &work.config, root))).into()
    }

    fn stage(&self, program: &Path, stage: &str, config: &Path, root: &Path) -> Command {
        let option = |name: &str, value: &Path| {
            let mut option = OsString::from(name);
            option.push(value);
            option
        };
        let mut command = Command::new(program);
        command
            .arg(format!("--stage={stage}"))
            .arg("--platform=file")
            .arg(option("--root=", root))
            .arg(option("--config-cache=", &self.scratch.join("cache")))
            .arg(option("--state-file=", &self.scratch.join("state")))
            .arg(option("--neednet=", &self.scratch.join("neednet")))
            .arg("--log-to-stdout")
            .env("IGNITION_CONFIG_FILE", config)
            .env("PATH", self.path());
        for dir in ["SYSTEM_CONFIG_DIR", "SYSTEM_LOCAL_CONFIG_DIR", "SYSTEM_RUNTIME_CONFIG_DIR"] {
            command.env(format!("IGNITION_{dir}"), self.scratch.join("empty"));
        }
        command
    }

    /// Returns the call that validates one config.
    pub fn validate(&self, program: Program, config: &Path) -> Command {
        let mut command = match program {
            Program::Glowplug => {
                let mut command = Command::new(&self.glowplug);
                command.arg("validate");
                command
            }
            _ => Command::new(self.reference.join("usr/bin/ignition-validate")),
        };
        command.arg(config);
        command
    }

    /// Makes the archive that tar unpacks.
    pub fn make_archive(&self, work: &Work) -> Result<()> {
        let tree = self.scratch.join("tree");
        fs::create_dir_all(&tree).doing_to("make", &tree)?;
        work.tree(&tree)?;
        let made = Command::new("tar").arg("-cf").arg(work.archive()).arg("-C").arg(&tree).arg(".").status();
        fs::remove_dir_all(&tree).doing_to("remove", &tree)?;
        if made.doing("run tar")?.success() { Ok(()) } else { Err(Error::new("tar failed")) }
    }

    fn reference_program(&self) -> PathBuf {
        self.reference.join("usr/lib/dracut/modules.d/30ignition/ignition")
    }

    fn path(&self) -> OsString {
        let mut path = self.scratch.join("bin").into_os_string();
        path.push(":/usr/sbin:/usr/bin:/sbin:/bin");
        path
    }
}

/// Waits until the file system of `path` has everything on its disk.
pub fn sync(path: &Path) -> Result<()> {
    let done = Command::new("sync").arg("-f").arg(path).stdout(Stdio::null()).status();
    if done.doing("run sync")?.success() { Ok(()) } else { Err(Error::new("sync failed")) }
}
