//! From a config and a read-only view of the root to the ordered operations that make the root so.
//!
//! Nothing here writes. Order and results follow the reference's files stage: groups and users, then
//! directories, files and links from the top of the tree down, then units.

mod accounts;
mod map;
mod ssh_keys;
mod storage;
mod tree;
mod units;

pub use accounts::Today;
pub use tree::Tree;

use crate::change::{Op, View};
use crate::config::{self, Config};
use crate::error::Result;

/// What a plan depends on beside the config and the root.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The day that is written as the last change of a password.
    pub today: Today,
    /// Whether ssh keys go to `.ssh/authorized_keys.d/ignition` instead of `.ssh/authorized_keys`.
    pub ssh_key_fragment: bool,
}

/// What a config comes to on a root.
#[derive(Debug)]
pub struct Planned<'a> {
    /// What is done, in order.
    pub ops: Vec<Op<'a>>,
    /// What the config's author should know although nothing fails: whole messages, a bounded number of them.
    pub warnings: Vec<String>,
}

impl<'a> Planned<'a> {
    /// Writes the warnings to the log and returns the operations.
    pub fn log_warnings(self) -> Vec<Op<'a>> {
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
        self.ops
    }
}

/// Plans everything that `config` asks of the root.
///
/// # Errors
/// [`Reason::Unsupported`] where the config asks for what this program does not do; [`Reason::ConfigInvalid`],
/// [`Reason::Conflict`] and [`Reason::Account`] with the place in the config; [`Reason::RootIo`] where the root
/// cannot be read.
pub fn plan<'a>(config: &'a Config<'a>, view: &dyn View, options: Options) -> Result<Planned<'a>> {
    // A config is applied whole or not at all.
    config::refuse_unsupported(&config::unsupported_changes(config))?;
    let mut tree = Tree::new(view);
    let accounts = accounts::plan(&config.passwd, &mut tree, options.today)?;
    ssh_keys::plan(&config.passwd, &accounts, &mut tree, options.ssh_key_fragment)?;
    storage::plan(&config.storage, &accounts, &mut tree)?;
    units::plan(&config.systemd, &mut tree)?;
    Ok(tree.into_planned())
}
