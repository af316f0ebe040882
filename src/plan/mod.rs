//! From a config and a read-only view of the root to the ordered operations that make the root so.
//!
//! Nothing here writes. Order and results follow the reference's files stage: groups and users, then
//! directories, files and links from the top of the tree down, then units.

mod accounts;
mod image_defaults;
mod map;
mod ssh_keys;
mod storage;
mod tree;
mod units;

use std::path::PathBuf;

pub use accounts::Today;
pub use tree::Tree;

use crate::change::{Op, View, check_ops};
use crate::config::{self, Config};
use crate::error::{Problems, Result};
use crate::source::Transport;
use image_defaults::ImageDefaults;

/// What a plan depends on beside the config and the root.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The day that is written as the last change of a password.
    pub today: Today,
    /// Whether ssh keys go to `.ssh/authorized_keys.d/ignition` instead of `.ssh/authorized_keys`.
    pub ssh_key_fragment: bool,
    /// Whether the image's list of default paths counts: see `docs/image.md`. The reference has none.
    pub image_defaults: bool,
    /// What gets the bytes of URLs that do not hold them themselves.
    pub transport: &'a dyn Transport,
}

/// The part of a config that operations come from. The number is the entry's in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An entry of `passwd.groups`.
    Group(usize),
    /// An entry of `passwd.users`.
    User(usize),
    /// The account files, in which all users and groups are written together.
    AccountFiles,
    /// `storage`.
    Storage,
    /// An entry of `systemd.units`.
    Unit(usize),
    /// The preset file, which names all units that are enabled or disabled.
    Presets,
}

/// What a config comes to on a root.
#[derive(Debug)]
pub struct Planned<'a> {
    /// What is done, in order.
    pub ops: Vec<Op<'a>>,
    /// Where the operations of each part begin: the number of the first, which may be that of the next part as well.
    pub parts: Vec<(usize, Part)>,
    /// What the config's author should know although nothing fails: whole messages, a bounded number of them.
    pub warnings: Vec<String>,
    /// The paths where an entry of the config replaces what the image brings only as a default, in order.
    pub replaced_defaults: Vec<PathBuf>,
}

impl<'a> Planned<'a> {
    /// Writes to the log what is to be known beside the operations, and returns these.
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

/// Plans everything that `config` asks of the root.
///
/// # Errors
/// One error holds all that is found wrong. [`Reason::Unsupported`]: the config asks for what this program does not do.
/// [`Reason::ConfigInvalid`], [`Reason::Conflict`] and [`Reason::Account`] name the place in the config.
/// [`Reason::RootIo`]: the root cannot be read.
///
/// [`Reason::Unsupported`]: crate::error::Reason::Unsupported
/// [`Reason::ConfigInvalid`]: crate::error::Reason::ConfigInvalid
/// [`Reason::Conflict`]: crate::error::Reason::Conflict
/// [`Reason::Account`]: crate::error::Reason::Account
/// [`Reason::RootIo`]: crate::error::Reason::RootIo
pub fn plan<'a>(config: &'a Config<'a>, view: &dyn View, options: Options<'a>) -> Result<Planned<'a>> {
    // A config is applied whole or not at all, and whoever has to correct it wants to know everything at once.
    let mut problems = Problems::default();
    problems.take(config::refuse_unsupported(&config::unsupported_changes(config)));
    let mut tree = Tree::new(view);
    let accounts = accounts::plan(&config.passwd, &mut tree, options.today, &mut problems);
    problems.take(ssh_keys::plan(&config.passwd, &accounts, &mut tree, options.ssh_key_fragment));
    let defaults =
        if options.image_defaults { ImageDefaults::read(&mut tree) } else { Ok(ImageDefaults::default()) };
    let defaults = problems.take(defaults).unwrap_or_default();
    let context = storage::Context { accounts: &accounts, defaults: &defaults, transport: options.transport };
    problems.take(storage::plan(&config.storage, context, &mut tree));
    problems.take(units::plan(&config.systemd, &mut tree));
    problems.take(tree.separate_shared());
    let planned = tree.into_planned();
    if problems.is_empty() {
        problems.take(check_ops(&planned.ops));
    }
    if !problems.is_empty() {
        // The caller gets no plan and so no warnings, which may tell the cause.
        for warning in &planned.warnings {
            log::warn!("{warning}");
        }
    }
    problems.finish().map(|()| planned)
}
