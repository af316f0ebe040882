//! Reads configs from file systems on loop devices. These tests need root.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fs::StatVfsMountFlags as Flags;

use super::*;
use crate::testing::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// A directory with a link for each label, and the loop devices to which the links lead.
struct Labels {
    at: TempDir,
    loops: Vec<String>,
}

impl Labels {
    fn new(name: &str) -> Self {
        let at = TempDir::new(&format!("labels-{name}"));
        Self { at, loops: Vec::new() }
    }

    /// Makes the label `CONFIG` lead to a loop device over `image`. If this machine gives no loop device, says so and
    /// returns `None`.
    fn attach(&mut self, image: &Path) -> Option<()> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok();
        let device = output.filter(|output| output.status.success()).map(|output| output.stdout);
        let Some(device) = device.and_then(|device| String::from_utf8(device).ok()) else {
            println!("no loop device can be had: a config on a file system is not tested");
            return None;
        };
        let device = device.trim().to_owned();
        symlink(&device, self.at.join("CONFIG")).unwrap();
        self.loops.push(device);
        Some(())
    }

    /// Makes an ext4 image of `tree` and attaches it as `CONFIG`.
    fn ext4(&mut self, tree: &Path) -> Option<()> {
        let image = self.at.join("image");
        fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-d"]).arg(tree).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("there is no mkfs.ext4: a config on a file system is not tested");
            return None;
        }
        self.attach(&image)
    }

    fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        fetch(self.at.path(), "CONFIG", path, LONG)
    }
}

impl Drop for Labels {
    fn drop(&mut self) {
        for device in &self.loops {
            let _ = Command::new("losetup").args(["--detach", device]).status();
        }
    }
}

#[test]
fn configs_on_ext4() {
    let mut labels = Labels::new("ext4");
    let tree = labels.at.join("tree");
    fs::create_dir_all(tree.join("dir")).unwrap();
    fs::write(tree.join("dir/config.ign"), "{}").unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    // A link leads to where it would lead if the file system were the root.
    symlink("/dir/config.ign", tree.join("link")).unwrap();
    symlink("../../../dir", tree.join("dir/up")).unwrap();
    symlink("/etc/hostname", tree.join("outside")).unwrap();
    if labels.ext4(&tree).is_none() {
        return;
    }
    for path in ["/dir/config.ign", "dir/config.ign", "/link", "/dir/up/config.ign", "/../dir/config.ign"] {
        assert_eq!(labels.fetch(path).unwrap(), b"{}", "{path}");
    }
    assert_eq!(labels.fetch("/empty").unwrap(), b"");
    for (path, reason) in [
        ("/missing", Reason::NoHost),
        ("/outside", Reason::NoHost),
        ("/dir/config.ign/x", Reason::NoHost),
        ("/dir", Reason::System),
    ] {
        let error = labels.fetch(path).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.text().contains(path), "{error}");
        assert_eq!(
            error.advice().contains("ignition.config.path"),
            reason == Reason::NoHost,
            "{}",
            error.advice()
        );
    }
    // The device must be released, whatever the result was.
    wait_until_free(&labels.loops[0]);
}

/// Opens the device exclusively, which fails while it is mounted.
fn open_exclusively(device: &str) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(device)
}

/// Waits until the device is released. A program that another test has just started can hold all descriptors of this
/// process for a moment.
fn wait_until_free(device: &str) {
    let start = Instant::now();
    while let Err(error) = open_exclusively(device) {
        assert!(start.elapsed() < LONG, "{device}: {error}");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn a_device_that_is_taken_is_waited_for() {
    let mut labels = Labels::new("busy");
    let tree = labels.at.join("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("config.ign"), "{}").unwrap();
    if labels.ext4(&tree).is_none() {
        return;
    }
    let taken = open_exclusively(&labels.loops[0]).unwrap();
    let error = fetch(labels.at.path(), "CONFIG", "/config.ign", Duration::ZERO).unwrap_err();
    assert_eq!(error.reason(), Reason::System);
    assert!(error.text().ends_with("busy"), "{error}");
    let config = std::thread::scope(|scope| {
        let config = scope.spawn(|| labels.fetch("/config.ign"));
        // This is usually long enough for at least one try.
        std::thread::sleep(PAUSE.saturating_mul(3));
        drop(taken);
        config.join().unwrap()
    });
    assert_eq!(config.unwrap(), b"{}");
}

#[test]
fn a_mount_is_not_written_to() {
    let mut labels = Labels::new("read-only");
    let tree = labels.at.join("tree");
    fs::create_dir_all(&tree).unwrap();
    if labels.ext4(&tree).is_none() {
        return;
    }
    let mount = mount_as(Path::new(&labels.loops[0]), "ext4").unwrap();
    let flags = rustix::fs::fstatvfs(&mount).unwrap().f_flag;
    assert!(flags.contains(Flags::RDONLY | Flags::NOSUID | Flags::NODEV | Flags::NOEXEC), "{flags:?}");
}

#[test]
fn configs_on_vfat() {
    let mut labels = Labels::new("vfat");
    let image = labels.at.join("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    fs::write(labels.at.join("config.ign"), "{}").unwrap();
    let run = |program: &str, arguments: &[&Path]| {
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let made = run("mkfs.vfat", &[&image])
        && run("mcopy", &[Path::new("-i"), &image, &labels.at.join("config.ign"), Path::new("::")]);
    let is_known = matches!(fsopen("vfat", FsOpenFlags::FSOPEN_CLOEXEC), Ok(_) | Err(Errno::PERM));
    if !made || !is_known {
        println!("vfat is not tested: mkfs.vfat and mcopy there: {made}; in the kernel: {is_known}");
        return;
    }
    if labels.attach(&image).is_some() {
        assert_eq!(labels.fetch("/config.ign").unwrap(), b"{}");
    }
}

#[test]
fn no_device_no_file_system_and_no_label() {
    let mut labels = Labels::new("none");
    let error = fetch(labels.at.path(), "CONFIG", "/x", Duration::ZERO).unwrap_err();
    assert_eq!(error.reason(), Reason::NoHost);
    assert!(error.text().contains("CONFIG did not appear"), "{error}");
    for label in ["../x", "/", ".", ".."] {
        let error = fetch(labels.at.path(), label, "/x", Duration::ZERO).unwrap_err();
        assert_eq!(error.reason(), Reason::Usage, "{label}");
    }
    let image = labels.at.join("image");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    if labels.attach(&image).is_some() {
        let error = labels.fetch("/x").unwrap_err();
        assert_eq!(error.reason(), Reason::System);
        assert!(error.text().ends_with("CONFIG: it has no file system that the kernel knows"), "{error}");
    }
}

#[test]
fn types_are_the_kernels_and_then_the_usual_ones() {
    let names = "nodev\tproc\n\text4\nnodev\ttmpfs\n\tfuseblk\n";
    let types: Vec<_> = types(names).collect();
    assert_eq!(types, ["ext4", "fuseblk", "vfat", "iso9660", "xfs", "btrfs"]);
}

/// A disk appears much faster than a fetch may take.
#[test]
fn the_wait_for_a_device_ends_after_30_seconds() {
    for (patience, wait) in [(120, 30), (31, 30), (30, 30), (5, 5), (0, 0)] {
        assert_eq!(deadline(Duration::from_secs(patience)).patience().as_secs(), wait);
    }
}
