//! A root in memory, for tests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::change::{Attributes, Kind, Stat, View};
use crate::error::{Error, Reason, Result};

enum Thing {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    Special,
}

struct Node {
    thing: Thing,
    attributes: Attributes,
    identity: (u64, u64),
}

/// A root that holds what it is told.
pub(in crate::plan) struct Memory {
    nodes: BTreeMap<PathBuf, Node>,
    device: u64,
    /// How often it was asked for something.
    pub(in crate::plan) calls: Cell<usize>,
    /// Every read fails from here on.
    pub(in crate::plan) broken: Cell<bool>,
}

impl Memory {
    /// Debian's files, shortened.
    pub(in crate::plan) fn debian() -> Self {
        let mut root =
            Self { nodes: BTreeMap::new(), device: 1, calls: Cell::new(0), broken: Cell::new(false) };
        root.directory("/", 0, 0, 0o755);
        root.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/bin/sh\n");
        root.file("/etc/group", "root:x:0:\nadm:x:4:\nshadow:x:42:\ngames:x:60:\nusers:x:100:\n");
        root.file("/etc/shadow", "root:*:20000:0:99999:7:::\ngames:*:20000:0:99999:7:::\n");
        root.file("/etc/gshadow", "root:*::\nadm:*::\nshadow:*::\ngames:*::\nusers:*::\n");
        root.owned("/etc/shadow", 0, 42, 0o640);
        root.file("/etc/login.defs", "USERGROUPS_ENAB yes\nHOME_MODE 0700\n");
        root.file("/etc/default/useradd", "SHELL=/bin/sh\n");
        root.file("/etc/skel/.profile", "umask\n");
        root.directory("/home", 0, 0, 0o755);
        root
    }

    fn put(&mut self, path: &str, thing: Thing, attributes: Attributes) {
        let path = PathBuf::from(path);
        if let Some(parent) = path.parent() {
            if !self.nodes.contains_key(parent) {
                self.put(parent.to_str().unwrap(), Thing::Directory, Attributes::root(0o755));
            }
        }
        let identity = (self.device, self.nodes.len() as u64);
        self.nodes.insert(path, Node { thing, attributes, identity });
    }

    /// Puts a file of root's.
    pub(in crate::plan) fn file(&mut self, path: &str, text: &str) {
        self.put(path, Thing::File(text.into()), Attributes::root(0o644));
    }

    /// Puts a directory.
    pub(in crate::plan) fn directory(&mut self, path: &str, uid: u32, gid: u32, mode: u32) {
        self.put(path, Thing::Directory, Attributes { uid, gid, mode });
    }

    /// Puts a symbolic link.
    pub(in crate::plan) fn link(&mut self, path: &str, target: &str) {
        self.put(path, Thing::Link(target.into()), Attributes::root(0o777));
    }

    /// Puts a device node or the like.
    pub(in crate::plan) fn special(&mut self, path: &str) {
        self.put(path, Thing::Special, Attributes::root(0o600));
    }

    /// Gives what is at `path` to someone.
    pub(in crate::plan) fn owned(&mut self, path: &str, uid: u32, gid: u32, mode: u32) {
        self.nodes.get_mut(Path::new(path)).unwrap().attributes = Attributes { uid, gid, mode };
    }

    /// What is put from here on lies on another file system.
    pub(in crate::plan) fn next_device(&mut self) {
        self.device = self.device.saturating_add(1);
    }

    /// Takes a file away.
    pub(in crate::plan) fn without(mut self, path: &str) -> Self {
        self.nodes.remove(Path::new(path)).unwrap();
        self
    }
}

impl View for Memory {
    fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        self.calls.set(self.calls.get() + 1);
        Ok(self.nodes.get(path).map(|node| {
            let (kind, size) = match &node.thing {
                Thing::Directory => (Kind::Directory, 0),
                Thing::File(bytes) => (Kind::File, bytes.len() as u64),
                Thing::Link(_) => (Kind::Symlink, 0),
                Thing::Special => (Kind::Special, 0),
            };
            Stat { kind, attributes: node.attributes, size, identity: node.identity, links: 1 }
        }))
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf> {
        self.calls.set(self.calls.get() + 1);
        match self.nodes.get(path).map(|node| &node.thing) {
            Some(Thing::Link(target)) => Ok(target.clone()),
            _ => Err(Error::new(Reason::RootIo, "no link")),
        }
    }

    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>> {
        self.calls.set(self.calls.get() + 1);
        match self.nodes.get(path).map(|node| &node.thing) {
            Some(Thing::File(bytes)) if !self.broken.get() => Ok(bytes.clone()),
            _ => Err(Error::new(Reason::RootIo, format!("read {}: input/output error", path.display()))),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        self.calls.set(self.calls.get() + 1);
        let below = self.nodes.keys().filter(|at| at.parent() == Some(path));
        Ok(below.filter_map(|at| at.file_name()).map(OsString::from).collect())
    }
}
