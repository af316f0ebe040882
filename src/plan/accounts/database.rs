//! The account files of the root, read at the start and written back at the end.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::Today;
use super::defaults::{LoginDefs, UseraddDefaults};
use super::entry::{AccountEntry, Group, Gshadow, Parse, Passwd, Range, Shadow};
use super::faillog::Faillog;
use super::number;
use super::subject::Subject;
use super::table::{Ambiguous, Table};
use crate::change::{Attributes, FileKind, Piece};
use crate::error::{Error, Reason, Result};
use crate::plan::Tree;

/// One account file.
pub(super) struct File {
    /// Its path in the root.
    name: &'static str,
    /// Its lines.
    pub(super) table: Table,
    /// Its path with links resolved.
    path: PathBuf,
    /// Its original text; `None` if the file is new.
    original: Option<Vec<u8>>,
    attributes: Attributes,
}

/// All account files. A file that the root does not have is `None`.
pub(super) struct Database {
    pub(super) passwd: Option<File>,
    pub(super) group: Option<File>,
    pub(super) shadow: Option<File>,
    pub(super) gshadow: Option<File>,
    pub(super) subuid: Option<File>,
    pub(super) subgid: Option<File>,
    pub(super) defs: LoginDefs,
    pub(super) useradd: UseraddDefaults,
    pub(super) faillog: Faillog,
    /// The day that new passwords are dated with.
    pub(super) today: Today,
}

impl Database {
    /// Reads the account files of the root. `today` becomes the day of the last change of new passwords.
    pub(super) fn read(tree: &Tree, today: Today) -> Result<Self> {
        let defs = LoginDefs::read(tree)?;
        let force_shadow = defs.yes("FORCE_SHADOW");
        Ok(Self {
            passwd: File::read(tree, "/etc/passwd", Passwd::parse, false)?,
            group: File::read(tree, "/etc/group", Group::parse, false)?,
            shadow: File::read(tree, "/etc/shadow", Shadow::parse, force_shadow)?,
            gshadow: File::read(tree, "/etc/gshadow", Gshadow::parse, force_shadow)?,
            subuid: File::read(tree, "/etc/subuid", Range::parse, false)?,
            subgid: File::read(tree, "/etc/subgid", Range::parse, false)?,
            useradd: UseraddDefaults::read(tree)?,
            faillog: Faillog::default(),
            defs,
            today,
        })
    }

    /// Plans the files that have changed.
    pub(super) fn write(self, tree: &mut Tree) {
        let shadow_gid = self.group(b"shadow").map_or(0, |group| group.gid);
        self.faillog.write(tree);
        let files = [self.passwd, self.group, self.shadow, self.gshadow, self.subuid, self.subgid];
        for file in files.into_iter().flatten() {
            file.write(tree, shadow_gid);
        }
    }

    /// Returns all users.
    pub(super) fn users(&self) -> impl Iterator<Item = &Passwd> {
        self.passwd.iter().flat_map(|file| file.table.entries()).filter_map(|entry| match entry {
            AccountEntry::Passwd(user) => Some(user),
            _ => None,
        })
    }

    /// Returns all groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.group.iter().flat_map(|file| file.table.entries()).filter_map(|entry| match entry {
            AccountEntry::Group(group) => Some(group),
            _ => None,
        })
    }

    /// Returns the first user of this name.
    pub(super) fn user(&self, name: &[u8]) -> Option<&Passwd> {
        match self.passwd.as_ref()?.table.find(name)? {
            AccountEntry::Passwd(user) => Some(user),
            _ => None,
        }
    }

    /// Returns the first group of this name.
    pub(super) fn group(&self, name: &[u8]) -> Option<&Group> {
        match self.group.as_ref()?.table.find(name)? {
            AccountEntry::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Returns the group with this id or name. A text of digits is always an id.
    pub(super) fn group_by_any(&self, text: &[u8]) -> Option<&Group> {
        match number::id(text) {
            Some(gid) => self.group_of_id(gid),
            None => self.group(text),
        }
    }

    /// Returns the first user with this id.
    pub(super) fn user_of_id(&self, uid: u32) -> Option<&Passwd> {
        let table = &self.passwd.as_ref()?.table;
        match table.entry(table.ids.line_of(uid)?)? {
            AccountEntry::Passwd(user) => Some(user),
            _ => None,
        }
    }

    /// Returns the first group with this id.
    pub(super) fn group_of_id(&self, gid: u32) -> Option<&Group> {
        let table = &self.group.as_ref()?.table;
        match table.entry(table.ids.line_of(gid)?)? {
            AccountEntry::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Returns the first user whose primary group has this id.
    pub(super) fn user_of_group(&self, gid: u32) -> Option<&Passwd> {
        let table = &self.passwd.as_ref()?.table;
        match table.entry(table.primary.line_of(gid)?)? {
            AccountEntry::Passwd(user) => Some(user),
            _ => None,
        }
    }
}

impl File {
    fn read(tree: &Tree, name: &'static str, parse: Parse, make: bool) -> Result<Option<Self>> {
        let path = tree.resolve(Path::new(name))?;
        let Some(stat) = tree.stat(&path)? else {
            let (table, attributes) = (Table::parse(b"", parse), Attributes::root(0o640));
            return Ok(make.then_some(Self { name, table, path, original: None, attributes }));
        };
        if stat.kind != FileKind::File {
            let what = format!("{name} in the root is {}, not a file", stat.kind.word());
            return Err(Error::new(Reason::Account, what));
        }
        let bytes = tree.read(&path)?.unwrap_or_default().into_owned();
        let table = Table::parse(&bytes, parse);
        Ok(Some(Self { name, table, path, original: Some(bytes), attributes: stat.attributes }))
    }

    /// Updates an entry as [`Table::update`] does. An ambiguous name is an error about `subject`.
    pub(super) fn update(&mut self, entry: AccountEntry, subject: &Subject) -> Result<()> {
        self.table.update(entry).map_err(|Ambiguous| subject.ambiguous(self.name))
    }

    /// Changes the table by `change`. An ambiguous name is an error about `subject`.
    pub(super) fn try_change(
        &mut self,
        subject: &Subject,
        change: impl FnOnce(&mut Table) -> std::result::Result<(), Ambiguous>,
    ) -> Result<()> {
        change(&mut self.table).map_err(|Ambiguous| subject.ambiguous(self.name))
    }

    /// Removes an entry as [`Table::remove`] does. An ambiguous name is an error about `subject`.
    pub(super) fn remove(&mut self, name: &[u8], subject: &Subject) -> Result<()> {
        self.table.remove(name).map_err(|Ambiguous| subject.ambiguous(self.name))
    }

    fn write(self, tree: &mut Tree, shadow_gid: u32) {
        let bytes = self.table.to_bytes();
        let attributes = match self.original {
            Some(original) if original == bytes => return,
            Some(_) => self.attributes,
            None if bytes.is_empty() => return,
            None => Attributes { gid: shadow_gid, ..self.attributes },
        };
        tree.put_file(self.path, vec![Piece::Bytes(Cow::Owned(bytes))], attributes);
    }
}
