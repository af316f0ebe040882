//! The CRC-32 of gzip (RFC 1952, section 8) and of GUID partition tables (UEFI specification, section 5.3).

/// A CRC-32 of the bytes so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    /// Returns the CRC of no bytes.
    pub(crate) fn new() -> Self {
        Self(u32::MAX)
    }

    /// Returns the CRC of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::new();
        crc.update(bytes);
        crc.value()
    }

    /// Adds `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |crc, &byte| add(crc, byte));
    }

    /// Returns the CRC of the bytes that were added.
    pub(crate) fn value(self) -> u32 {
        !self.0
    }
}

/// Adds one byte, half a byte at a time. The usual table of 256 entries would be as large as the inflater.
fn add(crc: u32, byte: u8) -> u32 {
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];
    let step = |crc: u32| (crc >> 4) ^ TABLE.get((crc & 15) as usize).copied().unwrap_or_default();
    step(step(crc ^ u32::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(Crc32::of(b"123456789"), 0xcbf4_3926);
    }
}
