//! The partitions of one disk: what is there and what the config wants give the new table.
//!
//! The rules are those of the reference, which leaves the places of partitions to sgdisk. Three things differ on purpose. A
//! backup that stands in the middle of an enlarged disk moves to its end first, so that the new space can be used. A
//! partition in use may grow. And what an interrupted run of the same provisioning has made counts as done.

use std::fmt;

use crate::config::{Disk, Partition as Wanted};
use crate::disks::gpt::{Found, Geometry, Guid, NewPartition, NoSpace, Partition, Table, label_of};
use crate::disks::ids::Ids;
use crate::error::{Error, Problems, Reason, Result};

/// The state of a disk before it is changed.
#[derive(Debug)]
pub struct DiskState {
    /// The size of the disk and of its sectors.
    pub geometry: Geometry,
    /// Its partition table.
    pub found: Found,
    /// What stands on the whole disk beside or instead of a GUID partition table: the name of a file system, for example.
    pub signature: Option<String>,
    /// Whether the whole disk is a member of a RAID array, of LVM or of the like.
    pub is_member: bool,
    /// Whether the disk as a whole is in use, as a mounted file system is or a member of a RAID array.
    pub is_in_use: bool,
    /// The numbers of the partitions in use.
    pub in_use: Vec<u32>,
    /// What an interrupted run has done to the table.
    pub before: Before,
}

/// What an interrupted run of the same provisioning has done to the table of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing, or all that there was to do, which the table shows.
    Nothing,
    /// It has begun to write or to remove the table.
    Begun,
    /// It has removed the table, so the disk may hold anything that the config wants there.
    Removed,
}

/// What becomes of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where the config asks for it: `$.storage.disks.0.partitions.1`.
    pub place: String,
    /// The partition before; `None` for a new one.
    pub old: Option<Partition>,
    /// The partition afterwards; `None` for a deleted one.
    pub new: Option<Partition>,
}

impl Change {
    /// Returns whether this is the same partition with another end.
    pub fn is_resize(&self) -> bool {
        matches!((&self.old, &self.new), (Some(old), Some(new)) if old.first == new.first && old.guid == new.guid)
    }
}

/// The plan for one disk.
#[derive(Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// The table that the disk is to have.
    pub table: Table,
    /// Whether the table is to be written: it differs from the one on the disk, or an interrupted run has not written all of
    /// it.
    pub is_changed: bool,
    /// Whether the disk gets a table of its own instead of what was there.
    pub is_new: bool,
    /// Whether the disk is to have no table, because it has none or loses the one it has, and the config wants no partitions.
    /// The disk as a whole can then hold a file system, a volume or a part of an array.
    pub is_bare: bool,
    /// The partitions that change, by ascending number.
    pub changes: Vec<Change>,
}

/// Plans the partitions that `disk` wants, which stands at `place` in the config, on a disk in this `state`.
///
/// # Errors
/// [`Reason::Conflict`] for everything on the disk that is in the way, all at once, and for what does not fit it.
pub fn plan_table(disk: &Disk<'_>, place: &str, state: &DiskState, ids: &Ids) -> Result<TablePlan> {
    let at = |error: Error| error.at(&disk.device);
    let (base, is_new) = base_table(disk, place, state, ids).map_err(at)?;
    if is_left(disk, state) {
        return Ok(TablePlan { table: base, is_changed: false, is_new, is_bare: true, changes: Vec::new() });
    }
    let mut plan = Planner {
        disk,
        place,
        state,
        ids,
        layout: base.clone(),
        base,
        problems: Problems::default(),
        changes: Vec::new(),
    };
    plan.partitions();
    let Planner { base, layout, problems, mut changes, .. } = plan;
    problems.finish().map_err(at)?;
    let number =
        |change: &Change| change.new.as_ref().or(change.old.as_ref()).map(|partition| partition.number);
    crate::sort::sort(&mut changes, &|one, other| number(one).cmp(&number(other)));
    // The interrupted run may have come as far as a primary copy that can be read. Without the master boot record, which a
    // new table gets last, the kernel sees no partitions at later boots.
    let is_torn = state.before == Before::Begun && matches!(state.found, Found::Gpt { is_whole: false, .. });
    // A table that the kernel cannot see is repaired: otherwise its partitions would be gone at later boots.
    let is_unseen = matches!(state.found, Found::Gpt { is_visible: false, .. });
    let is_bare = is_new && layout.partitions.is_empty();
    let is_made = if is_bare { disk.wipe_table == Some(true) } else { is_new };
    let is_changed = is_made || is_torn || is_unseen || layout.partitions != base.partitions;
    Ok(TablePlan { table: if is_changed { layout } else { base }, is_changed, is_new, is_bare, changes })
}

/// Returns whether the disk has no table and is to get none. What it holds then is not asked for: it may be a part of an array
/// that an interrupted run has made there.
fn is_left(disk: &Disk<'_>, state: &DiskState) -> bool {
    let is_kept = disk.wipe_table != Some(true);
    let wants_nothing = is_kept && wants_no_partitions(disk);
    state.before == Before::Removed || (wants_nothing && matches!(state.found, Found::Nothing))
}

fn wants_no_partitions(disk: &Disk<'_>) -> bool {
    disk.partitions.iter().all(|wanted| wanted.should_exist == Some(false))
}

/// Returns the table to begin with, and whether it is a new one.
fn base_table(disk: &Disk<'_>, place: &str, state: &DiskState, ids: &Ids) -> Result<(Table, bool)> {
    let guid = ids.guid(place);
    let conflict = |what: String| Error::new(Reason::Conflict, format!("{what}, at {place}"));
    let new_table = || {
        if wants_no_partitions(disk) {
            return Ok((Table::unwritten(state.geometry, guid), true));
        }
        let table = Table::new(state.geometry, guid);
        Ok((table.ok_or_else(|| conflict("the disk is too small for a partition table".to_owned()))?, true))
    };
    if is_left(disk, state) {
        return new_table();
    }
    if state.is_in_use {
        return Err(conflict("the disk is in use as a whole, so it cannot be partitioned".to_owned())
            .advise("Name another disk in the config, or a machine on which this one is not mounted, part of a RAID array or of LVM."));
    }
    let is_wiped = disk.wipe_table == Some(true);
    let is_ours = matches!(&state.found, Found::Gpt { table, .. } if table.guid == guid);
    if !is_wiped || is_ours {
        let advice =
            "Set wipeTable in the config if everything on this disk may be lost, or name another disk.";
        match (&state.found, &state.signature) {
            // The table at the start of such a disk may be that of the array, whose other members have it as well.
            (Found::Gpt { .. }, Some(what)) if state.is_member => {
                return Err(conflict(format!(
                    "the whole disk holds {what}, so its partitions belong to the device that it is a part of"
                ))
                .advise(advice));
            }
            // What was made over an old table has left a part of that table.
            (Found::Gpt { is_visible: false, .. }, Some(what)) => {
                return Err(conflict(format!(
                    "the whole disk holds {what}, and only a part of an older partition table is left"
                ))
                .advise(advice));
            }
            (Found::Gpt { table, .. }, _) => {
                let mut table = table.clone();
                table.use_whole_disk();
                return Ok((table, false));
            }
            (Found::Other(what) | Found::Damaged(what), _) => {
                return Err(conflict(format!("there is no GUID partition table: {what}")).advise(advice));
            }
            (Found::Nothing, Some(what)) => {
                return Err(conflict(format!("the whole disk holds {what}, not partitions")).advise(advice));
            }
            (Found::Nothing, None) => {}
        }
    }
    if let Some(number) = state.in_use.first() {
        return Err(conflict(format!("the partition table cannot be wiped: partition {number} is in use"))
            .advise("Remove wipeTable for the disk that the system runs from."));
    }
    new_table()
}

/// The work on one disk.
struct Planner<'a> {
    disk: &'a Disk<'a>,
    place: &'a str,
    state: &'a DiskState,
    ids: &'a Ids,
    /// The table before.
    base: Table,
    /// The table afterwards. Partitions that the config names are in it only from their turn on, as sgdisk's rules want it.
    layout: Table,
    problems: Problems,
    changes: Vec<Change>,
}

impl<'a> Planner<'a> {
    fn partitions(&mut self) {
        let partitions = &self.disk.partitions;
        let named = |(index, wanted)| {
            let place = format!("{}.partitions.{index}", self.place);
            let old = self.old(wanted, &place);
            (wanted, place, old)
        };
        let mut named: Vec<_> = partitions.iter().enumerate().map(named).collect();
        for (_, _, old) in &named {
            old.as_ref().map(|old| self.layout.remove(old.number));
        }
        // Those whose number is left open come last, so that they take the numbers and the space that are left.
        crate::sort::sort(&mut named, &|one, other| (one.0.number == 0).cmp(&(other.0.number == 0)));
        for (wanted, place, old) in named {
            if let Err(error) = self.partition(wanted, old, &place) {
                self.problems.add(error);
            }
        }
    }

    /// Returns the partition that is there already. One whose number is left open is known by its GUID: by the config's, or by
    /// the one that an interrupted run of this provisioning gave it.
    fn old(&self, wanted: &Wanted<'_>, place: &str) -> Option<Partition> {
        let number = number_of(wanted);
        let is_it = |old: &&Partition| {
            if number == 0 { old.guid == self.guid(wanted, place) } else { old.number == number }
        };
        self.base.partitions.iter().find(is_it).cloned()
    }

    /// Returns the GUID for a new partition.
    fn guid(&self, wanted: &Wanted<'_>, place: &str) -> Guid {
        wanted.guid.as_deref().and_then(Guid::parse).unwrap_or_else(|| self.ids.guid(place))
    }

    /// Plans one partition. `old` is the one that is there.
    fn partition(&mut self, wanted: &'a Wanted<'a>, old: Option<Partition>, place: &str) -> Result<()> {
        let number = number_of(wanted);
        let own = self.guid(wanted, place);
        let is_wiped = wanted.wipe_partition_entry == Some(true);
        if wanted.should_exist == Some(false) {
            return match old {
                Some(old) if !is_wiped => {
                    self.layout.put(old);
                    Err(conflict(format!("partition {number} exists, but the config says that it must not"), place)
                        .advise("Set wipePartitionEntry in the config if this partition may be deleted with everything in it."))
                }
                Some(old) => self.change(Change { place: place.to_owned(), old: Some(old), new: None }),
                None => Ok(()),
            };
        }
        let first = self.sectors(wanted.start_mib, "startMiB", place)?;
        let size = self.sectors(wanted.size_mib, "sizeMiB", place)?;
        let Some(old) = old else {
            let new = Self::new_partition(wanted, number, own);
            let new = NewPartition { first: first.unwrap_or(0), sectors: size.unwrap_or(0), ..new };
            let made = self.layout.make(&new).map_err(|why| self.no_space(why, place))?;
            let new = self.layout.partition(made).cloned();
            return self.change(Change { place: place.to_owned(), old: None, new });
        };
        if old.guid == self.ids.guid(place) {
            // An interrupted run of this provisioning has made it.
            self.layout.put(old);
            return Ok(());
        }
        let left_open = |old: u64| if is_wiped { 0 } else { old };
        let first = first.unwrap_or(left_open(old.first));
        let size = size.unwrap_or(left_open(old.sectors()));
        let new = NewPartition { first, sectors: size, ..Self::new_partition(wanted, old.number, own) };
        let made = if first == old.first {
            // A partition that is there already may begin at any sector.
            self.layout.make_unaligned(&new)
        } else {
            self.layout.make(&new)
        };
        let made = match made {
            Ok(number) => self.layout.partition(number).cloned().unwrap_or_else(|| old.clone()),
            Err(why) => {
                // The space that the partition has counts as free for it.
                let error = self.no_space(why, place);
                self.layout.put(old);
                return Err(error);
            }
        };
        self.existing(wanted, old, made, place)
    }

    /// Decides about a partition that exists. `made` is what the config would make in its place, and is in the layout.
    fn existing(&mut self, wanted: &Wanted<'_>, old: Partition, made: Partition, place: &str) -> Result<()> {
        let is_guid =
            |wanted: Option<&str>, old: Guid| wanted.and_then(Guid::parse).is_none_or(|guid| guid == old);
        let is_label = |wanted: &str| label_of(wanted) == old.label;
        let compared = [
            ("startMiB", made.first == old.first),
            ("guid", is_guid(wanted.guid.as_deref(), old.guid)),
            ("typeGuid", is_guid(wanted.type_guid.as_deref(), old.type_guid)),
            ("label", wanted.label.as_deref().is_none_or(is_label)),
            ("sizeMiB", made.last == old.last),
        ];
        let differences: Vec<&str> =
            compared.iter().filter(|(_, is_equal)| !is_equal).map(|(key, _)| *key).collect();
        let may_resize = differences == ["sizeMiB"] && wanted.resize == Some(true);
        let new = if differences.is_empty() {
            self.layout.put(old);
            return Ok(());
        } else if wanted.wipe_partition_entry == Some(true) {
            made
        } else if may_resize {
            Partition { last: made.last, ..old.clone() }
        } else {
            let number = old.number;
            self.layout.put(old);
            let what = format!("partition {number} exists and has another {}", differences.join(", "));
            return Err(conflict(what, place).advise(
                "Change the config to what is there, or set wipePartitionEntry if this partition may be lost. If only the \
                 size differs, resize keeps its contents.",
            ));
        };
        self.layout.put(new.clone());
        self.change(Change { place: place.to_owned(), old: Some(old), new: Some(new) })
    }

    /// Adds `change`, unless the partition is in use. One in use may only grow, which leaves its contents in place.
    fn change(&mut self, change: Change) -> Result<()> {
        let grows = matches!((&change.old, &change.new), (Some(old), Some(new)) if new.last > old.last)
            && change.is_resize();
        let number = change
            .old
            .as_ref()
            .map(|old| old.number)
            .filter(|number| self.state.in_use.contains(number) && !grows);
        if let (Some(number), Some(old)) = (number, change.old.clone()) {
            self.layout.put(old);
            return Err(conflict(
                format!("partition {number} is in use and would be changed"),
                &change.place,
            )
            .advise("A partition in use can only grow in place: set resize, and leave its start as it is."));
        }
        self.changes.push(change);
        Ok(())
    }

    /// Returns the partition that `wanted` makes, with its place left open.
    fn new_partition(wanted: &'a Wanted<'a>, number: u32, guid: Guid) -> NewPartition<'a> {
        let type_guid = wanted.type_guid.as_deref().and_then(Guid::parse).unwrap_or(Guid::LINUX_DATA);
        let label = wanted.label.as_deref().unwrap_or_default();
        NewPartition { number, first: 0, sectors: 0, type_guid, guid, attributes: 0, label }
    }

    /// Returns the sectors in `mib` MiB.
    fn sectors(&self, mib: Option<i64>, key: &str, place: &str) -> Result<Option<u64>> {
        let Some(mib) = mib else { return Ok(None) };
        let sectors = u64::try_from(mib).ok().and_then(|mib| self.base.geometry.sectors_of_mib(mib));
        let invalid =
            || Error::new(Reason::ConfigInvalid, format!("{mib} MiB is no size on a disk, at {place}.{key}"));
        sectors.map(Some).ok_or_else(invalid)
    }

    /// Returns the error for a partition without a place.
    fn no_space(&self, why: NoSpace, place: &str) -> Error {
        let geometry = self.base.geometry;
        let what = match why {
            NoSpace::Number => format!("the partition table has only {} numbers", self.base.entries),
            NoSpace::Taken => "an earlier entry has taken the number".to_owned(),
            NoSpace::Full => "no space is free".to_owned(),
            NoSpace::Sectors { first, last } => format!(
                "the space from {} to {} MiB is not free",
                geometry.mib(first),
                geometry.mib(last.saturating_add(1))
            ),
        };
        let is_large = |block: &&(u64, u64)| block.1.saturating_sub(block.0) >= geometry.sectors_of_one_mib();
        let words = |block: &(u64, u64)| {
            format!("{} to {}", geometry.mib(block.0), geometry.mib(block.1.saturating_add(1)))
        };
        let free: Vec<String> =
            self.layout.free_blocks().iter().filter(is_large).map(words).take(MOST_BLOCKS).collect();
        let free = if free.is_empty() { "nothing".to_owned() } else { free.join(", ") };
        conflict(format!("{what} (free, in MiB: {free})"), place)
            .advise("Change startMiB or sizeMiB in the config, or remove a partition.")
    }
}

/// The most free blocks that an error names.
const MOST_BLOCKS: usize = 4;

fn conflict(what: impl fmt::Display, place: &str) -> Error {
    Error::new(Reason::Conflict, format!("{what}, at {place}"))
        .advise("Change the config, or what is on the disk, then start again.")
}

/// Returns the number of a partition in the config. A number that no table can have becomes the largest one, which the table
/// then refuses.
fn number_of(wanted: &Wanted<'_>) -> u32 {
    u32::try_from(wanted.number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
