//! The block devices that the kernel knows, from sysfs, and which of them are in use.

use std::path::Path;

use rustix::fs::{Mode, OFlags, makedev, open, stat};
use rustix::io::Errno;

use super::gpt::Geometry;
use crate::error::{Error, Result};
use crate::fd::{list, read_text};

const CLASS: &str = "/sys/class/block";
const MOUNTS: &str = "/proc/self/mountinfo";

/// A block device: a disk, a partition, a RAID array or a mapped device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name: `vda1`.
    pub name: String,
    /// Its major and minor number.
    pub number: (u32, u32),
    /// The size, in sectors of 512 bytes.
    pub size: u64,
    /// The bytes of a logical sector; of a partition, those of its disk.
    pub sector: u32,
    /// For a partition: where it is.
    pub partition: Option<PartitionPlace>,
    /// Whether it is in use: mounted, swapped to, or a part of another device.
    pub is_in_use: bool,
    /// Where it is attached, in words that stay the same when devices are found in another order: its path in sysfs up to
    /// the disk's name, and the number of the partition.
    pub identity: String,
}

/// Where a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPlace {
    /// The kernel's name of the disk.
    pub disk: String,
    /// The number in the partition table.
    pub number: u32,
    /// The first sector, in sectors of 512 bytes.
    pub start: u64,
}

impl Device {
    /// Returns the path of its node.
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name.replace('!', "/"))
    }

    /// Returns whether the kernel or a program has claimed it for itself alone, as a file system on several devices claims
    /// each of them: the mounts name only the first.
    #[allow(clippy::disallowed_methods, reason = "a device, not a path of the root")]
    pub fn is_claimed(&self) -> bool {
        let mode = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
        open(self.path(), mode, Mode::empty()).is_err_and(|errno| errno == Errno::BUSY)
    }

    /// Returns the kernel's names of the devices that it is a part of.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if sysfs cannot be read.
    pub fn holders(&self) -> Result<Vec<String>> {
        let path = Path::new(CLASS).join(&self.name).join("holders");
        let holders = list(&path).map_err(|errno| Error::system_at("list", &path, errno))?;
        Ok(holders.iter().filter_map(|name| Some(name.to_str()?.to_owned())).collect())
    }

    /// Returns the size of a disk in its own sectors.
    pub fn geometry(&self) -> Geometry {
        let bytes = self.size.saturating_mul(512);
        Geometry {
            sector: self.sector,
            sectors: bytes.checked_div(u64::from(self.sector)).unwrap_or_default(),
        }
    }

    fn read(name: &str) -> Option<Self> {
        let class = Path::new(CLASS).join(name);
        let text = |file: &str| {
            let path = class.join(file);
            read_text(path.to_str()?).ok().map(|text| text.trim_end().to_owned())
        };
        let number = |file: &str| text(file)?.parse::<u64>().ok();
        let (major, minor) = number_pair(&text("dev")?)?;
        let target = rustix::fs::readlink(&class, Vec::new()).ok()?;
        let target = target.to_str().ok()?;
        let above = target.rsplit_once('/')?.0;
        let partition = number("partition").and_then(|number| u32::try_from(number).ok());
        let (attached, partition) = match partition {
            Some(number_of_it) => {
                let (attached, disk) = above.rsplit_once('/')?;
                let start = number("start")?;
                (attached, Some(PartitionPlace { disk: disk.to_owned(), number: number_of_it, start }))
            }
            None => (above, None),
        };
        let disk = partition.as_ref().map_or(name, |place| &place.disk);
        let sector = read_text(&format!("{CLASS}/{disk}/queue/logical_block_size"))
            .ok()
            .and_then(|text| text.trim_end().parse().ok())
            .unwrap_or(512);
        // Devices that are attached to nothing, such as RAID arrays, are told apart by their names alone.
        let own_name = if attached.contains("/virtual/") { disk } else { "" };
        let part = partition.as_ref().map_or(0, |place| place.number);
        let identity = format!("{attached}/{own_name}#{part}");
        let has_holders = list(&class.join("holders")).is_ok_and(|holders| !holders.is_empty());
        Some(Self {
            name: name.to_owned(),
            number: (major, minor),
            size: number("size")?,
            sector,
            partition,
            is_in_use: has_holders,
            identity,
        })
    }
}

/// All block devices.
#[derive(Debug)]
pub struct Devices(Vec<Device>);

impl Devices {
    /// Reads them from the kernel. Those without a medium are left out.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if sysfs, the mounts or the swaps cannot be read.
    pub fn read() -> Result<Self> {
        let names =
            list(Path::new(CLASS)).map_err(|errno| Error::system_at("list", Path::new(CLASS), errno))?;
        // A device that disappears while it is looked at is left out.
        let mut devices: Vec<Device> = names
            .iter()
            .filter_map(|name| Device::read(name.to_str()?))
            .filter(|device| device.size > 0)
            .collect();
        crate::sort::sort(&mut devices, &|one, other| one.number.cmp(&other.number));
        let mut devices = Self(devices);
        for number in in_use()? {
            if let Some(at) = devices.index_of(number) {
                if let Some(device) = devices.0.get_mut(at) {
                    device.is_in_use = true;
                }
            }
        }
        Ok(devices)
    }

    /// Returns all of them, by their numbers.
    pub fn all(&self) -> &[Device] {
        &self.0
    }

    /// Returns the partitions of the disk with the kernel's name `disk`.
    pub fn partitions_of<'d>(
        &'d self,
        disk: &'d str,
    ) -> impl Iterator<Item = (&'d Device, &'d PartitionPlace)> {
        let of_disk = move |device: &'d Device| {
            Some((device, device.partition.as_ref().filter(|place| place.disk == disk)?))
        };
        self.0.iter().filter_map(of_disk)
    }

    /// Returns the device whose node, or a link to it, stands at `path`; `None` if nothing stands there, or something else.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if that cannot be looked up.
    pub fn at_path(&self, path: &str) -> Result<Option<&Device>> {
        match stat(path) {
            Ok(found) => {
                Ok(self.with_number(found.st_rdev).filter(|_| found.st_mode & 0o170_000 == 0o060_000))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(Error::system_at("look up", Path::new(path), errno)),
        }
    }

    /// Returns the device of the mount with this number, as statx(2) gives it; of several devices, as those of btrfs, the first
    /// one. `None` if it is on no device.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if the mounts cannot be read.
    pub fn mounted_as(&self, mount: u64) -> Result<Option<&Device>> {
        let mounts = read_proc(MOUNTS)?;
        let is_it = |known: &Mount<'_>| known.id == Some(mount);
        let Some(source) = mounts.lines().map(Mount::of).find(is_it).and_then(|mount| mount.source) else {
            return Ok(None);
        };
        self.at_path(&unescaped(source))
    }

    /// Returns the device with this number, as stat(2) gives it.
    pub fn with_number(&self, number: u64) -> Option<&Device> {
        self.0.iter().find(|device| makedev(device.number.0, device.number.1) == number)
    }

    fn index_of(&self, number: (u32, u32)) -> Option<usize> {
        self.0.binary_search_by(|device| device.number.cmp(&number)).ok()
    }
}

/// A mount.
struct Mount<'m> {
    /// Its number.
    id: Option<u64>,
    /// The number of its file system.
    number: Option<(u32, u32)>,
    /// The path of its device, with the octal escapes of `/proc`. A file system on several devices, as btrfs, has a number of
    /// its own; this is the first device.
    source: Option<&'m str>,
}

impl<'m> Mount<'m> {
    /// Reads a line of `mountinfo`.
    fn of(line: &'m str) -> Self {
        let source = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(1));
        Self {
            id: line.split(' ').next().and_then(|id| id.parse().ok()),
            number: line.split(' ').nth(2).and_then(number_pair),
            source: source.filter(|source| source.starts_with("/dev/")),
        }
    }
}

fn read_proc(path: &str) -> Result<String> {
    read_text(path).map_err(|errno| Error::system_at("read", Path::new(path), errno))
}

/// Returns the numbers of the devices that are mounted or swapped to.
fn in_use() -> Result<Vec<(u32, u32)>> {
    let mut numbers = Vec::new();
    let add_path = |path: &str, numbers: &mut Vec<(u32, u32)>| {
        if let Ok(found) = stat(unescaped(path).as_str()) {
            numbers.push((rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev)));
        }
    };
    for Mount { number, source, .. } in read_proc(MOUNTS)?.lines().map(Mount::of) {
        numbers.extend(number);
        if let Some(source) = source {
            add_path(source, &mut numbers);
        }
    }
    match read_proc("/proc/swaps") {
        Ok(swaps) => {
            for path in swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
                add_path(path, &mut numbers);
            }
        }
        // A kernel without swap has no such file.
        Err(_) if stat("/proc/swaps").is_err() => {}
        Err(error) => return Err(error),
    }
    Ok(numbers)
}

/// Reads `254:1`.
fn number_pair(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Returns a path of `/proc` without the octal escapes of spaces and the like.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(byte) = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            text.push(char::from(byte));
            text.push_str(part.get(3..).unwrap_or_default());
        } else {
            text.push('\\');
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_has_the_number_and_the_first_device_of_its_file_system() {
        let line = "26 1 0:23 /root / rw,relatime shared:1 - btrfs /dev/vda\\0401 rw,subvolid=256";
        let mount = Mount::of(line);
        assert_eq!((mount.id, mount.number), (Some(26), Some((0, 23))));
        assert_eq!(mount.source.map(unescaped).as_deref(), Some("/dev/vda 1"));
        assert_eq!(Mount::of("24 1 0:5 / /proc rw - proc proc rw").source, None);
    }
}
