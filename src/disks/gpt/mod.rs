//! GUID partition tables (UEFI specification, section 5.3): reading and verifying both copies, changing a table by the
//! rules of sgdisk, and the writes that replace a table so that a power cut leaves the old one or the new one.

mod edit;
mod guid;
mod read;
mod write;

pub use edit::{NewPartition, NoSpace};
pub use guid::Guid;
pub use read::{Found, read};
pub use write::{Write, writes};

/// The bytes of one entry in the tables that glowplug writes.
const ENTRY: u32 = 128;
/// The number of entries in a new table.
const ENTRIES: u32 = 128;

/// The size of a disk and of its sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// The bytes of a logical sector: a power of two, at least 512.
    pub sector: u32,
    /// The number of logical sectors.
    pub sectors: u64,
}

impl Geometry {
    /// Returns the sectors that `bytes` take, rounded up.
    pub fn sectors_for(self, bytes: u64) -> u64 {
        bytes.div_ceil(u64::from(self.sector.max(1)))
    }

    /// Returns the number of sectors in one MiB.
    pub fn sectors_of_one_mib(self) -> u64 {
        (1_u64 << 20).checked_div(u64::from(self.sector)).unwrap_or_default().max(1)
    }

    /// Returns the number of sectors in `mib` MiB; `None` if no disk has as many.
    pub fn sectors_of_mib(self, mib: u64) -> Option<u64> {
        mib.checked_mul(self.sectors_of_one_mib())
    }

    /// Returns the whole MiB before `sector`.
    pub fn mib(self, sector: u64) -> u64 {
        sector.checked_div(self.sectors_of_one_mib()).unwrap_or_default()
    }

    /// Returns the last sector of the disk.
    fn last(self) -> u64 {
        self.sectors.saturating_sub(1)
    }
}

/// A partition in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The number, from 1.
    pub number: u32,
    /// The type.
    pub type_guid: Guid,
    /// The partition's own GUID.
    pub guid: Guid,
    /// The first sector.
    pub first: u64,
    /// The last sector, which belongs to the partition.
    pub last: u64,
    /// The attribute bits.
    pub attributes: u64,
    /// The label in UTF-16, filled up with zeros.
    pub label: [u16; 36],
}

impl Partition {
    /// Returns the number of sectors.
    pub fn sectors(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Returns the label as text. Units that are not valid UTF-16 become the replacement character.
    pub fn label(&self) -> String {
        char::decode_utf16(self.label.iter().copied().take_while(|unit| *unit != 0))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}

/// Returns `text` as a label. What does not fit into 36 units is cut off.
pub fn label_of(text: &str) -> [u16; 36] {
    let mut label = [0; 36];
    label.iter_mut().zip(text.encode_utf16()).for_each(|(to, unit)| *to = unit);
    label
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk that it is for.
    pub geometry: Geometry,
    /// The disk's GUID.
    pub guid: Guid,
    /// The first sector that a partition may use.
    pub first_usable: u64,
    /// The last sector that a partition may use.
    pub last_usable: u64,
    /// The number of entries.
    pub entries: u32,
    /// The bytes of an entry.
    pub entry_size: u32,
    /// The partitions by ascending number.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Returns a table without partitions; `None` if the disk is too small for one.
    pub fn new(geometry: Geometry, guid: Guid) -> Option<Self> {
        let table = Self::unwritten(geometry, guid);
        (table.first_usable <= table.last_usable).then_some(table)
    }

    /// Returns a table without partitions that is not to be written, so a disk of any size can have it.
    pub fn unwritten(geometry: Geometry, guid: Guid) -> Self {
        let array = geometry.sectors_for(u64::from(ENTRIES.saturating_mul(ENTRY)));
        Self {
            geometry,
            guid,
            first_usable: array.saturating_add(2),
            last_usable: geometry.sectors.saturating_sub(array).saturating_sub(2),
            entries: ENTRIES,
            entry_size: ENTRY,
            partitions: Vec::new(),
        }
    }

    /// Returns the partition with this number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    /// Returns the sectors of the array of entries.
    fn array_sectors(&self) -> u64 {
        self.geometry.sectors_for(u64::from(self.entries).saturating_mul(u64::from(self.entry_size)))
    }

    /// Moves the end of the usable sectors to the end of the disk, where the backup then stands. A disk that was
    /// enlarged has its backup in the middle, and the new space behind it is not usable until then.
    pub fn use_whole_disk(&mut self) {
        let end = self.geometry.sectors.saturating_sub(self.array_sectors()).saturating_sub(2);
        self.last_usable = self.last_usable.max(end);
    }
}

#[cfg(test)]
mod tests;
