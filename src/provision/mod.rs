//! The order of work. [`run`] is what a machine does at each boot. It is composed of the phases in `phases`.

mod adopt;
mod dry_run;
mod failure;
pub(crate) mod offline;
pub(crate) mod on_disks;
pub(crate) mod phases;
mod policy;
pub(crate) mod render;
mod restart;
pub(crate) mod settle;
mod validate;

use std::path::Path;
use std::time::Instant;

use log::LevelFilter;

use crate::disks::BootMounts;
use crate::error::{Error, Reason, Result};
use crate::fetcher::{FetchOptions, Fetcher, NetworkUse};
use crate::initramfs;
use crate::kmsg_logger;
use crate::platform::{self, Answer, CommandLine, Platform, PlatformChoice};
use crate::root::{Leftovers, Root};
use crate::source::Transport;
pub use adopt::adopt;
pub use dry_run::{Form, Style, plan};
pub use offline::{apply, clean, fetcher};
use phases::{Defaults, Fetched, Setting, plan_config};
pub use policy::Policy;
use render::Texts;
use settle::{Settled, settle};
pub use validate::validate;

/// Provisions the root at `path` in one call, unless its stamp says that the root is provisioned already. A failure is also
/// written to the kernel's log and to the consoles. If the running kernel lacks the kernel
/// arguments of the config, the machine restarts at the end, and this function does not return.
///
/// The stamp is read before anything else, because on all boots but the first there is nothing to do.
///
/// # Errors
/// Every failure that stops provisioning. The root is then as it was, or the next call completes it. The stamp stands only if
/// everything succeeded.
pub fn run(path: &Path, platform: Option<Platform>) -> Result<()> {
    let root = Root::open(path);
    if root.as_ref().is_ok_and(Root::is_provisioned) {
        return Ok(());
    }
    let line = CommandLine::read();
    let debug = line.as_ref().is_ok_and(|line| line.debug);
    kmsg_logger::to_kmsg(if debug { LevelFilter::Debug } else { LevelFilter::Info });
    let done = line.and_then(|line| {
        // With this argument an owner starts a machine that cannot be provisioned. So the argument is looked at before any
        // failure of the root is reported.
        if line.forbidden {
            log::info!("the kernel command line forbids provisioning (ignition.firstboot)");
            return Ok(());
        }
        let choice = PlatformChoice::new(platform, &line)?;
        let root = root?;
        let fetcher = Fetcher::new(FetchOptions {
            platform: choice.platform().map_or("", Platform::name),
            patience: line.timeout,
            network: NetworkUse::BroughtUp,
            tell: failure::tell,
        });
        let mut fetch = || platform::user_config(choice, &line, false, &fetcher);
        let outcome = provision(&root, choice.platform(), &fetcher, &mut fetch)?;
        // The network goes down before a restart.
        drop(fetcher);
        match outcome {
            Outcome::Committed => restart::restart_for_arguments(&root),
            Outcome::NothingDone => Ok(()),
        }
    });
    if let Err(error) = &done {
        failure::report(error);
    }
    done
}

/// What a call of [`provision`] has done to a root that is provisioned, or has no config, at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has committed the changes of a config, or completed a commit that an interrupted run had begun.
    Committed,
    /// Nothing: the root had been provisioned before, or there is no config for it.
    NothingDone,
}

/// Provisions `root` with the config that `fetch` returns for `platform`. If an interrupted run has begun a commit, it is
/// completed. If it has saved a config, that one is used, and `fetch` is not called.
///
/// # Errors
/// As for [`run`].
pub fn provision(
    root: &Root,
    platform: Option<Platform>,
    transport: &dyn Transport,
    fetch: &mut dyn FnMut() -> Result<Answer>,
) -> Result<Outcome> {
    root.lock()?;
    match settle(root)? {
        Settled::Provisioned => Ok(Outcome::NothingDone),
        Settled::Resumed => Ok(Outcome::Committed),
        Settled::Config(saved) => {
            let done = Fetched::from_saved(saved).and_then(|fetched| carry_out(root, fetched, transport));
            done.inspect_err(|error| discard_useless_config(root, error))?;
            Ok(Outcome::Committed)
        }
        Settled::Untouched => {
            let started = Instant::now();
            let Some(fetched) = Fetched::from_host(platform, fetch)? else {
                log::info!("no platform has a config and the system has none: nothing to provision");
                return Ok(Outcome::NothingDone);
            };
            // Work on disks has saved the config.
            let done = carry_out(root, fetched, transport);
            done.inspect_err(|error| discard_useless_config(root, error))?;
            log::info!("provisioned in {} ms", milliseconds(started));
            Ok(Outcome::Committed)
        }
    }
}

/// Carries out the fetched configs in `root`: all phases from their bytes to the stamp.
fn carry_out(root: &Root, fetched: Fetched, transport: &dyn Transport) -> Result<()> {
    let texts = Texts::default();
    let mut rendered = fetched.render(&texts, transport)?;
    let running = CommandLine::text()?;
    let in_initramfs = initramfs::is_here()?;
    let setting = Setting {
        defaults: Defaults::Debian,
        kernel_command_line: Some(&running),
        changes_disks: in_initramfs,
        unlocks: &[],
        made_directories: &[],
    };
    let boot = in_initramfs.then(|| on_disks::mount_boot(&rendered.config, root)).transpose()?;
    let planned = plan_config(&rendered.config, root, setting, transport)?;
    let boot = boot.flatten().map_or(Ok(Vec::new()), BootMounts::take_down)?;
    let changes_disks = on_disks::are_needed(&rendered.config);
    if changes_disks || !boot.is_empty() {
        if changes_disks {
            on_disks::check_files(&rendered.config, planned)?;
        }
        return on_disks::carry_out(&mut rendered, boot, root, setting, transport);
    }
    rendered.put(root, planned)
}

/// Discards the saved config of `root` if `error` shows that it cannot be used there.
///
/// A failure of a disk, the system or the network says nothing about the config. The saved config may be the only copy, so it
/// is kept then. The config was usable when it was saved. Any other failure therefore comes from the config and the root
/// together, and the next config of the host may be better.
fn discard_useless_config(root: &Root, error: &Error) {
    use Reason::{BadAnswer, Certificate, Denied, NoHost, NoNetwork, NoSpace, ReadOnly, RootIo, System};
    let is_useless = error.all().all(|error| {
        let of_disk = matches!(error.reason(), RootIo | NoSpace | ReadOnly | Denied | System);
        !of_disk
            && !error.is_of_device()
            && !matches!(error.reason(), NoHost | NoNetwork | BadAnswer | Certificate)
    });
    if is_useless && root.leftovers() == Ok(Leftovers::SavedConfig) {
        if let Err(second) = writing(root, &mut || root.discard_config()) {
            log::warn!("{second}");
        }
    }
}

/// Calls `act` with the root mounted read-write, and then restores the mount.
///
/// # Errors
/// The first of the failures of `act` and of the two remounts; another one is only logged.
fn writing(root: &Root, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
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
