//! RAID arrays: those that are there are assembled with their data, others are made.

use super::devices::{Device, Devices};
use super::filesystems::load_module;
use super::gpt::Guid;
use super::place_of;
use super::plan::{Member, is_wanted, raid_create, raid_module};
use super::probe::Probe;
use super::record::{Array, Progress, Record};
use super::resolve::{resolve, resolve_now};
use super::tools::Tools;
use crate::config::{Disk, Raid, Storage};
use crate::error::{Error, Problems, Reason, Result};

/// The modules of all levels that the language has.
const MODULES: [&str; 5] = ["linear", "raid0", "raid1", "raid10", "raid456"];

/// Brings all arrays of a config up, in their order. They run on when the system starts.
///
/// # Errors
/// [`Reason::Conflict`] for a device that holds something else, or is in use; those of finding the devices, of mdadm and of
/// the record.
pub fn carry_out(storage: &Storage<'_>, record: &mut Record<'_>, tools: Tools<'_>) -> Result<()> {
    let own = own_guids(&storage.disks, record);
    for (index, wanted) in storage.raid.iter().enumerate() {
        let place = place_of("raid", index);
        bring_up(wanted, &place, &own, record, tools).map_err(|error| error.at(&place))?;
        let devices = wanted.devices.iter().map(ToString::to_string).collect();
        record.keep_array(Array { path: path_of(wanted), devices })?;
    }
    Ok(())
}

/// Checks the devices of arrays that are there already and that `stays` accepts: nothing changes them before the arrays are
/// made.
///
/// # Errors
/// [`Reason::Conflict`] for devices that hold something else, or are in use, all at once; those of finding the devices and of
/// mdadm.
pub fn check(
    storage: &Storage<'_>,
    stays: &dyn Fn(&Device) -> bool,
    record: &Record<'_>,
    tools: Tools<'_>,
) -> Result<()> {
    let own = own_guids(&storage.disks, record);
    let mut problems = Problems::default();
    for (index, wanted) in storage.raid.iter().enumerate() {
        let place = place_of("raid", index);
        if record.progress(&place).is_some() {
            continue;
        }
        let mut there = Vec::new();
        for path in &wanted.devices {
            there.extend(resolve_now(path, stays, tools)?);
        }
        let checked = if there.len() == wanted.devices.len() {
            is_there(wanted, &there, &own, tools).map(drop)
        } else {
            // The others may only be late, or grow first. So parts of an array may be parts of this one.
            there.iter().try_for_each(|device| match Probe::of(device, tools)?.kind.as_str() {
                "linux_raid_member" => Ok(()),
                _ => check_member(device, &own, tools),
            })
        };
        problems.take(checked.map_err(|error| error.at(&place)));
    }
    problems.finish()
}

/// Returns the path of an array's node.
fn path_of(wanted: &Raid<'_>) -> String {
    if wanted.name.starts_with('/') { wanted.name.to_string() } else { format!("/dev/md/{}", wanted.name) }
}

/// Assembles an array that was recorded.
///
/// # Errors
/// Those of finding the devices, and of mdadm.
pub fn assemble_again(array: &Array, tools: Tools<'_>) -> Result<()> {
    let devices: Vec<Device> =
        array.devices.iter().map(|path| resolve(path, tools)).collect::<Result<_>>()?;
    // The record does not have the level. mdadm tells what is missing.
    for module in MODULES {
        load_module(module, tools);
    }
    assemble(&array.path, &devices, tools)
}

fn bring_up(
    wanted: &Raid<'_>,
    place: &str,
    own: &[String],
    record: &mut Record<'_>,
    tools: Tools<'_>,
) -> Result<()> {
    let devices: Vec<Device> =
        wanted.devices.iter().map(|path| resolve(path, tools)).collect::<Result<_>>()?;
    let paths: Vec<String> = devices.iter().map(Device::path).collect();
    load_module(raid_module(wanted), tools);
    let identity = devices.iter().map(|device| device.identity.as_str()).collect::<Vec<_>>().join(" ");
    let is_begun = match record.progress(place) {
        Some(Progress::Done) => return assemble(&path_of(wanted), &devices, tools),
        Some(Progress::Begun(begun)) => *begun == identity,
        None => false,
    };
    if is_begun {
        // What the interrupted run has made may have been assembled since.
        stop_arrays_of(&devices, tools)?;
    } else if is_there(wanted, &devices, own, tools)? {
        return assemble(&path_of(wanted), &devices, tools);
    }
    record.begin(place, &identity)?;
    for path in &paths {
        tools.succeed(&["wipefs", "--all", path])?;
    }
    log::info!("make the RAID array {} of {}", wanted.name, paths.join(", "));
    let command = raid_create(wanted, &paths);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let what = format!("creating {:?}", wanted.name);
    tools.operation("createRaids: ", &what, &mut || tools.succeed(&command))?;
    record.finish(place)
}

/// Returns whether `devices` are the array that the config wants.
///
/// # Errors
/// Those of [`check_member`] if they are not.
fn is_there(wanted: &Raid<'_>, devices: &[Device], own: &[String], tools: Tools<'_>) -> Result<bool> {
    let paths: Vec<String> = devices.iter().map(Device::path).collect();
    if is_wanted(wanted, &members(&paths, tools)?) && !are_all_new(devices, own, tools)? {
        return Ok(true);
    }
    devices.iter().try_for_each(|device| check_member(device, own, tools))?;
    Ok(false)
}

/// Stops the arrays that `devices` are parts of, unless they are in use themselves. udev assembles what it finds, under names
/// of its own choice, if the initramfs has mdadm's rules.
fn stop_arrays_of(devices: &[Device], tools: Tools<'_>) -> Result<()> {
    for device in devices {
        for name in device.holders()?.into_iter().filter(|name| name.starts_with("md")) {
            // An array that lacks parts has no size, and so is not among the devices.
            if !Devices::read()?.all().iter().any(|array| array.name == name && array.is_in_use) {
                tools.succeed(&["mdadm", "--stop", &format!("/dev/{name}")])?;
            }
        }
    }
    Ok(())
}

/// Assembles an array, unless it runs already.
fn assemble(path: &str, devices: &[Device], tools: Tools<'_>) -> Result<()> {
    if devices.iter().all(|device| device.is_in_use) && Devices::read()?.at_path(path)?.is_some() {
        return Ok(());
    }
    stop_arrays_of(devices, tools)?;
    log::info!("assemble the RAID array {path}");
    let paths: Vec<String> = devices.iter().map(Device::path).collect();
    let mut command = vec!["mdadm", "--assemble", "--run", path];
    command.extend(paths.iter().map(String::as_str));
    tools.succeed(&command)
}

/// Returns what mdadm finds on each device.
fn members(paths: &[String], tools: Tools<'_>) -> Result<Vec<Option<Member>>> {
    let examine =
        |path: &String| Ok(Member::parse(&tools.run(&["mdadm", "--examine", "--export", path])?.text));
    paths.iter().map(examine).collect()
}

/// Returns the GUIDs of the partitions that this provisioning makes, or has made before a power cut. Nothing on them is
/// anybody's.
fn own_guids(disks: &[Disk<'_>], record: &Record<'_>) -> Vec<String> {
    let mut guids = Vec::new();
    for (index, disk) in disks.iter().enumerate() {
        for (number, wanted) in disk.partitions.iter().enumerate() {
            let place = format!("{}.partitions.{number}", place_of("disks", index));
            // One with a GUID of the config is only known by the record.
            let of_config = wanted.guid.as_deref().and_then(Guid::parse);
            guids.extend(of_config.filter(|_| record.progress(&place).is_some()));
            guids.push(record.ids().guid(&place));
        }
    }
    guids.iter().map(|guid| guid.to_string().to_ascii_lowercase()).collect()
}

fn are_all_new(devices: &[Device], own: &[String], tools: Tools<'_>) -> Result<bool> {
    for device in devices {
        if !own.contains(&Probe::of(device, tools)?.part_uuid.to_ascii_lowercase()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a member that is in use, or holds something. The language has no flag that allows to overwrite it.
fn check_member(device: &Device, own: &[String], tools: Tools<'_>) -> Result<()> {
    let probe = Probe::of(device, tools)?;
    let conflict =
        |what: String, advice: &'static str| Err(Error::new(Reason::Conflict, what).advise(advice));
    let devices = Devices::read()?;
    if device.is_in_use || devices.partitions_of(&device.name).any(|(partition, _)| partition.is_in_use) {
        let what = format!("{} is in use, so it cannot become a part of a RAID array", device.path());
        return conflict(what, "Name another device in the config.");
    }
    if probe.is_empty() || own.contains(&probe.part_uuid.to_ascii_lowercase()) {
        return Ok(());
    }
    let what = format!("{} holds {}, and would be overwritten", device.path(), probe.word());
    conflict(
        what,
        "Wipe the device (wipefs --all) if everything on it may be lost, or let the config make a new partition for the \
         array: wipeTable or wipePartitionEntry.",
    )
}
