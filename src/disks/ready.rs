//! What is up while the files of a config are written, and down before the system starts.

use std::fs::File;

use super::luks::{Opened, remove_keys_of};
use super::mount::{Mounted, NoteDirectory};
use super::raid;
use super::record::{Mount, Record};
use super::tools::Tools;
use crate::error::Result;
use crate::root::Root;

/// Removes the keys that volumes lose, by what an interrupted run had recorded in `root`.
///
/// # Errors
/// Those of the record, of the devices and of cryptsetup.
pub fn remove_recorded_keys(root: &Root) -> Result<()> {
    Record::read(root)?.map_or(Ok(()), |record| remove_keys_of(&record.volumes, Tools::of(root)))
}

/// The encrypted volumes that are open and the file systems that are mounted. All of it is taken down when this value is
/// dropped: the mounts first, because they use the volumes. RAID arrays run on.
pub struct Ready<'r> {
    mounted: Mounted<'r>,
    opened: Opened<'r>,
    /// The disks whose tables were changed. udev leaves their partitions alone while they are open.
    _disks: Vec<File>,
}

impl<'r> Ready<'r> {
    pub(super) fn new(opened: Opened<'r>, disks: Vec<File>) -> Self {
        Self { mounted: Mounted::none(opened.tools().root()), opened, _disks: disks }
    }

    /// Brings up what an interrupted run had recorded in `root`, so that its commit can be completed.
    ///
    /// # Errors
    /// Those of the record, of the devices and of the programs.
    pub fn again(root: &'r Root) -> Result<Self> {
        let tools = Tools::of(root);
        let Some(record) = Record::read(root)? else {
            return Ok(Self::new(Opened::none(tools), Vec::new()));
        };
        for array in &record.arrays {
            raid::assemble_again(array, tools)?;
        }
        // Their directories are in the journal.
        Self::new(Opened::again(&record.volumes, tools)?, Vec::new()).mount(&record.mounts, &mut |_| Ok(()))
    }

    /// Mounts `mounts`, in their order. Calls `note` before it makes a directory for a mount.
    ///
    /// # Errors
    /// Those of finding the devices, of mounting and of `note`. Everything is taken down then.
    pub fn mount(mut self, mounts: &[Mount], note: NoteDirectory<'_>) -> Result<Self> {
        let tools = self.opened.tools();
        self.mounted = Mounted::mount(mounts, tools.root(), tools, note)?;
        Ok(self)
    }

    /// Removes the keys of volumes that clevis opens from now on: the last step, because until then the next start needs them.
    ///
    /// # Errors
    /// Those of cryptsetup.
    pub fn remove_keys(&self) -> Result<()> {
        self.opened.remove_keys()
    }

    /// Leaves all of it up, for the next stage.
    pub fn leave(self) {
        self.mounted.leave();
        self.opened.leave();
    }

    /// Takes all of it down.
    ///
    /// # Errors
    /// That of the first step that fails. The others are tried in any case.
    pub fn take_down(self) -> Result<()> {
        let unmounted = self.mounted.take_down();
        unmounted.and(self.opened.close())
    }
}
