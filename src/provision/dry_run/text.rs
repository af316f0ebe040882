//! A plan in the form for people: what becomes of each entry of the config.

use super::diff;
use super::disks::DiskGroup;
use super::planned_op::{Counts, PlannedOp};
use super::{DryRun, Readable, show, shown};
use crate::change::{Attributes, FileKind, Op};
use crate::error::Result;
use crate::kernel_args::Wanted;
use crate::plan::Part;
use crate::sort::order;
use std::fmt::Write as _;

/// The options of the form for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether terminal colours are used.
    pub colours: bool,
    /// Whether the changed lines of text files are shown.
    pub diff: bool,
}

const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "";
const END: &str = "\u{1b}[0m";

/// Returns the plan: disks, users, files and units, then the warnings, and the counts at the end.
pub(super) fn text(dry_run: &DryRun<'_>, style: Style) -> Result<String> {
    let mut page = Page { text: String::new(), style };
    page.disks(dry_run);
    let mut section = String::new();
    for (part, lines) in parts(dry_run) {
        let title = title(part, dry_run, &lines);
        if title != section {
            page.line(BOLD, &title);
            section = title;
        }
        let heading = heading(part, dry_run);
        let indent = if heading.is_empty() { "  " } else { "    " };
        if !heading.is_empty() {
            page.line(PLAIN, &format!("  {heading}"));
        }
        for line in lines {
            page.operation(line, indent);
            if style.diff {
                page.diff(line, indent, dry_run.view)?;
            }
        }
    }
    for warning in dry_run.warnings {
        page.line(YELLOW, &format!("! {warning}"));
    }
    for path in dry_run.view.unread() {
        page.line(YELLOW, &format!("? not allowed to read {}: the plan may differ there", shown(&path)));
    }
    page.line(BOLD, &closing(&dry_run.counts));
    Ok(page.text)
}

/// Returns the operations of each part of the config, in the order of the config. The operations of one part do not follow
/// one another in the plan: a user's home comes before all ssh keys, and a unit's file before all links.
fn parts<'p>(dry_run: &DryRun<'p>) -> Vec<(Part, Vec<&'p PlannedOp<'p>>)> {
    let mut begun = dry_run.planned.parts.iter().peekable();
    let mut part = Part::Storage;
    // An entry of the config without any operation is shown as well.
    let mut items: Vec<(Part, Option<&PlannedOp<'_>>)> = Vec::new();
    for (index, line) in dry_run.lines.iter().enumerate() {
        while let Some((_, next)) = begun.next_if(|(first, _)| *first <= index) {
            part = *next;
            items.push((part, None));
        }
        items.push((part, Some(line)));
    }
    items.extend(begun.map(|(_, part)| (*part, None)));

    let part_of = |index: usize| items.get(index).map(|(part, _)| *part);
    let sorted = order(items.len(), &|one, other| part_of(one).cmp(&part_of(other)));
    let mut parts = Vec::new();
    for group in sorted.chunk_by(|one, other| part_of(*one) == part_of(*other)) {
        let items = group.iter().filter_map(|index| items.get(*index));
        let lines: Vec<&PlannedOp<'_>> = items.filter_map(|(_, line)| *line).collect();
        let Some(part) = group.first().and_then(|index| part_of(*index)) else { continue };
        let is_entry = matches!(part, Part::Group(_) | Part::User(_) | Part::Unit(_) | Part::KernelArguments);
        if is_entry || !lines.is_empty() {
            parts.push((part, lines));
        }
    }
    parts
}

fn title(part: Part, dry_run: &DryRun<'_>, lines: &[&PlannedOp<'_>]) -> String {
    let title = match part {
        Part::Group(_) | Part::User(_) | Part::AccountFiles => "Users and groups",
        Part::Storage => "Files",
        Part::Unit(_) | Part::Presets => "Units",
        Part::KernelArguments => return arguments_title(&dry_run.arguments, lines),
    };
    title.to_owned()
}

/// `~ kernel arguments: +a +b -c in /boot/grub/grub.cfg; restarts once`
fn arguments_title(wanted: &Wanted<'_>, lines: &[&PlannedOp<'_>]) -> String {
    let files = lines.iter().filter(|line| matches!(line.op, Op::File { .. }));
    let files: Vec<String> = files.map(|line| shown(line.op.path())).collect();
    if files.is_empty() {
        return format!("= kernel arguments: {wanted}, already so");
    }
    format!("~ kernel arguments: {wanted} in {}; restarts once", files.join(", "))
}

/// Returns the heading above the operations of an entry. The heading is empty for files, because each file is one line, and
/// for kernel arguments, which have a title of their own.
fn heading(part: Part, dry_run: &DryRun<'_>) -> String {
    let passwd = &dry_run.config.passwd;
    let (word, name, goes) = match part {
        Part::Group(index) => {
            let group = passwd.groups.get(index);
            (
                "group",
                group.map(|group| &group.name),
                group.and_then(|group| group.should_exist) == Some(false),
            )
        }
        Part::User(index) => {
            let user = passwd.users.get(index);
            ("user", user.map(|user| &user.name), user.and_then(|user| user.should_exist) == Some(false))
        }
        Part::Unit(index) => return unit_heading(index, dry_run),
        Part::AccountFiles => return "account files".to_owned(),
        Part::Presets => return "presets".to_owned(),
        Part::Storage | Part::KernelArguments => return String::new(),
    };
    let name = name.map_or("", |name| name.as_ref());
    format!("{word} {name}{}", if goes { ", to be deleted" } else { "" })
}

fn unit_heading(index: usize, dry_run: &DryRun<'_>) -> String {
    let Some(unit) = dry_run.config.systemd.units.get(index) else { return String::new() };
    let mut heading = format!("unit {}", unit.name);
    for (is_wanted, word) in [
        (unit.enabled == Some(true), ", enabled"),
        (unit.enabled == Some(false), ", disabled"),
        (unit.mask == Some(true), ", masked"),
        (unit.mask == Some(false), ", unmasked"),
    ] {
        if is_wanted {
            heading.push_str(word);
        }
    }
    heading
}

/// `3 new, 2 changed, 1 removed`
fn closing(counts: &Counts) -> String {
    let Counts { new, changed, removed, unchanged } = counts;
    let mut text = format!("{new} new, {changed} changed, {removed} removed");
    if *unchanged > 0 {
        // Writing into a string cannot fail.
        let _ = write!(text, ", {unchanged} already so");
    }
    text
}

/// Returns the colour of a line with this sign.
fn colour(sign: char) -> &'static str {
    match sign {
        '+' => GREEN,
        '-' => RED,
        '~' => YELLOW,
        _ => PLAIN,
    }
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn line(&mut self, colour: &str, words: &str) {
        let is_coloured = self.begin(colour);
        self.text.push_str(words);
        self.end(is_coloured);
    }

    /// Begins a line. Returns whether it has a colour, for [`end`](Self::end).
    fn begin(&mut self, colour: &str) -> bool {
        let is_coloured = self.style.colours && !colour.is_empty();
        if is_coloured {
            self.text.push_str(colour);
        }
        is_coloured
    }

    fn end(&mut self, is_coloured: bool) {
        self.text.push_str(if is_coloured { END } else { "" });
        self.text.push('\n');
    }

    fn disks(&mut self, dry_run: &DryRun<'_>) {
        if !dry_run.disks.is_empty() {
            self.line(BOLD, "Disks");
        }
        for DiskGroup { heading, lines } in dry_run.disks {
            self.line(PLAIN, &format!("  {heading}"));
            for (sign, words) in lines {
                self.line(colour(*sign), &format!("    {sign} {words}"));
            }
        }
    }

    /// `+ file       0644     0:0    /etc/motd (12 bytes)`
    fn operation(&mut self, line: &PlannedOp<'_>, indent: &str) {
        let sign = match (line.op, line.present) {
            (Op::Remove { .. }, _) => '-',
            (_, None) => '+',
            _ if line.is_same => '=',
            _ => '~',
        };
        let is_coloured = self.begin(colour(sign));
        let text = &mut self.text;
        // Writing into a string cannot fail.
        let _ = write!(text, "{indent}{sign} {:<10} ", line.op.words().name);
        match line.attributes() {
            Some(Attributes { uid, gid, mode }) => {
                // Both ids together take nine columns.
                let digits = gid.checked_ilog10().unwrap_or_default() as usize;
                let width = 7_usize.saturating_sub(digits);
                let _ = write!(text, "{mode:04o} {uid:>width$}:{gid} ");
            }
            None => text.extend(std::iter::repeat_n(' ', 15)),
        }
        show(line.op.path(), text);
        if let Some((word, path)) = line.other() {
            text.push_str(if word == "from" { " <- " } else { " -> " });
            show(path, text);
        }
        if let Some(size) = line.size {
            let _ = write!(text, " ({size} bytes)");
        }
        if !line.origins.is_empty() {
            text.extend([", from ", &line.origins.join(" and ")]);
        }
        if line.is_default {
            text.push_str(", replaces the image's default");
        }
        self.end(is_coloured);
    }

    /// Adds the changed lines of the file that `line` puts, or why they are not shown.
    fn diff(&mut self, line: &PlannedOp<'_>, indent: &str, view: &Readable<'_>) -> Result<()> {
        let path = line.op.path();
        if !matches!(line.op, Op::File { .. }) || line.is_same {
            return Ok(());
        }
        let unread = view.unread.borrow().len();
        let contents = line.contents(view)?;
        let lines = contents.as_ref().map(|(old, new)| diff::unified(path, old, new));
        let is_file = line.present.is_some_and(|stat| stat.kind == FileKind::File);
        let instead = match lines {
            _ if view.unread.borrow().len() > unread => "you may not read what it holds",
            None if line.size.is_none() => "not fetched: see --fetch",
            None => "too large to be compared",
            Some(None) if is_file => "the contents are not text, and differ",
            Some(None) => "the contents are not text",
            Some(Some(lines)) => {
                for line in lines {
                    let colour = line.chars().next().map_or(PLAIN, colour);
                    self.line(colour, &format!("{indent}  {line}"));
                }
                return Ok(());
            }
        };
        self.line(PLAIN, &format!("{indent}  ({instead})"));
        Ok(())
    }
}
