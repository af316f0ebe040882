//! A config that changes disks. Such changes cannot be staged, so everything that can fail cheaply comes before them, and the
//! files come after them, when their file systems are mounted.

use super::phases::{Rendered, Setting, plan_config};
use super::writing;
use crate::change::{Op, Piece};
use crate::config::Config;
use crate::disks::{self, Mounted, Record};
use crate::error::{Problems, Result};
use crate::plan::Planned;
use crate::root::Root;
use crate::source::{Source, Transport};

/// The buffer size for reading a source, in bytes.
const BUFFER: usize = 64 << 10;

/// Returns whether `config` changes disks or needs more of them than the root.
pub(super) fn are_needed(config: &Config<'_>) -> bool {
    !config.storage.disks.is_empty() || !config.storage.filesystems.is_empty()
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
        let mut record = Record::open(root)?;
        let storage = &rendered.config.storage;
        disks::carry_out(storage, &mut record, root)?;
        record.keep_mounts(disks::mounts_of(storage))?;
        let mounted = Mounted::mount(root, &record.mounts)?;
        let put = plan_config(&rendered.config, root, setting, transport)
            .and_then(|planned| rendered.put(root, planned));
        let down = mounted.take_down();
        put.and(down)
    })
}

/// Mounts what the files of an interrupted run need, so that its commit can be completed.
///
/// # Errors
/// Those of the record, and of mounting.
pub(super) fn mount_again(root: &Root) -> Result<Mounted> {
    let mounts = if root.disk_record()?.is_empty() { Vec::new() } else { Record::open(root)?.mounts };
    Mounted::mount(root, &mounts)
}

/// Reads all sources of `planned` to their ends, which verifies them: a URL that cannot be fetched must not leave a machine with
/// wiped disks. They are fetched again when the files are written.
///
/// # Errors
/// All that is wrong with them, at once.
pub(super) fn try_sources(planned: Planned<'_>) -> Result<()> {
    let mut problems = Problems::default();
    let mut buffer = vec![0; BUFFER];
    for op in planned.ops {
        let Op::File { contents, .. } = op else { continue };
        for piece in contents {
            if let Piece::Source(source) = piece {
                problems.take(read_source(source, &mut buffer));
            }
        }
    }
    problems.finish()
}

fn read_source(source: Source<'_>, buffer: &mut [u8]) -> Result<()> {
    let mut stream = source.open()?;
    while stream.read(buffer)? > 0 {}
    Ok(())
}
