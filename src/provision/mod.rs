//! The order of work: fetch, parse, plan, stage and commit, stamp.

mod adopt;
mod dry_run;
mod failure;
pub(crate) mod offline;
mod policy;
pub(crate) mod render;
mod settle;
mod validate;

use std::path::Path;
use std::time::Instant;

use log::LevelFilter;

use crate::change::View;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Reason, Result};
use crate::kmsg_logger;
use crate::plan::{Options, Planned, Today};
use crate::platform::system::BaseConfigs;
use crate::platform::{self, Choice, CommandLine, Fetched, Platform, UserConfig, system};
use crate::root::{ConfigToSave, Left, Root};
use crate::source::{NoTransport, sha512_hex};
use crate::stamp;
pub use adopt::adopt;
pub use dry_run::{Form, Style, plan};
pub use offline::{apply, clean};
pub use policy::Policy;
use render::{Renderer, Texts};
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

/// Provisions `root` with what `fetch` gives for `platform`. What an interrupted run left
/// comes first: a commit that has begun is completed, and a config that was saved is used, without asking for another.
///
/// # Errors
/// As for [`run`].
pub fn provision(
    root: &Root,
    platform: Option<Platform>,
    fetch: &mut dyn FnMut() -> Result<Fetched>,
) -> Result<()> {
    root.lock()?;
    let saved = match settle(root)? {
        Settled::Whole => return Ok(()),
        Settled::Untouched => return from_host(root, platform, fetch),
        Settled::Config(saved) => saved,
    };
    log::info!("glowplug {} with the config that an interrupted run had fetched", env!("CARGO_PKG_VERSION"));
    let platform = Platform::named(&saved.platform).ok();
    let base = system::base_configs(platform);
    let done = base.and_then(|base| carry_out(root, platform, base, saved.text, true));
    // A disk or a system that fails says nothing of the config, which may be the only copy. It could be used when it was
    // saved, so that any other fault is of the two together: the host's next one may be better.
    let is_discarded = done.as_ref().is_err_and(|error| {
        use Reason::{Denied, NoSpace, ReadOnly, RootIo, System};
        error.all().all(|error| !matches!(error.reason(), RootIo | NoSpace | ReadOnly | Denied | System))
    });
    if is_discarded && root.left() == Ok(Left::Config) {
        if let Err(second) = writing(root, || root.discard().map(drop)) {
            log::warn!("{second}");
        }
    }
    done
}

/// The fetch, and everything after it.
fn from_host(
    root: &Root,
    platform: Option<Platform>,
    fetch: &mut dyn FnMut() -> Result<Fetched>,
) -> Result<()> {
    let started = Instant::now();
    let base = system::base_configs(platform)?;
    let (text, from) = match fetch()? {
        Fetched::Config(UserConfig { text, from }) => (text, from.source()),
        Fetched::NeedsNetwork | Fetched::Nothing if base.is_empty() => {
            log::info!("no platform has a config and the system has none: nothing to provision");
            return Ok(());
        }
        Fetched::NeedsNetwork | Fetched::Nothing => (Vec::new(), "system"),
    };
    log::info!("glowplug {} with the config of {from}", env!("CARGO_PKG_VERSION"));
    log::info!("fetched a config of {} bytes in {} ms", text.len(), milliseconds(started));
    carry_out(root, platform, base, text, false)?;
    log::info!("provisioned in {} ms", milliseconds(started));
    Ok(())
}

/// Makes the root what the config in `text` over the `base` configs says. One that is not saved yet is saved first.
fn carry_out(
    root: &Root,
    platform: Option<Platform>,
    base: BaseConfigs,
    text: Vec<u8>,
    is_saved: bool,
) -> Result<()> {
    let texts = Texts::default();
    let text = texts.keep(text.into());
    let mut config = render::merge_base(base, &texts)?;
    let (user, version) = Renderer::new(&texts, &TRANSPORT).render(text)?;
    config.merge_with(user);
    let mut ops = plan_config(&config, root)?.log_remarks();
    let boot_id = boot_id()?;
    root.check_stamp_place()?;
    let sha512 = sha512_hex(text);
    let platform = platform.map_or("", Platform::name);
    let run = stamp::Run {
        boot_id: &boot_id,
        user_config_provided: !text.is_empty(),
        platform,
        spec_version: if text.is_empty() { "" } else { version.text() },
        config_sha512: &sha512,
        previous: None,
    };
    writing(root, || {
        let to_save = ConfigToSave { platform, sha512: &sha512, text };
        let to_save = (!is_saved).then_some(&to_save);
        root.provision(to_save, &mut ops, &|file| stamp::text(&run, file))
    })
}

/// Does `act` with the root mounted read-write, and leaves it as it was found.
fn writing(root: &Root, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let writable = root.make_writable()?;
    let done = act();
    let restored = writable.restore();
    if let (Err(_), Err(second)) = (&done, &restored) {
        log::warn!("{second}");
    }
    done.and(restored)
}

/// Milliseconds since `start`, without the wide arithmetic of `Duration::as_millis`.
fn milliseconds(start: Instant) -> u64 {
    let elapsed = start.elapsed();
    elapsed.as_secs().saturating_mul(1000).saturating_add(elapsed.subsec_millis().into())
}

/// Returns the kernel's id of the current boot.
pub(crate) fn boot_id() -> Result<String> {
    stamp::boot_id().map_err(|(path, errno)| {
        Error::new(Reason::System, format!("read {path}: {}", crate::error::errno_words(errno)))
    })
}

/// Whether ssh keys go into a fragment: what the environment says, else `default`.
pub(crate) fn writes_key_fragment(default: bool) -> Result<bool> {
    const VARIABLE: &str = "IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT";
    match std::env::var_os(VARIABLE).as_deref().map(std::ffi::OsStr::to_str) {
        None | Some(Some("")) => Ok(default),
        Some(Some("true" | "1")) => Ok(true),
        Some(Some("false" | "0")) => Ok(false),
        Some(_) => Err(Error::new(Reason::Usage, format!("{VARIABLE} is neither true nor false"))),
    }
}

fn plan_config<'a>(config: &'a Config<'a>, view: &dyn View) -> Result<Planned<'a>> {
    // Debian's sshd reads .ssh/authorized_keys and no fragments.
    let ssh_key_fragment = writes_key_fragment(false)?;
    let options = Options {
        today: Today(clock::today()),
        ssh_key_fragment,
        image_defaults: true,
        transport: &TRANSPORT,
    };
    let started = Instant::now();
    let planned = crate::plan::plan(config, view, options)?;
    log::debug!("planned {} operations in {} ms", planned.ops.len(), milliseconds(started));
    Ok(planned)
}
