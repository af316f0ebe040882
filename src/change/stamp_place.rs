//! Where the stamp of a root stands. `/etc` may be a symbolic link, which leads to a directory inside the root.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{FileKind, View};
use crate::error::{Error, Reason, Result};
use crate::stamp::STAMP;

/// The most links on the way to the stamp, the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The place of the stamp in one root.
#[derive(Debug)]
pub struct StampPlace {
    /// The path of the stamp, without links.
    pub path: PathBuf,
    /// The links on the way from [`STAMP`] to `path`.
    links: Vec<PathBuf>,
}

impl StampPlace {
    /// Finds the place in the root that `view` shows. Its directory may be missing.
    ///
    /// # Errors
    /// [`Reason::Conflict`] if the links go round in a circle, or go up with `..` from a directory that is missing.
    pub fn find(view: &dyn View) -> Result<Self> {
        let lexical = Path::new(STAMP);
        let mut place = Self { path: PathBuf::from("/"), links: Vec::new() };
        // The components that are still to be entered, the next one last.
        let mut rest = Vec::new();
        push(&mut rest, lexical.parent().unwrap_or(Path::new("/")));
        while let Some(name) = rest.pop() {
            if name == ".." {
                place.path.pop();
                continue;
            }
            let path = place.path.join(name);
            match view.stat(&path)?.map(|stat| stat.kind) {
                Some(FileKind::Symlink) => {
                    let target = view.read_link(&path)?;
                    if target.is_absolute() {
                        place.path = PathBuf::from("/");
                    }
                    push(&mut rest, &target);
                    place.links.push(path);
                    if place.links.len() > MAX_LINKS {
                        return Err(conflict("too many links lead on from one to another"));
                    }
                }
                None if rest.iter().any(|name| name == "..") => {
                    return Err(conflict("a link leads over a directory that is missing"));
                }
                _ => place.path = path,
            }
        }
        place.path.push(lexical.file_name().unwrap_or_default());
        Ok(place)
    }

    /// Whether what stands at `path` leads to the stamp: a directory above it, or a link on the way or above one.
    pub(super) fn is_below(&self, path: &Path) -> bool {
        Path::new(STAMP).starts_with(path) || self.path.starts_with(path) || self.is_link_below(path)
    }

    /// Whether a link on the way to the stamp stands at `path` or below it.
    pub(super) fn is_link_below(&self, path: &Path) -> bool {
        self.links.iter().any(|link| link.starts_with(path))
    }
}

fn push(rest: &mut Vec<OsString>, path: &Path) {
    let names =
        path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    rest.extend(names.map(|part| part.as_os_str().to_owned()));
}

fn conflict(why: &str) -> Error {
    Error::new(Reason::Conflict, format!("find the place of {STAMP} in the root: {why}"))
}
