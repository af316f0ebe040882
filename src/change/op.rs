//! The operations of a plan. Each operation describes what shall stand at a path, not how that differs from what stands
//! there now.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::view::Attributes;
use crate::source::Source;

/// One change of the root. Paths are absolute inside the root, without symbolic links in their parents.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Remove what stands at `path`, a directory with all that is below it. A path at which nothing stands is no error.
    Remove {
        /// What to remove.
        path: PathBuf,
    },
    /// Make a directory. One that exists already keeps what is in it and gets the owner and mode.
    Directory {
        /// Where.
        path: PathBuf,
        /// Owner and mode.
        attributes: Attributes,
    },
    /// Put a regular file in the place of a file, a link or nothing. A directory there is an error.
    File {
        /// Where.
        path: PathBuf,
        /// What it holds.
        contents: Contents<'a>,
        /// Owner and mode.
        attributes: Attributes,
    },
    /// Put a symbolic link in the place of a file, a link or nothing. A directory there is an error.
    Symlink {
        /// Where.
        path: PathBuf,
        /// The text of the link.
        target: PathBuf,
        /// The numeric user of the link itself.
        uid: u32,
        /// The numeric group of the link itself.
        gid: u32,
    },
    /// Give the file at `target` a second name.
    HardLink {
        /// The new name.
        path: PathBuf,
        /// The existing file.
        target: PathBuf,
    },
    /// Set owner and mode of what stands at `path`. Of a symbolic link only the owner is set, that of the link itself.
    Attributes {
        /// What to change.
        path: PathBuf,
        /// Owner and mode.
        attributes: Attributes,
    },
    /// Give what stands at `from` the name `to`. If nothing stands at `from`, the operation counts as done.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
}

/// The words for a kind of operation.
#[derive(Debug, Clone, Copy)]
pub struct OpWords {
    /// The letter that stands for the operation in a journal. It is part of the journal's format.
    pub letter: &'static str,
    /// The name of the operation in the output of `glowplug plan`. It is part of the documented JSON.
    pub name: &'static str,
    /// What the operation does, as a verb that the path follows in an error message.
    pub act: &'static str,
}

impl Op<'_> {
    /// Returns the words for this kind of operation.
    pub fn words(&self) -> OpWords {
        let (letter, name, act) = match self {
            Self::Remove { .. } => ("x", "remove", "remove"),
            Self::Directory { .. } => ("d", "directory", "make directory"),
            Self::File { .. } => ("f", "file", "put the file"),
            Self::Symlink { .. } => ("l", "link", "put the link"),
            Self::HardLink { .. } => ("h", "hardlink", "make the hard link"),
            Self::Attributes { .. } => ("a", "attributes", "set owner and mode of"),
            Self::Rename { .. } => ("r", "rename", "rename something to"),
        };
        OpWords { letter, name, act }
    }

    /// Returns whether bytes that it puts are still to be fetched from a server.
    pub fn fetches(&self) -> bool {
        let Self::File { contents, .. } = self else { return false };
        let is_fetched =
            |piece: &Piece<'_>| matches!(piece, Piece::Source(source) if source.origin().is_some());
        contents.iter().any(is_fetched)
    }

    /// Returns the path that the operation changes. For a rename this is the new path.
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

/// The contents of a file, as pieces that follow one another.
pub type Contents<'a> = Vec<Piece<'a>>;

/// A piece of a file's contents.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes in memory.
    Bytes(Cow<'a, [u8]>),
    /// The contents that the file at this path of the root had before the commit.
    Existing(PathBuf),
    /// The bytes behind a URL of the config. They are read once, while the file is staged. In a box, since most pieces are
    /// small.
    Source(Box<Source<'a>>),
}
