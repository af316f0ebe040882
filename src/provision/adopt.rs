//! `glowplug adopt`: taking a root as provisioned. A stamp that was written for another root, or by the program ignition, is
//! replaced by a stamp for this root.

use super::phases::boot_id;
use super::writing;
use crate::disks::remove_recorded_keys;
use crate::error::{Reason, Result};
use crate::root::{Leftovers, Root};
use crate::stamp::{self, LIMIT, Stamp, StampFault, StampVerdict};

/// Marks `root` as provisioned, without asking the host. Writes a stamp that keeps what the present stamp says. Returns false
/// if the stamp was written for this root already.
///
/// # Errors
/// [`Reason::Journal`] if a commit has begun and is not done; those of reading the stamp and of the root.
pub fn adopt(root: &Root) -> Result<bool> {
    root.lock()?;
    if root.leftovers()? == Leftovers::AfterCommit {
        writing(root, &mut || remove_recorded_keys(root).and_then(|()| root.discard().map(drop)))?;
    }
    let mut buffer = [0; LIMIT];
    if matches!(root.judge_stamp(&mut buffer), Ok(StampVerdict::Ours(_))) {
        return Ok(false);
    }
    let mut buffer = [0; LIMIT];
    let stamp = match root.read_stamp(&mut buffer) {
        Ok(stamp) => stamp,
        // A file that is not a stamp holds nothing that the new stamp could keep.
        Err(StampFault::Broken) => None,
        Err(fault) => return Err(root.stamp_error(fault)),
    };
    put(root, stamp.as_ref())?;
    Ok(true)
}

/// Writes a stamp for `root` that keeps what `stamp` says.
pub(super) fn put(root: &Root, stamp: Option<&Stamp<'_>>) -> Result<()> {
    root.check_stamp_place()?;
    let boot_id = boot_id()?;
    let put =
        writing(root, &mut || root.provision(None, &mut [], &|file| stamp::adopted(stamp, &boot_id, file)));
    put.map_err(|error| match error.reason() {
        Reason::Journal => error.advise(
            "This root was copied in the middle of a run, and may be provisioned only in part. Make the machine anew. \
             If you know that the root is complete, run \"glowplug clean\" and then \"glowplug adopt\" instead.",
        ),
        _ => error,
    })
}
