//! The order of work. [`run`] is what a machine does at each boot; the phases that it consists of are in `phases`.

mod adopt;
mod dry_run;
mod failure;
mod offline;
pub(crate) mod phases;
mod policy;
pub(crate) mod render;
mod settle;
mod validate;

use std::path::Path;
use std::time::Instant;

use log::LevelFilter;

use crate::error::{Error, Reason, Result};
use crate::kmsg_logger;
use crate::platform::{self, Answer, Choice, CommandLine, Platform};
use crate::root::{Left, Root};
use crate::source::NoTransport;
pub use adopt::adopt;
pub use dry_run::{Form, Style, plan};
pub use offline::{apply, clean};
use phases::{Defaults, Fetched, plan_config};
pub use policy::Policy;
use render::Texts;
use settle::{Settled, settle};
pub use validate::validate;

/// What gets the bytes of the URLs of configs: nothing does yet, so that they are refused by name.
pub(crate) const TRANSPORT: NoTransport = NoTransport;

/// Provisions the root at `path` unless its stamp says that it has been: everything in one call. A failure is told
/// in the kernel's log and on the consoles as well.
///
/// Nothing comes before the look at the stamp: on all boots but the first this is the whole program.
///
/// # Errors
/// Whatever stops it. The root is then as it was, or the next call completes it; the stamp stands only after a whole
/// run.
pub fn run(path: &Path, platform: Option<Platform>) -> Result<()> {
    let root = Root::open(path);
    if root.as_ref().is_ok_and(Root::is_whole) {
        return Ok(());
    }
    let line = CommandLine::read();
    let debug = line.as_ref().is_ok_and(|line| line.debug);
    kmsg_logger::to_kmsg(if debug { LevelFilter::Debug } else { LevelFilter::Info });
    let done = line.and_then(|line| {
        // The way out of a machine that cannot be provisioned: nothing of the root may stand in it.
        if line.forbidden {
            log::info!("the kernel command line forbids provisioning (ignition.firstboot)");
            return Ok(());
        }
        let choice = Choice::new(platform, &line)?;
        let mut fetch = || platform::user_config(choice, &line, false, &TRANSPORT);
        provision(&root?, choice.platform(), &mut fetch)
    });
    if let Err(error) = &done {
        failure::report(error);
    }
    done
}

/// Provisions `root` with what `fetch` gives for `platform`. What an interrupted run left comes first: a commit that has
/// begun is completed, and a config that was saved is used, without asking for another.
///
/// # Errors
/// As for [`run`].
pub fn provision(
    root: &Root,
    platform: Option<Platform>,
    fetch: &mut dyn FnMut() -> Result<Answer>,
) -> Result<()> {
    root.lock()?;
    match settle(root)? {
        Settled::Whole => Ok(()),
        Settled::Config(saved) => {
            let done = Fetched::from_saved(saved).and_then(|fetched| carry_out(root, fetched));
            done.inspect_err(|error| discard_useless_config(root, error))
        }
        Settled::Untouched => {
            let started = Instant::now();
            let Some(fetched) = Fetched::from_host(platform, fetch)? else {
                log::info!("no platform has a config and the system has none: nothing to provision");
                return Ok(());
            };
            carry_out(root, fetched)?;
            log::info!("provisioned in {} ms", milliseconds(started));
            Ok(())
        }
    }
}

/// Makes `root` what the fetched configs say: the phases from bytes to the stamp.
fn carry_out(root: &Root, fetched: Fetched) -> Result<()> {
    let texts = Texts::default();
    let rendered = fetched.render(&texts)?;
    let planned = plan_config(&rendered.config, root, Defaults::Debian)?;
    rendered.put(root, planned)
}

/// Discards the saved config of `root` if `error` shows that it cannot be used there.
///
/// A disk or a system that fails says nothing about the config, which may be the only copy. The config could be used when
/// it was saved, so any other fault comes from config and root together: the host's next config may be better.
fn discard_useless_config(root: &Root, error: &Error) {
    use Reason::{Denied, NoSpace, ReadOnly, RootIo, System};
    let is_useless =
        error.all().all(|error| !matches!(error.reason(), RootIo | NoSpace | ReadOnly | Denied | System));
    if is_useless && root.left() == Ok(Left::Config) {
        if let Err(second) = writing(root, || root.discard().map(drop)) {
            log::warn!("{second}");
        }
    }
}

/// Does `act` with the root mounted read-write, and leaves the mount as it was found.
fn writing(root: &Root, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let writable = root.make_writable()?;
    let done = act();
    let restored = writable.restore();
    if let (Err(_), Err(second)) = (&done, &restored) {
        log::warn!("{second}");
    }
    done.and(restored)
}

/// Returns the milliseconds since `start`, without the wide arithmetic of `Duration::as_millis`.
fn milliseconds(start: Instant) -> u64 {
    let elapsed = start.elapsed();
    elapsed.as_secs().saturating_mul(1000).saturating_add(elapsed.subsec_millis().into())
}
