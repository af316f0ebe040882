//! Reads units and their `[Install]` sections, each file once, by systemd's rules.

mod reached;
mod search;

use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(super) use self::reached::Units;
pub(super) use self::search::search;
use super::names::UnitName;
use super::parse;
use super::section::Unit;
use crate::change::FileKind;
use crate::error::{Error, Reason, Result};
use crate::map::Map;
use crate::plan::Tree;

/// The directory in which links are made and removed.
pub(super) const CONFIG: &str = "/etc/systemd/system";
/// The directories in which systemd looks for units; the first match counts. systemd also looks in `/run`, which
/// belongs to the running system and is left out.
const DIRECTORIES: [&str; 6] = [
    "/etc/systemd/system.control",
    CONFIG,
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    USR,
    LIB,
];
const USR: &str = "/usr/lib/systemd/system";
const LIB: &str = "/lib/systemd/system";
/// The most drop-ins and `[Install]` lines that are read for all units together: every instance reads those of its
/// template.
const MAX_EFFORT: usize = 1 << 20;

/// Why a unit cannot be enabled or disabled.
#[derive(Debug)]
pub(super) enum UnitFault {
    /// No unit has this name.
    Missing,
    /// The name is a link to a unit that does not exist.
    Dangling,
    /// systemd would refuse the unit.
    Refused(&'static str),
    /// The root could not be read.
    Root(Error),
}

/// The result of looking for a unit.
pub(super) type UnitResult<T> = std::result::Result<T, UnitFault>;

impl From<Error> for UnitFault {
    fn from(error: Error) -> Self {
        Self::Root(error)
    }
}

impl UnitFault {
    /// Returns the words for a warning; an error if the root could not be read.
    pub(super) fn words(self) -> Result<&'static str> {
        match self {
            Self::Missing => Ok("the root has no such unit"),
            Self::Dangling => Ok("it is a link to a unit that does not exist"),
            Self::Refused(why) => Ok(why),
            Self::Root(error) => Err(error),
        }
    }
}

/// The contents of one file's `[Install]` sections.
struct Install {
    /// The assignments in their order, without unknown keys.
    assignments: Vec<(String, String)>,
    /// Why systemd would refuse the file after these assignments.
    refused: Option<&'static str>,
    /// Whether the file has no byte at all.
    is_empty: bool,
}

/// The file names and paths of the drop-ins of one unit or template, sorted by file name.
type DropIns = Rc<Vec<(Vec<u8>, PathBuf)>>;

/// Units that earlier calls have looked up.
pub(super) struct Known {
    directories: Rc<[UnitDirectory]>,
    /// The unit files and drop-ins that were read, by their paths. Links come and go, but these files do not change.
    files: Map<Rc<Install>>,
    /// The drop-ins that were listed, by the name of the unit or template.
    drop_ins: Map<DropIns>,
    /// How many drop-ins and `[Install]` lines were read.
    effort: usize,
    /// The units that were looked up, by the keys that [`known_as`] makes of their names.
    units: Map<Rc<Unit>>,
    /// The units whose links have all been made or removed.
    done: Map<()>,
}

impl Known {
    /// Returns a collection without any unit.
    pub fn new(tree: &Tree) -> Result<Self> {
        Ok(Self {
            directories: directories(tree)?.into(),
            files: Map::default(),
            drop_ins: Map::default(),
            effort: 0,
            units: Map::default(),
            done: Map::default(),
        })
    }

    /// Counts `count` drop-ins or `[Install]` lines.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] if there are too many.
    fn spend(&mut self, count: usize) -> Result<()> {
        self.effort = self.effort.saturating_add(count);
        if self.effort <= MAX_EFFORT {
            return Ok(());
        }
        let what = format!(
            "the units have more than {MAX_EFFORT} drop-ins and lines in [Install] to be read in all"
        );
        Err(Error::new(Reason::ConfigInvalid, what).advise(
            "Enable fewer instances of templates that have so many, then start again: nothing was written.",
        ))
    }

    /// Reads the file at `at`, once.
    fn file(&mut self, at: &Path, tree: &Tree) -> Result<Rc<Install>> {
        let key = at.as_os_str().as_encoded_bytes();
        if let Some(install) = self.files.get(key) {
            return Ok(Rc::clone(install));
        }
        let bytes = tree.read(at)?.unwrap_or_default();
        let mut assignments = Vec::new();
        let read = parse::install_section(&bytes, &mut |key, value| {
            if Unit::KEYS.contains(&key) {
                assignments.push((key.to_owned(), value.to_owned()));
            }
            Ok(())
        });
        let install = Rc::new(Install { assignments, refused: read.err(), is_empty: bytes.is_empty() });
        self.files.insert(key, Rc::clone(&install));
        Ok(install)
    }

    /// Applies the `[Install]` sections of the file at `at` to `unit`.
    fn load(&mut self, unit: &mut Unit, at: &Path, tree: &Tree) -> UnitResult<()> {
        let install = self.file(at, tree)?;
        self.spend(install.assignments.len())?;
        for (key, value) in &install.assignments {
            unit.assign(key, value).map_err(UnitFault::Refused)?;
        }
        install.refused.map_or(Ok(()), |why| Err(UnitFault::Refused(why)))
    }

    /// Lists the drop-ins of `name`, once. Of drop-ins with the same file name, the first one found counts.
    fn drop_ins(&mut self, name: &str, tree: &Tree) -> Result<DropIns> {
        if let Some(known) = self.drop_ins.get(name.as_bytes()) {
            return Ok(Rc::clone(known));
        }
        let mut files: Map<PathBuf> = Map::default();
        let directory_name = format!("{name}.d");
        for directory in self.directories.iter().filter(|found| found.may_hold(&directory_name, tree)) {
            let at = directory.at.join(&directory_name);
            if tree.kind(&at)?.is_none() {
                continue;
            }
            let Some(at) = unless_loop(tree.resolve(&at))? else { continue };
            if tree.kind(&at)? != Some(FileKind::Directory) {
                continue;
            }
            for file in tree.list(&at)? {
                let bytes = file.as_encoded_bytes();
                let is_drop_in = bytes.ends_with(b".conf") && !bytes.starts_with(b".");
                if is_drop_in && files.get(bytes).is_none() {
                    files.insert(bytes, at.join(&file));
                }
            }
        }
        let found = Rc::new(files.iter().map(|(name, path)| (name.to_owned(), path.clone())).collect());
        self.drop_ins.insert(name.as_bytes(), Rc::clone(&found));
        Ok(found)
    }

    /// Returns whether the unit whose file is at `at` may have an `Also=` or `Alias=`. Most have none, and a look at the bytes
    /// takes a fraction of the time of reading a unit.
    pub fn may_name_units(&self, name: &str, at: &Path, tree: &Tree) -> Result<bool> {
        let template = UnitName::parse(name).and_then(UnitName::template);
        let has_drop_ins = std::iter::once(name).chain(template.as_deref()).any(|name| {
            let drop_ins = format!("{name}.d");
            self.directories.iter().any(|directory| directory.may_hold(&drop_ins, tree))
        });
        if has_drop_ins {
            return Ok(true);
        }
        let bytes = tree.read(at)?.unwrap_or_default();
        let mut behind = bytes.split(|byte| *byte == b'A').skip(1);
        Ok(behind.any(|rest| rest.starts_with(b"lso") || rest.starts_with(b"lias")))
    }

    /// Returns whether all links are done for the unit `name` and the units in its `Also=`.
    pub fn is_done(&self, name: &str) -> bool {
        self.done.get(name.as_bytes()).is_some()
    }

    /// Notes that all links of the unit `name` are done.
    pub fn set_done(&mut self, name: &str) {
        self.done.insert(name.as_bytes(), ());
    }

    /// Forgets which units are done. Call this between enabling and disabling.
    pub fn begin(&mut self) {
        self.done = Map::default();
    }

    /// Forgets what is known of the unit `name` and its instances, because a link to the unit was made or removed.
    pub fn forget(&mut self, name: &str) {
        let prefix = [name.as_bytes(), b"\0"].concat();
        let keys: Vec<Vec<u8>> = self.units.beginning_with(&prefix).map(|(key, _)| key.to_vec()).collect();
        for key in keys.into_iter().chain([known_as(name)]) {
            self.units.remove(&key);
        }
    }

    fn search(&mut self, tree: &Tree, name: &str) -> UnitResult<Rc<Unit>> {
        let key = known_as(name);
        if let Some(unit) = self.units.get(&key) {
            return unit.refused.map_or_else(|| Ok(Rc::clone(unit)), |why| Err(UnitFault::Refused(why)));
        }
        let mut unit = Unit { name: name.to_owned(), ..Unit::default() };
        let found = search(self, tree, &mut unit, true);
        if let Err(UnitFault::Refused(why)) = &found {
            unit.refused = Some(why);
        }
        let unit = Rc::new(unit);
        if matches!(found, Ok(()) | Err(UnitFault::Refused(_))) {
            self.units.insert(&key, Rc::clone(&unit));
        }
        found.map(|()| unit)
    }
}

/// Returns the key of a unit. The key of an instance begins with its template's name, because the instance depends on
/// the template.
fn known_as(name: &str) -> Vec<u8> {
    let template = UnitName::parse(name).filter(|name| name.is_instance()).and_then(UnitName::template);
    [template.as_deref().unwrap_or(name).as_bytes(), b"\0", name.as_bytes()].concat()
}

/// Returns whether `path` lies directly in one of the directories in which systemd looks for units.
pub(super) fn is_searched(path: &Path) -> bool {
    DIRECTORIES.iter().any(|directory| path.parent() == Some(Path::new(directory)))
}

/// Returns whether `path` lies anywhere below one of these directories.
pub(super) fn is_below_searched(path: &Path) -> bool {
    path.parent().is_some_and(|parent| DIRECTORIES.iter().any(|directory| parent.starts_with(directory)))
}

/// A directory in which systemd looks for units.
#[derive(Clone)]
pub(super) struct UnitDirectory {
    pub path: &'static Path,
    /// The path with its links resolved. No entry for a unit changes a link on the way.
    pub at: PathBuf,
    /// The directory's place in the tree.
    place: Option<usize>,
}

impl UnitDirectory {
    /// Returns whether anything may stand at `name` in the directory.
    pub fn may_hold(&self, name: &str, tree: &Tree) -> bool {
        self.place.is_none_or(|place| tree.may_hold(place, name))
    }
}

/// Returns the directories in which systemd looks for units in this root, first match first.
pub(super) fn directories(tree: &Tree) -> Result<Vec<UnitDirectory>> {
    let mut directories: Vec<UnitDirectory> = Vec::new();
    for path in DIRECTORIES.iter().map(Path::new) {
        let at = tree.resolve(path)?;
        // Where /lib is a link to /usr/lib, it is left out.
        if path != Path::new(LIB) || directories.last().is_none_or(|usr| usr.at != at) {
            let place = tree.place(&at);
            directories.push(UnitDirectory { path, at, place });
        }
    }
    Ok(directories)
}

/// Returns a resolved path; `None` if its links form a loop.
pub(super) fn unless_loop(resolved: Result<PathBuf>) -> Result<Option<PathBuf>> {
    match resolved {
        Ok(path) => Ok(Some(path)),
        Err(error) if error.reason() == Reason::Conflict => Ok(None),
        Err(error) => Err(error),
    }
}
