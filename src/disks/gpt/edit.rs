//! Changes a table by the rules of sgdisk, since configs are written with its results in mind.

use super::{Guid, Partition, Table, label_of};

/// A partition that is to be made.
#[derive(Debug, Clone)]
pub struct NewPartition<'a> {
    /// The number; 0 means the lowest free one.
    pub number: u32,
    /// The first sector; 0 means the first aligned one in the largest free block.
    pub first: u64,
    /// The number of sectors; 0 means up to the end of the free block in which the partition begins. sgdisk knows only the
    /// end of the largest free block, and refuses a start in another one.
    pub sectors: u64,
    /// The type.
    pub type_guid: Guid,
    /// Its own GUID.
    pub guid: Guid,
    /// The attribute bits.
    pub attributes: u64,
    /// The label.
    pub label: &'a str,
}

/// Why a partition cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSpace {
    /// The table has no entry of this number, or no free one.
    Number,
    /// The number is in use.
    Taken,
    /// The sectors from the first to the last are not all free.
    Sectors {
        /// The first sector.
        first: u64,
        /// The last sector.
        last: u64,
    },
    /// No sector is free.
    Full,
}

impl Table {
    /// Removes the partition with this number. Returns whether there was one.
    pub fn remove(&mut self, number: u32) -> bool {
        let before = self.partitions.len();
        self.partitions.retain(|partition| partition.number != number);
        self.partitions.len() < before
    }

    /// Puts `partition` in the place of the one with its number, if there is one. Nothing is checked.
    pub fn put(&mut self, partition: Partition) {
        self.remove(partition.number);
        let at = self.partitions.partition_point(|other| other.number < partition.number);
        self.partitions.insert(at, partition);
    }

    /// Makes a partition and returns its number. The first sector is aligned.
    ///
    /// # Errors
    /// [`NoSpace`]; the table is then unchanged.
    pub fn make(&mut self, new: &NewPartition<'_>) -> Result<u32, NoSpace> {
        let free = self.free_blocks();
        let wanted = if new.first == 0 { largest(&free).ok_or(NoSpace::Full)?.0 } else { new.first };
        let first = self.aligned(wanted, &free);
        // A start that was moved down to its alignment keeps its end, as with sgdisk. Only a start that was left open
        // counts from where it came to lie.
        let from = if new.first == 0 { first } else { wanted };
        let last = from.saturating_add(new.sectors).saturating_sub(1);
        self.insert(new, first, (new.sectors > 0).then_some(last), &free)
    }

    /// Makes a partition that begins exactly at its first sector, and returns its number.
    ///
    /// # Errors
    /// As for [`Self::make`].
    pub fn make_unaligned(&mut self, new: &NewPartition<'_>) -> Result<u32, NoSpace> {
        let last = new.first.saturating_add(new.sectors).saturating_sub(1);
        let free = self.free_blocks();
        self.insert(new, new.first, (new.sectors > 0).then_some(last), &free)
    }

    /// Inserts a partition from the sector `first` to `last`, or to the end of its free block.
    fn insert(
        &mut self,
        new: &NewPartition<'_>,
        first: u64,
        last: Option<u64>,
        free: &[(u64, u64)],
    ) -> Result<u32, NoSpace> {
        let number = if new.number == 0 { self.free_number().ok_or(NoSpace::Number)? } else { new.number };
        if number > self.entries {
            return Err(NoSpace::Number);
        }
        if self.partition(number).is_some() {
            return Err(NoSpace::Taken);
        }
        let end_of_block =
            free.iter().find(|(start, end)| (start..=end).contains(&&first)).map(|(_, end)| *end);
        let last = last.or(end_of_block).unwrap_or(first);
        if end_of_block.is_none_or(|end| last > end) || last < first {
            return Err(NoSpace::Sectors { first, last });
        }
        self.put(Partition {
            number,
            type_guid: new.type_guid,
            guid: new.guid,
            first,
            last,
            attributes: new.attributes,
            label: label_of(new.label),
        });
        Ok(number)
    }

    /// Returns the lowest number that no partition has.
    fn free_number(&self) -> Option<u32> {
        let gap = self.partitions.iter().zip(1..).find(|(partition, number)| partition.number != *number);
        let number = match gap {
            Some((_, number)) => number,
            None => u32::try_from(self.partitions.len()).ok()?.checked_add(1)?,
        };
        (number <= self.entries).then_some(number)
    }

    /// Returns the free blocks in ascending order, each with its first and last sector.
    pub fn free_blocks(&self) -> Vec<(u64, u64)> {
        let first = |index: usize| self.partitions.get(index).map(|partition| partition.first);
        let sorted = crate::sort::order(self.partitions.len(), &|one, other| first(one).cmp(&first(other)));
        let mut free = Vec::new();
        let mut next = self.first_usable;
        for partition in sorted.iter().filter_map(|index| self.partitions.get(*index)) {
            if let Some(end) = partition.first.checked_sub(1).filter(|end| *end >= next) {
                free.push((next, end.min(self.last_usable)));
            }
            next = next.max(partition.last.saturating_add(1));
        }
        if next <= self.last_usable {
            free.push((next, self.last_usable));
        }
        free.retain(|(start, end)| start <= end);
        free
    }

    /// Returns the sectors of a step between aligned sectors. Partitions begin at whole MiB. A partition that begins between two steps halves the step.
    fn alignment(&self) -> u64 {
        let mut step = self.geometry.sectors_of_one_mib();
        for partition in &self.partitions {
            while step > 1 && partition.first & step.saturating_sub(1) != 0 {
                step >>= 1;
            }
        }
        // sgdisk keeps 8 sectors on large disks, whose physical sectors may have 4 KiB (its SMALLEST_ADVANCED_FORMAT).
        if self.geometry.sectors >= 586_072_368 { step.max(8) } else { step }
    }

    /// Returns `sector` moved down to its alignment if all sectors on the way are free, otherwise moved up in the same
    /// way, otherwise as it is.
    fn aligned(&self, sector: u64, free: &[(u64, u64)]) -> u64 {
        let step = self.alignment();
        let earlier = sector & !step.saturating_sub(1);
        if earlier == sector {
            return sector;
        }
        let later = earlier.saturating_add(step);
        let block = free.iter().find(|(start, end)| (start..=end).contains(&&sector));
        match block {
            Some((start, _)) if *start <= earlier => earlier,
            Some((_, end)) if later <= *end => later,
            _ => sector,
        }
    }
}

/// Returns the first of the largest blocks.
fn largest(free: &[(u64, u64)]) -> Option<(u64, u64)> {
    let size = |block: &(u64, u64)| block.1.saturating_sub(block.0);
    free.iter().copied().reduce(|most, block| if size(&block) > size(&most) { block } else { most })
}
