//! What was found out of the directories that were used of late: a config's files share them, in any order.

use std::path::{Path, PathBuf};

/// More directories than this are not remembered; the commit holds a descriptor of each.
const MOST: usize = 128;

/// Values by directory.
pub(super) struct Recent<T> {
    entries: Vec<(PathBuf, T)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> Recent<T> {
    /// The value of `directory`, if it is remembered.
    pub(super) fn get(&self, directory: &Path) -> Option<&T> {
        // Latest first: plans are sorted by depth, and most configs by directory. Bytes are enough for resolved paths.
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
