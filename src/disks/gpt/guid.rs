//! GUIDs as partition tables hold them.

use std::fmt;

/// A GUID in the byte order of a partition table: the first three groups are little-endian (UEFI specification,
/// appendix A). The GUID of an unused entry is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Guid(pub [u8; 16]);

/// Where each byte of the text stands on the disk.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// "Linux filesystem data", the type of a partition for which the config names none.
    pub const LINUX_DATA: Self = Self([
        0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
    ]);

    /// Returns the GUID whose text has the hexadecimal digits of `text`.
    fn from_bytes_of_text(text: u128) -> Self {
        let mut guid = text.to_be_bytes();
        let (groups, _) = guid.split_at_mut(8);
        let (first, others) = groups.split_at_mut(4);
        let (second, third) = others.split_at_mut(2);
        first.reverse();
        second.reverse();
        third.reverse();
        Self(guid)
    }

    /// Parses a text such as `0FC63DAF-8483-4772-8E79-3D69D8477DE4`, in capitals or not. Returns `None` for others.
    pub fn parse(text: &str) -> Option<Self> {
        let groups = [8, 13, 18, 23];
        let is_shaped = text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| if groups.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() });
        let digits: String = text.chars().filter(|digit| *digit != '-').collect();
        let value = u128::from_str_radix(&digits, 16).ok().filter(|_| is_shaped)?;
        Some(Self::from_bytes_of_text(value))
    }

    /// Makes the version 4 UUID of 16 `random` bytes (RFC 9562).
    pub fn from_random(random: [u8; 16]) -> Self {
        let value = u128::from_be_bytes(random);
        let value = (value & !(0xf << 76)) | (4 << 76);
        Self::from_bytes_of_text((value & !(3 << 62)) | (2 << 62))
    }

    /// Returns whether this is the GUID of an unused entry.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}

/// Writes the GUID in capitals, as sgdisk and the kernel do.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, at) in ORDER.iter().enumerate() {
            let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{:02X}", self.0.get(*at).copied().unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        let text = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
        let guid = Guid::parse(&text.to_ascii_lowercase()).unwrap();
        assert_eq!((guid, guid.to_string()), (Guid::LINUX_DATA, text.to_owned()));
        assert_eq!(guid.0[..6], [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84]);
        for bad in
            ["", "0FC63DAF", "0FC63DAF-8483-4772-8E79-3D69D8477DE", "0FC63DAF-8483-4772-8E793D69-D8477DE4"]
        {
            assert_eq!(Guid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_random_guid_has_its_version_and_variant() {
        assert_eq!(Guid::from_random([0xff; 16]).to_string(), "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF");
        assert_eq!(Guid::from_random([0; 16]).to_string(), "00000000-0000-4000-8000-000000000000");
    }
}
