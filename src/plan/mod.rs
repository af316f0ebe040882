//! Turns a config and a read-only view of the root into the ordered operations that bring the root to what the config
//! asks for.
//!
//! Nothing here writes. Order and results follow the reference's `files` stage: groups and users, then directories,
//! files and links from the top of the tree down, then units. Kernel arguments come last.

mod accounts;
mod image_defaults;
mod kernel_args;
mod made;
mod numbers;
mod ssh_keys;
mod storage;
mod swap;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod unlock;

use std::path::PathBuf;

pub use accounts::Today;
pub use kernel_args::{boot_files, boot_partitions, has_boot_loader};
pub use tree::Tree;
pub use unlock::Unlock;

use crate::change::{Op, StampPlace, View, check_ops};
use crate::config::{self, Config};
use crate::error::{Problems, Result};
use crate::source::Transport;
use image_defaults::ImageDefaults;

/// What a plan depends on besides the config and the root.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The day that is written as the day of the last password change.
    pub today: Today,
    /// Whether ssh keys go to `.ssh/authorized_keys.d/ignition` instead of `.ssh/authorized_keys`.
    pub ssh_key_fragment: bool,
    /// Whether the image's lists of default paths are used (`docs/image.md`). The reference has no such lists.
    pub image_defaults: bool,
    /// The command line of the running kernel, if it is that of the root. With it, a root whose boot loader is not known is
    /// accepted as long as the kernel has the arguments already.
    pub kernel_command_line: Option<&'a [u8]>,
    /// Whether the disks are changed as well. Otherwise a config that asks for that is refused.
    pub changes_disks: bool,
    /// The encrypted volumes that the system is to open at its boots.
    pub unlocks: &'a [Unlock],
    /// The directories that an earlier stage has made for mounts, as paths in the root.
    pub made_directories: &'a [PathBuf],
    /// Fetches the bytes of URLs that do not hold them themselves.
    pub transport: &'a dyn Transport,
}

/// Where the disks of a config are not changed.
const NO_DISKS: &str = " outside of the machine's initramfs";

/// The part of a config that operations belong to. A number is the index of the entry in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An entry of `passwd.groups`.
    Group(usize),
    /// An entry of `passwd.users`.
    User(usize),
    /// The account files. All users and groups are written together.
    AccountFiles,
    /// `storage`.
    Storage,
    /// An entry of `systemd.units`.
    Unit(usize),
    /// The preset file, which names all units that are enabled or disabled.
    Presets,
    /// `kernelArguments`.
    KernelArguments,
}

/// The plan for a config on a root.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The operations, in order.
    pub ops: Vec<Op<'a>>,
    /// Each part with the number of its first operation. A part without operations has the same number as the next
    /// part.
    pub parts: Vec<(usize, Part)>,
    /// Warnings for the config's author, as whole messages. Their number and length are bounded.
    pub warnings: Vec<String>,
    /// The paths at which an entry of the config replaces a default of the image, in order.
    pub replaced_defaults: Vec<PathBuf>,
}

impl<'a> Planned<'a> {
    /// Logs the replaced defaults and the warnings, and returns the operations.
    pub fn log_remarks(self) -> Vec<Op<'a>> {
        for path in &self.replaced_defaults {
            log::info!("{} replaces the image's default", path.display());
        }
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
        self.ops
    }
}

/// Returns whether `config` has users or groups, or names one as an owner. Otherwise the account files need not be read.
fn needs_accounts(config: &Config) -> bool {
    let Config { passwd, storage, .. } = config;
    let files = storage.files.iter().map(|file| (&file.user.name, &file.group.name));
    let directories = storage.directories.iter().map(|entry| (&entry.user.name, &entry.group.name));
    let links = storage.links.iter().map(|link| (&link.user.name, &link.group.name));
    let mut owners = files.chain(directories).chain(links);
    !passwd.users.is_empty()
        || !passwd.groups.is_empty()
        || owners.any(|(user, group)| user.is_some() || group.is_some())
}

/// Plans everything that `config` asks of the root.
///
/// # Errors
/// One error holds all problems that were found. [`Reason::Unsupported`]: the config asks for something that this
/// program does not do. [`Reason::ConfigInvalid`], [`Reason::Conflict`] and [`Reason::Account`] name the place in the
/// config. [`Reason::RootIo`]: the root cannot be read.
///
/// [`Reason::Unsupported`]: crate::error::Reason::Unsupported
/// [`Reason::ConfigInvalid`]: crate::error::Reason::ConfigInvalid
/// [`Reason::Conflict`]: crate::error::Reason::Conflict
/// [`Reason::Account`]: crate::error::Reason::Account
/// [`Reason::RootIo`]: crate::error::Reason::RootIo
pub fn plan<'a>(config: &'a Config<'a>, view: &dyn View, options: Options<'a>) -> Result<Planned<'a>> {
    // Planning goes on after a problem, so that all problems are reported at once.
    let mut problems = Problems::default();
    let mut unsupported =
        if options.changes_disks { Vec::new() } else { config::disk_changes(config, NO_DISKS) };
    unsupported.append(&mut config::unsupported_changes(config));
    problems.take(config::refuse_unsupported(&unsupported));
    let mut tree = Tree::new(view);
    let accounts = if needs_accounts(config) {
        accounts::plan(&config.passwd, &mut tree, options.today, &mut problems)
    } else {
        accounts::Accounts::default()
    };
    problems.take(made::plan(&config.passwd, &accounts, options.made_directories, &mut tree));
    problems.take(ssh_keys::plan(&config.passwd, &accounts, &mut tree, options.ssh_key_fragment));
    let defaults =
        if options.image_defaults { ImageDefaults::read(&mut tree) } else { Ok(ImageDefaults::default()) };
    let defaults = problems.take(defaults).unwrap_or_default();
    let context =
        storage::StorageContext { accounts: &accounts, defaults: &defaults, transport: options.transport };
    problems.take(storage::plan(&config.storage, context, &mut tree));
    problems.take(unlock::plan(options.unlocks, &mut tree));
    problems.take(units::plan(&config.systemd, &mut tree));
    if options.changes_disks {
        problems.take(swap::plan(config, &mut tree));
    }
    problems.take(kernel_args::plan(&config.kernel_arguments, options.kernel_command_line, &mut tree));
    problems.take(tree.separate_shared());
    let planned = tree.into_planned();
    if problems.is_empty() {
        problems.take(StampPlace::find(view).and_then(|place| check_ops(&planned.ops, &place)));
    }
    if !problems.is_empty() {
        // A caller that gets an error gets no plan and no warnings. A warning may explain the error, so it is logged
        // here.
        for warning in &planned.warnings {
            log::warn!("{warning}");
        }
    }
    problems.finish().map(|()| planned)
}
