//! The devices behind the paths of a config. The links below `/dev/disk` are udev's, which is not there at this place in the
//! boot, or knows nothing of what was made just now. So labels and UUIDs are looked up on the devices themselves.

use std::time::Duration;

use super::devices::{Device, Devices};
use super::probe::{Probe, decoded};
use super::tools::Tools;
use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Reason, Result};

/// How long a device may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The links by which a device can be named by what stands on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Label,
    Uuid,
    PartLabel,
    PartUuid,
}

impl Link {
    /// Reads a path, such as `/dev/disk/by-label/data`. Returns the kind of the link, and what it looks for.
    fn of(path: &str) -> Option<(Self, String)> {
        let (kind, name) = path.strip_prefix("/dev/disk/by-")?.split_once('/')?;
        let link = match kind {
            "label" => Self::Label,
            "uuid" => Self::Uuid,
            "partlabel" => Self::PartLabel,
            "partuuid" => Self::PartUuid,
            _ => return None,
        };
        Some((link, decoded(name)))
    }

    fn fits(self, probe: &Probe, name: &str) -> bool {
        match self {
            Self::Label => probe.label == name,
            Self::Uuid => probe.uuid.eq_ignore_ascii_case(name),
            Self::PartLabel => probe.part_label == name,
            Self::PartUuid => probe.part_uuid.eq_ignore_ascii_case(name),
        }
    }
}

/// Returns the device that `path` names, and waits for it to appear.
///
/// # Errors
/// [`Reason::Disk`] if it does not appear in 30 s, or if several devices have the name; those of reading the devices.
pub fn resolve(path: &str, tools: Tools<'_>) -> Result<Device> {
    let deadline = Deadline::after(PATIENCE);
    let mut backoff = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let devices = Devices::read()?;
        if let Some(device) = look_up(path, &devices, &|_| true, tools)? {
            return Ok(device);
        }
        if !backoff.wait(deadline) {
            let what = format!("the device {path} did not appear within {} s", PATIENCE.as_secs());
            return Err(Error::new(Reason::Disk, what).advise(format!(
                "Check the name of the device in the config, and that the disk is attached. These are there: {}.",
                names(&devices)
            )));
        }
    }
}

/// Returns the device that `path` names now, if it is there and `stays` accepts it.
///
/// # Errors
/// As for [`resolve`].
pub fn resolve_now(path: &str, stays: &dyn Fn(&Device) -> bool, tools: Tools<'_>) -> Result<Option<Device>> {
    look_up(path, &Devices::read()?, stays, tools)
}

fn look_up(
    path: &str,
    devices: &Devices,
    accepts: &dyn Fn(&Device) -> bool,
    tools: Tools<'_>,
) -> Result<Option<Device>> {
    let Some((link, name)) = Link::of(path) else {
        let there = devices
            .at_path(path)?
            .map_or_else(|| partition_of_link(path, devices), |device| Ok(Some(device)))?;
        return Ok(there.filter(|device| accepts(device)).cloned());
    };
    let mut found: Option<Device> = None;
    for device in devices.all().iter().filter(|device| accepts(device)) {
        // A device that cannot be read has no name.
        let Ok(probe) = Probe::names_of(device, tools) else { continue };
        if !link.fits(&probe, &name) {
            continue;
        }
        if let Some(other) = found.replace(device.clone()) {
            let what = format!("{path} is the name of both {} and {}", other.path(), device.path());
            return Err(Error::new(Reason::Disk, what)
                .advise("Name the device in the config by a path that only one of them has."));
        }
    }
    Ok(found)
}

/// Returns the partition that `path` names by a link to its disk: `/dev/disk/by-id/virtio-x-part1`. Without udev, a partition
/// that was made just now has no such link of its own.
fn partition_of_link<'d>(path: &str, devices: &'d Devices) -> Result<Option<&'d Device>> {
    let number = |text: &str| text.parse::<u32>().ok();
    let link = path.strip_prefix("/dev/disk/by-").and_then(|_| path.rsplit_once("-part"));
    let Some((disk, number)) = link.and_then(|(disk, text)| Some((disk, number(text)?))) else {
        return Ok(None);
    };
    let Some(disk) = devices.at_path(disk)? else { return Ok(None) };
    let mut partitions = devices.partitions_of(&disk.name);
    Ok(partitions.find(|(_, place)| place.number == number).map(|(device, _)| device))
}

/// Returns the paths of the disks and partitions, for a message.
fn names(devices: &Devices) -> String {
    const MOST: usize = 16;
    let paths: Vec<String> = devices.all().iter().take(MOST).map(Device::path).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_udev_are_read() {
        assert_eq!(
            Link::of(r"/dev/disk/by-partlabel/my\x20data"),
            Some((Link::PartLabel, "my data".to_owned()))
        );
        assert_eq!(Link::of("/dev/disk/by-id/virtio-x"), None);
        assert_eq!(Link::of("/dev/vda"), None);
        let probe = Probe { uuid: "ABCD-1234".to_owned(), ..Probe::default() };
        assert!(Link::Uuid.fits(&probe, "abcd-1234") && !Link::Label.fits(&probe, "abcd-1234"));
    }
}
