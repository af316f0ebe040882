//! The writes that replace a partition table.
//!
//! The kernel sees no partition at all if the primary copy is torn, although the backup is whole. So the new entries are
//! written beside the old ones, one sector (the header) switches to them, and then they move to their usual place in the
//! same way. A power cut at any moment leaves the old table or the new one.

use super::{Found, Partition, Table};
use crate::crc32::Crc32;

/// The sector of the primary header.
const HEADER: u64 = 1;
/// The sector where the entries of a primary copy usually begin.
const ARRAY: u64 = 2;
/// The bytes of a header, without the zeros that fill up its sector.
const HEADER_BYTES: u32 = 92;

/// Bytes to be written to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where they go, in bytes from the start of the disk.
    pub at: u64,
    /// The bytes: whole sectors.
    pub bytes: Vec<u8>,
}

/// Returns the batches of writes that replace what was `found` on the disk by the table `new`. All writes of a batch must be
/// on the disk before the next batch begins.
///
/// Returns `None` if there is no room for a second array of entries beside the old one.
pub fn writes(found: &Found, new: &Table) -> Option<Vec<Vec<Write>>> {
    let array = new.array();
    let last = new.geometry.last();
    let length = new.array_sectors();
    let backup = last.checked_sub(length)?;
    let usual = (ARRAY, ARRAY.saturating_add(length).saturating_sub(1));
    if new.partitions.iter().any(|partition| partition.last >= backup || partition.first <= usual.1) {
        return None;
    }
    let backup_array = new.write(backup, array.clone());
    let backup_header = |table: &Table| new.write(last, table.header(last, HEADER, backup, &array));
    let usual_array = new.write(ARRAY, array.clone());
    let usual_header = new.write(HEADER, new.header(HEADER, last, ARRAY, &array));
    let mbr = new.write(0, protective_mbr(new));
    let (old, old_array) = match found {
        Found::Gpt { table, array: Some(array), .. } => (table, *array),
        // The backup is the only copy, so it stays until there is a new primary one. The master boot record comes first: it says
        // that what stands at the start of the disk belongs to a table.
        Found::Gpt { array: None, .. } => {
            return Some(vec![
                vec![mbr],
                vec![usual_array],
                vec![usual_header],
                vec![backup_array],
                vec![backup_header(new)],
            ]);
        }
        // The kernel looks for a table only where the master boot record says so. That makes it the last step.
        _ => {
            return Some(vec![
                vec![usual_array, backup_array],
                vec![usual_header],
                vec![backup_header(new)],
                vec![mbr],
            ]);
        }
    };
    let old_entries = (old_array, old_array.saturating_add(old.array_sectors()).saturating_sub(1));
    let beside = if meet(old_entries, usual) { Some(room(old, old_entries, usual, new)?) } else { None };
    // While the entries stand beside their usual place, no sector of theirs is usable. Both copies say so, because
    // partitioning tools compare them.
    let mut moved = new.clone();
    let end = beside.unwrap_or_default().saturating_add(length);
    if new.partitions.iter().all(|partition| partition.first >= end) {
        moved.first_usable = moved.first_usable.max(end);
    }
    let mut batches = vec![vec![backup_array, backup_header(&moved)]];
    if let Some(beside) = beside {
        batches.push(vec![new.write(beside, array.clone())]);
        batches.push(vec![new.write(HEADER, moved.header(HEADER, last, beside, &array))]);
    }
    batches.push(vec![usual_array, mbr]);
    batches.push(vec![usual_header]);
    batches.push(vec![backup_header(new)]);
    Some(batches)
}

/// Returns whether two blocks have a sector in common.
fn meet(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

/// Returns the first sector of a place for the entries of `new` that neither table uses: behind the entries of `old` if
/// that is free, otherwise at the end of a free block.
fn room(old: &Table, old_entries: (u64, u64), usual: (u64, u64), new: &Table) -> Option<u64> {
    let length = new.array_sectors();
    let block = |first: u64| (first, first.saturating_add(length).saturating_sub(1));
    let is_free = |first: &u64| {
        let place = block(*first);
        let of_partition = |partition: &Partition| meet(place, (partition.first, partition.last));
        !meet(place, old_entries)
            && !meet(place, usual)
            && place.1 <= new.last_usable.min(old.last_usable)
            && !old.partitions.iter().chain(&new.partitions).any(of_partition)
    };
    let behind = usual.1.max(old_entries.1).saturating_add(1);
    let at_end = |(_, end): (u64, u64)| end.saturating_add(1).checked_sub(length);
    let mut places = std::iter::once(behind).chain(new.free_blocks().into_iter().filter_map(at_end));
    places.find(is_free)
}

impl Table {
    fn write(&self, sector: u64, mut bytes: Vec<u8>) -> Write {
        let size = u64::from(self.geometry.sector);
        let whole = self.geometry.sectors_for(bytes.len() as u64).saturating_mul(size);
        bytes.resize(usize::try_from(whole).unwrap_or(bytes.len()), 0);
        Write { at: sector.saturating_mul(size), bytes }
    }

    /// Returns the entries.
    fn array(&self) -> Vec<u8> {
        let size = self.entry_size as usize;
        let mut array = vec![0; size.saturating_mul(self.entries as usize)];
        for partition in &self.partitions {
            let index = (partition.number as usize).saturating_sub(1);
            if let Some(entry) = array.chunks_exact_mut(size).nth(index) {
                let label = partition.label.iter().flat_map(|unit| unit.to_le_bytes());
                let bytes = (partition.type_guid.0.into_iter())
                    .chain(partition.guid.0)
                    .chain(partition.first.to_le_bytes())
                    .chain(partition.last.to_le_bytes())
                    .chain(partition.attributes.to_le_bytes())
                    .chain(label);
                entry.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            }
        }
        array
    }

    /// Returns the header at the sector `at`, whose other copy is at `alternate`, and whose entries `array` begin at the
    /// sector `entries`.
    fn header(&self, at: u64, alternate: u64, entries: u64, array: &[u8]) -> Vec<u8> {
        let header = |crc: u32| -> Vec<u8> {
            [
                &b"EFI PART\0\0\x01\0"[..],
                &HEADER_BYTES.to_le_bytes(),
                &crc.to_le_bytes(),
                &[0; 4],
                &at.to_le_bytes(),
                &alternate.to_le_bytes(),
                &self.first_usable.to_le_bytes(),
                &self.last_usable.to_le_bytes(),
                &self.guid.0,
                &entries.to_le_bytes(),
                &self.entries.to_le_bytes(),
                &self.entry_size.to_le_bytes(),
                &Crc32::of(array).to_le_bytes(),
            ]
            .concat()
        };
        header(Crc32::of(&header(0)))
    }
}

/// Returns a master boot record whose one partition covers the disk, so that programs which do not know GUID partition
/// tables leave the disk alone (UEFI specification, section 5.2.3).
fn protective_mbr(table: &Table) -> Vec<u8> {
    let mut mbr = vec![0; 512];
    let sectors = u32::try_from(table.geometry.last()).unwrap_or(u32::MAX);
    let entry = [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0].into_iter().chain(sectors.to_le_bytes());
    mbr.iter_mut().skip(446).zip(entry).for_each(|(to, byte)| *to = byte);
    mbr.iter_mut().skip(510).zip([0x55, 0xaa]).for_each(|(to, byte)| *to = byte);
    mbr
}
