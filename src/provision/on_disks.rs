//! A config that changes disks. Such changes cannot be staged, so everything that can fail cheaply comes before them, and the
//! files come after them, when their file systems are mounted.

use super::phases::{Rendered, Setting, plan_config};
use super::writing;
use crate::change::{Op, Piece};
use crate::config::Config;
use crate::disks::{self, Record};
use crate::error::{Problems, Result};
use crate::plan::Planned;
use crate::root::Root;
use crate::source::Transport;

/// Returns whether `config` changes disks or needs more of them than the root.
pub(super) fn are_needed(config: &Config<'_>) -> bool {
    let storage = &config.storage;
    !(storage.disks.is_empty()
        && storage.raid.is_empty()
        && storage.luks.is_empty()
        && storage.filesystems.is_empty())
}

/// Carries out a config that changes disks. It has been planned on the root without them, which has shown everything that is
/// wrong with the config and the root.
///
/// # Errors
/// Those of the disks and of the root. Once the work on disks has begun, the config stays saved in the root,
/// and the next start goes on.
pub(super) fn carry_out(
    rendered: &mut Rendered<'_>,
    root: &Root,
    setting: Setting<'_>,
    transport: &dyn Transport,
) -> Result<()> {
    writing(root, &mut || {
        rendered.save(root)?;
        let mut record = Record::open(root, &rendered.sha512())?;
        let storage = &rendered.config.storage;
        let (ready, unlocks) = disks::carry_out(storage, &mut record, root, transport)?;
        record.keep_mounts(disks::mounts_of(storage))?;
        let ready = ready.mount(&record.mounts)?;
        let setting = Setting { unlocks: &unlocks, ..setting };
        let put = plan_config(&rendered.config, root, setting, transport)
            .and_then(|planned| rendered.put(root, planned));
        let down = ready.take_down();
        put.and(down)
    })
}

/// Reads all sources of `planned` to their ends, which verifies them: a URL that cannot be fetched must not leave a machine with
/// wiped disks. They are fetched again when the files are written.
///
/// # Errors
/// All that is wrong with them, at once.
pub(super) fn try_sources(planned: Planned<'_>) -> Result<()> {
    let mut problems = Problems::default();
    for op in planned.ops {
        let Op::File { contents, .. } = op else { continue };
        for piece in contents {
            if let Piece::Source(source) = piece {
                problems.take(source.open().and_then(|stream| stream.read_and_count(0)));
            }
        }
    }
    problems.finish()
}
