//! The account files of the root, read at the start and put back at the end.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::defaults::{LoginDefs, UseraddDefaults};
use super::entry::{Entry, Group, Gshadow, Passwd, Range, Shadow};
use super::number;
use super::table::Table;
use crate::error::{Error, Reason, Result};
use crate::plan::{Attributes, Kind, Piece, Tree};

/// One account file.
pub(super) struct File<E> {
    /// Its lines.
    pub(super) table: Table<E>,
    /// Where it is, links followed.
    path: PathBuf,
    /// What it held; `None` if it is new.
    original: Option<Vec<u8>>,
    attributes: Attributes,
}

/// All account files. One that the root does not have is `None`.
pub(super) struct Database {
    pub(super) passwd: Option<File<Passwd>>,
    pub(super) group: Option<File<Group>>,
    pub(super) shadow: Option<File<Shadow>>,
    pub(super) gshadow: Option<File<Gshadow>>,
    pub(super) subuid: Option<File<Range>>,
    pub(super) subgid: Option<File<Range>>,
    pub(super) defs: LoginDefs,
    pub(super) useradd: UseraddDefaults,
}

impl Database {
    /// Reads what the root has.
    pub(super) fn read(tree: &Tree) -> Result<Self> {
        let defs = LoginDefs::read(tree)?;
        let force_shadow = defs.yes("FORCE_SHADOW");
        Ok(Self {
            passwd: File::read(tree, "/etc/passwd", false)?,
            group: File::read(tree, "/etc/group", false)?,
            shadow: File::read(tree, "/etc/shadow", force_shadow)?,
            gshadow: File::read(tree, "/etc/gshadow", force_shadow)?,
            subuid: File::read(tree, "/etc/subuid", false)?,
            subgid: File::read(tree, "/etc/subgid", false)?,
            useradd: UseraddDefaults::read(tree)?,
            defs,
        })
    }

    /// Plans the files that have changed.
    pub(super) fn write(self, tree: &mut Tree) {
        let shadow_gid = self.group("shadow".as_bytes()).map_or(0, |group| group.gid);
        write(self.passwd, tree, shadow_gid);
        write(self.group, tree, shadow_gid);
        write(self.shadow, tree, shadow_gid);
        write(self.gshadow, tree, shadow_gid);
        write(self.subuid, tree, shadow_gid);
        write(self.subgid, tree, shadow_gid);
    }

    /// Every user.
    pub(super) fn users(&self) -> impl Iterator<Item = &Passwd> {
        self.passwd.iter().flat_map(|file| file.table.entries())
    }

    /// Every group.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.group.iter().flat_map(|file| file.table.entries())
    }

    /// The user of this name.
    pub(super) fn user(&self, name: &[u8]) -> Option<&Passwd> {
        self.users().find(|user| user.name == name)
    }

    /// The group of this name.
    pub(super) fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups().find(|group| group.name == name)
    }

    /// The group of this number or else name: digits are always a number.
    pub(super) fn group_by_any(&self, text: &[u8]) -> Option<&Group> {
        match number::id(text) {
            Some(gid) => self.groups().find(|group| group.gid == gid),
            None => self.group(text),
        }
    }

    /// The user ids in use.
    pub(super) fn uids(&self) -> Vec<u32> {
        self.users().map(|user| user.uid).collect()
    }

    /// The group ids in use.
    pub(super) fn gids(&self) -> Vec<u32> {
        self.groups().map(|group| group.gid).collect()
    }
}

impl<E: Entry> File<E> {
    fn read(tree: &Tree, name: &str, make: bool) -> Result<Option<Self>> {
        let path = tree.resolve(Path::new(name))?;
        let Some(stat) = tree.stat(&path)? else {
            let attributes = Attributes::root(0o640);
            let new = || Self { table: Table::parse(b""), path, original: None, attributes };
            return Ok(make.then(new));
        };
        if stat.kind != Kind::File {
            let what = format!("{name} in the root is {}, not a file", stat.kind.word());
            return Err(Error::new(Reason::Account, what));
        }
        let bytes = tree.read(&path)?.unwrap_or_default().into_owned();
        let table = Table::parse(&bytes);
        Ok(Some(Self { table, path, original: Some(bytes), attributes: stat.attributes }))
    }
}

fn write<E: Entry>(file: Option<File<E>>, tree: &mut Tree, shadow_gid: u32) {
    let Some(file) = file else { return };
    let bytes = file.table.to_bytes();
    let attributes = match file.original {
        Some(original) if original == bytes => return,
        Some(_) => file.attributes,
        None if bytes.is_empty() => return,
        None => Attributes { gid: shadow_gid, ..file.attributes },
    };
    tree.put_file(file.path, vec![Piece::Bytes(Cow::Owned(bytes))], attributes);
}
