//! The operations that a plan is made of, in order. What is put into place is whole: each says what shall stand,
//! not how it differs from what stands.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::view::Attributes;
use crate::source::Source;

/// One change of the root. Paths are absolute inside the root, without symbolic links in their parents.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Take away what stands at `path`, whatever it is and holds. Nothing there is fine.
    Remove {
        /// What to take away.
        path: PathBuf,
    },
    /// Make a directory, or only set owner and mode of the one that is there.
    Directory {
        /// Where.
        path: PathBuf,
        /// Owner and mode.
        attributes: Attributes,
    },
    /// Put a regular file in place of what stands there (a file, a link or nothing).
    File {
        /// Where.
        path: PathBuf,
        /// What it holds.
        contents: Contents<'a>,
        /// Owner and mode.
        attributes: Attributes,
    },
    /// Put a symbolic link in place of what stands there (a file, a link or nothing).
    Symlink {
        /// Where.
        path: PathBuf,
        /// What it points at, as written.
        target: PathBuf,
        /// Its own user.
        uid: u32,
        /// Its own group.
        gid: u32,
    },
    /// Give the file at `target` a second name.
    HardLink {
        /// The new name.
        path: PathBuf,
        /// The existing file.
        target: PathBuf,
    },
    /// Set owner and mode of what is there; a symbolic link itself, not its target, and without the mode.
    Attributes {
        /// What to change.
        path: PathBuf,
        /// Owner and mode.
        attributes: Attributes,
    },
    /// Give what stands at `from` another name. Done already if nothing stands there.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
}

impl Op<'_> {
    /// The path that the operation changes; of a rename the new one.
    pub fn path(&self) -> &Path {
        match self {
            Self::Remove { path }
            | Self::Directory { path, .. }
            | Self::File { path, .. }
            | Self::Symlink { path, .. }
            | Self::HardLink { path, .. }
            | Self::Attributes { path, .. }
            | Self::Rename { to: path, .. } => path,
        }
    }
}

/// What a file holds: the pieces one after the other.
pub type Contents<'a> = Vec<Piece<'a>>;

/// A piece of a file's contents.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes at hand.
    Bytes(Cow<'a, [u8]>),
    /// What the file at this path of the root held before the commit.
    Existing(PathBuf),
    /// The bytes behind a URL of the config.
    Source(Source<'a>),
}
