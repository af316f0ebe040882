//! Hints about devices that are used twice. What lies on a device must be named by the device that it makes: a file system in
//! an encrypted volume is at `/dev/mapper/NAME`, not at the device of the volume.

use std::borrow::Cow;

use super::super::checker::Checker;
use super::super::keys::Keys;
use super::super::report::Step;
use super::super::types::{Config, Disk, Luks, Raid, Storage};

/// The most devices that get a hint, because a hint has a name of the config.
const MAX_TOLD: usize = 32;

/// The devices that the lower layers take, each list in the order of the config.
struct Taken<'c> {
    /// The disks whose partitions the config makes.
    disks: Vec<&'c Disk<'c>>,
    disk_keys: Keys<'c>,
    /// The array of each member.
    arrays: Vec<&'c Raid<'c>>,
    member_keys: Keys<'c>,
    volumes: Vec<&'c Luks<'c>>,
    volume_keys: Keys<'c>,
}

/// The layers of storage; each may lie on those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Raid,
    Luks,
    Filesystem,
}

/// Adds a hint for each device that a lower layer of the config takes already.
pub(super) fn check(config: &Config<'_>, checker: &mut Checker<'_>) {
    let storage = &config.storage;
    let taken = Taken::of(storage);
    let mut told: usize = 0;
    let mut look = |layer: Layer, list: &'static str, device: &str, rest: &[Step]| {
        if let Some(hint) = taken.hint(layer, device).filter(|_| told < MAX_TOLD) {
            told = told.saturating_add(1);
            let place = [Step::Key("storage"), Step::Key(list)];
            checker.hint(&[&place, rest].concat(), hint);
        }
    };
    for (index, array) in storage.raid.iter().enumerate() {
        for (number, device) in array.devices.iter().enumerate() {
            look(
                Layer::Raid,
                "raid",
                device,
                &[Step::Index(index), Step::Key("devices"), Step::Index(number)],
            );
        }
    }
    for (index, volume) in storage.luks.iter().enumerate() {
        let device = volume.device.as_deref().unwrap_or_default();
        look(Layer::Luks, "luks", device, &[Step::Index(index), Step::Key("device")]);
    }
    for (index, filesystem) in storage.filesystems.iter().enumerate() {
        look(
            Layer::Filesystem,
            "filesystems",
            &filesystem.device,
            &[Step::Index(index), Step::Key("device")],
        );
    }
}

impl<'c> Taken<'c> {
    fn of(storage: &'c Storage<'c>) -> Self {
        let has_partitions =
            |disk: &&Disk<'_>| disk.partitions.iter().any(|partition| partition.should_exist != Some(false));
        let disks: Vec<_> = storage.disks.iter().filter(has_partitions).collect();
        let members: Vec<_> = storage
            .raid
            .iter()
            .flat_map(|array| array.devices.iter().map(move |device| (array, device)))
            .collect();
        let volumes: Vec<_> = storage.luks.iter().collect();
        let borrowed = |text: &'c str| Cow::Borrowed(text);
        Self {
            disk_keys: Keys::new(disks.iter().map(|disk| borrowed(&disk.device)).collect()),
            member_keys: Keys::new(members.iter().map(|(_, device)| borrowed(device)).collect()),
            volume_keys: Keys::new(
                volumes.iter().map(|volume| borrowed(volume.device.as_deref().unwrap_or_default())).collect(),
            ),
            disks,
            arrays: members.into_iter().map(|(array, _)| array).collect(),
            volumes,
        }
    }

    /// Returns the hint for a `layer` that names `device`; `None` if no lower layer takes it.
    fn hint(&self, layer: Layer, device: &str) -> Option<String> {
        fn find<'t, T>(keys: &Keys<'_>, all: &[&'t T], device: &str) -> Option<&'t T> {
            all.get(*keys.places(device).first()?).copied()
        }
        if device.is_empty() {
            return None;
        }
        if let Some(disk) = find(&self.disk_keys, &self.disks, device) {
            let label = disk.partitions.iter().find_map(|partition| partition.label.as_deref());
            let example = label.map(|label| format!(", such as /dev/disk/by-partlabel/{label}"));
            return Some(format!(
                "the config makes partitions on this disk, whose table would be overwritten: name one of them{}",
                example.unwrap_or_default()
            ));
        }
        if layer > Layer::Raid {
            if let Some(array) = find(&self.member_keys, &self.arrays, device) {
                let name = &array.name;
                return Some(format!(
                    "this device is a member of the RAID array {name}: name /dev/md/{name}"
                ));
            }
        }
        if layer > Layer::Luks {
            if let Some(volume) = find(&self.volume_keys, &self.volumes, device) {
                let name = &volume.name;
                return Some(format!("this device has the encrypted volume {name}: name /dev/mapper/{name}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Report, parse};

    fn hints(storage: &str) -> Vec<String> {
        let text = format!(r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{{storage}}}}}"#);
        let mut report = Report::default();
        parse(text.as_bytes(), &mut report).unwrap();
        let place = |hint: &str| {
            let (place, message) = hint.strip_prefix("hint at ")?.split_once(": ")?;
            Some(format!("{}: {message}", place.split(',').next()?))
        };
        report.hints.iter().filter_map(|hint| place(&hint.to_string())).collect()
    }

    const DISK: &str = r#""disks":[{"device":"/dev/vda","partitions":[{"number":1},{"startMiB":9,"label":"data","number":2}]}],"#;
    const ARRAY: &str = r#""raid":[{"name":"one","level":"raid1","devices":["/dev/vdb","/dev/vdc"]}],"#;
    const VOLUME: &str = r#""luks":[{"name":"two","device":"/dev/md/one"}],"#;

    fn filesystem(device: &str) -> String {
        format!(r#""filesystems":[{{"device":"{device}","format":"ext4","path":"/x"}}]"#)
    }

    #[test]
    fn a_device_that_a_lower_layer_takes_is_told() {
        let all = [DISK, ARRAY, VOLUME].concat();
        for (device, hint) in [
            (
                "/dev/vda",
                "the config makes partitions on this disk, whose table would be overwritten: name one of them, such as \
                 /dev/disk/by-partlabel/data",
            ),
            ("/dev/vdc", "this device is a member of the RAID array one: name /dev/md/one"),
            ("/dev/md/one", "this device has the encrypted volume two: name /dev/mapper/two"),
        ] {
            let told = format!("$.storage.filesystems.0.device: {hint}");
            assert_eq!(hints(&(all.clone() + &filesystem(device))), [told]);
        }
        for device in ["/dev/mapper/two", "/dev/vda2", "/dev/vdd"] {
            assert_eq!(hints(&(all.clone() + &filesystem(device))), [""; 0], "{device}");
        }
    }

    #[test]
    fn each_layer_looks_only_at_those_below_it() {
        let array = ARRAY.replace("/dev/vdc", "/dev/vda");
        let volume = VOLUME.replace("/dev/md/one", "/dev/vdb");
        let told = hints(&([DISK, &array, &volume].concat() + &filesystem("/dev/mapper/two")));
        let paths: Vec<&str> = told.iter().filter_map(|hint| hint.split(": ").next()).collect();
        assert_eq!(paths, ["$.storage.raid.0.devices.1", "$.storage.luks.0.device"]);
        let removed = DISK.replace(r#""number":1"#, r#""number":1,"shouldExist":false"#);
        let removed =
            removed.replace(r#""startMiB":9,"label":"data","number":2"#, r#""number":2,"shouldExist":false"#);
        assert_eq!(hints(&(removed + &filesystem("/dev/vda"))), [""; 0]);
    }

    #[test]
    fn hints_are_bounded() {
        let volumes: Vec<String> =
            (0..40).map(|n| format!(r#"{{"name":"n{n}","device":"/dev/vdb"}}"#)).collect();
        assert_eq!(hints(&format!(r#"{ARRAY}"luks":[{}]"#, volumes.join(","))).len(), super::MAX_TOLD);
    }
}
