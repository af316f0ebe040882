//! What stands on a device, as blkid(8) sees it. The reference asks libblkid as well, so both see the same.

use super::devices::Device;
use super::tools::Tools;
use crate::error::Result;

/// What blkid found on a device. A text is empty where there is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The kind of the file system or of another format: `ext4`, `swap`, `crypto_LUKS`, `LVM2_member`.
    pub kind: String,
    /// Its UUID.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// The kind of the partition table: `gpt`, `dos`.
    pub table: String,
    /// The label of the partition that the device is.
    pub part_label: String,
    /// The GUID of the partition that the device is.
    pub part_uuid: String,
    /// Whether there are several formats at once, so that nobody can tell which one holds.
    pub is_ambiguous: bool,
}

impl Probe {
    /// Probes `device`.
    ///
    /// # Errors
    /// Those of [`Tools::run`]; [`Reason::Disk`](crate::error::Reason::Disk) if the device cannot be read.
    pub fn of(device: &Device, tools: Tools<'_>) -> Result<Self> {
        /// What blkid says by its exit code: nothing was found, and several formats were found.
        const NOTHING: i32 = 2;
        const SEVERAL: i32 = 8;
        let path = device.path();
        let arguments = ["blkid", "--probe", "--output", "udev", &path];
        let output = tools.run(&arguments)?;
        match output.code {
            0 => Ok(Self::parse(&output.text)),
            NOTHING => Ok(Self::default()),
            SEVERAL => Ok(Self { is_ambiguous: true, ..Self::parse(&output.text) }),
            _ => Err(output.error(&arguments)),
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

    /// Returns a word for what stands there.
    pub fn word(&self) -> String {
        match (self.kind.as_str(), self.table.as_str()) {
            _ if self.is_ambiguous => "several formats at once".to_owned(),
            ("", table) => format!("a partition table ({table})"),
            (kind, _) => kind.to_owned(),
        }
    }
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
}
