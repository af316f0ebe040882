//! The stage `files`: plans the config, changes the root in one commit, logs every entry as the reference does, and writes the
//! result file.

use std::path::Path;

use super::previous_report::previous_report;
use super::stage_call::{Stage, StageCall};
use super::state::{CONFIG_SHA512, SPEC_VERSION, StateFile};
use super::{disks, part, stage_log};
use crate::change::{Op, Piece};
use crate::config::{self, Config, Passwd, Unit};
use crate::disks::{Tools, mounts_of, remove_recorded_keys, unlocks_of};
use crate::error::{Error, Problems, Reason, Result};
use crate::fetcher::NetworkUse;
use crate::plan::Unlock;
use crate::platform::CommandLine;
use crate::provision::on_disks::VfatMounts;
use crate::provision::phases::{Defaults, Setting, boot_id, plan_config};
use crate::provision::settle;
use crate::root::{LastStep, Leftovers, Root};
use crate::source::Transport as _;
use crate::stamp::{self, STAMP};

/// The reference's message id of a journal entry about a user's ssh keys.
const SSH_KEYS: &str = "225067b87bbd4a0cb6ab151f82fa364b";

/// Carries out the users, files and units of `config`.
///
/// # Errors
/// [`Reason::Unsupported`] for a state file that asks for more; otherwise those of the plan and the root.
pub(super) fn run(request: &StageCall, config: &mut Config<'_>, state: &StateFile) -> Result<()> {
    refuse_state(state, "providerOutputFiles")?;
    let mounts = mounts_of(&config.storage);
    part::keep(Stage::Files, config);

    let root = Root::open(&request.root)?;
    root.lock()?;
    match root.leftovers()? {
        Leftovers::BegunCommit => {
            log::info!("an interrupted run is completed from its journal");
            return settle::resume(&root);
        }
        Leftovers::AfterCommit => return settle::clear_after_commit(&root),
        Leftovers::Nothing | Leftovers::Staging | Leftovers::SavedConfig => {}
    }
    let previous = previous_report(&root)?;
    let boot_id = boot_id()?;
    let fetcher = request.fetcher(NetworkUse::BroughtUp, CommandLine::read()?.timeout);
    fetcher.adopt(&config.ignition)?;
    let unlocks = unlocks(request, config, state)?;
    let setting = Setting {
        changes_disks: true,
        unlocks: &unlocks,
        made_directories: &state.directories()?,
        ..Setting::tree(Defaults::Reference)
    };
    let mut ops = plan_config(config, &root, setting, &fetcher)?.log_remarks();
    let mut problems = Problems::default();
    let vfat = VfatMounts::of(&mounts);
    for op in &ops {
        problems.take(vfat.refuse(op));
    }
    problems.finish()?;
    root.make_stamp_place(&mut ops)?;
    let key_files = key_files(&config.passwd, &ops);
    let run = stamp::Run {
        boot_id: &boot_id,
        user_config_provided: state.has_user_config()?,
        platform: &request.platform,
        // Both are empty if another program has fetched the config.
        spec_version: state.text(SPEC_VERSION),
        config_sha512: state.text(CONFIG_SHA512),
        // The stage `kargs` has changed them already.
        kernel_arguments: "",
        previous: previous.as_deref(),
    };
    let count = logged(&request.root, config, ops.len(), &mut || {
        // An interrupted run may have left generated keys.
        let last: LastStep<'_> = &mut || remove_recorded_keys(&root);
        root.provision_and(None, &mut ops, &|file| stamp::text(&run, file), last)
    })?;
    for (user, path) in &key_files {
        tell_journal(user, path);
    }
    // The result file exists already: the commit renamed it into place as its last step.
    let what = format!("writing file {:?}", on_root(&request.root, STAMP));
    operation("createResultFile: createFiles: ", count.saturating_add(1), &what, &mut || Ok(()))
}

/// Returns what the system needs to open the encrypted volumes that the stage `disks` has made.
fn unlocks(request: &StageCall, config: &Config<'_>, state: &StateFile) -> Result<Vec<Unlock>> {
    if config.storage.luks.is_empty() {
        return Ok(Vec::new());
    }
    config::refuse_unsupported(&config::unsupported_changes(config))?;
    disks::refuse_clevis(config)?;
    let programs = disks::root_with_programs(request)?;
    let tools = Tools::of_stage(&programs, disks::rules());
    unlocks_of(&config.storage.luks, &|name| state.key(name), tools)
}

/// Refuses a state file with something at `key`: another program left it there, and this program cannot carry it out.
fn refuse_state(state: &StateFile, key: &str) -> Result<()> {
    if state.holds(key) {
        let what = format!("what the state file holds at {key} is not supported");
        return Err(Error::new(Reason::Unsupported, what));
    }
    Ok(())
}

/// Calls `act`, which makes `changes` changes to the root, with the reference's log lines for all entries of `config` around
/// it. Returns the number of the last operation in the log. `path` is the root's path.
pub(super) fn logged(
    path: &Path,
    config: &Config<'_>,
    changes: usize,
    act: &mut dyn FnMut() -> Result<()>,
) -> Result<u32> {
    let mut log = Operations::default();
    log.all(config, path);
    // Everything becomes visible together, so this is the only operation that can fail.
    let count = log.count.saturating_add(1);
    operation("", count, &format!("putting {changes} changes into place"), act)?;
    Operations { is_over: true, ..Operations::default() }.all(config, path);
    Ok(count)
}

/// Calls `act` between two lines of the log.
pub(super) fn operation(
    prefix: &str,
    number: u32,
    what: &str,
    act: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    log::info!("{prefix}op({number:x}): [started]  {what}");
    let done = act();
    match &done {
        Ok(()) => log::info!("{prefix}op({number:x}): [finished] {what}"),
        Err(error) => log::error!("{prefix}op({number:x}): [failed]   {what}: {error}"),
    }
    done
}

/// The log lines of all entries of a config, numbered.
#[derive(Default)]
struct Operations {
    /// The number of the last line.
    count: u32,
    /// Whether the lines say that the operations are finished, rather than started.
    is_over: bool,
}

impl Operations {
    /// Logs the operation `act` on `name`. `other` is a word and what follows it: `-> target`, `at path`.
    fn step(&mut self, prefix: &str, act: &str, name: &str, other: Option<(&str, &str)>) {
        self.count = self.count.saturating_add(1);
        let how = if self.is_over { "[finished]" } else { "[started] " };
        match other {
            Some((word, other)) => {
                log::info!("{prefix}op({:x}): {how} {act} {name:?} {word} {other:?}", self.count);
            }
            None => log::info!("{prefix}op({:x}): {how} {act} {name:?}", self.count),
        }
    }

    /// Logs a line for every entry of `config`, in the reference's words.
    fn all(&mut self, config: &Config<'_>, root: &Path) {
        self.accounts(&config.passwd);
        let prefix = "createFilesystemsFiles: createFiles: ";
        for directory in &config.storage.directories {
            self.step(prefix, "creating directory", &on_root(root, &directory.path), None);
        }
        for file in &config.storage.files {
            let path = on_root(root, &file.path);
            if file.append.is_empty() || file.contents.source.is_some() {
                self.step(prefix, "writing file", &path, None);
            }
            for _ in &file.append {
                self.step(prefix, "appending to file", &path, None);
            }
        }
        for link in &config.storage.links {
            let target = link.target.as_deref().unwrap_or_default();
            self.step(prefix, "writing link", &on_root(root, &link.path), Some(("->", target)));
        }
        for unit in &config.systemd.units {
            self.unit(unit, &on_root(root, "/etc/systemd/system/"));
        }
    }

    fn accounts(&mut self, passwd: &Passwd<'_>) {
        for group in &passwd.groups {
            let goes = group.should_exist == Some(false);
            let act = if goes { "deleting group" } else { "adding group" };
            self.step("ensureGroups: ", act, &group.name, None);
        }
        for user in &passwd.users {
            let goes = user.should_exist == Some(false);
            let act = if goes { "deleting user" } else { "creating or modifying user" };
            self.step("ensureUsers: ", act, &user.name, None);
            if !goes && !user.ssh_authorized_keys.is_empty() {
                self.step("ensureUsers: ", "adding ssh keys to user", &user.name, None);
            }
        }
    }

    fn unit(&mut self, unit: &Unit<'_>, directory: &str) {
        let name = unit.name.as_ref();
        let path = [directory, name].concat();
        self.step("", "processing unit", name, None);
        for dropin in unit.dropins.iter().filter(|dropin| dropin.contents.is_some()) {
            let path = [&path, ".d/", &dropin.name].concat();
            self.step("", "writing systemd drop-in", &dropin.name, Some(("at", &path)));
        }
        if unit.contents.as_deref().is_some_and(|contents| !contents.is_empty()) {
            self.step("", "writing unit", name, Some(("at", &path)));
        }
        if let Some(mask) = unit.mask {
            self.step("", if mask { "masking unit" } else { "unmasking unit" }, name, None);
        }
        if let Some(enabled) = unit.enabled {
            let act =
                if enabled { "setting preset to enabled for" } else { "setting preset to disabled for" };
            self.step("", act, name, None);
        }
    }
}

/// Returns the path in the running system of `path` in the root.
fn on_root(root: &Path, path: &str) -> String {
    let root = root.to_string_lossy();
    format!("{}{path}", root.strip_suffix('/').unwrap_or(&root))
}

/// Returns the users for whom `ops` write ssh keys, each with the path of the file. Must be called before `ops` are carried
/// out, which takes the contents out of them.
fn key_files<'c>(passwd: &'c Passwd<'_>, ops: &[Op<'_>]) -> Vec<(&'c str, String)> {
    let users = passwd.users.iter();
    let users = users.filter(|user| !user.ssh_authorized_keys.is_empty() && user.should_exist != Some(false));
    // Only the plan of the ssh keys puts bytes from memory at such a path. The users come in the same order there.
    let places = ops.iter().filter_map(|op| match op {
        Op::File { path, contents, .. } if matches!(contents.as_slice(), [Piece::Bytes(_)]) => {
            let path = path.to_string_lossy();
            let parts = [".ssh/authorized_keys", ".ssh/authorized_keys.d/ignition"];
            parts.iter().any(|end| path.ends_with(end)).then_some(path.into_owned())
        }
        _ => None,
    });
    users.map(|user| user.name.as_ref()).zip(places).collect()
}

/// Adds the reference's entry to the journal: the ssh keys of `user` were written to `path`.
fn tell_journal(user: &str, path: &str) {
    let message = format!("wrote ssh authorized keys file for user: {user}");
    let fields = [("IGNITION_USER_NAME", user), ("IGNITION_PATH", path), ("MESSAGE_ID", SSH_KEYS)];
    stage_log::journal(&message, &fields);
}
