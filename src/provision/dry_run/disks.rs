//! The disks of a config in a dry run. Nobody knows on another machine what is on the disks, so it shows what the config asks
//! for, and what is kept or lost according to its flags.

use std::fmt::Write as _;
use std::path::Path;

use super::planned_op::{MOST_COMPARED, PlannedOp};
use super::{Readable, shown};
use crate::change::{FileKind, Op, View};
use crate::config::{Clevis, Config, Disk, Filesystem, Luks, Partition, Raid, Storage, Systemd, origin};
use crate::disks::plan::Format;
use crate::disks::{Tools, clevis_programs};
use crate::error::{Reason, Result};
use crate::root::Root;
use crate::unit_name::unit_name;

/// What becomes of one disk, array, encrypted volume or device with a file system.
pub(super) struct DiskGroup {
    /// `disk /dev/vdb`
    pub(super) heading: String,
    /// The sign of each line, as for operations, and its words.
    pub(super) lines: Vec<(char, String)>,
}

/// Returns what becomes of the disks and file systems that `storage` names, in the order in which they are changed.
///
/// # Errors
/// Those of the view.
pub(super) fn groups(storage: &Storage<'_>, view: &dyn View) -> Result<Vec<DiskGroup>> {
    let mut groups: Vec<DiskGroup> = storage.disks.iter().map(disk_group).collect();
    groups.extend(storage.raid.iter().map(raid_group));
    groups.extend(storage.luks.iter().map(luks_group));
    for filesystem in &storage.filesystems {
        if let Some(format) = Format::of(filesystem) {
            groups.push(filesystem_group(filesystem, format, view)?);
        }
    }
    Ok(groups)
}

fn disk_group(disk: &Disk<'_>) -> DiskGroup {
    let device = text(&disk.device);
    let is_new = disk.wipe_table == Some(true);
    let mut lines = Vec::new();
    if is_new {
        let wants_any = disk.partitions.iter().any(|partition| partition.should_exist != Some(false));
        let table = if wants_any { "the table is made anew" } else { "the table is removed" };
        lines.push(('-', format!("{table}: everything on {device} is lost")));
    }
    lines.extend(disk.partitions.iter().filter_map(|partition| partition_line(partition, is_new)));
    DiskGroup { heading: format!("disk {device}"), lines }
}

/// Returns the line of a partition; `None` if the config asks for nothing.
fn partition_line(partition: &Partition<'_>, is_new: bool) -> Option<(char, String)> {
    let is_wiped = partition.wipe_partition_entry == Some(true);
    let mut words = match partition.number {
        0 => "partition with the next free number".to_owned(),
        number => format!("partition {number}"),
    };
    if partition.should_exist == Some(false) {
        return match (is_new, is_wiped) {
            (true, _) => None,
            (false, true) => Some(('-', format!("{words}, with everything in it"))),
            (false, false) => Some(('=', format!("{words} must not be there"))),
        };
    }
    words.push_str(&label(partition.label.as_deref()));
    if let Some(start) = partition.start_mib.filter(|start| *start != 0) {
        // Writing into a string cannot fail.
        let _ = write!(words, ", from {start} MiB");
    }
    match partition.size_mib {
        Some(0) => words.push_str(", as large as possible"),
        Some(size) => drop(write!(words, ", {size} MiB")),
        None => {}
    }
    let (sign, more) = match (is_new, is_wiped, partition.resize == Some(true)) {
        (true, ..) => ('+', ""),
        (_, true, _) => ('~', "; one that differs is made anew, and everything in it is lost"),
        (_, _, true) => ('~', "; one of another size is resized, and its contents are kept"),
        _ => ('+', "; kept if it is already so"),
    };
    words.push_str(more);
    Some((sign, words))
}

fn raid_group(raid: &Raid<'_>) -> DiskGroup {
    let devices: Vec<String> = raid.devices.iter().map(|device| text(device)).collect();
    let mut words = format!("{} of {}", text(raid.level.as_deref().unwrap_or_default()), devices.join(", "));
    if let Some(spares) = raid.spares.filter(|spares| *spares > 0) {
        // Writing into a string cannot fail.
        let _ = write!(words, ", {spares} of them spare");
    }
    words.push_str("; assembled with its data if it is there");
    DiskGroup { heading: format!("RAID array {}", text(&raid.name)), lines: vec![('+', words)] }
}

fn luks_group(luks: &Luks<'_>) -> DiskGroup {
    let device = text(luks.device.as_deref().unwrap_or_default());
    let is_wiped = luks.wipe_volume == Some(true);
    let has_key = luks.key_file.source.is_some();
    let mut lines = Vec::new();
    if is_wiped {
        lines.push(('-', format!("everything on {device} is lost")));
    }
    let bound = bound_by(&luks.clevis);
    let key = match (has_key, bound.is_some()) {
        (true, _) => ", with the key of the config",
        (false, true) => "",
        (false, false) => ", with a random key",
    };
    let kept = match (is_wiped, has_key && bound.is_none()) {
        (true, _) => "",
        (false, true) => "; kept if it is there and has this key",
        (false, false) => "; the device must be empty",
    };
    let key = [key, &bound.unwrap_or_default()].concat();
    lines.push(('+', format!("LUKS2{} on {device}{key}{kept}", label(luks.label.as_deref()))));
    DiskGroup { heading: format!("encrypted volume {}", text(&luks.name)), lines }
}

/// Returns what opens the volume by clevis, with the words before it; `None` if nothing does.
fn bound_by(clevis: &Clevis<'_>) -> Option<String> {
    if let Some(pin) = clevis.custom_pin() {
        return Some(format!(", bound by clevis' pin {}", text(pin)));
    }
    let mut all: Vec<String> = clevis.tang.iter().map(|tang| text(&origin(&tang.url))).collect();
    all.extend((clevis.tpm2 == Some(true)).then(|| "the TPM".to_owned()));
    let needed = clevis.threshold_or_one();
    let count = if all.len() > 1 { format!(", {needed} of them needed") } else { String::new() };
    clevis.is_asked().then(|| format!(", bound by clevis to {}{count}", all.join(" and ")))
}

fn filesystem_group(filesystem: &Filesystem<'_>, format: Format, view: &dyn View) -> Result<DiskGroup> {
    let device = text(&filesystem.device);
    let heading = match format {
        Format::Virtiofs => format!("share {device}"),
        _ => format!("device {device}"),
    };
    let is_wiped = filesystem.wipe_filesystem == Some(true);
    let mut lines = Vec::new();
    if is_wiped {
        lines.push(('-', format!("everything on {device} is lost")));
    }
    let name = format.name();
    let at = path_of(filesystem).map_or_else(String::new, |path| format!(", at {}", text(path)));
    let words = format!("{name}{}{at}", label(filesystem.label.as_deref()));
    match format {
        Format::None if is_wiped => {}
        Format::None => lines.push(('=', "must be empty".to_owned())),
        Format::Virtiofs => lines.push(('=', words)),
        _ if is_wiped && hides(filesystem, view)? => {
            lines.push(('+', format!("{words}, with what the image has there")));
        }
        _ if is_wiped => lines.push(('+', words)),
        _ => lines.push(('+', format!("{words}; kept if it is already {name}"))),
    }
    Ok(DiskGroup { heading, lines })
}

/// Returns what the author of the config may have overlooked: programs that the root lacks, file systems that nothing
/// mounts at later boots, and kept file systems that hide contents of the image. `lines` are the operations of the plan.
///
/// # Errors
/// Those of the view.
pub(super) fn warnings(
    config: &Config<'_>,
    lines: &[PlannedOp<'_>],
    view: &Readable<'_>,
) -> Result<Vec<String>> {
    let storage = &config.storage;
    let mut warnings = missing_programs(storage, view.root);
    if storage.filesystems.is_empty() {
        return Ok(warnings);
    }
    let users = Users::find(&config.systemd, lines, view)?;
    for filesystem in &storage.filesystems {
        let Some(format) = Format::of(filesystem) else { continue };
        let device = text(&filesystem.device);
        if format == Format::Swap {
            continue;
        }
        let Some(path) = path_of(filesystem) else {
            if filesystem.path.is_some() && filesystem.wipe_filesystem == Some(true) {
                warnings.push(format!("the boot will refuse to make the root on {device} anew"));
            }
            continue;
        };
        if !users.mounts(path, view)? {
            let unit = unit_name(path);
            warnings.push(format!(
                "nothing mounts {} at later boots: add a unit {}.mount",
                text(path),
                text(&unit)
            ));
        }
        let is_kept = filesystem.wipe_filesystem != Some(true) && format != Format::Virtiofs;
        if is_kept && hides(filesystem, view)? {
            warnings.push(format!(
                "if {device} is already {}, it is kept, and hides what the image has in {}",
                format.name(),
                text(path)
            ));
        }
    }
    Ok(warnings)
}

/// Returns a warning for each program that the boot will need, and that the root lacks.
fn missing_programs(storage: &Storage<'_>, root: &Root) -> Vec<String> {
    let mut programs: Vec<(&str, &str)> = Vec::new();
    programs.extend((!storage.raid.is_empty()).then_some(("mdadm", "mdadm")));
    programs.extend((!storage.luks.is_empty()).then_some(("cryptsetup", "cryptsetup-bin")));
    programs.extend(clevis_programs(&storage.luks));
    for filesystem in &storage.filesystems {
        let program = Format::of(filesystem).and_then(Format::program);
        programs.extend(program.filter(|program| !programs.contains(program)));
    }
    let tools = Tools::of(root);
    let refused = "the boot will refuse this config";
    // A directory that this user may not read tells nothing.
    let is_missing =
        |required: &Result<()>| required.as_ref().is_err_and(|error| error.reason() == Reason::Unsupported);
    let mut warnings: Vec<String> = programs
        .into_iter()
        .filter(|(program, package)| is_missing(&tools.require(program, package)))
        .map(|(program, package)| format!("{refused}: the root has no program {program} (package {package})"))
        .collect();
    if !storage.luks.is_empty() {
        let required = tools.require_unlocking();
        if let (true, Err(error)) = (is_missing(&required), &required) {
            warnings.push(format!("{refused}: {error} (package systemd-cryptsetup)"));
        }
    }
    if storage.luks.iter().any(|wanted| wanted.clevis.is_asked()) {
        let required = tools.require_clevis_unlocking();
        if let (true, Err(error)) = (is_missing(&required), &required) {
            warnings.push(format!("{refused}: {error} (package clevis-systemd)"));
        }
    }
    warnings
}

/// What uses file systems at later boots.
struct Users {
    /// The names of `.mount` units that the config brings, and the directories in `/etc/fstab`, sorted.
    mounts: Vec<String>,
}

/// The directories of units in the root.
const UNIT_DIRECTORIES: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const FSTAB: &str = "/etc/fstab";

impl Users {
    fn find(systemd: &Systemd<'_>, lines: &[PlannedOp<'_>], view: &dyn View) -> Result<Self> {
        let mut users = Self { mounts: Vec::new() };
        for unit in systemd.units.iter().filter(|unit| unit.mask != Some(true)) {
            users.add_unit(&unit.name);
        }
        let mut fstab = None;
        // A link may mask a unit, so only files count.
        for line in lines.iter().filter(|line| matches!(line.op, Op::File { .. })) {
            let path = line.op.path();
            let is_in = |directory: &&str| path.parent() == Some(Path::new(directory));
            if path == Path::new(FSTAB) {
                fstab = line.contents(view)?.map(|(_, new)| new);
            } else if UNIT_DIRECTORIES.iter().any(is_in) {
                users.add_unit(&path.file_name().unwrap_or_default().to_string_lossy());
            }
        }
        let fstab = match fstab {
            Some(text) => text,
            None => match view.stat(Path::new(FSTAB))? {
                Some(stat) if stat.kind == FileKind::File => view.read(Path::new(FSTAB), MOST_COMPARED)?,
                _ => Vec::new(),
            },
        };
        users.add_fstab(&String::from_utf8_lossy(&fstab));
        crate::sort::sort(&mut users.mounts, &|one: &String, other| one.cmp(other));
        Ok(users)
    }

    fn add_unit(&mut self, name: &str) {
        if let Some(name) = name.strip_suffix(".mount") {
            self.mounts.push(name.to_owned());
        }
    }

    fn add_fstab(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut fields = line.split_whitespace().skip(1);
            let (Some(directory), Some(kind)) = (fields.next(), fields.next()) else { continue };
            if kind != "swap" {
                // fstab writes a blank as an octal number.
                self.mounts.push(unit_name(&directory.replace("\\040", " ")));
            }
        }
    }

    /// Returns whether something mounts a file system at `path`, also a unit of the root.
    fn mounts(&self, path: &str, view: &dyn View) -> Result<bool> {
        let name = unit_name(path);
        if self.mounts.binary_search(&name).is_ok() {
            return Ok(true);
        }
        for directory in UNIT_DIRECTORIES {
            if view.stat(&Path::new(directory).join(format!("{name}.mount")))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the path at which a file system of its own is mounted.
fn path_of<'f>(filesystem: &'f Filesystem<'_>) -> Option<&'f str> {
    filesystem.path.as_deref().filter(|path| !path.trim_matches('/').is_empty())
}

/// Returns whether the file system is for a directory of the image that has contents.
fn hides(filesystem: &Filesystem<'_>, view: &dyn View) -> Result<bool> {
    let Some(path) = path_of(filesystem).map(Path::new) else { return Ok(false) };
    match view.stat(path)? {
        Some(stat) if stat.kind == FileKind::Directory => Ok(!view.list(path)?.is_empty()),
        _ => Ok(false),
    }
}

/// Returns a label with a blank before it; nothing for an empty one.
fn label(label: Option<&str>) -> String {
    match label {
        None | Some("") => String::new(),
        Some(label) => format!(" \"{}\"", text(label)),
    }
}

/// Returns a text of the config so that it stays on its line.
fn text(text: &str) -> String {
    shown(Path::new(text))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a directory of the test's own")]
mod tests {
    use std::fs;

    use super::super::{Form, Style, plan};
    use super::*;
    use crate::testing::TempDir;

    /// A root with the programs for ext4 and swap.
    fn image(name: &str) -> TempDir {
        let tree = TempDir::new(name);
        for directory in ["etc", "usr/sbin", "var/lib/dpkg", "srv"] {
            fs::create_dir_all(tree.join(directory)).unwrap();
        }
        for program in ["mkfs.ext4", "mkswap"] {
            fs::write(tree.join("usr/sbin").join(program), "").unwrap();
        }
        tree
    }

    /// Returns the lines of the plan for a config with `storage` and, behind it, `more`.
    fn lines(tree: &TempDir, storage: &str, more: &str) -> Vec<String> {
        let text = format!(r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{{storage}}}{more}}}"#);
        let root = Root::open(tree.path()).unwrap();
        let text = plan(&root, text.as_bytes(), Form::People(Style::default()), false).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn warnings_of(tree: &TempDir, filesystems: &str, more: &str) -> Vec<String> {
        let lines = lines(tree, &format!(r#""filesystems":[{filesystems}]"#), more);
        lines.iter().filter_map(|line| line.strip_prefix("! ")).map(str::to_owned).collect()
    }

    #[test]
    fn partitions_are_shown_by_their_flags() {
        let tree = image("plan-partitions");
        let disks = r#""disks":[{"device":"/dev/vdb","wipeTable":true,"partitions":[
                {"number":1,"label":"data","startMiB":1,"sizeMiB":1024},{"label":"rest"},
                {"number":4,"shouldExist":false}]},
            {"device":"/dev/vda","partitions":[{"number":1,"sizeMiB":0,"resize":true},{"number":2},
                {"number":3,"sizeMiB":8,"wipePartitionEntry":true},{"number":5,"shouldExist":false},
                {"number":6,"shouldExist":false,"wipePartitionEntry":true}]}]"#;
        assert_eq!(
            lines(&tree, disks, ""),
            [
                "Disks",
                "  disk /dev/vdb",
                "    - the table is made anew: everything on /dev/vdb is lost",
                "    + partition 1 \"data\", from 1 MiB, 1024 MiB",
                "    + partition with the next free number \"rest\"",
                "  disk /dev/vda",
                "    ~ partition 1, as large as possible; one of another size is resized, and its contents are kept",
                "    + partition 2; kept if it is already so",
                "    ~ partition 3, 8 MiB; one that differs is made anew, and everything in it is lost",
                "    = partition 5 must not be there",
                "    - partition 6, with everything in it",
                "0 new, 0 changed, 0 removed",
            ]
        );
    }

    #[test]
    fn file_systems_are_shown_by_their_flags() {
        let tree = image("plan-filesystems");
        let filesystems = r#""filesystems":[
            {"device":"/dev/a","format":"ext4","label":"var","path":"/var","wipeFilesystem":true},
            {"device":"/dev/b","format":"ext4","path":"/data"},
            {"device":"/dev/c","format":"swap","wipeFilesystem":true},
            {"device":"/dev/d","format":"none","wipeFilesystem":true},{"device":"/dev/e","format":"none"},
            {"device":"/dev/f"}]"#;
        let lines = lines(&tree, filesystems, "");
        assert_eq!(
            lines[..13],
            [
                "Disks",
                "  device /dev/a",
                "    - everything on /dev/a is lost",
                "    + ext4 \"var\", at /var, with what the image has there",
                "  device /dev/b",
                "    + ext4, at /data; kept if it is already ext4",
                "  device /dev/c",
                "    - everything on /dev/c is lost",
                "    + swap",
                "  device /dev/d",
                "    - everything on /dev/d is lost",
                "  device /dev/e",
                "    = must be empty",
            ]
        );
        assert_eq!(lines.iter().filter(|line| line.starts_with("! nothing")).count(), 2, "{lines:?}");
    }

    #[test]
    fn arrays_and_encrypted_volumes_are_shown() {
        let tree = image("plan-raid");
        let storage = r#""raid":[{"name":"data","level":"raid1","devices":["/dev/a","/dev/b","/dev/c"],"spares":1}],
            "luks":[{"name":"one","device":"/dev/d","wipeVolume":true,"label":"x"},
                {"name":"two","device":"/dev/e"},{"name":"three","device":"/dev/f","keyFile":{"source":"data:,secret"}}]"#;
        let generator = "/usr/lib/systemd/system-generators/systemd-cryptsetup-generator";
        assert_eq!(
            lines(&tree, storage, ""),
            [
                "Disks".to_owned(),
                "  RAID array data".to_owned(),
                "    + raid1 of /dev/a, /dev/b, /dev/c, 1 of them spare; assembled with its data if it is there".to_owned(),
                "  encrypted volume one".to_owned(),
                "    - everything on /dev/d is lost".to_owned(),
                "    + LUKS2 \"x\" on /dev/d, with a random key".to_owned(),
                "  encrypted volume two".to_owned(),
                "    + LUKS2 on /dev/e, with a random key; the device must be empty".to_owned(),
                "  encrypted volume three".to_owned(),
                "    + LUKS2 on /dev/f, with the key of the config; kept if it is there and has this key".to_owned(),
                "! the boot will refuse this config: the root has no program mdadm (package mdadm)".to_owned(),
                "! the boot will refuse this config: the root has no program cryptsetup (package cryptsetup-bin)".to_owned(),
                format!(
                    "! the boot will refuse this config: the root has no {generator}, so nothing would open encrypted \
                     volumes at later boots (package systemd-cryptsetup)"
                ),
                "0 new, 0 changed, 0 removed".to_owned(),
            ]
        );
    }

    #[test]
    fn what_clevis_opens_is_shown() {
        let tree = image("plan-clevis");
        let luks = |clevis: &str| {
            let storage = format!(
                r#""luks":[{{"name":"a","device":"/dev/a","wipeVolume":true,"keyFile":{{"source":"data:,secret"}},"clevis":{clevis}}},
                    {{"name":"b","device":"/dev/b","clevis":{clevis}}}]"#
            );
            lines(&tree, &storage, "")
        };
        let shown =
            luks(r#"{"tang":[{"url":"http://user@h/secret","thumbprint":"x"}],"tpm2":true,"threshold":2}"#);
        let bound = "bound by clevis to http://h and the TPM, 2 of them needed";
        assert_eq!(shown[3], format!("    + LUKS2 on /dev/a, with the key of the config, {bound}"));
        assert_eq!(shown[5], format!("    + LUKS2 on /dev/b, {bound}; the device must be empty"));
        let missing = |package: &str| {
            let end = format!("(package {package})");
            shown
                .iter()
                .filter(|line| line.starts_with("! the boot will refuse") && line.ends_with(&end))
                .count()
        };
        assert_eq!(["clevis-luks", "clevis-tpm2", "clevis-systemd"].map(missing), [1; 3]);
        let shown = luks(r#"{"custom":{"pin":"tpm2","config":"{\"secret\":1}"}}"#);
        assert_eq!(shown[5], "    + LUKS2 on /dev/b, bound by clevis' pin tpm2; the device must be empty");
        let shown = luks(r#"{"tpm2":true}"#);
        assert_eq!(shown[5], "    + LUKS2 on /dev/b, bound by clevis to the TPM; the device must be empty");
    }

    #[test]
    fn what_nothing_uses_at_later_boots_is_warned_of() {
        let tree = image("plan-users");
        let both = r#"{"device":"/dev/disk/by-label/x","format":"ext4","path":"/srv/my-data"},
            {"device":"/dev/vdb2","format":"swap"},{"device":"/dev/vda1","format":"ext4","path":"/"}"#;
        let all = [r"nothing mounts /srv/my-data at later boots: add a unit srv-my\x2ddata.mount"];
        assert_eq!(warnings_of(&tree, both, ""), all);
        let unit = |name: &str, key: &str| {
            let text = r"[Mount]\nWhat=a\n";
            format!(r#","systemd":{{"units":[{{"name":"{name}",{key}"contents":"{text}"}}]}}"#)
        };
        let mount = r"srv-my\\x2ddata.mount";
        assert_eq!(warnings_of(&tree, both, &unit(mount, "")), all[1..]);
        assert_eq!(warnings_of(&tree, both, &unit(mount, r#""mask":true,"#)), all);
        // A unit or fstab of the image, and an fstab of the config, count as well.
        fs::create_dir_all(tree.join("usr/lib/systemd/system")).unwrap();
        let of_image = tree.join(r"usr/lib/systemd/system/srv-my\x2ddata.mount");
        fs::write(&of_image, "").unwrap();
        assert_eq!(warnings_of(&tree, both, ""), all[1..]);
        fs::remove_file(of_image).unwrap();
        fs::write(tree.join("etc/fstab"), "#/dev/x /srv/my-data ext4\nLABEL=x /srv/my-data/ ext4 x 0 0\n")
            .unwrap();
        assert_eq!(warnings_of(&tree, both, ""), all[1..]);
    }

    #[test]
    fn a_swap_that_nothing_uses_gets_a_unit() {
        let tree = image("plan-swap");
        let made = |more: &str, units: &str| {
            let swap =
                format!(r#""filesystems":[{{"device":"/dev/disk/by-label/s","format":"swap"}}]{more}"#);
            let lines = lines(&tree, &swap, units);
            lines.iter().filter(|line| line.contains(r"/dev-disk-by\x2dlabel-s.swap")).count()
        };
        let unit = r#","systemd":{"units":[{"name":"dev-vdb2.swap","contents":"[Swap]\nWhat=/dev/vdb2\n"}]}"#;
        let fstab = r#","files":[{"path":"/etc/fstab","overwrite":true,"contents":{"source":"data:,UUID=1%20none%20swap%20sw%0A"}}]"#;
        assert_eq!([made("", ""), made("", unit), made(fstab, "")], [2, 0, 0]);
    }

    #[test]
    fn a_kept_file_system_that_hides_the_image_is_warned_of() {
        let tree = image("plan-hides");
        fs::write(tree.join("etc/fstab"), "a /var ext4\na /srv ext4\n").unwrap();
        let at = |path: &str, more: &str| {
            warnings_of(&tree, &format!(r#"{{"device":"/dev/b","format":"ext4","path":"{path}"{more}}}"#), "")
        };
        let words = "if /dev/b is already ext4, it is kept, and hides what the image has in /var";
        assert_eq!(at("/var", ""), [words]);
        assert_eq!(at("/var", r#","wipeFilesystem":true"#), [""; 0]);
        // The image has nothing there.
        assert_eq!(at("/srv", ""), [""; 0]);
    }

    #[test]
    fn what_the_boot_will_refuse_is_warned_of() {
        let tree = image("plan-refuses");
        let filesystems = r#"{"device":"/dev/a","format":"xfs"},{"device":"/dev/b","format":"xfs"},
            {"device":"/dev/vda1","format":"ext4","path":"/","wipeFilesystem":true}"#;
        assert_eq!(
            warnings_of(&tree, filesystems, ""),
            [
                "the boot will refuse this config: the root has no program mkfs.xfs (package xfsprogs)",
                "the boot will refuse to make the root on /dev/vda1 anew",
            ]
        );
    }
}
