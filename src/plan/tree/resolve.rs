//! Resolving paths: links are followed in what is planned and in the view.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::places::{Base, Found, PlannedNode, Seen, WalkStep, below, components, enter, next, start};
use super::{Tree, bytes};
use crate::change::FileKind;
use crate::error::{Error, Reason, Result};

/// The most symbolic links that the kernel follows in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// The most directories in one path. Each missing directory becomes an operation that holds its whole path, so the
/// depth must be bounded.
const MAX_STEPS: usize = 256;

impl Tree<'_, '_> {
    /// Follows the links in all components of `path` but the last, as a process inside the root would. From the first
    /// missing component on, the path is taken as it is.
    pub fn resolve_parent(&self, path: &Path) -> Result<PathBuf> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.resolve(parent)?.join(name)),
            _ => Ok(PathBuf::from("/")),
        }
    }

    /// Follows the links in all components of `path`.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut links: usize = 0;
        let mut resolved: Vec<u8> = Vec::with_capacity(bytes(path).len());
        // The root and each directory in `resolved`, with the length of `resolved` before that directory.
        let mut steps = vec![(start(&self.places.borrow()), 0)];
        let mut rest: Cow<'_, [u8]> = Cow::Borrowed(bytes(path));
        refuse_depth(path, &rest)?;
        let mut at = 0;
        loop {
            let component = components(rest.get(at..).unwrap_or_default()).next();
            let Some((name, length)) = component else { break };
            at = at.saturating_add(length);
            if name == b".." {
                // `..` in the root is the root itself.
                if steps.len() > 1 {
                    resolved.truncate(steps.pop().map_or(0, |(_, length)| length));
                }
                continue;
            }
            let before = resolved.len();
            resolved.push(b'/');
            resolved.extend_from_slice(name);
            let above = steps.last().map_or_else(|| start(&self.places.borrow()), |(step, _)| *step);
            let mut step = next(&self.places.borrow(), above, name, resolved.len());
            if step.number.is_none() && !matches!(step.base, Base::Nowhere) {
                step = enter(&mut self.places.borrow_mut(), above, name, resolved.len());
            }
            let Found::Link(target) = self.find(step, &resolved)? else {
                // What was just found out holds for the names below as well.
                step.base = below(&self.places.borrow(), step, resolved.len());
                steps.push((step, before));
                continue;
            };
            links = links.saturating_add(1);
            if links > MAX_LINKS {
                return Err(Error::new(
                    Reason::Conflict,
                    format!("resolve {} in the root: too many levels of symbolic links", path.display()),
                ));
            }
            resolved.truncate(if target.is_absolute() { 0 } else { before });
            if target.is_absolute() {
                steps.truncate(1);
            }
            rest = Cow::Owned([bytes(&target), b"/", rest.get(at..).unwrap_or_default()].concat());
            at = 0;
            refuse_depth(path, &rest)?;
        }
        if resolved.is_empty() {
            resolved.push(b'/');
        }
        Ok(PathBuf::from(OsString::from_vec(resolved)))
    }

    /// Returns what will stand at `path`, to which `step` leads. The view is asked at most once.
    pub(super) fn find(&self, step: WalkStep, path: &[u8]) -> Result<Found> {
        let Some(number) = step.number else { return Ok(Found::Nothing) };
        let places = self.places.borrow();
        let Some(place) = places.at(number) else { return Ok(Found::Nothing) };
        match &place.planned {
            Some(PlannedNode::Gone) => return Ok(Found::Nothing),
            Some(PlannedNode::Directory { .. }) => return Ok(Found::Kind(FileKind::Directory)),
            Some(PlannedNode::File { .. }) => return Ok(Found::Kind(FileKind::File)),
            Some(PlannedNode::Symlink { target, .. }) => return Ok(Found::Link(target.clone())),
            Some(PlannedNode::Kept { at, .. }) => {
                return Ok(self.look(at, &Seen::Unknown)?.known().unwrap_or(Found::Nothing));
            }
            None => {}
        }
        if let Some(found) = place.seen.known() {
            return Ok(found);
        }
        let seen = match self.backing_of(step.base, path) {
            Some(at) => self.look(&at, &place.seen)?,
            None => Seen::Nothing,
        };
        drop(places);
        let found = seen.known().unwrap_or(Found::Nothing);
        if let Some(place) = self.places.borrow_mut().at_mut(number) {
            place.seen = seen;
        }
        Ok(found)
    }

    /// Asks the view what stands at `at`. `seen` is what is known already.
    fn look(&self, at: &Path, seen: &Seen) -> Result<Seen> {
        let link = |stat| Ok(Seen::Link(Box::new((stat, self.view.read_link(at)?))));
        if matches!(seen, Seen::Kind(FileKind::Symlink)) {
            return link(None);
        }
        let stat = seen.stat().map_or_else(|| self.view.stat(at), Ok)?;
        Ok(match stat {
            None => Seen::Nothing,
            Some(stat) if stat.kind == FileKind::Symlink => return link(Some(stat)),
            Some(stat) => Seen::Stat(Box::new(stat)),
        })
    }
}

fn refuse_depth(path: &Path, rest: &[u8]) -> Result<()> {
    if components(rest).nth(MAX_STEPS.saturating_add(1)).is_none() {
        return Ok(());
    }
    let length = path.as_os_str().len();
    let what = format!("a path of {length} bytes is more than {MAX_STEPS} directories deep");
    Err(Error::new(Reason::ConfigInvalid, what))
}
