//! `glowplug plan`: shows what applying a config would do, for people or for programs.

mod diff;
mod disks;
mod json;
mod planned_op;
mod text;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use self::disks::DiskGroup;
use self::planned_op::{Counts, PlannedOp};
pub use self::text::Style;
use super::offline;
use super::phases::{Defaults, Rendered, Setting, plan_config};
use super::render::Texts;
use crate::change::{DirectoryEntry, Stat, View};
use crate::config::Config;
use crate::error::{Reason, Result};
use crate::fetcher::NetworkUse;
use crate::kernel_args::Wanted;
use crate::plan::Planned;
use crate::root::Root;
use crate::sort::order;
use crate::source::{NoTransport, Transport};

/// The form in which a dry run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: grouped by what the entries of the config become.
    People(Style),
    /// One JSON object, as `glowplug(8)` documents it.
    Json,
}

/// Returns what applying the config in `text` would do, without writing anything. Paths that this user may not read are
/// skipped, and named at the end. Without `fetches`, remote contents of files are not fetched, and the plan only says where
/// they would come from.
///
/// # Errors
/// Those of [`apply`](super::apply), except for a lack of permission to read. The sources of all files are read, so that their
/// errors are found as well. Without `fetches`, also [`Reason::Unsupported`] for what planning itself must read from the
/// network: other configs, and units that are enabled.
pub fn plan(root: &Root, text: &[u8], form: Form, fetches: bool) -> Result<String> {
    let fetching = offline::fetcher(NetworkUse::AsItIs);
    let transport: &dyn Transport = if fetches { &fetching } else { &NoTransport };
    let texts = Texts::default();
    let config = Rendered::alone(&texts, text, transport)?.config;
    let view = Readable { root, unread: RefCell::default() };
    let mut planned = plan_config(
        &config,
        &view,
        Setting { changes_disks: true, ..Setting::tree(Defaults::Debian) },
        transport,
    )?;
    root.refuse_unsafe(&planned.ops)?;
    let read = planned_op::read_contents(&mut planned.ops, &view, fetches)?;
    let sorted = planned_op::by_path(&planned.ops);
    let lines = planned_op::lines(&planned, &read, &sorted, &view)?;
    let counts = planned_op::count(&lines, &sorted);
    let arguments = Wanted::new(&config.kernel_arguments)?;
    let groups = disks::groups(&config.storage, &view)?;
    let disk_warnings = disks::warnings(&config, &lines, &view)?;
    let warnings: Vec<&str> = planned.warnings.iter().chain(&disk_warnings).map(String::as_str).collect();
    let dry_run = DryRun {
        lines: &lines,
        counts,
        planned: &planned,
        config: &config,
        arguments,
        disks: &groups,
        warnings: &warnings,
        view: &view,
    };
    match form {
        Form::People(style) => text::text(&dry_run, style),
        Form::Json => Ok(json::json(&dry_run)),
    }
}

/// Everything that is shown.
struct DryRun<'p> {
    lines: &'p [PlannedOp<'p>],
    counts: Counts,
    planned: &'p Planned<'p>,
    config: &'p Config<'p>,
    /// The kernel arguments of the config, as words.
    arguments: Wanted<'p>,
    /// What becomes of disks and file systems.
    disks: &'p [DiskGroup],
    /// The warnings of the plan, and those about disks.
    warnings: &'p [&'p str],
    view: &'p Readable<'p>,
}

/// Returns a path without control characters, so that it stays on its line.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    show(path, &mut text);
    text
}

/// Adds what [`shown`] returns to `text`. A large plan has many paths.
fn show(path: &Path, text: &mut String) {
    let path = path.to_string_lossy();
    if path.bytes().any(|byte| byte.is_ascii_control() || !byte.is_ascii()) {
        text.extend(path.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }));
    } else {
        text.push_str(&path);
    }
}

/// A view of the root for a user who may not read all of it. Whatever the user may not read seems missing or empty.
struct Readable<'r> {
    root: &'r Root,
    /// The paths that could not be read, in the order in which reading them was tried.
    unread: RefCell<Vec<PathBuf>>,
}

impl Readable<'_> {
    /// Returns the paths that this user may not read, sorted, each once.
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

    /// Returns what was `read` of `path`, or `instead` if this user lacks the permission.
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

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>> {
        self.or_else(path, self.root.list(path), Vec::new())
    }

    fn renames_directories(&self, path: &Path) -> Result<bool> {
        self.or_else(path, self.root.renames_directories(path), true)
    }
}
