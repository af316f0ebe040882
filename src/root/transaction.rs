//! The order of the steps that change a root. Whenever the machine stops, the next start finds the root untouched or can
//! complete the change. `docs/crash-safety.md` has the reason for each step.

use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, RenameFlags, openat, statat};
use rustix::io::Errno;

use super::Root;
use super::area::{Area, AreaPath, CONFIG, DISKS, JOURNAL, STAGED_STAMP, foreign, is_gone, remove_empty};
use super::calls::{self, DIRECTORY};
use super::commit::commit;
use super::journal;
use super::saved::{self, ConfigToSave};
use super::stage::{StampText, stage};
use super::staged::Staged;
use crate::change::{AREA, Op, StampPlace, check_ops};
use crate::error::{Error, Result};
use crate::stamp::STAMP;

/// The name of the journal until everything that it needs is on the disk.
const JOURNAL_PART: &CStr = c"journal.part";

/// What is done when the stamp is in its place, and before the record of work on disks is removed.
pub type LastStep<'f> = &'f mut dyn FnMut() -> Result<()>;

/// What an interrupted run left in the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// There are no leftovers.
    Nothing,
    /// Staged files without a journal. Nothing visible has changed, and the files can be removed.
    Staging,
    /// A saved config, perhaps with staged files. Nothing visible has changed.
    SavedConfig,
    /// The journal of a commit that has begun and has to be completed.
    BegunCommit,
    /// An area that was not removed completely after the stamp was put into its place. What is left can be removed.
    AfterCommit,
}

impl Root {
    /// Stages `ops`, taking the contents of files out of them, and carries them out. Writes neither stamp nor journal.
    ///
    /// # Errors
    /// Before the first visible change: those of the sources and of the root, and
    /// [`Reason::Journal`](crate::error::Reason::Journal) if an interrupted run has to be finished first. The root is then as
    /// it was. A later error names the operation that failed; what is still staged then stays in the areas until the next run.
    pub fn apply(&self, ops: &mut [Op<'_>]) -> Result<()> {
        check_ops(ops, &StampPlace::find(self)?)?;
        let staged = stage(self, ops, None)?;
        // A file's contents must be on the disk before the file gets its final name.
        if let Err(error) = staged.sync().and_then(|()| staged.release_room()) {
            return Err(staged.abandon(self, error));
        }
        commit(self, ops, &staged, false)?;
        let synced = staged.sync();
        let cleared = staged.clear(self);
        synced.and(cleared)
    }

    /// Saves `config`, stages its plan `ops` and a stamp, makes all of it durable, and carries it out. The contents of files
    /// are taken out of `ops`. Whenever the machine stops, the root is untouched, or holds the saved config, or
    /// [`Root::resume`] can complete the change.
    ///
    /// # Errors
    /// Before the first visible change those of [`Root::apply`]. The root is then as it was: `config` is removed again, while
    /// a config that an earlier run saved stays. A later error names the operation that failed.
    pub fn provision(
        &self,
        config: Option<&ConfigToSave<'_>>,
        ops: &mut [Op<'_>],
        stamp: StampText<'_>,
    ) -> Result<()> {
        self.provision_and(config, ops, stamp, &mut || Ok(()))
    }

    /// As [`Root::provision`], and calls `last` when the stamp is in its place. If that fails, the next start finds
    /// [`Leftovers::AfterCommit`], with the record of work on disks.
    ///
    /// # Errors
    /// As [`Root::provision`]. A failure of `last` is only logged.
    pub fn provision_and(
        &self,
        config: Option<&ConfigToSave<'_>>,
        ops: &mut [Op<'_>],
        stamp: StampText<'_>,
        last: LastStep<'_>,
    ) -> Result<()> {
        check_ops(ops, &StampPlace::find(self)?)?;
        let undo = |error| if config.is_some() { self.undo(error) } else { error };
        // A download can take long, and the host may serve the config only once. Otherwise the config becomes durable together
        // with what is staged, a moment later.
        let is_soon = !ops.iter().any(Op::fetches);
        let save =
            |config| if is_soon { saved::write(self, config).map(drop) } else { saved::save(self, config) };
        let staged =
            config.map_or(Ok(()), save).and_then(|()| stage(self, ops, Some(stamp))).map_err(undo)?;
        if let Err(error) = seal(ops, &staged) {
            return Err(undo(staged.abandon(self, error)));
        }
        self.finish(ops, staged, false, last)
    }

    /// Completes the commit that an interrupted run began, with the last step of [`Root::provision_and`].
    ///
    /// # Errors
    /// [`Reason::Journal`](crate::error::Reason::Journal) if the journal is damaged, if it belongs to another root, or if a
    /// mount that it names is missing. Otherwise those of [`Root::provision`] after the first visible change.
    pub fn resume(&self, last: LastStep<'_>) -> Result<()> {
        let path = Path::new("/");
        let AreaPath::Ours(area) = Area::find(self, path)? else {
            return Err(Error::root("find the journal of", path, Errno::NOENT));
        };
        let (ops, staged) = journal::read(self, area)?;
        staged.release_room()?;
        self.finish(&ops, staged, true, last)
    }

    /// Carries out the commit, puts the stamp into its place, and removes the areas.
    fn finish(&self, ops: &[Op<'_>], staged: Staged, replay: bool, last: LastStep<'_>) -> Result<()> {
        let done = commit(self, ops, &staged, replay)
            .and_then(|()| staged.sync())
            .and_then(|()| self.put_stamp(&staged));
        done.map_err(|error| {
            let what = format!("{error}; the next start continues from there");
            Error::new(error.reason(), what)
        })?;
        // The root is provisioned. The next start does and removes what cannot be done or removed now.
        if let Err(error) = staged.clear_after(self, last) {
            log::warn!("{error}");
        }
        Ok(())
    }

    /// Renames the staged stamp into its place, durably. Everything else must be on the disk already.
    fn put_stamp(&self, staged: &Staged) -> Result<()> {
        let path = Path::new(STAMP);
        let put = || {
            let area = staged.areas.first().ok_or(Errno::NOENT)?;
            let (parent, name) = self.open_stamp_parent()?;
            match calls::rename(area.fd(), STAGED_STAMP, parent.as_fd(), &name, RenameFlags::empty()) {
                // An interrupted run has renamed the stamp already.
                Err(Errno::NOENT) if is_gone(area, STAGED_STAMP)? => {}
                put => put?,
            }
            calls::sync(openat(&parent, c".", DIRECTORY, Mode::empty())?.as_fd())
        };
        put().map_err(|errno| Error::root("put the stamp", path, errno))
    }

    /// Removes everything that has been staged or saved, before anything visible has changed. Returns `error`, which is the
    /// failure that made this necessary; another failure is only logged.
    pub(super) fn undo(&self, error: Error) -> Error {
        match self.discard() {
            Err(second) if second.to_string() != error.to_string() => log::warn!("{second}"),
            _ => {}
        }
        error
    }

    /// Returns whether something stands at the path of the root's own area. This is one system call on every boot.
    pub fn may_have_leftovers(&self) -> bool {
        !matches!(statat(&self.fd, AREA, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    /// Returns what an interrupted run left. The caller holds the lock of the root.
    ///
    /// # Errors
    /// [`Reason::Conflict`](crate::error::Reason::Conflict) if something foreign has the name of the area, and those of the
    /// root.
    pub fn leftovers(&self) -> Result<Leftovers> {
        let top = Path::new("/");
        let area = match Area::find(self, top)? {
            AreaPath::Missing => return Ok(Leftovers::Nothing),
            AreaPath::Empty => return Ok(Leftovers::Staging),
            AreaPath::Foreign => return Err(foreign(&top.join(AREA))),
            AreaPath::Ours(area) => area,
        };
        Ok(if area.has(JOURNAL)? {
            if area.has(STAGED_STAMP)? { Leftovers::BegunCommit } else { Leftovers::AfterCommit }
        } else if area.has(CONFIG)? {
            Leftovers::SavedConfig
        } else {
            Leftovers::Staging
        })
    }

    /// Removes what an interrupted run left before its commit had begun, but not the record of its work on disks: that work
    /// stays done, and the next run goes on from there.
    ///
    /// # Errors
    /// Those of the root.
    pub fn discard_config(&self) -> Result<()> {
        match Area::find(self, Path::new("/"))? {
            AreaPath::Ours(area) if area.has(DISKS)? && !area.has(JOURNAL)? => area.keep_disk_record(),
            _ => self.discard().map(drop),
        }
    }

    /// Removes what an interrupted run left, even the journal of a commit that has begun. Returns the paths that were removed.
    ///
    /// # Errors
    /// Those of the root.
    pub fn discard(&self) -> Result<Vec<PathBuf>> {
        let top = Path::new("/");
        let area = match Area::find(self, top)? {
            AreaPath::Missing => return Ok(Vec::new()),
            AreaPath::Foreign => return Err(foreign(&top.join(AREA))),
            AreaPath::Empty => {
                return remove_empty(self, top).map(|()| vec![top.join(AREA)]);
            }
            AreaPath::Ours(area) => area,
        };
        let areas = if area.has(JOURNAL)? { journal::areas(self, area)? } else { vec![area] };
        let staged = Staged { areas, numbers: Vec::new() };
        let paths = staged.areas.iter().map(Area::path).collect();
        staged.clear(self)?;
        Ok(paths)
    }
}

/// Makes everything that the commit needs durable, and then the journal. The journal is valid once it has its final name.
fn seal(ops: &[Op<'_>], staged: &Staged) -> Result<()> {
    let text = journal::encode(ops, staged)?;
    let top = Path::new("/");
    let area = staged.areas.first().ok_or_else(|| Error::root("find the area of", top, Errno::NOENT))?;
    let failed = |errno| Error::root("write the journal in", &area.path(), errno);
    calls::create(area.fd(), JOURNAL_PART, Mode::RUSR | Mode::WUSR)
        .and_then(|fd| calls::write_all(fd.as_fd(), &text))
        .map_err(failed)?;
    staged.sync()?;
    staged.release_room()?;
    calls::rename(area.fd(), JOURNAL_PART, area.fd(), JOURNAL, RenameFlags::empty())
        .and_then(|()| calls::sync(area.fd()))
        .map_err(failed)
}
