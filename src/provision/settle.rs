//! Before anything is fetched: the stamp is judged, and what an interrupted run left is dealt with.

use super::adopt;
use super::writing;
use crate::disks::{Ready, remove_recorded_keys};
use crate::error::Result;
use crate::memory;
use crate::platform::Platform;
use crate::root::{Leftovers, Root, SavedConfig};
use crate::stamp::{LIMIT, StampVerdict};

/// What remains to be done for a root, once the leftovers of an interrupted run are dealt with.
pub(super) enum Settled {
    /// Nothing: the root is provisioned.
    Provisioned,
    /// Nothing more: a commit that an interrupted run had begun is completed now.
    Resumed,
    /// Everything but the fetch, since an interrupted run has saved this config.
    Config(SavedConfig),
    /// Everything.
    Untouched,
}

/// Judges the stamp of `root`, and completes, uses or removes what an interrupted run left there.
///
/// # Errors
/// Those of a stamp that says nothing about this root, and those of the root.
pub(super) fn settle(root: &Root) -> Result<Settled> {
    let leftovers = root.leftovers();
    // The journal is looked at before the stamp. It names the root that it belongs to, so it needs no stamp. And a stage of
    // the program ignition may have been interrupted while it replaced an old stamp.
    if leftovers == Ok(Leftovers::BegunCommit) {
        log::info!("an interrupted run is completed from its journal");
        writing(root, &mut || resume(root))?;
        return Ok(Settled::Resumed);
    }
    let mut buffer = [0; LIMIT];
    match root.judge_stamp(&mut buffer)? {
        StampVerdict::Missing => without_stamp(root, leftovers?),
        StampVerdict::Ours(_) => {
            // The stamp stands, so the machine is provisioned. Leftovers that cannot be removed do not change that.
            let cleared = match leftovers {
                Ok(Leftovers::Nothing) => Ok(()),
                Ok(Leftovers::AfterCommit) => writing(root, &mut || clear_after_commit(root)),
                Ok(_) => writing(root, &mut || root.discard().map(drop)),
                Err(error) => Err(error),
            };
            if let Err(error) = cleared {
                log::warn!("{error}");
            }
            Ok(Settled::Provisioned)
        }
        StampVerdict::Reference(stamp) => {
            log::info!("the program ignition has provisioned this root in this boot: its stamp is adopted");
            adopt::put(root, Some(&stamp))?;
            Ok(Settled::Provisioned)
        }
    }
}

/// Completes a commit that an interrupted run had begun, with what its disks need.
///
/// # Errors
/// Those of the disks and of the root.
pub(crate) fn resume(root: &Root) -> Result<()> {
    let ready = Ready::again(root)?;
    let resumed = root.resume(&mut || ready.remove_keys());
    resumed.and(ready.take_down())
}

/// Removes what is left after a commit, also from the file systems that the config has made: they are not mounted at a later
/// start, and each may have an area. If they cannot be mounted, the root is cleared all the same. But the record of the work on
/// disks stays as long as a volume that is here has a key of it.
///
/// # Errors
/// Those of the disks and of the root.
pub(crate) fn clear_after_commit(root: &Root) -> Result<()> {
    let ready = Ready::again(root);
    let cleared = remove_recorded_keys(root).and_then(|()| root.discard().map(drop));
    cleared.and(ready.and_then(Ready::take_down))
}

/// Decides what to do with the leftovers of a root without a stamp: a saved config is used, anything else is removed.
fn without_stamp(root: &Root, leftovers: Leftovers) -> Result<Settled> {
    match leftovers {
        Leftovers::Nothing => return Ok(Settled::Untouched),
        Leftovers::SavedConfig => {
            let is_known = |name: &str| name.is_empty() || Platform::named(name).is_ok();
            match root.saved_config(memory::limit())? {
                Some(saved) if is_known(&saved.platform) => return Ok(Settled::Config(saved)),
                _ => log::warn!(
                    "the config that an interrupted run saved is damaged or belongs to another root, so it is not used"
                ),
            }
        }
        Leftovers::BegunCommit | Leftovers::Staging | Leftovers::AfterCommit => {}
    }
    writing(root, &mut || root.discard_config())?;
    Ok(Settled::Untouched)
}
