//! A config that changes disks. Such changes cannot be staged, so everything that can fail cheaply comes before them, and the
//! files come after them, when their file systems are mounted.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::phases::{Rendered, Setting, plan_config};
use super::writing;
use crate::change::{Op, Piece};
use crate::config::{Config, KernelArguments};
use crate::disks::{self, BootMounts, Mount, Record, Tools};
use crate::error::{Error, Problems, Reason, Result};
use crate::kernel_args::BOOT_PARTITIONS;
use crate::map::Map;
use crate::plan::Planned;
use crate::root::{Leftovers, Root};
use crate::source::Transport;

/// The format without owners and links.
const VFAT: &str = "vfat";
/// What to do about a plan that fails on the disks as they are now.
const ADVICE: &str = "Change the config, or what stands at the path that is named, then start again. The disks are changed \
                      already, but no file was written.";

/// Returns whether `config` changes disks or needs more of them than the root.
pub(super) fn are_needed(config: &Config<'_>) -> bool {
    let storage = &config.storage;
    !(storage.disks.is_empty()
        && storage.raid.is_empty()
        && storage.luks.is_empty()
        && storage.filesystems.is_empty())
}

/// Mounts what boot loaders read beside the root, if `config` changes kernel arguments and mounts none of it itself.
///
/// # Errors
/// Those of [`BootMounts::mount`].
pub(super) fn mount_boot<'r>(config: &Config<'_>, root: &'r Root) -> Result<Option<BootMounts<'r>>> {
    let of_config = |mount: &Mount| BOOT_PARTITIONS.contains(&mount.path.trim_end_matches('/'));
    if config.kernel_arguments == KernelArguments::default()
        || disks::mounts_of(&config.storage).iter().any(of_config)
    {
        return Ok(None);
    }
    BootMounts::mount(&BOOT_PARTITIONS, Tools::of(root)).map(Some)
}

/// Carries out a config that changes disks, or files on the `boot` file systems. It has been planned on the root without the
/// disks, which has shown everything that is wrong with the config and the root.
///
/// # Errors
/// Those of the disks and of the root. Once the work on disks has begun, the config stays saved in the root, and the next start
/// goes on. Without work on disks, the root is as it was until its commit begins.
pub(super) fn carry_out(
    rendered: &mut Rendered<'_>,
    mut boot: Vec<Mount>,
    root: &Root,
    setting: Setting<'_>,
    transport: &dyn Transport,
) -> Result<()> {
    let changes_disks = are_needed(&rendered.config);
    let may_undo = !changes_disks && !rendered.is_saved();
    let mut put = || {
        rendered.save(root)?;
        let mut record = Record::open(root, &rendered.sha512())?;
        let storage = &rendered.config.storage;
        let (ready, unlocks) = disks::carry_out(storage, &mut record, Tools::of(root), transport)?;
        record.keep_mounts(disks::mounts_of(storage))?;
        record.keep_mounts(std::mem::take(&mut boot))?;
        let mounts = record.mounts.clone();
        let ready = ready.mount(&mounts, &mut |directory| record.keep_made(directory))?;
        let setting = Setting { unlocks: &unlocks, made_directories: &record.made, ..setting };
        // The advice for a config says that nothing was written, which is no longer so.
        let advise = |error: Error| if changes_disks { error.advise(ADVICE) } else { error };
        let put = plan_config(&rendered.config, root, setting, transport)
            .map_err(advise)
            .and_then(|planned| rendered.put_and(root, planned, &mut || ready.remove_keys()));
        let down = ready.take_down();
        if let (Err(_), Err(error)) = (&put, &down) {
            log::warn!("{error}");
        }
        put.and(down)
    };
    writing(root, &mut || put().map_err(|error| if may_undo { undo(root, error) } else { error }))
}

/// Removes what was saved and staged in `root`, unless its commit has begun. Returns `error`, which made this necessary; another
/// failure is only logged.
fn undo(root: &Root, error: Error) -> Error {
    if matches!(root.leftovers(), Ok(Leftovers::SavedConfig | Leftovers::Staging)) {
        if let Err(second) = root.discard() {
            log::warn!("{second}");
        }
    }
    error
}

/// Checks the files of `planned`, the plan of `config`, before its disks are changed. All sources are read to their ends, which
/// verifies them: a URL that cannot be fetched must not leave a machine with wiped disks. They are fetched again when the files
/// are written.
///
/// # Errors
/// All that is wrong with the sources, at once; [`Reason::Unsupported`] for a file on vfat, which has no owners, so nothing
/// unfinished can be kept from others there.
pub(super) fn check_files(config: &Config<'_>, planned: Planned<'_>) -> Result<()> {
    let mounts = disks::mounts_of(&config.storage);
    let vfat = VfatMounts::of(&mounts);
    let mut problems = Problems::default();
    for op in planned.ops {
        problems.take(vfat.refuse(&op));
        let Op::File { contents, .. } = op else { continue };
        for piece in contents {
            if let Piece::Source(source) = piece {
                problems.take(source.open().and_then(|stream| stream.read_and_count(0)));
            }
        }
    }
    problems.finish()
}

/// The mounts of a config by their paths, if one of them has the format vfat.
pub(crate) struct VfatMounts<'m>(Map<&'m Mount>);

impl<'m> VfatMounts<'m> {
    pub(crate) fn of(mounts: &'m [Mount]) -> Self {
        let mut all = Map::default();
        if mounts.iter().any(|mount| mount.format == VFAT) {
            for mount in mounts {
                let path: PathBuf = Path::new(&mount.path).components().collect();
                all.insert(path.as_os_str().as_bytes(), mount);
            }
        }
        Self(all)
    }

    /// Refuses an operation on a file system of the format vfat.
    ///
    /// # Errors
    /// [`Reason::Unsupported`].
    pub(crate) fn refuse(&self, op: &Op<'_>) -> Result<()> {
        let path = op.path();
        let above =
            |above: &Path| self.0.get(above.as_os_str().as_bytes()).map(|mount| (*mount, above == path));
        match path.ancestors().find_map(above) {
            Some((mount, false)) if mount.format == VFAT => {}
            _ => return Ok(()),
        }
        let what = format!(
            "{} is on a file system of the format vfat, where no files can be written",
            path.display()
        );
        Err(Error::new(Reason::Unsupported, what).advise(
            "Let a unit of the config copy this file there at the first boot, then start again: nothing was written.",
        ))
    }
}
