//! The order in which a root is changed, so that it is untouched or whole whenever the machine stops:
//! `docs/crash-safety.md` has the reason for each step.

use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, RenameFlags, openat, statat};
use rustix::io::Errno;

use super::Root;
use super::area::{Area, CONFIG, Found, JOURNAL, STAGED_STAMP, foreign, is_gone, remove_empty};
use super::calls::{self, DIRECTORY};
use super::commit::commit;
use super::journal;
use super::saved::{self, ConfigToSave};
use super::stage::{Staged, StampText};
use crate::change::{AREA, Op, check_ops};
use crate::error::{Error, Result};
use crate::stamp::STAMP;

/// The journal until everything that it names is on the disk.
const JOURNAL_PART: &CStr = c"journal.part";

/// What an interrupted run left in the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// What is of no use: nothing visible had changed yet.
    Pieces,
    /// The fetched config; nothing visible had changed.
    Config,
    /// A commit that had begun.
    Journal,
    /// What is of no use: everything was in its place.
    Whole,
}

impl Root {
    /// Stages `ops`, from which it takes the contents of files, and carries them out; no stamp is left, and no journal is
    /// kept.
    ///
    /// # Errors
    /// Before the first visible change: those of the sources, of an interrupted run that has to be finished first, and
    /// of a root that cannot be changed; the root is then as it was. Later ones name the operation that failed; what
    /// it had not come to stays in the areas until the next run.
    pub fn apply(&self, ops: &mut [Op<'_>]) -> Result<()> {
        check_ops(ops)?;
        let staged = Staged::make(self, ops, None)?;
        // What is renamed into place must be on the disk before its new name is.
        if let Err(error) = staged.sync().and_then(|()| staged.release_room()) {
            return Err(staged.abandon(self, error));
        }
        commit(self, ops, &staged, false)?;
        let synced = staged.sync();
        let cleared = staged.clear(self);
        synced.and(cleared)
    }

    /// Saves `config`, which `ops` are the plan of, stages them, taking the contents of files from them, and a stamp, makes that durable, and carries it out.
    /// Whenever this stops, the root is untouched, or has the config saved, or [`Root::resume`] completes it.
    ///
    /// # Errors
    /// Those of [`Root::apply`] before the first visible change; the root is then as it was, with a config that was
    /// saved before, but without `config`. Later ones name the operation that failed, and that the next start goes on
    /// from there.
    pub fn provision(
        &self,
        config: Option<&ConfigToSave<'_>>,
        ops: &mut [Op<'_>],
        stamp: StampText<'_>,
    ) -> Result<()> {
        check_ops(ops)?;
        let undo = |error| if config.is_some() { self.undo(error) } else { error };
        let staged = config
            .map_or(Ok(()), |config| saved::save(self, config))
            .and_then(|()| Staged::make(self, ops, Some(stamp)))
            .map_err(undo)?;
        if let Err(error) = seal(ops, &staged) {
            return Err(undo(staged.abandon(self, error)));
        }
        self.finish(ops, staged, false)
    }

    /// Completes the commit that an interrupted run began.
    ///
    /// # Errors
    /// [`Reason::Journal`](crate::error::Reason::Journal) where its journal is not whole or not of this root; else as [`Root::provision`] after the
    /// first visible change.
    pub fn resume(&self) -> Result<()> {
        let path = Path::new("/");
        let Found::Ours(area) = Area::find(self, path)? else {
            return Err(Error::root("find the journal of", path, Errno::NOENT));
        };
        let (ops, staged) = journal::read(self, area)?;
        staged.release_room()?;
        self.finish(&ops, staged, true)
    }

    /// From the first visible change to the last.
    fn finish(&self, ops: &[Op<'_>], staged: Staged, replay: bool) -> Result<()> {
        let done = commit(self, ops, &staged, replay)
            .and_then(|()| staged.sync())
            .and_then(|()| self.put_stamp(&staged));
        done.map_err(|error| {
            let what = format!("{error}; the next start goes on from there");
            Error::new(error.reason(), what)
        })?;
        // The root is whole. What stays now is of no use to anyone, and the next start takes it away.
        if let Err(error) = staged.clear(self) {
            log::warn!("{error}");
        }
        Ok(())
    }

    /// Everything else is on the disk: the stamp may stand.
    fn put_stamp(&self, staged: &Staged) -> Result<()> {
        let path = Path::new(STAMP);
        let put = || {
            let area = staged.areas.first().ok_or(Errno::NOENT)?;
            let (parent, name) = self.open_parent(path)?;
            match calls::rename(area.fd(), STAGED_STAMP, parent.as_fd(), &name, RenameFlags::empty()) {
                // An interrupted run did.
                Err(Errno::NOENT) if is_gone(area, STAGED_STAMP)? => {}
                put => put?,
            }
            calls::sync(openat(&parent, c".", DIRECTORY, Mode::empty())?.as_fd())
        };
        put().map_err(|errno| Error::root("put the stamp", path, errno))
    }

    /// Takes everything back that nobody has seen after `error`, which is the one that tells why.
    fn undo(&self, error: Error) -> Error {
        match self.discard() {
            Err(second) if second.to_string() != error.to_string() => log::warn!("{second}"),
            _ => {}
        }
        error
    }

    /// Whether anything stands where an interrupted run would have left something: one system call on every boot.
    pub fn may_have_left(&self) -> bool {
        !matches!(statat(&self.fd, AREA, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    /// What an interrupted run left.
    ///
    /// # Errors
    /// [`Reason::Conflict`](crate::error::Reason::Conflict) where something else has the name of this program's directory.
    pub fn left(&self) -> Result<Left> {
        let top = Path::new("/");
        let area = match Area::find(self, top)? {
            Found::Nothing => return Ok(Left::Nothing),
            Found::Empty => return Ok(Left::Pieces),
            Found::Foreign => return Err(foreign(&top.join(AREA))),
            Found::Ours(area) => area,
        };
        Ok(if area.has(JOURNAL)? {
            if area.has(STAGED_STAMP)? { Left::Journal } else { Left::Whole }
        } else if area.has(CONFIG)? {
            Left::Config
        } else {
            Left::Pieces
        })
    }

    /// Takes away what an interrupted run left, a commit that had begun too. Returns what was there.
    ///
    /// # Errors
    /// Those of the root.
    pub fn discard(&self) -> Result<Vec<PathBuf>> {
        let top = Path::new("/");
        let area = match Area::find(self, top)? {
            Found::Nothing => return Ok(Vec::new()),
            Found::Foreign => return Err(foreign(&top.join(AREA))),
            Found::Empty => {
                return remove_empty(self, top).map(|()| vec![top.join(AREA)]);
            }
            Found::Ours(area) => area,
        };
        let areas = if area.has(JOURNAL)? { journal::areas(self, area)? } else { vec![area] };
        let staged = Staged { areas, numbers: Vec::new() };
        let paths = staged.areas.iter().map(Area::path).collect();
        staged.clear(self)?;
        Ok(paths)
    }
}

/// Makes everything durable that the commit needs, and then the journal: with its name it is valid.
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
