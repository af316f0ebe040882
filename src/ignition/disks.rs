//! The stages `disks`, `mount` and `umount`: the work on disks of a config, as `glowplug run` does it, in the reference's three
//! parts. What one part brings up stays up for the next.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::files::operation;
use super::stage_call::StageCall;
use super::state::StateFile;
use crate::config::Config;
use crate::disks::{self, Mounted, Record, StageRules, Tools, mounts_of};
use crate::error::{Error, Reason, Result};
use crate::fetcher::NetworkUse;
use crate::platform::CommandLine;
use crate::root::Root;
use crate::source::Transport as _;

/// The socket of udev's daemon.
const UDEV: &str = "/run/udev/control";

/// Carries out the partitions, arrays, encrypted volumes and file systems of `config`. Arrays and volumes stay up, and the keys
/// of the volumes are put into `state` for the stage `files`.
///
/// # Errors
/// Those of [`disks::carry_out`].
pub(super) fn change(request: &StageCall, config: &Config<'_>, state: &mut StateFile) -> Result<()> {
    let storage = &config.storage;
    if [storage.disks.len(), storage.raid.len(), storage.luks.len(), storage.filesystems.len()] == [0; 4] {
        return Ok(());
    }
    refuse_clevis(config)?;
    let rules = rules();
    let root = root_with_programs(request)?;
    let fetcher = request.fetcher(NetworkUse::BroughtUp, CommandLine::read()?.timeout);
    fetcher.adopt(&config.ignition)?;
    let mut record = Record::unkept()?;
    let (ready, unlocks) = disks::carry_out(storage, &mut record, Tools::of_stage(&root, rules), &fetcher)?;
    if !unlocks.is_empty() {
        state.set_keys(&unlocks);
    }
    ready.leave();
    if rules.has_udev { settle(rules) } else { Ok(()) }
}

/// Mounts the file systems of `config` below the root. The directories that are made for that are noted in `state`.
///
/// # Errors
/// Those of [`Mounted::mount`] and of the root.
pub(super) fn mount(request: &StageCall, config: &Config<'_>, state: &mut StateFile) -> Result<()> {
    let mounts = mounts_of(&config.storage);
    if mounts.is_empty() {
        return Ok(());
    }
    disks::require_initramfs()?;
    let root = Root::open(&request.root)?;
    root.lock()?;
    let programs = root_with_programs(request)?;
    let mut made = Vec::new();
    let mounted = Mounted::mount(&mounts, &root, Tools::of_stage(&programs, rules()), &mut |directory| {
        made.push(directory.to_owned());
        Ok(())
    })?;
    mounted.leave();
    state.note_directories(&made)
}

/// Takes down what the stage `mount` has mounted.
///
/// # Errors
/// Those of [`disks::unmount_all`].
pub(super) fn umount(request: &StageCall, config: &Config<'_>) -> Result<()> {
    let mounts = mounts_of(&config.storage);
    if mounts.is_empty() {
        return Ok(());
    }
    disks::require_initramfs()?;
    let root = Root::open(&request.root)?;
    disks::unmount_all(&mounts, Tools::of_stage(&root, rules()))
}

/// Refuses clevis: only `glowplug run` binds volumes with it.
///
/// # Errors
/// [`Reason::Unsupported`].
pub(super) fn refuse_clevis(config: &Config<'_>) -> Result<()> {
    match config.storage.luks.iter().position(|luks| luks.clevis.is_asked()) {
        None => Ok(()),
        Some(index) => {
            let what = "encrypting disks with clevis by a stage is not supported";
            Err(Error::new(Reason::Unsupported, format!("{what}, at $.storage.luks.{index}.clevis")))
        }
    }
}

/// Returns the root whose programs a stage runs: the root that is provisioned, or the initramfs where that root is not mounted
/// yet. The reference's stage `disks` comes before the root is mounted.
///
/// # Errors
/// [`Reason::RootIo`] if the initramfs cannot be opened.
pub(super) fn root_with_programs(request: &StageCall) -> Result<Root> {
    match Root::open(&request.root) {
        // Every root has this program.
        Ok(root) if Tools::of(&root).require("blkid", "util-linux").is_ok() => Ok(root),
        _ => Root::open(Path::new("/")),
    }
}

/// Returns how a stage differs from `run`.
pub(super) fn rules() -> StageRules {
    StageRules { has_udev: has_udev(), log_operation }
}

/// Logs an operation under the next number.
fn log_operation(prefix: &str, what: &str, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    operation(prefix, number, what, act)
}

/// Returns whether udev's daemon takes connections. The path of its socket may be there without it.
fn has_udev() -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connected = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .and_then(|socket| connect(&socket, &SocketAddrUnix::new(UDEV)?));
    // A busy daemon has no room for one more connection at this moment.
    matches!(connected, Ok(()) | Err(Errno::AGAIN))
}

/// Lets udev look at all disks again, and waits for it. Then the links below `/dev/disk` are there, and systemd knows the devices
/// that later units wait for. Waiting alone is not enough: udev may have looked at an encrypted volume before there was anything
/// on it, and systemd takes such a volume for unfinished.
fn settle(rules: StageRules) -> Result<()> {
    let initramfs = Root::open(Path::new("/"))?;
    let call = ["udevadm", "trigger", "--settle", "--subsystem-match=block"];
    log_operation("", "waiting for udev", &mut || {
        let output = Tools::of_stage(&initramfs, rules).run(&call)?;
        if output.code == 0 { Ok(()) } else { Err::<(), Error>(output.error(&call)) }
    })
}
