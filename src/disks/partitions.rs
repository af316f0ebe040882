//! Partitioning: the state of each disk of a config, the new tables, and the writes that put them on the disks.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use super::devices::{Device, Devices};
use super::gpt::{self, Found, Table};
use super::plan::{Before, DiskState, TablePlan, plan_table};
use super::probe::Probe;
use super::record::{Progress, Record};
use super::resolve::resolve;
use super::tools::Tools;
use super::{place_of, step, step_in};
use crate::config::Disk;
use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Problems, Reason, Result};
use crate::sys::{KernelPartition, tell_kernel};

/// How long another program may keep a disk locked.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is to be done to one disk.
#[derive(Debug)]
pub struct DiskPlan {
    pub device: Device,
    pub plan: TablePlan,
    /// The writes of the new table: see [`gpt::writes`].
    batches: Vec<Vec<gpt::Write>>,
    /// Whether the table is one that the kernel cannot see.
    is_repaired: bool,
}

impl DiskPlan {
    /// Returns whether the plan leaves the partition `number` as it is.
    pub fn keeps(&self, number: u32) -> bool {
        let is_it = |partition: &gpt::Partition| partition.number == number;
        let changes = |change: &super::plan::Change| {
            change.old.as_ref().is_some_and(is_it) || change.new.as_ref().is_some_and(is_it)
        };
        !self.plan.is_new && !self.plan.changes.iter().any(changes)
    }
}

/// Plans the partitions of all `disks` of a config. Nothing is written.
///
/// # Errors
/// Those of finding and reading the disks, and those of [`plan_table`], all at once.
pub fn plan(disks: &[Disk<'_>], record: &Record<'_>, tools: Tools<'_>) -> Result<Vec<DiskPlan>> {
    let mut problems = Problems::default();
    let mut plans: Vec<DiskPlan> = Vec::new();
    for (index, disk) in disks.iter().enumerate() {
        let place = place_of("disks", index);
        let planned = plan_disk(disk, &place, record, tools);
        let Some(plan) = problems.take(planned.map_err(|error| error.at(&place))) else { continue };
        if plans.iter().any(|other| other.device.number == plan.device.number) {
            let what = format!("{} is a disk that an earlier entry names, too", disk.device);
            let error = Error::new(Reason::Conflict, what).at(&place);
            problems.add(error.advise("Ask for everything of one disk in one entry, then start again."));
        }
        plans.push(plan);
    }
    problems.finish().map(|()| plans)
}

fn plan_disk(disk: &Disk<'_>, place: &str, record: &Record<'_>, tools: Tools<'_>) -> Result<DiskPlan> {
    let device = resolve(&disk.device, tools)?;
    let devices = Devices::read()?;
    let file = open_disk(&device, OFlags::RDONLY)?;
    let found = gpt::read(&file, device.geometry()).map_err(|error| failed(&device, "read", &error))?;
    let probe = Probe::of(&device, tools)?;
    let known = || devices.partitions_of(&device.name);
    let used = known().filter(|(partition, _)| partition.is_in_use || partition.is_claimed());
    let signature = probe.foreign();
    let found = match found {
        // blkid takes the table of a PC-98 for an MBR without partitions.
        Found::Nothing if signature.is_none() && known().next().is_some() => {
            Found::Other("the kernel sees partitions there, in a table of an unknown kind")
        }
        found => found,
    };
    let state = DiskState {
        geometry: device.geometry(),
        signature,
        is_member: probe.is_member,
        is_in_use: device.is_in_use,
        in_use: used.map(|(_, place)| place.number).collect(),
        found,
        before: match record.progress(place) {
            Some(Progress::Begun(identity)) if *identity == device.identity => Before::Begun,
            Some(Progress::Done) => Before::Removed,
            _ => Before::Nothing,
        },
    };
    let plan = plan_table(disk, place, &state, record.ids())?;
    let is_repaired = matches!(state.found, Found::Gpt { is_visible: false, .. }) && !plan.is_new;
    let mut batches = batches(&plan, &state.found).ok_or_else(|| {
        let what =
            format!("{} has no room for a second copy of its partition table, at {place}", device.path());
        Error::new(Reason::Conflict, what)
            .advise("Leave 1 MiB free before the first partition, or anywhere on the disk.")
    })?;
    if !plan.is_new {
        keep_boot_code(&mut batches, &file).map_err(|error| failed(&device, "read", &error))?;
    }
    Ok(DiskPlan { device, plan, batches, is_repaired })
}

/// Returns the writes that a plan needs on a disk with the table `found`; `None` if there is no room for them.
fn batches(plan: &TablePlan, found: &Found) -> Option<Vec<Vec<gpt::Write>>> {
    match (plan.is_changed, plan.is_new) {
        (false, _) => Some(Vec::new()),
        _ if plan.is_bare => Some(Vec::new()),
        (true, true) => gpt::writes(&Found::Nothing, &plan.table),
        (true, false) => gpt::writes(found, &plan.table),
    }
}

/// Takes the boot code of the disk over into the write that replaces it. A BIOS starts this code, which is that of GRUB, for
/// example.
fn keep_boot_code(batches: &mut [Vec<gpt::Write>], disk: &File) -> std::io::Result<()> {
    /// The bytes of the master boot record before its partitions: the code, and the disk's signature.
    const BOOT_CODE: usize = 446;
    for write in batches.iter_mut().flatten().filter(|write| write.at == 0) {
        if let Some(code) = write.bytes.get_mut(..BOOT_CODE) {
            disk.read_exact_at(code, 0)?;
        }
    }
    Ok(())
}

/// Puts the new table on the disk that the config names at `place`, and tells the kernel. A power cut leaves the old table or
/// the new one. Returns the disk, which is to stay open until all work on disks is done.
///
/// When a program closes a disk that it had open for writing, a udev that runs lets the kernel read the table again, which takes
/// the partitions away for a moment. The disk is locked as long as other programs work on it as a whole: udev does not read the
/// table of a locked disk. Later programs work on partitions. The lock would block a newer mkfs.btrfs, which locks the
/// disk itself.
///
/// # Errors
/// [`Reason::Disk`] if the disk cannot be written to, or if the kernel does not take the partitions over; those of the record.
pub fn carry_out(plan: &DiskPlan, place: &str, record: &mut Record<'_>, tools: Tools<'_>) -> Result<File> {
    let DiskPlan { device, plan, batches, is_repaired } = plan;
    let file = open_disk(device, if plan.is_changed { OFlags::RDWR } else { OFlags::RDONLY })?;
    if plan.is_changed {
        // The identifiers in the table are those of the record, so it must be there first.
        record.begin(place, &device.identity)?;
        // A partition with a GUID of the config does not tell the next start that this provisioning has made it.
        for change in plan.changes.iter().filter(|change| change.new.is_some() && !change.is_resize()) {
            record.begin(&change.place, &device.identity)?;
        }
        lock(&file).map_err(|errno| failed(device, "lock", &errno.into()))?;
        log::info!("partition {}", device.path());
        if *is_repaired {
            log::warn!("the partition table of {} was damaged and is repaired", device.path());
        }
        if plan.is_new {
            // A signature that stays would make the disk look like what it was before.
            tools.succeed(&["wipefs", "--all", &device.path()])?;
        }
        for batch in batches {
            for write in batch {
                step_in(file.as_fd());
                file.write_all_at(&write.bytes, write.at).map_err(|error| failed(device, "write", &error))?;
            }
            step_in(file.as_fd());
            file.sync_all().map_err(|error| failed(device, "write", &error))?;
        }
    }
    if plan.is_changed || !plan.is_bare {
        tell_all(&file, device, &plan.table)?;
    }
    if plan.is_changed && plan.is_bare {
        // No identifier on the disk tells the next start that this is done.
        step_in(file.as_fd());
        file.sync_all().map_err(|error| failed(device, "write", &error))?;
        record.finish(place)?;
    }
    flock(&file, FlockOperation::Unlock).map_err(|errno| failed(device, "unlock", &errno.into()))?;
    Ok(file)
}

/// Locks a disk. udev itself locks it for a moment when it looks at it.
fn lock(disk: &File) -> std::result::Result<(), Errno> {
    let deadline = Deadline::after(PATIENCE);
    let mut backoff = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match flock(disk, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if backoff.wait(deadline) => {}
            locked => return locked,
        }
    }
}

/// Tells the kernel about all differences between the partitions that it knows and those of `table`.
fn tell_all(file: &File, device: &Device, table: &Table) -> Result<()> {
    let sector = u64::from(table.geometry.sector);
    let bytes = |partition: &gpt::Partition| {
        (partition.first.saturating_mul(sector), partition.sectors().saturating_mul(sector))
    };
    let tell = |what, number, place| {
        step();
        match tell_kernel(file.as_fd(), what, number, place) {
            Err(Errno::NXIO) if what == KernelPartition::Delete => Ok(()),
            told => told.map_err(|errno| {
                failed(device, &format!("tell the kernel about partition {number} of"), &errno.into())
            }),
        }
    };
    let mut is_told = Vec::new();
    let mut resized = Vec::new();
    for (known, place) in Devices::read()?.partitions_of(&device.name) {
        let there = (place.start.saturating_mul(512), known.size.saturating_mul(512));
        match table.partition(place.number).map(bytes) {
            Some(wanted) if wanted == there => is_told.push(place.number),
            Some(wanted) if wanted.0 == there.0 => resized.push((place.number, wanted)),
            _ => tell(KernelPartition::Delete, place.number, there)?,
        }
    }
    // A partition can only grow where the kernel knows no other one any more.
    for (number, wanted) in resized {
        tell(KernelPartition::Resize, number, wanted)?;
        is_told.push(number);
    }
    for partition in table.partitions.iter().filter(|partition| !is_told.contains(&partition.number)) {
        tell(KernelPartition::Add, partition.number, bytes(partition))?;
    }
    let devices = Devices::read()?;
    let mut known: Vec<_> = (devices.partitions_of(&device.name))
        .map(|(known, place)| (place.number, place.start.saturating_mul(512), known.size.saturating_mul(512)))
        .collect();
    crate::sort::sort(&mut known, &|one, other| one.0.cmp(&other.0));
    let wanted = table.partitions.iter().map(|partition| {
        let (start, length) = bytes(partition);
        (partition.number, start, length)
    });
    if known.into_iter().eq(wanted) {
        return Ok(());
    }
    let what = format!("the kernel did not take over the partitions of {}", device.path());
    Err(Error::new(Reason::Disk, what).advise("Start again: the kernel reads the new table then."))
}

#[allow(clippy::disallowed_methods, reason = "a device, not a path of the root")]
fn open_disk(device: &Device, mode: OFlags) -> Result<File> {
    let fd = open(device.path(), mode | OFlags::CLOEXEC, Mode::empty());
    fd.map(File::from).map_err(|errno| failed(device, "open", &errno.into()))
}

fn failed(device: &Device, act: &str, error: &std::io::Error) -> Error {
    Error::device(act, &device.path(), error)
}
