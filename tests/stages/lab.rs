//! A root with the files that the stages leave beside it, and calls of the program on it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_glowplug");
/// The stages in their order.
pub const STAGES: [&str; 7] = ["fetch-offline", "fetch", "kargs", "disks", "mount", "files", "umount"];
/// A config with one entry of every kind, and with secrets that must not show in a log.
pub const CONFIG: &str = r#"{"ignition":{"version":"3.3.0","config":{"merge":[{"source":"data:,%7B%22ignition%22:%7B%22version%22:%223.0.0%22%7D%7D"}]}},
    "passwd":{"groups":[{"name":"gees"}],"users":[{"name":"core","passwordHash":"$y$SECRET","sshAuthorizedKeys":["ssh-ed25519 SECRET"]}]},
    "storage":{"directories":[{"path":"/opt/dir"}],"files":[{"path":"/etc/file","contents":{"source":"data:,SECRET"}},
    {"path":"/etc/grown","append":[{"source":"data:,x"}]}],
    "links":[{"path":"/link","target":"/etc/file"},{"path":"/hard","target":"/etc/file","hard":true}]},
    "systemd":{"units":[{"name":"a.service","contents":"[Service]\nExecStart=/bin/true SECRET\n",
    "dropins":[{"name":"x.conf","contents":"[Unit]\n"}]},{"name":"m.service","mask":true}]}}"#;

/// A root and the files of the stages.
pub struct Lab {
    pub base: PathBuf,
}

impl Lab {
    pub fn new(config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("glowplug-stages-{}-{number}", std::process::id()));
        for directory in ["root/etc", "run", "system", "bin"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        let lab = Self { base };
        lab.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        lab.write("root/etc/group", "root:x:0:\n");
        lab.write("cmdline", "ro quiet\n");
        lab.write("config.ign", config);
        lab
    }

    /// Returns a config of version 3.3.0 with `rest` in it.
    pub fn with(rest: &str) -> Self {
        Self::new(&format!(r#"{{"ignition":{{"version":"3.3.0"}},{rest}}}"#))
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    pub fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.at(path)).unwrap().mode() & 0o7777
    }

    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&self.base);
        command.env("PATH", self.at("bin"));
        command.env("IGNITION_CONFIG_FILE", self.at("config.ign"));
        command.env("IGNITION_KERNEL_CMDLINE_PATH", self.at("cmdline"));
        for name in ["", "_LOCAL", "_RUNTIME"] {
            command.env(format!("IGNITION_SYSTEM{name}_CONFIG_DIR"), self.at(&format!("system{name}")));
        }
        command
    }

    /// Returns the flags that keep all of the stages' files in the lab.
    pub fn flags(&self) -> Vec<String> {
        let file = |flag: &str, path: &str| format!("-{flag}={}", self.at(path).display());
        vec![
            "-log-to-stdout".to_owned(),
            file("root", "root"),
            file("config-cache", "run/ignition.json"),
            file("neednet", "run/net/neednet"),
            file("state-file", "run/ignition/state"),
        ]
    }

    pub fn stage_on(&self, platform: &str, stage: &str) -> (i32, String) {
        let mut command = self.command(Path::new(PROGRAM));
        told(&command.args(self.flags()).args(["-platform", platform, "-stage", stage]).output().unwrap())
    }

    /// Returns exit code and everything that was said.
    pub fn stage(&self, stage: &str) -> (i32, String) {
        self.stage_on("file", stage)
    }

    pub fn passes(&self, stage: &str) -> String {
        let (code, said) = self.stage(stage);
        assert_eq!(code, 0, "{stage}: {said}");
        assert!(said.ends_with("INFO     : Ignition finished successfully\n"), "{said}");
        said
    }

    /// Checks that the stage fails, says `words`, and leaves the root as it was. Returns everything that it said.
    pub fn fails(&self, stage: &str, words: &str) -> String {
        let before = self.root();
        let (code, said) = self.stage(stage);
        assert_eq!(code, 1, "{stage}: {said}");
        assert!(said.contains(words), "{stage}: {said}");
        assert!(said.contains("\nCRITICAL : Ignition failed: "), "{said}");
        assert_eq!(self.root(), before);
        said
    }

    /// Calls the program by another name. Returns exit code and output.
    pub fn by_name(&self, name: &str, arguments: &[&str]) -> (i32, String) {
        let path = self.at(name);
        if !self.has(name) {
            symlink(PROGRAM, &path).unwrap();
        }
        told(&self.command(&path).args(arguments).output().unwrap())
    }

    pub fn root(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut left = vec![self.at("root")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let stat = fs::symlink_metadata(&path).unwrap();
                lines.push(format!("{} {:o} {}", path.display(), stat.mode(), stat.len()));
                if stat.is_dir() {
                    left.push(path);
                }
            }
        }
        lines.sort();
        lines
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.base).unwrap();
    }
}

/// Returns exit code and everything that was said.
pub fn told(output: &Output) -> (i32, String) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}
