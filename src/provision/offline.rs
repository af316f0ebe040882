//! What is done to a directory tree, without a host: applying a config, showing what that would do, and making a
//! provisioned tree new again.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::plan_config;
use super::render::{Renderer, Texts};
use crate::change::{Attributes, Op, Piece, Stat, View};
use crate::config::{Config, quote};
use crate::error::{Error, Problems, Reason, Result};
use crate::plan::Planned;
use crate::root::Root;

/// Applies the config in `text` to a directory tree, as an image builder does; no stamp is left.
///
/// # Errors
/// Those of the config and of the root. Up to the commit the root is as it was.
pub fn apply(root: &Root, text: &[u8]) -> Result<()> {
    let texts = Texts::default();
    let config = render(&texts, text)?;
    root.lock()?;
    root.apply(&plan_config(&config, root)?.log_remarks())
}

fn render<'a>(texts: &'a Texts, text: &'a [u8]) -> Result<Config<'a>> {
    refuse_empty(text)?;
    Renderer::new(texts).render(text).map(|(config, _)| config)
}

/// A host may have nothing to say; who names a file means one with a config.
pub(crate) fn refuse_empty(text: &[u8]) -> Result<()> {
    if text.is_empty() {
        return Err(Error::new(Reason::ConfigSyntax, "not a config (empty)"));
    }
    Ok(())
}

/// How a dry run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One operation a line, for people.
    Lines,
    /// One JSON object, as `glowplug(8)` documents it.
    Json,
}

/// What applying the config in `text` would do: nothing is written. What this user may not read is passed over and
/// named at the end.
///
/// # Errors
/// As [`apply`], but for permissions to read.
pub fn plan(root: &Root, text: &[u8], form: Form) -> Result<String> {
    let texts = Texts::default();
    let config = render(&texts, text)?;
    let view = Readable { root, unread: RefCell::default() };
    let Planned { ops, warnings, replaced_defaults } = plan_config(&config, &view)?;
    let mut lines = Vec::with_capacity(ops.len());
    let mut problems = Problems::default();
    let mut defaults = replaced_defaults.iter();
    let mut default = defaults.next();
    for op in &ops {
        // Both are in the order of the entries.
        let is_default = !matches!(op, Op::Remove { .. }) && default.is_some_and(|path| path == op.path());
        if is_default {
            default = defaults.next();
        }
        let size = problems.take(size(op, &view)).flatten();
        lines.push(Line { op, present: view.stat(op.path())?.is_some(), is_default, size });
    }
    problems.finish()?;
    let unread = view.unread.into_inner();
    Ok(match form {
        Form::Lines => as_text(&lines, &warnings, &unread),
        Form::Json => as_json(&lines, &warnings, &unread),
    })
}

/// Takes stamp and state away, so that the tree is provisioned anew at its next boot. Returns what was taken away.
///
/// # Errors
/// Those of the root.
pub fn clean(root: &Root) -> Result<Vec<PathBuf>> {
    root.lock()?;
    root.clean()
}

/// The root as far as this user may read it.
struct Readable<'r> {
    root: &'r Root,
    unread: RefCell<Vec<PathBuf>>,
}

impl Readable<'_> {
    fn or_else<T>(&self, path: &Path, read: Result<T>, instead: T) -> Result<T> {
        match read {
            Err(error) if error.reason() == Reason::Denied => {
                let mut unread = self.unread.borrow_mut();
                if !unread.iter().any(|known| known == path) {
                    unread.push(path.to_owned());
                }
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

/// One operation with what is known of it before it is carried out.
struct Line<'p> {
    op: &'p Op<'p>,
    /// Whether something stands at its path now.
    present: bool,
    /// Whether the image brings what stands there only as a default, for which the config sets no `overwrite`.
    is_default: bool,
    /// Bytes of the file that it puts.
    size: Option<u64>,
}

/// The size of the file that an operation puts; its sources are read to the end, so that a bad one is found.
fn size(op: &Op<'_>, view: &dyn View) -> Result<Option<u64>> {
    let Op::File { contents, .. } = op else { return Ok(None) };
    let mut size: u64 = 0;
    for piece in contents {
        let bytes = match piece {
            Piece::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Piece::Existing(path) => view.stat(path)?.map_or(0, |stat| stat.size),
            Piece::Source(source) => source.size()?,
        };
        size = size.saturating_add(bytes);
    }
    Ok(Some(size))
}

impl Line<'_> {
    /// The operation's word, the same in both forms.
    fn word(&self) -> &'static str {
        match self.op {
            Op::Remove { .. } => "remove",
            Op::Directory { .. } => "directory",
            Op::File { .. } => "file",
            Op::Symlink { .. } => "link",
            Op::HardLink { .. } => "hardlink",
            Op::Attributes { .. } => "attributes",
            Op::Rename { .. } => "rename",
        }
    }

    fn attributes(&self) -> Option<Attributes> {
        match self.op {
            Op::Directory { attributes, .. }
            | Op::File { attributes, .. }
            | Op::Attributes { attributes, .. } => Some(*attributes),
            Op::Symlink { uid, gid, .. } => Some(Attributes { uid: *uid, gid: *gid, mode: 0o777 }),
            _ => None,
        }
    }

    /// What a link points at, or where a renamed file comes from.
    fn other(&self) -> Option<(&'static str, &Path)> {
        match self.op {
            Op::Symlink { target, .. } | Op::HardLink { target, .. } => Some(("target", target)),
            Op::Rename { from, .. } => Some(("from", from)),
            _ => None,
        }
    }
}

/// `+ file       0644     0:0    /etc/motd (12 bytes)`
fn as_text(lines: &[Line<'_>], warnings: &[String], unread: &[PathBuf]) -> String {
    let mut text = String::new();
    for line in lines {
        let sign = match (line.op, line.present) {
            (Op::Remove { .. }, _) => '-',
            (_, true) => '~',
            (_, false) => '+',
        };
        let (mode, owner) = line.attributes().map_or_else(Default::default, |attributes| {
            let Attributes { uid, gid, mode } = attributes;
            (format!("{mode:04o}"), format!("{uid}:{gid}"))
        });
        // Writing into a string cannot fail.
        let _ = write!(text, "{sign} {:<10} {mode:>4} {owner:>9} {}", line.word(), shown(line.op.path()));
        if let Some((word, path)) = line.other() {
            let arrow = if word == "from" { "<-" } else { "->" };
            let _ = write!(text, " {arrow} {}", shown(path));
        }
        if let Some(size) = line.size {
            let _ = write!(text, " ({size} bytes)");
        }
        if line.is_default {
            text.push_str(", replaces the image's default");
        }
        text.push('\n');
    }
    for warning in warnings {
        let _ = writeln!(text, "! {warning}");
    }
    for path in unread {
        let _ = writeln!(text, "? not allowed to read {}: the plan may differ there", shown(path));
    }
    text
}

/// A path on one line.
fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn as_json(lines: &[Line<'_>], warnings: &[String], unread: &[PathBuf]) -> String {
    let path = |text: &mut String, path: &Path| quote(&path.to_string_lossy(), text);
    let mut text = String::from("{\"format\":1,\"operations\":[");
    for (index, line) in lines.iter().enumerate() {
        text.push_str(if index > 0 { ",\n{\"op\":" } else { "\n{\"op\":" });
        quote(line.word(), &mut text);
        text.push_str(",\"path\":");
        path(&mut text, line.op.path());
        let _ = write!(text, ",\"present\":{}", line.present);
        if let Some(Attributes { uid, gid, mode }) = line.attributes() {
            let _ = write!(text, ",\"mode\":\"{mode:04o}\",\"uid\":{uid},\"gid\":{gid}");
        }
        if line.is_default {
            text.push_str(",\"replaces_default\":true");
        }
        if let Some((word, other)) = line.other() {
            let _ = write!(text, ",\"{word}\":");
            path(&mut text, other);
        }
        if let Some(size) = line.size {
            let _ = write!(text, ",\"size\":{size}");
        }
        text.push('}');
    }
    text.push_str("],\n\"warnings\":[");
    for (index, warning) in warnings.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        quote(warning, &mut text);
    }
    text.push_str("],\n\"unread\":[");
    for (index, at) in unread.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        path(&mut text, at);
    }
    text.push_str("]}\n");
    text
}
