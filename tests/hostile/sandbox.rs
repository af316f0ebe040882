//! A mount namespace with a root in it, a directory beside it that nothing may touch, and devices of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::disk;
use crate::manifest::{self, Tree};
use crate::watch;

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_glowplug");
/// The one console of the sandbox.
const CONSOLE: &str = "ttyS9";

/// The test's own thread is the one that the namespace belongs to; programs that it starts are in it too.
pub struct Sandbox {
    base: PathBuf,
    has_devices: bool,
}

/// The result of a call of the program.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    /// Standard output and error.
    pub said: String,
    /// What the program wrote to the kernel's log and to the console, if the sandbox has its own.
    pub kmsg: String,
    pub console: String,
}

impl Done {
    /// Returns the word for the reason of a failure of `apply` or `run`.
    pub fn reason(&self) -> &str {
        let last = self.said.lines().rfind(|line| line.starts_with("glowplug: ")).unwrap_or_default();
        last.split(": ").nth(1).unwrap_or_default()
    }
}

impl Sandbox {
    /// Makes a sandbox with the empty directories `root` and `outside` on a tmpfs.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("glowplug-hostile-{}-{number}", std::process::id()));
        fs::create_dir(&base).unwrap();
        mount(Some("none"), &base, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
        for directory in ["root", "outside", "host"] {
            fs::create_dir(base.join(directory)).unwrap();
        }
        fs::write(base.join("host/cmdline"), "ro\n").unwrap();
        Self { base, has_devices: false }
    }

    /// As [`Self::new`], with devices of its own. What the program writes to the kernel's log and to the consoles stays in
    /// the sandbox.
    pub fn with_devices() -> Self {
        let mut sandbox = Self::new();
        sandbox.add_devices();
        sandbox
    }

    /// Hides all devices but `null`, so that none can be mounted or written to.
    pub fn add_devices(&mut self) {
        let dev = self.base.join("host/dev");
        fs::create_dir(&dev).unwrap();
        // The device is bind-mounted, because inside a user namespace not even root can make one.
        fs::write(dev.join("null"), "").unwrap();
        bind(Path::new("/dev/null"), &dev.join("null"));
        for name in ["kmsg", CONSOLE] {
            mknodat(CWD, dev.join(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }
        bind_all(&dev, Path::new("/dev"));
        let consoles = self.base.join("host/consoles");
        fs::write(&consoles, format!("{CONSOLE}                -W- (EC p a)    4:73\n")).unwrap();
        bind(&consoles, Path::new("/proc/consoles"));
        self.has_devices = true;
    }

    pub fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    pub fn outside(&self) -> PathBuf {
        self.base.join("outside")
    }

    /// Returns a path for the test's own files.
    pub fn host(&self, name: &str) -> PathBuf {
        self.base.join("host").join(name)
    }

    /// Returns the path of `path` in the root, as seen from outside.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Empties the root, on whatever file system it is, and makes `tree` there.
    pub fn make_root(&self, tree: &Tree) {
        for entry in fs::read_dir(self.root()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            }
            .unwrap();
        }
        disk::write(&self.root(), tree).unwrap();
    }

    pub fn tree(&self) -> Tree {
        disk::read(&self.root()).unwrap()
    }

    /// Returns the state of the root, including every inode.
    pub fn state(&self) -> Vec<String> {
        watch::state(&self.root())
    }

    /// Runs a script with `set -e` in the sandbox; `$1` is its base.
    pub fn sh(&self, script: &str) {
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", &format!("PATH=$PATH:/usr/sbin:/sbin\ncd \"$1\"\n{script}"), "sh"])
            .arg(&self.base);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// Returns a command for the program that gets the config `text` from its platform, and no other config.
    pub fn command(&self, program: &str, text: &str) -> Command {
        let config = self.host("config.ign");
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.base.join("host"));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SOURCE_DATE_EPOCH", "1728043200");
        command.env("IGNITION_CONFIG_FILE", &config);
        command.env("IGNITION_KERNEL_CMDLINE_PATH", self.host("cmdline"));
        for name in ["", "_LOCAL", "_RUNTIME"] {
            command.env(format!("IGNITION_SYSTEM{name}_CONFIG_DIR"), self.host("none"));
        }
        command
    }

    /// `glowplug run` on platform `file`.
    pub fn run(&self, text: &str) -> Done {
        assert!(self.has_devices, "the machine's own log and consoles are no place for a test");
        self.done(self.command(PROGRAM, text).args(["run", "--platform=file", "--root"]).arg(self.root()))
    }

    /// `glowplug apply`.
    pub fn apply(&self, text: &str) -> Done {
        let mut command = self.command(PROGRAM, text);
        self.done(command.args(["apply", "--root"]).arg(self.root()).arg(self.host("config.ign")))
    }

    /// Runs `command`, and reads what it wrote to the devices.
    pub fn done(&self, command: &mut Command) -> Done {
        let devices = ["kmsg", CONSOLE].map(|name| self.has_devices.then(|| open_fifo(name)));
        let output = command.output().unwrap();
        let [kmsg, console] = devices.map(|device| device.map_or_else(String::new, drain));
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code().expect("the program was ended by a signal");
        Done { code, said: String::from_utf8(said).unwrap(), kmsg, console }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.has_devices {
            for path in ["/proc/consoles", "/dev"] {
                umount2(path, MntFlags::MNT_DETACH).unwrap();
            }
        }
        umount2(&self.base, MntFlags::MNT_DETACH).unwrap();
        fs::remove_dir(&self.base).unwrap();
    }
}

fn bind(from: &Path, to: &Path) {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND, none).unwrap();
}

/// As [`bind`], with all mounts below `from`.
fn bind_all(from: &Path, to: &Path) {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).unwrap();
}

/// Opens a FIFO for reading and writing. So a writer always finds a reader, and the reader never meets the end.
fn open_fifo(name: &str) -> File {
    let fifo = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(Path::new("/dev").join(name))
        .unwrap();
    // The pipe must hold the longest report, since nobody reads until the program has ended.
    nix::fcntl::fcntl(&fifo, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
    fifo
}

fn drain(mut fifo: File) -> String {
    let mut bytes = Vec::new();
    let end = fifo.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    String::from_utf8(bytes).unwrap()
}

/// Returns the small Debian root of the cases.
pub fn debian() -> Tree {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/roots/debian");
    with(&manifest::empty(), &fs::read_to_string(path).unwrap())
}

/// Returns `tree`, changed as the manifest `text` says.
pub fn with(tree: &Tree, text: &str) -> Tree {
    let mut tree = tree.clone();
    manifest::apply(text, &mut tree, &|name| Err(format!("no {name}"))).unwrap();
    tree
}
