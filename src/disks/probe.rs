//! What stands on a device, as blkid(8) sees it. The reference asks libblkid as well, so both see the same.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{Mode, OFlags, open};

use super::devices::{Device, Devices};
use super::tools::Tools;
use crate::error::{Error, Result};

/// The program that says what stands on a device, without the path of the device.
pub const BLKID: [&str; 4] = ["blkid", "--probe", "--output", "udev"];

/// The program that lists all signatures on a device, one a line, without the path of the device.
pub const WIPEFS: [&str; 4] = ["wipefs", "--noheadings", "--output", "TYPE"];

/// What blkid found on a device. A text is empty where there is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The kind of the file system or of another format: `ext4`, `swap`, `crypto_LUKS`, `LVM2_member`.
    pub kind: String,
    /// Its UUID.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// The kind of the partition table: `gpt`, `dos`; `unknown` if only the kernel knows it.
    pub table: String,
    /// The label of the partition that the device is.
    pub part_label: String,
    /// The GUID of the partition that the device is.
    pub part_uuid: String,
    /// The type of the partition that the device is.
    pub part_type: String,
    /// Whether there are several formats at once, so that nobody can tell which one holds.
    pub is_ambiguous: bool,
    /// Whether one of the formats makes the device a member of a RAID array, of LVM or of the like.
    pub is_member: bool,
}

impl Probe {
    /// Probes `device`. Where blkid finds nothing, wipefs(8) looks as well: blkid of Debian 13 finds nothing on a device with
    /// several formats at once.
    ///
    /// # Errors
    /// Those of [`Tools::run`] and [`Devices::read`]; [`Reason::Disk`](crate::error::Reason::Disk) if the device cannot be read.
    pub fn of(device: &Device, tools: Tools<'_>) -> Result<Self> {
        let mut probe = Self::names_of(device, tools)?;
        if probe.is_empty() {
            let path = device.path();
            let arguments = [&WIPEFS[..], &[&path]].concat();
            let output = tools.run(&arguments)?;
            if output.code != 0 {
                return Err(output.error(&arguments));
            }
            probe.is_ambiguous = has_formats(&output.text);
            read_ends(device)?;
        }
        // blkid does not know all partition tables that the kernel knows: not that of the Amiga, for example.
        if probe.is_empty() && Devices::read()?.partitions_of(&device.name).next().is_some() {
            "unknown".clone_into(&mut probe.table);
        }
        Ok(probe)
    }

    /// Probes `device` for its names only, so a device with several formats at once may look empty.
    ///
    /// # Errors
    /// As for [`Probe::of`].
    pub fn names_of(device: &Device, tools: Tools<'_>) -> Result<Self> {
        let path = device.path();
        let arguments = [&BLKID[..], &[&path]].concat();
        let output = tools.run(&arguments)?;
        Self::of_output(output.code, &output.text).ok_or_else(|| output.error(&arguments))
    }

    /// Reads what [`BLKID`] writes. Returns `None` if its exit code says that it failed.
    pub fn of_output(code: i32, text: &str) -> Option<Self> {
        /// Nothing was found, and several formats were found.
        const NOTHING: i32 = 2;
        const SEVERAL: i32 = 8;
        match code {
            0 => Some(Self::parse(text)),
            NOTHING => Some(Self::default()),
            SEVERAL => Some(Self { is_ambiguous: true, ..Self::parse(text) }),
            _ => None,
        }
    }

    fn parse(text: &str) -> Self {
        let mut probe = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let place = match key {
                "ID_FS_TYPE" => &mut probe.kind,
                "ID_FS_UUID_ENC" => &mut probe.uuid,
                "ID_FS_LABEL_ENC" => &mut probe.label,
                "ID_PART_TABLE_TYPE" => &mut probe.table,
                "ID_PART_ENTRY_NAME" => &mut probe.part_label,
                "ID_PART_ENTRY_UUID" => &mut probe.part_uuid,
                "ID_PART_ENTRY_TYPE" => &mut probe.part_type,
                "ID_FS_USAGE" => {
                    probe.is_member = value == "raid";
                    continue;
                }
                // Each word is a usage and a format: "filesystem:xfs raid:LVM2_member:LVM2 001".
                "ID_FS_AMBIVALENT" => {
                    probe.is_member = value.split(' ').any(|word| word.starts_with("raid:"));
                    continue;
                }
                _ => continue,
            };
            *place = decoded(value);
        }
        probe
    }

    /// Returns whether anything stands there.
    pub fn is_empty(&self) -> bool {
        self.kind.is_empty() && self.table.is_empty() && !self.is_ambiguous
    }

    /// Returns a word for what a whole disk holds beside the partition tables that [`gpt`](super::gpt) reads itself.
    pub fn foreign(&self) -> Option<String> {
        let is_known = matches!(self.table.as_str(), "" | "gpt" | "PMBR" | "dos");
        (!self.kind.is_empty() || self.is_ambiguous || !is_known).then(|| self.word())
    }

    /// Returns a word for what stands there.
    pub fn word(&self) -> String {
        match (self.kind.as_str(), self.table.as_str()) {
            _ if self.is_ambiguous => "several formats at once".to_owned(),
            ("", table) => format!("a partition table ({table})"),
            (kind, _) => kind.to_owned(),
        }
    }
}

/// Reads the places where signatures stand, at the beginning and at the end of `device`. blkid and wipefs take a device that
/// cannot be read there for an empty one.
///
/// # Errors
/// [`Reason::Disk`](crate::error::Reason::Disk) if it cannot be read.
#[allow(clippy::disallowed_methods, reason = "a device, not a path of the root")]
fn read_ends(device: &Device) -> Result<()> {
    /// All signatures that libblkid knows are within these bytes.
    const FIRST: u64 = 4 << 20;
    const LAST: u64 = 2 << 20;
    let size = device.size.saturating_mul(512);
    let path = device.path();
    let read = || -> std::io::Result<()> {
        let file = File::from(open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
        let mut buffer = vec![0; 256 << 10];
        for (start, end) in [(0, size.min(FIRST)), (size.saturating_sub(LAST).max(FIRST), size)] {
            let mut at = start;
            while at < end {
                let length = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
                file.read_exact_at(buffer.get_mut(..length).unwrap_or_default(), at)?;
                at = at.saturating_add(length as u64);
            }
        }
        Ok(())
    };
    read().map_err(|error| Error::device("look for signatures on", &path, &error))
}

/// Returns whether the output of [`WIPEFS`] names anything beside partition tables. A part of a table, such as its backup, is what
/// an older use of the device has left.
pub fn has_formats(text: &str) -> bool {
    const TABLES: [&str; 10] = ["gpt", "PMBR", "dos", "mac", "sun", "sgi", "bsd", "atari", "aix", "dasd"];
    text.lines().map(str::trim).any(|kind| !kind.is_empty() && !TABLES.contains(&kind))
}

/// Returns `text` with each `\xNN` replaced by its byte, as udev writes names.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(byte) = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.extend_from_slice(b"\\x");
            rest = after;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_for_udev_is_read() {
        let text = "ID_FS_LABEL=my_data\nID_FS_LABEL_ENC=my\\x20data\nID_FS_UUID_ENC=1234-ABCD\nID_FS_TYPE=vfat\n\
                    ID_PART_ENTRY_NAME=a\\x2fb\nID_PART_ENTRY_UUID=0fc6\n";
        let probe = Probe::parse(text);
        assert_eq!(
            (probe.kind.as_str(), probe.uuid.as_str(), probe.label.as_str()),
            ("vfat", "1234-ABCD", "my data")
        );
        assert_eq!((probe.part_label.as_str(), probe.part_uuid.as_str()), ("a/b", "0fc6"));
        assert!(!probe.is_empty() && Probe::default().is_empty());
        assert_eq!(decoded(r"\x\xzz\x41"), r"\x\xzzA");
    }

    #[test]
    fn what_a_whole_disk_holds_is_named() {
        for (text, foreign, is_member) in [
            ("", None, false),
            ("ID_PART_TABLE_TYPE=gpt\n", None, false),
            ("ID_PART_TABLE_TYPE=sun\n", Some("a partition table (sun)"), false),
            ("ID_FS_TYPE=ext4\nID_FS_USAGE=filesystem\n", Some("ext4"), false),
            ("ID_FS_TYPE=LVM2_member\nID_FS_USAGE=raid\n", Some("LVM2_member"), true),
        ] {
            let probe = Probe::parse(text);
            assert_eq!((probe.foreign().as_deref(), probe.is_member), (foreign, is_member), "{text}");
        }
        for (text, has) in
            [("", false), ("gpt\nPMBR\n", false), ("xfs\nbtrfs\n", true), ("gpt\next4\n", true)]
        {
            assert_eq!(has_formats(text), has, "{text}");
        }
        let several = Probe::parse("ID_FS_AMBIVALENT=filesystem:xfs raid:LVM2_member:LVM2\\x20001\n");
        assert!(several.is_member);
        let several = Probe { is_ambiguous: true, ..several };
        assert_eq!(several.foreign().as_deref(), Some("several formats at once"));
    }
}
