//! A small cache of what is known about directories. Many files of a config share a few directories, in any order.

use std::path::{Path, PathBuf};

/// The most directories that are remembered. The commit holds an open descriptor for each.
const MOST: usize = 128;

/// A value for each of the latest directories. When the cache is full, everything is forgotten.
pub(super) struct Recent<T> {
    entries: Vec<(PathBuf, T)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> Recent<T> {
    /// Returns the value of `directory`, if it is remembered.
    pub(super) fn get(&self, directory: &Path) -> Option<&T> {
        // The latest comes first, since the files of most configs are sorted by directory. Paths are compared as bytes,
        // which is enough because they are resolved.
        let same = |known: &Path| known.as_os_str() == directory.as_os_str();
        self.entries.iter().rev().find(|(known, _)| same(known)).map(|(_, value)| value)
    }

    /// Remembers `value` for `directory`.
    pub(super) fn put(&mut self, directory: &Path, value: T) {
        if self.entries.len() >= MOST {
            self.entries.clear();
        }
        self.entries.push((directory.to_owned(), value));
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
