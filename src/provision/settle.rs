//! What stands in the root before anything is provisioned: the stamp, and what an interrupted run left.

use super::adopt;
use super::writing;
use crate::error::Result;
use crate::memory;
use crate::platform::Platform;
use crate::root::{Left, Root, SavedConfig};
use crate::stamp::{LIMIT, Verdict};

/// What there is left to do for a root once what an interrupted run left is dealt with.
pub(super) enum Settled {
    /// Nothing.
    Whole,
    /// Everything but the fetch.
    Config(SavedConfig),
    /// Everything.
    Untouched,
}

/// Completes, uses or takes away what an interrupted run left in `root`, and judges its stamp.
///
/// # Errors
/// That of a stamp which says nothing about this root, and those of the root.
pub(super) fn settle(root: &Root) -> Result<Settled> {
    let left = root.left();
    // The journal tells whose root it is. It comes before the stamp, which a stage may be replacing.
    if left == Ok(Left::Journal) {
        log::info!("an interrupted run is completed from its journal");
        writing(root, || root.resume())?;
        return Ok(Settled::Whole);
    }
    let mut buffer = [0; LIMIT];
    match root.judge_stamp(&mut buffer)? {
        Verdict::Missing => untouched(root, left?),
        Verdict::Ours(_) => {
            // The stamp stands, so the machine is provisioned. What cannot be taken away does not change that.
            let cleared = match left {
                Ok(Left::Nothing) => Ok(()),
                Ok(_) => writing(root, || root.discard().map(drop)),
                Err(error) => Err(error),
            };
            if let Err(error) = cleared {
                log::warn!("{error}");
            }
            Ok(Settled::Whole)
        }
        Verdict::Reference(stamp) => {
            log::info!("the program ignition has provisioned this root in this boot: its stamp is adopted");
            adopt::put(root, Some(&stamp))?;
            Ok(Settled::Whole)
        }
    }
}

/// Without a stamp: a saved config is used, and anything else that is `left` goes.
fn untouched(root: &Root, left: Left) -> Result<Settled> {
    match left {
        Left::Nothing => return Ok(Settled::Untouched),
        Left::Config => {
            let is_known = |name: &str| name.is_empty() || Platform::named(name).is_ok();
            match root.saved_config(memory::limit())? {
                Some(saved) if is_known(&saved.platform) => return Ok(Settled::Config(saved)),
                _ => log::warn!(
                    "the config that an interrupted run saved is damaged or of another root: it is not used"
                ),
            }
        }
        Left::Journal | Left::Pieces | Left::Whole => {}
    }
    writing(root, || root.discard().map(drop))?;
    Ok(Settled::Untouched)
}
