//! Rules for disks, partitions, RAID arrays, LUKS devices and file systems.

use std::borrow::Cow;

use super::super::checker::{Checker, Rules, is_set};
use super::super::keys::Keys;
use super::super::path::path_fault;
use super::super::report::Step;
use super::super::types::{ClevisCustom, Disk, Filesystem, Luks, Partition, Raid, Tang};
use super::resources::{is_bad_source, tang_fault};
use super::storage::check_path;
use crate::json;
use crate::sort::order;

impl Rules for Disk<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        if self.device.is_empty() {
            checker.fault("device", Some("disk device is required"));
            return;
        }
        check_path("device", &self.device, checker);
        let partition = |index| [Step::Key("partitions"), Step::Index(index)];
        if let Some(index) = colliding_number(&self.partitions) {
            checker.error(&partition(index), "partition numbers collide");
        }
        if let Some(index) = overlapping(&self.partitions) {
            checker.error(&partition(index), "partitions overlap");
        }
        if let Some(index) = colliding_label(&self.partitions) {
            checker.error(&partition(index), "cannot use the same partition label twice");
        }
        if let Some(index) = without_room(self) {
            let hint = "no room is left for this partition: one before it takes the rest of the disk. List that one last";
            checker.hint(&partition(index), hint);
        }
        if let Some(index) = behind_root(self) {
            let hint = "if the root is on this disk, this partition begins directly behind the root, which can then never grow: \
                        give startMiB, or resize the root in the same entry";
            checker.hint(&partition(index), hint);
        }
    }
}

/// Returns the index of the first partition whose number an earlier one has; `None` if all numbers differ. Number 0
/// does not count, because it stands for the next free one.
fn colliding_number(partitions: &[Partition<'_>]) -> Option<usize> {
    let number = |partition: &Partition<'_>| Cow::Owned(partition.number.to_string());
    let numbered = |index: &usize| partitions.get(*index).is_some_and(|partition| partition.number != 0);
    Keys::new(partitions.iter().map(number).collect()).repeated().filter(numbered).min()
}

/// Returns the index of the first partition whose label an earlier one has; `None` if all labels differ.
fn colliding_label(partitions: &[Partition<'_>]) -> Option<usize> {
    let label = |partition: &Partition<'_>| {
        Cow::Owned(partition.label.as_deref().map(|label| format!("={label}")).unwrap_or_default())
    };
    let labelled = |index: &usize| partitions.get(*index).is_some_and(|partition| partition.label.is_some());
    Keys::new(partitions.iter().map(label).collect()).repeated().filter(labelled).min()
}

/// Returns the index of the first partition of an empty table for which no room is left, because one before it has no size.
fn without_room(disk: &Disk<'_>) -> Option<usize> {
    let mut made =
        disk.partitions.iter().enumerate().filter(|(_, partition)| partition.should_exist != Some(false));
    // A partition with a start may leave gaps before it.
    let has_start = |partition: &Partition<'_>| partition.start_mib.is_some_and(|start| start != 0);
    if disk.wipe_table != Some(true) || disk.partitions.iter().any(has_start) {
        return None;
    }
    made.find(|(_, partition)| partition.size_mib.is_none_or(|size| size == 0))?;
    made.next().map(|(index, _)| index)
}

/// Returns the index of the first partition that may come to lie directly behind the root; `None` if there is none. The config
/// does not say which disk has the root. It is usually the first one, and its table is not wiped.
fn behind_root(disk: &Disk<'_>) -> Option<usize> {
    const FIRST_DISKS: [&str; 6] = [
        "/dev/vda",
        "/dev/sda",
        "/dev/xvda",
        "/dev/nvme0n1",
        "/dev/mmcblk0",
        "/dev/disk/by-id/coreos-boot-disk",
    ];
    let grows = |partition: &Partition<'_>| partition.resize == Some(true);
    if !FIRST_DISKS.contains(&&*disk.device)
        || disk.wipe_table == Some(true)
        || disk.partitions.iter().any(grows)
    {
        return None;
    }
    // Number 1 is the root itself in most images, and is there already.
    let follows = |partition: &Partition<'_>| {
        partition.number != 1
            && partition.should_exist != Some(false)
            && partition.start_mib.is_none_or(|start| start == 0)
    };
    disk.partitions.iter().position(follows)
}

/// The first and the last MiB of a partition, both included, and its index in the config.
type Extent = (i64, i64, usize);

/// Takes the first partition, in the config's order, that overlaps with another one, and returns the index of the first
/// one that it overlaps with; `None` if no two overlap. Only partitions with a start and a size count. A partition of a
/// negative size overlaps with nothing. Sorting by start keeps this at n log n steps for n partitions.
fn overlapping(partitions: &[Partition<'_>]) -> Option<usize> {
    let extent = |(index, partition): (usize, &Partition<'_>)| {
        let (start, size) = (partition.start_mib.filter(|start| *start != 0)?, partition.size_mib?);
        let end = if size == 0 { start } else { start.checked_add(size)?.checked_sub(1)? };
        (end >= start).then_some((start, end, index))
    };
    let extents: Vec<Extent> = partitions.iter().enumerate().filter_map(extent).collect();
    let mut first: Option<usize> = None;
    let mut furthest: Option<Extent> = None;
    let by_start = order(extents.len(), &|one, other| extents.get(one).cmp(&extents.get(other)));
    for &extent in by_start.iter().filter_map(|index| extents.get(*index)) {
        match furthest {
            Some((_, end, index)) if extent.0 <= end => {
                let earlier = index.min(extent.2);
                first = Some(first.map_or(earlier, |first| first.min(earlier)));
                if extent.1 > end {
                    furthest = Some(extent);
                }
            }
            _ => furthest = Some(extent),
        }
    }
    let one = extents.iter().find(|extent| Some(extent.2) == first)?;
    let meets = |other: &&Extent| other.2 != one.2 && one.0 <= other.1 && other.0 <= one.1;
    extents.iter().find(meets).map(|&(_, _, index)| index)
}

impl Rules for Partition<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let says_more = self.label.is_some()
            || is_set(self.type_guid.as_deref())
            || is_set(self.guid.as_deref())
            || self.start_mib.is_some()
            || self.size_mib.is_some();
        if self.should_exist == Some(false) && says_more {
            checker.error(&[], "shouldExist specified false with other options also specified");
        }
        if self.number == 0 && self.label.is_none() {
            checker.error(&[], "a partition number >= 1 or a label must be specified");
        }
        if let Some(label) = self.label.as_deref() {
            if label.len() > 36 {
                checker.fault("label", Some("partition labels may not exceed 36 characters"));
            } else if label.contains(':') {
                checker.fault("label", Some("partition label will be truncated to text before the colon"));
            }
        }
        checker.fault("guid", guid_fault(self.guid.as_deref()));
        checker.fault("typeGuid", guid_fault(self.type_guid.as_deref()));
    }
}

/// Returns what is wrong with a GUID; `None` for a good one and for none.
fn guid_fault(guid: Option<&str>) -> Option<&'static str> {
    let guid = guid.filter(|guid| !guid.is_empty())?;
    let mut groups = guid.split('-');
    let fits = [8, 4, 4, 4, 12].iter().all(|&length| {
        groups
            .next()
            .is_some_and(|group| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    let fits = fits && groups.next().is_none();
    (!fits).then_some("doesn't match the form \"01234567-89AB-CDEF-EDCB-A98765432101\"")
}

impl Rules for Raid<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let fault = match self.level.as_deref() {
            None | Some("") if checker.minor >= 3 => Some("raid level is required"),
            Some("linear" | "raid0" | "0" | "stripe") if self.spares.is_some_and(|spares| spares != 0) => {
                Some("spares unsupported for linear and raid0 arrays")
            }
            Some(
                "linear" | "raid0" | "0" | "stripe" | "raid1" | "1" | "mirror" | "raid4" | "4" | "raid5"
                | "5" | "raid6" | "6" | "raid10" | "10",
            ) => None,
            _ => Some("unrecognized raid level"),
        };
        checker.fault("level", fault);
        if self.devices.is_empty() {
            checker.fault("devices", Some("raid devices required"));
        }
        for (index, device) in self.devices.iter().enumerate() {
            if let Some(fault) = path_fault(device) {
                checker.error(&[Step::Key("devices"), Step::Index(index)], fault);
            }
        }
    }
}

impl Rules for Filesystem<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let format = self.format.as_deref().filter(|format| !format.is_empty());
        let path = self.path.as_deref().filter(|path| !path.is_empty());
        checker.fault("path", path.and_then(path_fault));
        let is_tag = format == Some("virtiofs") && checker.minor >= 7;
        checker.fault("device", if is_tag { tag_fault(&self.device) } else { path_fault(&self.device) });
        checker.fault("format", self.format_fault(format, checker.minor));
        checker.fault("label", self.label_fault(format, checker.minor));
        if is_tag {
            self.check_without_device(checker);
        }
    }
}

/// Returns what is wrong with the tag of a virtiofs device.
fn tag_fault(tag: &str) -> Option<&'static str> {
    match tag.len() {
        0 => Some("device not specified"),
        1..=36 => None,
        _ => Some("virtiofs device tag cannot be longer than 36 bytes"),
    }
}

impl Filesystem<'_> {
    /// Returns what is wrong with `format`, which is `None` for an empty one as well.
    fn format_fault(&self, format: Option<&str>, minor: u8) -> Option<&'static str> {
        let says_more = is_set(self.path.as_deref())
            || is_set(self.label.as_deref())
            || is_set(self.uuid.as_deref())
            || self.wipe_filesystem == Some(true)
            || !self.mount_options.is_empty()
            || !self.options.is_empty();
        match format {
            None if says_more => Some(
                "format cannot be empty when path, label, uuid, wipeFilesystem, options, or mountOptions is \
                 specified",
            ),
            None | Some("ext4" | "btrfs" | "xfs" | "swap" | "vfat") => None,
            Some("none") if minor >= 3 => None,
            Some("virtiofs") if minor >= 7 => None,
            Some(_) => Some("invalid filesystem format"),
        }
    }

    /// Returns what is wrong with the label of a file system of this format. The largest lengths are in bytes, and
    /// those of mkfs.ext4(8), mkfs.btrfs(8), mkfs.xfs(8), mkswap(8) and mkfs.fat(8).
    fn label_fault(&self, format: Option<&str>, minor: u8) -> Option<Cow<'static, str>> {
        let label = self.label.as_deref().filter(|label| !label.is_empty())?;
        let Some(format) = format else {
            return Some(Cow::Borrowed("filesystem must specify format if label is specified"));
        };
        let longest = match format {
            "ext4" => 16,
            "btrfs" => 256,
            "xfs" => 12,
            "swap" => 15,
            "vfat" => 11,
            "virtiofs" if minor >= 7 => {
                return Some(Cow::Borrowed("filesystem labels cannot be set when using virtiofs"));
            }
            _ => return None,
        };
        (label.len() > longest).then(|| {
            let what = "filesystem labels cannot be longer than";
            Cow::Owned(format!("{what} {longest} characters when using {format}"))
        })
    }

    /// Reports what a file system without a block device cannot have.
    fn check_without_device(&self, checker: &mut Checker<'_>) {
        let asked = [
            ("uuid", is_set(self.uuid.as_deref()), "filesystem uuid"),
            ("wipeFilesystem", self.wipe_filesystem == Some(true), "wipeFilesystem"),
            ("options", !self.options.is_empty(), "filesystem options (mkfs)"),
        ];
        for (key, is_asked, what) in asked {
            let fault = is_asked.then(|| format!("{what} cannot be set for non-block-device filesystems"));
            checker.fault(key, fault);
        }
    }
}

impl Rules for Luks<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        if self.name.contains('/') {
            checker.fault("name", Some("device names cannot contain slashes"));
        }
        if self.label.as_deref().is_some_and(|label| label.len() > 47) {
            checker.fault("label", Some("luks device labels cannot be longer than 47 characters"));
        }
        match self.device.as_deref() {
            None | Some("") => checker.fault("device", Some("disk device is required")),
            Some(device) => checker.fault("device", path_fault(device)),
        }
        let clevis = &self.clevis;
        let pin = clevis.custom.pin.as_deref();
        let has_custom = if checker.minor == 2 { pin.is_some() } else { is_set(pin) };
        let has_others = !clevis.tang.is_empty()
            || clevis.tpm2 == Some(true)
            || clevis.threshold.is_some_and(|threshold| threshold != 0);
        if has_custom && has_others {
            let what = "cannot use custom clevis config with tpm2, tang, or threshold";
            checker.fault("clevis", Some(what));
        }
        if is_bad_source(self.key_file.source.as_deref(), checker.minor) {
            checker.fault("keys", Some("invalid key-file source"));
        }
        if self.cex.enabled == Some(true) {
            if is_set(pin) || has_others {
                checker.fault("cex", Some("cannot use cex with clevis"));
            }
            if is_set(self.key_file.source.as_deref()) {
                checker.fault("cex", Some("cannot use key file with cex"));
            }
        }
    }
}

impl Rules for ClevisCustom<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let (pin, config) = (self.pin.as_deref(), self.config.as_deref());
        // In 3.2 the reference ignores needsNetwork here, and reports a missing pin as an unknown one.
        let needs_network = checker.minor > 2 && self.needs_network == Some(true);
        if !is_set(pin) && !is_set(config) && !needs_network {
            return;
        }
        let fault = match pin {
            None | Some("") if checker.minor > 2 => Some("missing required custom clevis pin"),
            Some("tpm2" | "tang" | "sss") => None,
            _ => (checker.minor < 6).then_some("unsupported clevis pin"),
        };
        checker.fault("pin", fault);
        if !is_set(config) {
            checker.fault("config", Some("missing required custom clevis config"));
        }
    }
}

impl Rules for Tang<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        checker.fault("url", tang_fault(&self.url));
        if !is_set(self.thumbprint.as_deref()) {
            checker.fault("thumbprint", Some("thumbprint is required"));
        }
        let advertisement = self.advertisement.as_deref().filter(|text| !text.is_empty());
        if advertisement.is_some_and(|text| json::check(text.as_bytes()).is_err()) {
            checker.fault("advertisement", Some("advertisement is not valid JSON"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(start: i64, size: i64, number: i64) -> Partition<'static> {
        Partition { start_mib: Some(start), size_mib: Some(size), number, ..Partition::default() }
    }

    #[test]
    fn overlaps_are_found_in_the_order_of_the_config() {
        let table = [
            ("apart", (vec![partition(1, 10, 1), partition(11, 5, 2)], None)),
            ("touching", (vec![partition(1, 11, 1), partition(11, 5, 2)], Some(1))),
            ("inside", (vec![partition(5, 2, 1), partition(1, 20, 2)], Some(1))),
            ("rest", (vec![partition(1, 0, 1), partition(1, 5, 2)], Some(1))),
            ("unplaced", (vec![partition(0, 10, 1), partition(0, 5, 2)], None)),
            ("the same twice", (vec![partition(1, 10, 1), partition(1, 10, 1)], Some(1))),
            ("backwards", (vec![partition(10, -5, 1), partition(7, 1, 2)], None)),
            ("late", (vec![partition(90, 5, 1), partition(1, 9, 2), partition(9, 2, 3)], Some(2))),
            ("last", (vec![partition(90, 5, 1), partition(1, 9, 2), partition(94, 2, 3)], Some(2))),
        ];
        for (name, (partitions, found)) in table {
            assert_eq!(overlapping(&partitions), found, "{name}");
        }
    }

    #[test]
    fn a_partition_behind_one_that_takes_the_rest_has_no_room() {
        let disk =
            |wipe_table, partitions| Disk { wipe_table: Some(wipe_table), partitions, ..Disk::default() };
        for (partitions, found) in [
            (vec![partition(0, 10, 1), partition(0, 0, 2), partition(0, 5, 3)], Some(2)),
            (vec![partition(0, 10, 1), partition(0, 0, 2)], None),
            (vec![partition(0, 0, 1), partition(50, 5, 2)], None),
        ] {
            assert_eq!(without_room(&disk(true, partitions.clone())), found);
            assert_eq!(without_room(&disk(false, partitions)), None);
        }
    }

    #[test]
    fn a_partition_behind_the_root_is_told() {
        let open = |number| Partition { number, ..Partition::default() };
        let resized = || Partition { resize: Some(true), ..open(1) };
        let removed = || Partition { should_exist: Some(false), ..open(2) };
        for (device, wipe_table, partitions, found) in [
            ("/dev/vda", false, vec![open(0)], Some(0)),
            ("/dev/vda", false, vec![open(1), partition(0, 5, 3)], Some(1)),
            ("/dev/vda", false, vec![open(1), partition(5000, 5, 3)], None),
            ("/dev/vda", false, vec![resized(), open(0)], None),
            ("/dev/vda", false, vec![removed()], None),
            ("/dev/vda", true, vec![open(2)], None),
            ("/dev/vdb", false, vec![open(0)], None),
        ] {
            let disk = Disk { device: device.into(), wipe_table: Some(wipe_table), partitions };
            assert_eq!(behind_root(&disk), found, "{disk:?}");
        }
    }

    /// A partition may be removed while another one takes the next free number (the reference since 2.27).
    #[test]
    fn a_partition_may_be_removed_while_the_next_free_number_is_taken() {
        for version in ["3.0.0", "3.6.0", "3.7.0-experimental"] {
            let text = format!(
                r#"{{"ignition":{{"version":"{version}"}},"storage":{{"disks":[{{"device":"/dev/x","partitions":[
                {{"number":2,"shouldExist":false,"wipePartitionEntry":true}},{{"label":"a","number":0,"sizeMiB":64}}]}}]}}}}"#
            );
            let mut report = super::super::super::Report::default();
            assert!(super::super::super::parse(text.as_bytes(), &mut report).is_ok(), "{version}: {report}");
            assert_eq!(report.to_string(), "", "{version}");
        }
    }

    #[test]
    fn guids_have_five_groups() {
        assert_eq!(guid_fault(Some("01234567-89AB-cdef-EDCB-A98765432101")), None);
        assert_eq!(guid_fault(Some("")), None);
        for bad in ["01234567-89AB-CDEF-EDCB", "01234567-89AB-CDEF-EDCB-A9876543210g", "x", "-"] {
            assert!(guid_fault(Some(bad)).is_some(), "{bad}");
        }
    }
}
