//! The order of work: fetch, parse, plan, stage and commit, stamp.

mod failure;

use std::path::Path;
use std::time::Instant;

use crate::clock;
use crate::config::{self, Parsed, Position};
use crate::error::{Error, Reason, Result};
use crate::plan::{self, Op, Options, Today, View};
use crate::platform::{CommandLine, Platform};
use crate::resource::sha512_hex;
use crate::root::Root;
use crate::stamp::{Details, Stamp};

pub use failure::report as report_failure;

/// Warn about this many unused keys by name; a config that has more is told their number.
const MOST_UNUSED: usize = 20;

/// Provisions the root at `path` unless its stamp says that it has been: everything in one call.
///
/// # Errors
/// Whatever stops it. Up to the commit the root is then as it was; the stamp stands only after a whole run.
pub fn run(path: &Path, root: &Root, platform: Option<Platform>, line: &CommandLine) -> Result<()> {
    if line.forbidden {
        log::info!("the kernel command line forbids provisioning (ignition.firstboot)");
        return Ok(());
    }
    let named = match (platform, &line.platform) {
        (Some(platform), _) => Some(platform),
        (None, Some(name)) => Some(Platform::named(name)?),
        (None, None) => None,
    };
    let Some(platform) = named.or_else(Platform::detect) else {
        log::info!("no vsock device and no config from QEMU: nothing to provision");
        return Ok(());
    };
    log::info!("glowplug {} on platform {}", env!("CARGO_PKG_VERSION"), platform.name());
    let started = Instant::now();
    let text = platform.fetch(line.timeout)?;
    log::info!("fetched a config of {} bytes in {} ms", text.len(), milliseconds(started));

    let parsed = if text.is_empty() { None } else { Some(parse(&text)?) };
    let writable = root.make_writable(path)?;
    let done = provision(root, parsed.as_ref(), &text, platform);
    let restored = writable.restore();
    // The first error tells why; the second one only follows from it.
    done.and(restored)?;
    log::info!("provisioned in {} ms", milliseconds(started));
    Ok(())
}

fn provision(root: &Root, parsed: Option<&Parsed<'_>>, text: &[u8], platform: Platform) -> Result<()> {
    if let Some(parsed) = parsed {
        apply_parsed(root, parsed)?;
    }
    let boot_id = boot_id()?;
    let config_sha512 = sha512_hex(text);
    let date = clock::rfc3339(clock::now());
    root.write_stamp(|file| {
        let details = Details {
            version: env!("CARGO_PKG_VERSION"),
            platform: platform.name(),
            spec_version: parsed.map_or("", |parsed| parsed.version.text()),
            config_sha512: &config_sha512,
            inode: file.inode,
            born: file.born,
        };
        Stamp {
            boot_id: &boot_id,
            date: &date,
            user_config_provided: parsed.is_some(),
            glowplug: Some(details),
        }
        .to_text()
    })
}

/// Milliseconds since `start`, without the wide arithmetic of `Duration::as_millis`.
fn milliseconds(start: Instant) -> u64 {
    let elapsed = start.elapsed();
    elapsed.as_secs().saturating_mul(1000).saturating_add(elapsed.subsec_millis().into())
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(Reason::System, format!("read {path}: {}", crate::error::io_words(&error)))
    })?;
    Ok(text.trim().to_owned())
}

/// Applies the config in `text` to a directory tree, as an image builder does; no stamp is left.
pub fn apply(root: &Root, text: &[u8]) -> Result<()> {
    apply_parsed(root, &parse(text)?)
}

fn parse(text: &[u8]) -> Result<Parsed<'_>> {
    let parsed = config::parse(text)?;
    for key in parsed.unused.iter().take(MOST_UNUSED) {
        log::warn!("unused key {}, {}", key.path, Position::of(text, key.offset));
    }
    let untold = parsed.unused.len().saturating_sub(MOST_UNUSED);
    if untold > 0 {
        log::warn!("{untold} more unused keys");
    }
    Ok(parsed)
}

fn apply_parsed(root: &Root, parsed: &Parsed<'_>) -> Result<()> {
    let started = Instant::now();
    let ops = plan_config(parsed, root)?;
    log::debug!("planned {} operations in {} ms", ops.len(), milliseconds(started));
    root.apply(&ops)
}

fn plan_config<'a>(parsed: &'a Parsed<'a>, view: &dyn View) -> Result<Vec<Op<'a>>> {
    let ssh_key_fragment = match std::env::var("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT").as_deref() {
        Ok("true") => true,
        // Debian's sshd reads .ssh/authorized_keys and no fragments.
        _ => false,
    };
    let options = Options { today: Today(clock::today()), ssh_key_fragment };
    plan::plan(&parsed.config, view, options)
}
