//! A file system on a disk of its own, which counts how often it is made to flush its cache. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};

/// The size of the disk. No file system is made smaller than the 300 MiB that xfs asks for.
const SIZE: u64 = 600 << 20;
/// The place of the flushes among the numbers of `/sys/block/*/stat`, from 0.
const FLUSHES: usize = 15;

/// A loop device with a mounted file system. Unmounted at the end, which also frees the device.
pub struct Disk {
    mounted_at: PathBuf,
    counters: PathBuf,
}

impl Disk {
    /// Makes a disk with a file system of the kind `system`, and mounts it below `scratch`.
    ///
    /// # Errors
    /// When the file system cannot be made or mounted.
    pub fn new(scratch: &Path, system: &str) -> Result<Self> {
        let (image, mounted_at) = (scratch.join(format!("{system}.img")), scratch.join(system));
        let file = fs::File::create(&image).doing_to("make", &image)?;
        file.set_len(SIZE).doing_to("enlarge", &image)?;
        call(Command::new(format!("mkfs.{system}")).arg("-q").arg(&image))?;
        fs::create_dir(&mounted_at).doing_to("make", &mounted_at)?;
        call(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted_at))?;
        let mut disk = Self { mounted_at, counters: PathBuf::new() };
        let source = call(Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&disk.mounted_at))?;
        let name = source.trim().trim_start_matches("/dev/");
        disk.counters = Path::new("/sys/block").join(name).join("stat");
        Ok(disk)
    }

    /// Returns the path of `name` in the file system.
    pub fn join(&self, name: &str) -> PathBuf {
        self.mounted_at.join(name)
    }

    /// Returns the number of flushes so far.
    ///
    /// # Errors
    /// When the kernel does not count them.
    pub fn flushes(&self) -> Result<u64> {
        let text = fs::read_to_string(&self.counters).doing_to("read", &self.counters)?;
        let number = text.split_ascii_whitespace().nth(FLUSHES).and_then(|number| number.parse().ok());
        number.ok_or_else(|| Error::new(format!("{} has no number of flushes", self.counters.display())))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mounted_at).status();
    }
}

/// Returns what the command prints.
fn call(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().doing("run a program")?;
    if !output.status.success() {
        return Err(Error::new(format!("{command:?}: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
