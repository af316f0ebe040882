//! The file systems of their own that boot loaders read. Debian's initramfs mounts the root only, and the kernel arguments
//! may be in files beside it.

use std::path::Path;

use super::devices::Devices;
use super::mount::Mounted;
use super::probe::Probe;
use super::record::Mount;
use super::resolve::resolve;
use super::tools::Tools;
use super::work::root_device;
use crate::change::{FileKind, View as _};
use crate::error::{Error, Reason, Result};
use crate::kernel_args::{BOOT_PARTITIONS, BootPartition};
use crate::plan;

/// The types of partitions that systemd mounts without a line in `/etc/fstab` (Discoverable Partitions Specification): that of
/// more entries, and the EFI system partition.
const EXTENDED_BOOT_LOADER: &str = "bc13c2ff-59e6-4262-a352-b275fd6f7172";
const EFI_SYSTEM: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

const ADVICE: &str = "The boot loader may take the kernel arguments from there. Check the line of this file system in /etc/fstab \
                      of the image, and that its kernel has the module of the format. Or remove $.kernelArguments from the \
                      config. Then start again: nothing was written.";

/// What to do about a directory that a line of fstab mounts a second time.
const BIND_ADVICE: &str = "Mount the file system itself there, or remove $.kernelArguments from the config. Then start again: nothing \
                           was written.";

/// The file systems of boot loaders that had to be mounted.
pub struct BootMounts<'r> {
    mounts: Vec<Mount>,
    mounted: Mounted<'r>,
}

impl<'r> BootMounts<'r> {
    /// Mounts, read-only, what boot loaders read beside the root of `tools`, at those of [`BOOT_PARTITIONS`] that are in `paths`:
    /// the file systems of `/etc/fstab`, otherwise those that systemd would find by the types of their partitions. A root with
    /// files of GRUB or extlinux needs no other one.
    ///
    /// # Errors
    /// [`Reason::Disk`] for a file system that is missing or cannot be mounted, [`Reason::Unsupported`] for a bind mount, and
    /// those of the root. What was mounted is taken down again.
    pub fn mount(paths: &[&str], tools: Tools<'r>) -> Result<Self> {
        let root = tools.root();
        let mut boot = Self { mounts: Vec::new(), mounted: Mounted::none(root) };
        let mut partitions = plan::boot_partitions(root)?;
        if partitions.is_empty() && !plan::has_boot_loader(root)? {
            partitions = by_types(tools)?;
        }
        partitions.retain(|partition| paths.contains(&partition.path));
        for partition in partitions {
            if partition.path != "/boot" && plan::has_boot_loader(root)? {
                break;
            }
            let may_be_missing = partition.options.split(',').any(|option| option == "nofail");
            match boot.add(partition, tools) {
                Err(error) if may_be_missing => log::warn!("{error}"),
                Err(error) if error.reason() == Reason::Unsupported => return Err(error),
                added => added.map_err(|error| error.advise(ADVICE))?,
            }
        }
        Ok(boot)
    }

    /// Takes them down. Returns how they are to be mounted for writing.
    ///
    /// # Errors
    /// [`Reason::Disk`] for the first that cannot be taken down.
    pub fn take_down(self) -> Result<Vec<Mount>> {
        self.mounted.take_down().map(|()| self.mounts)
    }

    fn add(&mut self, partition: BootPartition, tools: Tools<'r>) -> Result<()> {
        let BootPartition { path, device, format, options } = partition;
        // The root is read-only now, so a missing directory cannot be made.
        if tools.root().stat(Path::new(path))?.is_none_or(|stat| stat.kind != FileKind::Directory) {
            return Ok(());
        }
        if options.split(',').any(|option| matches!(option, "bind" | "rbind")) {
            let what = format!(
                "/etc/fstab of the root mounts the directory {device} a second time, at {path}, which is not done here"
            );
            return Err(Error::new(Reason::Unsupported, what).advise(BIND_ADVICE));
        }
        let device = path_of(&device);
        let format =
            if format == "auto" { Probe::names_of(&resolve(&device, tools)?, tools)?.kind } else { format };
        let with = |last: &str| Mount {
            device: device.clone(),
            format: format.clone(),
            options: format!("{options},{last}"),
            path: path.to_owned(),
        };
        self.mounted.add(&with("ro"), tools, &mut |_| Ok(()))?;
        self.mounts.push(with("rw"));
        Ok(())
    }
}

/// Returns the path of a device that `/etc/fstab` names.
fn path_of(device: &str) -> String {
    let tags = [("UUID", "uuid"), ("LABEL", "label"), ("PARTUUID", "partuuid"), ("PARTLABEL", "partlabel")];
    let named = device.split_once('=').and_then(|(tag, name)| {
        let (_, link) = tags.iter().find(|(known, _)| *known == tag)?;
        Some(format!("/dev/disk/by-{link}/{}", name.trim_matches('"')))
    });
    named.unwrap_or_else(|| device.to_owned())
}

/// Returns the file systems beside the root that systemd mounts by the types of their partitions, if their directories are
/// empty: the extended boot loader partition at `/boot`, and the EFI system partition at `/efi`, or at `/boot` if that is free.
fn by_types(tools: Tools<'_>) -> Result<Vec<BootPartition>> {
    let root = tools.root();
    let Some(place) = root_device(root)?.and_then(|device| device.partition) else { return Ok(Vec::new()) };
    let devices = Devices::read()?;
    let mut found: Vec<BootPartition> = Vec::new();
    let probes = devices.partitions_of(&place.disk).map(|(device, _)| Probe::names_of(device, tools));
    let probes = probes.collect::<Result<Vec<_>>>()?;
    for (kind, paths) in [(EXTENDED_BOOT_LOADER, &["/boot"][..]), (EFI_SYSTEM, &["/efi", "/boot"])] {
        let Some(probe) = probes.iter().find(|probe| probe.part_type == kind && !probe.kind.is_empty())
        else {
            continue;
        };
        for path in BOOT_PARTITIONS.into_iter().filter(|path| paths.contains(path)).rev() {
            let is_directory =
                root.stat(Path::new(path))?.is_some_and(|stat| stat.kind == FileKind::Directory);
            let is_taken = found.iter().any(|known| known.path == path);
            if is_directory && !is_taken && root.list(Path::new(path))?.is_empty() {
                found.push(BootPartition {
                    path,
                    device: format!("PARTUUID={}", probe.part_uuid),
                    format: probe.kind.clone(),
                    options: String::new(),
                });
                break;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_fstab_become_paths() {
        for (device, path) in [
            ("UUID=12AB-34CD", "/dev/disk/by-uuid/12AB-34CD"),
            ("PARTLABEL=\"esp\"", "/dev/disk/by-partlabel/esp"),
            ("/dev/vda1", "/dev/vda1"),
            ("x=y", "x=y"),
        ] {
            assert_eq!(path_of(device), path);
        }
    }
}
