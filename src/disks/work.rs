//! All work on disks that a config asks for, in the reference's order: partitions, RAID arrays, encrypted volumes, and then
//! file systems.

use super::devices::Devices;
use super::luks::Opened;
use super::plan::{Action, Format};
use super::probe::Probe;
use super::ready::Ready;
use super::record::Record;
use super::resolve::{resolve, resolve_now};
use super::tools::Tools;
use super::{Device, clevis, filesystems, luks, partitions, place_of, raid};
use crate::config::{Disk, Storage};
use crate::error::{Error, Problems, Reason, Result};
use crate::initramfs;
use crate::plan::Unlock;
use crate::root::Root;
use crate::source::Transport;

/// Carries out what `storage` asks of the disks. What an interrupted run has done is not done again. Everything that can be
/// known beforehand is checked before the first write. The root of `tools` grows if the config says so.
///
/// # Errors
/// [`Reason::Unsupported`] outside of an initramfs, and for a program that the root lacks; [`Reason::Conflict`] for what
/// stands on a disk and may not be lost; [`Reason::Disk`] for a step that failed.
pub fn carry_out<'r>(
    storage: &Storage<'_>,
    record: &mut Record<'_>,
    tools: Tools<'r>,
    transport: &dyn Transport,
) -> Result<(Ready<'r>, Vec<Unlock>)> {
    require_initramfs()?;
    require_tools(storage, tools)?;
    let locks = luks::locks(&storage.luks, record, tools, transport)?;
    let plans = partitions::plan(&storage.disks, record, tools)?;
    check_devices(storage, &plans, &locks, record, tools)?;
    let mut disks = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        tools.operation(
            "createPartitions: ",
            &format!("partitioning {:?}", plan.device.path()),
            &mut || {
                disks.push(partitions::carry_out(plan, &place_of("disks", index), record, tools)?);
                Ok(())
            },
        )?;
    }
    grow_root(&storage.disks, &plans, tools)?;
    raid::carry_out(storage, record, tools)?;
    let (opened, unlocks) = Opened::bring_up(&storage.luks, locks, record, tools)?;
    for (index, wanted) in storage.filesystems.iter().enumerate() {
        let Some(format) = Format::of(wanted).filter(|format| *format != Format::Virtiofs) else { continue };
        let place = filesystems::place(index);
        let device = resolve(&wanted.device, tools).map_err(|error| error.at(&place))?;
        if filesystems::plan(wanted, format, (&place, &device), record, tools)? == Action::Make {
            let what = format!("creating {:?} filesystem on {:?}", format.name(), device.path());
            tools
                .operation("createFilesystems: ", &what, &mut || {
                    filesystems::make(wanted, format, (&place, &device), record, tools)
                })
                .map_err(|error| error.at(&place))?;
        }
    }
    Ok((Ready::new(opened, disks), unlocks))
}

/// Refuses to change disks in a running system.
///
/// # Errors
/// [`Reason::Unsupported`] outside of an initramfs.
pub fn require_initramfs() -> Result<()> {
    if initramfs::is_here()? {
        return Ok(());
    }
    let what = "disks can only be changed in the initramfs of the machine";
    Err(Error::new(Reason::Unsupported, what).advise(
        "Give the config to the machine when it boots. A running system keeps its disks as they are.",
    ))
}

/// Refuses what the root has no program for.
fn require_tools(storage: &Storage<'_>, tools: Tools<'_>) -> Result<()> {
    let mut problems = Problems::default();
    // Every Debian has these programs, but an initramfs need not have them.
    if tools.is_stage() {
        for program in ["blkid", "wipefs"] {
            problems.take(tools.require(program, "util-linux").map_err(|error| error.at(&"$.storage")));
        }
    }
    if !storage.raid.is_empty() {
        problems.take(tools.require("mdadm", "mdadm").map_err(|error| error.at(&"$.storage.raid")));
    }
    if !storage.luks.is_empty() {
        let at = |error: Error| error.at(&"$.storage.luks");
        problems.take(tools.require("cryptsetup", "cryptsetup-bin").map_err(at));
        // The root of a stage may not be there yet.
        if !tools.is_stage() {
            problems.take(tools.require_unlocking().map_err(at));
        }
        problems.take(clevis::require(&storage.luks, tools).map_err(at));
    }
    for (index, wanted) in storage.filesystems.iter().enumerate() {
        let Some(format) = Format::of(wanted) else { continue };
        let place = filesystems::place(index);
        if let Some((program, package)) = format.program() {
            problems.take(tools.require(program, package).map_err(|error| error.at(&place)));
        }
        let is_root =
            wanted.path.as_deref().is_some_and(|path| path.trim_matches('/').is_empty() && !path.is_empty());
        // A stage may make a root that is not mounted yet, as the reference does.
        if is_root && wanted.wipe_filesystem == Some(true) && !tools.is_stage() {
            let what = "the root file system cannot be made anew";
            problems.add(Error::new(Reason::Unsupported, what).at(&place).advise(
                "Keep the root, and move data to a file system of its own, such as /var or /home. The root can grow: set \
                 resize for its partition.",
            ));
        }
    }
    problems.finish()
}

/// Checks the arrays, volumes and file systems whose devices are there already and are not changed before.
fn check_devices(
    storage: &Storage<'_>,
    plans: &[partitions::DiskPlan],
    locks: &[luks::Lock],
    record: &Record<'_>,
    tools: Tools<'_>,
) -> Result<()> {
    let stays = |device: &Device| {
        plans.iter().all(|plan| match &device.partition {
            Some(place) => plan.device.name != place.disk || plan.keeps(place.number),
            None => plan.device.number != device.number,
        })
    };
    let mut problems = Problems::default();
    problems.take(raid::check(storage, &stays, record, tools));
    problems.take(luks::check(&storage.luks, locks, &stays, record, tools));
    for (index, wanted) in storage.filesystems.iter().enumerate() {
        let Some(format) = Format::of(wanted).filter(|format| *format != Format::Virtiofs) else { continue };
        let Some(device) = resolve_now(&wanted.device, &stays, tools)? else { continue };
        let place = filesystems::place(index);
        problems.take(filesystems::plan(wanted, format, (&place, &device), record, tools));
    }
    problems.finish()
}

/// Lets the file system of the root fill its partition, if the config has resized that partition. A file system that fills it
/// already stays as it is, so this needs no record.
fn grow_root(disks: &[Disk<'_>], plans: &[partitions::DiskPlan], tools: Tools<'_>) -> Result<()> {
    let Some(device) = root_device(tools.root())? else { return Ok(()) };
    let Some(place) = &device.partition else { return Ok(()) };
    let is_resized = disks.iter().zip(plans).any(|(disk, plan)| {
        let wanted = disk.partitions.iter().find(|wanted| u32::try_from(wanted.number) == Ok(place.number));
        plan.device.name == place.disk && wanted.is_some_and(|wanted| wanted.resize == Some(true))
    });
    if !is_resized {
        return Ok(());
    }
    let path = device.path();
    let probe = Probe::of(&device, tools)?;
    log::info!("grow the root file system on {path}");
    match probe.kind.as_str() {
        "ext2" | "ext3" | "ext4" => tools.succeed(&["resize2fs", &path]),
        "xfs" => tools.succeed(&["xfs_growfs", "/"]),
        "btrfs" => tools.succeed(&["btrfs", "filesystem", "resize", "max", "/"]),
        kind => {
            log::warn!("the root file system ({kind}) does not grow with its partition");
            Ok(())
        }
    }
}

/// Returns the device of the root; `None` if it is not on one.
pub(super) fn root_device(root: &Root) -> Result<Option<Device>> {
    Ok(Devices::read()?.mounted_as(root.mount_id()?)?.cloned())
}
