//! `glowplug plan`: what applying a config would do, for people and for programs.

mod diff;
mod json;
mod line;
mod text;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use self::line::Line;
pub use self::text::Style;
use super::phases::{Defaults, Rendered, plan_config};
use super::render::Texts;
use crate::change::{Stat, View};
use crate::config::Config;
use crate::error::{Reason, Result};
use crate::plan::Planned;
use crate::root::Root;
use crate::sort::order;

/// How a dry run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: grouped by what the entries of the config become.
    People(Style),
    /// One JSON object, as `glowplug(8)` documents it.
    Json,
}

/// Returns what applying the config in `text` would do: nothing is written. What this user may not read is passed over
/// and named at the end.
///
/// # Errors
/// As [`apply`](super::apply), but for permissions to read. The contents behind all URLs are read, so that what is wrong with them is
/// told as well.
pub fn plan(root: &Root, text: &[u8], form: Form) -> Result<String> {
    let texts = Texts::default();
    let config = Rendered::alone(&texts, text)?.config;
    let view = Readable { root, unread: RefCell::default() };
    let mut planned = plan_config(&config, &view, Defaults::Debian)?;
    let read = line::read_contents(&mut planned.ops, &view)?;
    let lines = line::lines(&planned, &read, &view)?;
    let dry_run = DryRun { lines: &lines, planned: &planned, config: &config, view: &view };
    match form {
        Form::People(style) => text::text(&dry_run, style),
        Form::Json => Ok(json::json(&dry_run)),
    }
}

/// What is shown.
struct DryRun<'p> {
    lines: &'p [Line<'p>],
    planned: &'p Planned<'p>,
    config: &'p Config<'p>,
    view: &'p Readable<'p>,
}

/// The root as far as this user may read it.
struct Readable<'r> {
    root: &'r Root,
    unread: RefCell<Vec<PathBuf>>,
}

impl Readable<'_> {
    /// The paths that this user may not read, each once.
    fn unread(&self) -> Vec<PathBuf> {
        let met = self.unread.borrow();
        let sorted = order(met.len(), &|one, other| met.get(one).cmp(&met.get(other)));
        let mut unread: Vec<PathBuf> = Vec::new();
        for path in sorted.into_iter().filter_map(|index| met.get(index)) {
            if unread.last() != Some(path) {
                unread.push(path.clone());
            }
        }
        unread
    }

    fn or_else<T>(&self, path: &Path, read: Result<T>, instead: T) -> Result<T> {
        match read {
            Err(error) if error.reason() == Reason::Denied => {
                self.unread.borrow_mut().push(path.to_owned());
                Ok(instead)
            }
            read => read,
        }
    }
}

impl View for Readable<'_> {
    fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        self.or_else(path, self.root.stat(path), None)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf> {
        self.or_else(path, self.root.read_link(path), PathBuf::new())
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        self.or_else(path, self.root.read(path, limit), Vec::new())
    }

    fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        self.or_else(path, self.root.list(path), Vec::new())
    }
}
