//! File systems and swap: what stands on each device of a config, and making what the config wants.

use std::path::Path;

use rustix::fs::{Mode, OFlags, fsync, open};

use super::devices::{Device, Devices};
use super::plan::{Action, Format, command, decide};
use super::probe::Probe;
use super::record::{Progress, Record};
use super::tools::{Extra, Tools};
use super::{in_root, place_of};
use crate::change::View as _;
use crate::config::Filesystem;
use crate::error::{Error, Reason, Result};

/// Decides what becomes of the file system that the config wants at `place` on `device`.
///
/// # Errors
/// Those of [`decide`]; [`Reason::Conflict`] if it would be made over something in use; those of reading the device.
pub fn plan(
    wanted: &Filesystem<'_>,
    format: Format,
    (place, device): (&str, &Device),
    record: &Record<'_>,
    tools: Tools<'_>,
) -> Result<Action> {
    match record.progress(place) {
        Some(Progress::Done) => return Ok(Action::Keep),
        // An interrupted run has begun to make it, so nothing else is on the device any more.
        Some(Progress::Begun(identity)) if *identity == device.identity => return Ok(Action::Make),
        _ => {}
    }
    let action = decide(wanted, format, &Probe::of(device, tools)?, place)?;
    if action == Action::Make {
        refuse_used(device, place)?;
    }
    Ok(action)
}

/// Refuses a device that is in use, or that has a partition in use.
///
/// # Errors
/// [`Reason::Conflict`], and those of reading the devices.
pub fn refuse_used(device: &Device, place: &str) -> Result<()> {
    let devices = Devices::read()?;
    let is_used = devices.all().iter().any(|other| {
        let is_part = other.partition.as_ref().is_some_and(|place| place.disk == device.name);
        other.is_in_use && (is_part || other.number == device.number)
    });
    if !is_used {
        return Ok(());
    }
    let what = format!("{} is in use, so nothing can be made there, at {place}", device.path());
    Err(Error::new(Reason::Conflict, what)
        .advise("Name another device. The file system that the system runs from cannot be made anew."))
}

/// Makes the file system that the config wants at `place`, over whatever is on `device`. If it is for a directory of the root
/// that has contents, they are copied into it: otherwise they would be hidden, and a Debian without the contents of `/var` does
/// not work. A stage copies nothing, because its root may not be mounted yet.
///
/// # Errors
/// Those of the programs, and of the record.
pub fn make(
    wanted: &Filesystem<'_>,
    format: Format,
    (place, device): (&str, &Device),
    record: &mut Record<'_>,
    tools: Tools<'_>,
) -> Result<()> {
    let path = device.path();
    record.begin(place, &device.identity)?;
    tools.succeed(&["wipefs", "--all", &path])?;
    let command = command(wanted, format, &path);
    if !command.is_empty() {
        log::info!("make a file system on {}: {}", shown(wanted, device), format.name());
        tools.succeed(&command.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    if let Some(directory) = wanted.path.as_deref().filter(|_| format != Format::Swap && !tools.is_stage()) {
        copy_contents(directory, (&path, format), tools)?;
    }
    sync(device)?;
    record.finish(place)
}

/// Returns the device as the config names it, with the kernel's name: `/dev/dm-0` alone tells nobody what it is.
fn shown(wanted: &Filesystem<'_>, device: &Device) -> String {
    let path = device.path();
    if wanted.device == path { path } else { format!("{} ({path})", wanted.device) }
}

/// Copies what the image has in `directory` into the new file system.
fn copy_contents(directory: &str, (device, format): (&str, Format), tools: Tools<'_>) -> Result<()> {
    if tools.root().stat(Path::new(directory))?.is_none() {
        return Ok(());
    }
    load_module(format.name(), tools);
    log::info!("copy {directory} into the new file system");
    let from = format!("{}/.", directory.trim_end_matches('/'));
    let extra = Extra { device, kind: format.name() };
    tools.succeed_with(Some(extra), &["cp", "--archive", "--", &from, in_root::PLACE])
}

/// Loads the kernel modules of a file system. They may be parts of the kernel, and mounting tells if one is missing.
pub fn load_module(kind: &str, tools: Tools<'_>) {
    // vfat wants the tables of its character sets. The kernel would look for them in the initramfs only.
    let tables: &[&str] =
        if kind == "vfat" { &["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"] } else { &[] };
    let arguments = [&["modprobe", "--quiet", "--all", kind], tables].concat();
    match tools.run(&arguments) {
        Ok(_) => {}
        Err(error) => log::warn!("{error}"),
    }
}

/// Waits until everything that was written to `device` is on the disk.
///
/// # Errors
/// [`Reason::Disk`].
#[allow(clippy::disallowed_methods, reason = "a device, not a path of the root")]
pub fn sync(device: &Device) -> Result<()> {
    let path = device.path();
    let synced = open(&*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).and_then(|fd| fsync(&fd));
    synced.map_err(|errno| Error::device("write to", &path, &errno.into()))
}

/// Returns the place of an entry in the config.
pub fn place(index: usize) -> String {
    place_of("filesystems", index)
}
