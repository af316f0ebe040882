//! Reads the partition table of a disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::{Geometry, Guid, Partition, Table};
use crate::crc32::Crc32;

/// The most bytes of an array of entries. The usual one has 16 KiB.
const MOST_ARRAY: u64 = 1 << 20;

/// What the sectors of a disk say about its partition table.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no partition table.
    Nothing,
    /// A partition table of another kind: the words name it.
    Other(&'static str),
    /// There is a table, but neither copy of it can be used: the words say why.
    Damaged(&'static str),
    /// A table.
    Gpt {
        /// The table, with the usable sectors that it names.
        table: Table,
        /// Whether both copies are whole and equal, and the backup stands at the end of the disk.
        is_whole: bool,
        /// Whether the kernel sees the partitions: it wants a whole primary copy, and a master boot record that protects it.
        is_visible: bool,
        /// The sector of the entries of the primary copy, if that copy is whole.
        array: Option<u64>,
    },
}

/// Reads the partition table of `disk`, whose size and sectors are `geometry`.
///
/// A copy is whole if both of its checksums are right and its numbers fit the disk. The primary copy is used if it is whole,
/// otherwise the backup. A backup alone does not count if the start of the disk holds something else: a file system that was made
/// over a table leaves the backup at the end of the disk.
///
/// # Errors
/// errno of reading the disk.
pub fn read(disk: &File, geometry: Geometry) -> io::Result<Found> {
    if geometry.sectors < 3 {
        return Ok(Found::Nothing);
    }
    let first = sectors(disk, geometry, 0, 1)?;
    let mbr = Mbr::of(&first);
    let primary = copy(disk, geometry, 1)?;
    let backup = match &primary {
        Copy::Whole { alternate, .. } if *alternate != geometry.last() => copy(disk, geometry, *alternate)?,
        _ => copy(disk, geometry, geometry.last())?,
    };
    Ok(match (primary, backup) {
        // Without an entry that protects a GUID partition table, the kernel does not look for one.
        _ if mbr == Mbr::Dos => Found::Other("an MBR partition table"),
        (Copy::Missing, Copy::Missing) => match mbr {
            Mbr::Protective => {
                Found::Damaged("there is the MBR of a GUID partition table, but no header of one")
            }
            Mbr::Hybrid => Found::Other(HYBRID),
            _ => Found::Nothing,
        },
        _ if mbr == Mbr::Hybrid => Found::Other(HYBRID),
        (Copy::Whole { table, array, .. }, backup) => {
            let is_whole = matches!(&backup, Copy::Whole { table: other, at, .. } if *other == table && *at == geometry.last())
                && mbr == Mbr::Protective;
            Found::Gpt { table, is_whole, is_visible: mbr == Mbr::Protective, array: Some(array) }
        }
        (Copy::Missing, Copy::Whole { table, .. })
            if !is_blank(disk, geometry, mbr, table.array_sectors())? =>
        {
            Found::Damaged("only its backup is left, and the start of the disk holds something else")
        }
        (_, Copy::Whole { table, .. }) => {
            Found::Gpt { table, is_whole: false, is_visible: false, array: None }
        }
        (Copy::Broken(words), _) | (_, Copy::Broken(words)) => Found::Damaged(words),
    })
}

/// What a disk holds whose master boot record names partitions beside the GUID partition table.
const HYBRID: &str = "a hybrid MBR, which names partitions beside the GUID partition table";

/// Returns whether nothing else was written to the start of a disk whose primary header is missing: the sector of the header is
/// all zeros and, if no master boot record protects a table, those of the record and of an array of entries as well.
fn is_blank(disk: &File, geometry: Geometry, mbr: Mbr, array: u64) -> io::Result<bool> {
    let (first, count) = if mbr == Mbr::Protective { (1, 1) } else { (0, array.saturating_add(2)) };
    Ok(sectors(disk, geometry, first, count)?.iter().all(|byte| *byte == 0))
}

/// One of the two copies of a table.
enum Copy {
    /// There is no header at its place.
    Missing,
    /// There is a header, which cannot be used.
    Broken(&'static str),
    Whole {
        table: Table,
        /// The sector of its header.
        at: u64,
        /// The sector of its entries.
        array: u64,
        /// The sector of the other copy's header.
        alternate: u64,
    },
}

/// Reads the copy whose header is at the sector `at`.
fn copy(disk: &File, geometry: Geometry, at: u64) -> io::Result<Copy> {
    if at > geometry.last() {
        return Ok(Copy::Broken("the header names a backup beyond the end of the disk"));
    }
    let sector = sectors(disk, geometry, at, 1)?;
    if sector.get(..8) != Some(b"EFI PART") {
        return Ok(Copy::Missing);
    }
    let length = usize::try_from(number(&sector, 12, 4)).unwrap_or(usize::MAX);
    let Some(mut header) = sector.get(..length).filter(|header| header.len() >= 92).map(<[u8]>::to_vec)
    else {
        return Ok(Copy::Broken("its header has a wrong length"));
    };
    let crc = number(&header, 16, 4);
    if let Some(place) = header.get_mut(16..20) {
        place.fill(0);
    }
    if u64::from(Crc32::of(&header)) != crc {
        return Ok(Copy::Broken("the checksum of its header is wrong"));
    }
    let mut table = Table {
        geometry,
        guid: guid(&header, 56),
        first_usable: number(&header, 40, 8),
        last_usable: number(&header, 48, 8),
        entries: u32::try_from(number(&header, 80, 4)).unwrap_or(u32::MAX),
        entry_size: u32::try_from(number(&header, 84, 4)).unwrap_or(u32::MAX),
        partitions: Vec::new(),
    };
    let array = number(&header, 72, 8);
    let bytes = u64::from(table.entries).saturating_mul(u64::from(table.entry_size));
    let end = array.saturating_add(table.array_sectors());
    let fits = number(&header, 24, 8) == at
        && table.first_usable <= table.last_usable
        && table.last_usable < geometry.sectors
        && table.entries > 0
        && table.entry_size >= super::ENTRY
        && table.entry_size.is_power_of_two()
        && bytes <= MOST_ARRAY
        && (2..=geometry.sectors).contains(&array)
        && end <= geometry.sectors;
    if !fits {
        return Ok(Copy::Broken("the numbers in its header do not fit the disk"));
    }
    let mut entries = sectors(disk, geometry, array, table.array_sectors())?;
    entries.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    if u64::from(Crc32::of(&entries)) != number(&header, 88, 4) {
        return Ok(Copy::Broken("the checksum of its entries is wrong"));
    }
    for (entry, number) in entries.chunks_exact(table.entry_size as usize).zip(1..) {
        table.partitions.extend(partition(entry, number));
    }
    let is_out = |partition: &Partition| {
        partition.first > partition.last || partition.first < 2 || partition.last >= geometry.sectors
    };
    if table.partitions.iter().any(is_out) || overlaps(&table.partitions) {
        return Ok(Copy::Broken("its partitions overlap or lie outside of the disk"));
    }
    Ok(Copy::Whole { table, at, array, alternate: number(&header, 32, 8) })
}

/// Returns the partition of `entry`; `None` for an unused entry.
fn partition(entry: &[u8], number_of_it: u32) -> Option<Partition> {
    let type_guid = guid(entry, 0);
    if type_guid.is_zero() {
        return None;
    }
    let mut label = [0; 36];
    for (to, at) in label.iter_mut().zip((56..).step_by(2)) {
        *to = u16::try_from(number(entry, at, 2)).unwrap_or_default();
    }
    Some(Partition {
        number: number_of_it,
        type_guid,
        guid: guid(entry, 16),
        first: number(entry, 32, 8),
        last: number(entry, 40, 8),
        attributes: number(entry, 48, 8),
        label,
    })
}

/// Returns whether any two of `partitions` overlap.
fn overlaps(partitions: &[Partition]) -> bool {
    let first = |index: usize| partitions.get(index).map(|partition| partition.first);
    let sorted = crate::sort::order(partitions.len(), &|one, other| first(one).cmp(&first(other)));
    let by_start: Vec<&Partition> = sorted.iter().filter_map(|index| partitions.get(*index)).collect();
    by_start.windows(2).any(|pair| matches!(pair, [one, other] if other.first <= one.last))
}

/// What the first sector of a disk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mbr {
    /// It is no master boot record, or one without partitions.
    None,
    /// It protects a GUID partition table, and names nothing else.
    Protective,
    /// It protects a GUID partition table, and names partitions besides.
    Hybrid,
    /// It has partitions of its own.
    Dos,
}

impl Mbr {
    fn of(sector: &[u8]) -> Self {
        if sector.get(510..512) != Some(&[0x55, 0xaa]) {
            return Self::None;
        }
        // The boot sector of a FAT or NTFS file system has code where a master boot record has its four entries. The
        // entries of a real one begin with 0 or 0x80.
        let entries: Vec<&[u8]> = sector.get(446..510).unwrap_or_default().chunks_exact(16).collect();
        let is_real = entries.iter().all(|entry| matches!(entry.first(), Some(0 | 0x80)));
        let types: Vec<u8> =
            entries.iter().filter_map(|entry| entry.get(4).copied()).filter(|kind| *kind != 0).collect();
        match (types.contains(&0xee), types.len()) {
            _ if !is_real => Self::None,
            (_, 0) => Self::None,
            (true, 1) => Self::Protective,
            (true, _) => Self::Hybrid,
            (false, _) => Self::Dos,
        }
    }
}

/// Reads `count` sectors from the sector `at`.
fn sectors(disk: &File, geometry: Geometry, at: u64, count: u64) -> io::Result<Vec<u8>> {
    let size = u64::from(geometry.sector);
    let bytes = usize::try_from(count.saturating_mul(size)).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut buffer = vec![0; bytes];
    disk.read_exact_at(&mut buffer, at.saturating_mul(size))?;
    Ok(buffer)
}

/// Returns the little-endian number of `length` bytes at `at`, 0 beyond the end.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

fn guid(bytes: &[u8], at: usize) -> Guid {
    let mut guid = Guid::default();
    guid.0.iter_mut().zip(bytes.get(at..).unwrap_or_default()).for_each(|(to, byte)| *to = *byte);
    guid
}
