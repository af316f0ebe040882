//! A file system that the config wants, and what stands on its device: whether it is kept or made, and by which command.

use crate::config::Filesystem;
use crate::disks::Probe;
use crate::error::{Error, Reason, Result};

/// A format of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ext4.
    Ext4,
    /// btrfs.
    Btrfs,
    /// XFS.
    Xfs,
    /// FAT with long names.
    Vfat,
    /// Swap space.
    Swap,
    /// Nothing: the device is wiped.
    None,
    /// A share of the host, which is mounted only. Its device is a tag.
    Virtiofs,
}

impl Format {
    /// Returns the format of `filesystem`; `None` if it names none, so that nothing is asked.
    pub fn of(filesystem: &Filesystem<'_>) -> Option<Self> {
        Some(match filesystem.format.as_deref()? {
            "ext4" => Self::Ext4,
            "btrfs" => Self::Btrfs,
            "xfs" => Self::Xfs,
            "vfat" => Self::Vfat,
            "swap" => Self::Swap,
            "none" => Self::None,
            "virtiofs" => Self::Virtiofs,
            // Validation refuses any other.
            _ => return None,
        })
    }

    /// Returns the name that blkid and mount(2) use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
            Self::Xfs => "xfs",
            Self::Vfat => "vfat",
            Self::Swap => "swap",
            Self::None => "",
            Self::Virtiofs => "virtiofs",
        }
    }

    /// Returns the program that makes it, and Debian's package of that program.
    pub fn program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Ext4 => Some(("mkfs.ext4", "e2fsprogs")),
            Self::Btrfs => Some(("mkfs.btrfs", "btrfs-progs")),
            Self::Xfs => Some(("mkfs.xfs", "xfsprogs")),
            Self::Vfat => Some(("mkfs.fat", "dosfstools")),
            Self::Swap => Some(("mkswap", "util-linux")),
            Self::None | Self::Virtiofs => None,
        }
    }
}

/// What becomes of the file system on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// What is there is what the config wants.
    Keep,
    /// It is made, over whatever is there.
    Make,
}

/// Decides about the file system that the config wants at `place` on a device on which `found` stands. The rules are the
/// reference's, but for two: it overwrites a partition table as if nothing were there, and takes the first of several
/// formats as the one that holds.
///
/// # Errors
/// [`Reason::Conflict`] if something else stands there, and the config does not say that it may be lost.
pub fn decide(wanted: &Filesystem<'_>, format: Format, found: &Probe, place: &str) -> Result<Action> {
    if wanted.wipe_filesystem == Some(true) || (found.is_empty() && format != Format::None) {
        return Ok(Action::Make);
    }
    if found.is_empty() {
        return Ok(Action::Keep);
    }
    let differences = [
        ("format", !found.kind.is_empty() && found.kind == format.name() && !found.is_ambiguous),
        ("label", wanted.label.as_deref().is_none_or(|label| label == found.label)),
        ("uuid", wanted.uuid.as_deref().is_none_or(|uuid| plain_uuid(uuid) == plain_uuid(&found.uuid))),
    ];
    let differences: Vec<&str> =
        differences.iter().filter(|(_, is_equal)| !is_equal).map(|(key, _)| *key).collect();
    if differences.is_empty() {
        return Ok(Action::Keep);
    }
    let what = format!(
        "{} holds {}, which differs from the config in {}, at {place}",
        wanted.device,
        found.word(),
        differences.join(" and ")
    );
    Err(Error::new(Reason::Conflict, what).advise(
        "Set wipeFilesystem in the config if everything on this device may be lost. Otherwise name another device, or \
         change the config to what is there.",
    ))
}

/// Returns a UUID in a form for comparing: without the dashes of vfat's, and without regard to case.
fn plain_uuid(uuid: &str) -> String {
    uuid.replace('-', "").to_ascii_lowercase()
}

/// Returns the command that makes the file system on the device at `path`; nothing for a device that is only wiped. The
/// config's own options come first, as in the reference.
pub fn command(wanted: &Filesystem<'_>, format: Format, path: &str) -> Vec<String> {
    let Some((program, _)) = format.program() else { return Vec::new() };
    let (force, uuid_key, label_key) = match format {
        Format::Btrfs => (Some("--force"), "-U", "-L"),
        Format::Ext4 => (Some("-F"), "-U", "-L"),
        Format::Xfs => (Some("-f"), "-m", "-L"),
        Format::Swap => (Some("-f"), "-U", "-L"),
        _ => (None, "-i", "-n"),
    };
    let mut command = vec![program.to_owned()];
    command.extend(wanted.options.iter().map(ToString::to_string));
    command.extend(force.map(str::to_owned));
    if let Some(uuid) = wanted.uuid.as_deref().filter(|uuid| !uuid.is_empty()) {
        command.push(uuid_key.to_owned());
        command.push(match format {
            Format::Xfs => format!("uuid={uuid}"),
            Format::Vfat => uuid.replace('-', ""),
            _ => uuid.to_owned(),
        });
    }
    if let Some(label) = wanted.label.as_deref().filter(|label| !label.is_empty()) {
        command.extend([label_key.to_owned(), label.to_owned()]);
    }
    command.push(path.to_owned());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(format: &'static str) -> Filesystem<'static> {
        Filesystem { device: "/dev/vdb".into(), format: Some(format.into()), ..Filesystem::default() }
    }

    fn found(kind: &str, label: &str, uuid: &str) -> Probe {
        Probe { kind: kind.into(), label: label.into(), uuid: uuid.into(), ..Probe::default() }
    }

    #[test]
    fn a_file_system_is_kept_if_it_is_what_the_config_wants() {
        let label = Filesystem { label: Some("data".into()), ..wanted("ext4") };
        let uuid = Filesystem { uuid: Some("ABCD-1234".into()), ..wanted("vfat") };
        let wiped = Filesystem { wipe_filesystem: Some(true), ..wanted("ext4") };
        let table = Probe { table: "dos".into(), ..Probe::default() };
        let several = Probe { is_ambiguous: true, ..found("ext4", "", "") };
        let cases = [
            (&wanted("ext4"), found("ext4", "any", "any"), Some(Action::Keep)),
            (&wanted("ext4"), Probe::default(), Some(Action::Make)),
            (&wanted("ext4"), found("LVM2_member", "", ""), None),
            (&wanted("ext4"), table, None),
            (&wanted("ext4"), several, None),
            (&label, found("ext4", "data", "x"), Some(Action::Keep)),
            (&label, found("ext4", "other", "x"), None),
            (&uuid, found("vfat", "", "abcd-1234"), Some(Action::Keep)),
            (&uuid, found("vfat", "", "abcd-1235"), None),
            (&wiped, found("ext4", "", ""), Some(Action::Make)),
            (&wanted("none"), Probe::default(), Some(Action::Keep)),
            (&wanted("none"), found("ext4", "", ""), None),
            (&wanted("none"), Probe { table: "dos".into(), ..Probe::default() }, None),
        ];
        for (wanted, found, expected) in cases {
            let format = Format::of(wanted).unwrap();
            let decided = decide(wanted, format, &found, "$.storage.filesystems.0");
            assert_eq!(decided.as_ref().ok().copied(), expected, "{wanted:?} on {found:?}: {decided:?}");
        }
    }

    #[test]
    fn commands_have_the_options_of_the_config_first() {
        let all = |format| Filesystem {
            label: Some("L".into()),
            uuid: Some("ab-cd".into()),
            options: vec!["-x".into()],
            ..wanted(format)
        };
        let cases = [
            ("ext4", "mkfs.ext4 -x -F -U ab-cd -L L /dev/vdb"),
            ("btrfs", "mkfs.btrfs -x --force -U ab-cd -L L /dev/vdb"),
            ("xfs", "mkfs.xfs -x -f -m uuid=ab-cd -L L /dev/vdb"),
            ("vfat", "mkfs.fat -x -i abcd -n L /dev/vdb"),
            ("swap", "mkswap -x -f -U ab-cd -L L /dev/vdb"),
            ("none", ""),
        ];
        for (format, expected) in cases {
            let wanted = all(format);
            assert_eq!(command(&wanted, Format::of(&wanted).unwrap(), "/dev/vdb").join(" "), expected);
        }
        assert_eq!(command(&wanted("ext4"), Format::Ext4, "/dev/vdb").join(" "), "mkfs.ext4 -F /dev/vdb");
    }
}
