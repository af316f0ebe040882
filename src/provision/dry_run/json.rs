//! A plan as one JSON object, in the form that `glowplug(8)` documents.

use std::fmt::Write as _;
use std::path::Path;

use super::DryRun;
use super::planned_op::PlannedOp;
use crate::change::Attributes;
use crate::config::quote;
use crate::plan::Part;

/// Returns the JSON object. Later versions may add members, but keep those that are documented.
pub(super) fn json(dry_run: &DryRun<'_>) -> String {
    let mut text = String::from("{\"format\":1,\"operations\":[");
    for (index, line) in dry_run.lines.iter().enumerate() {
        text.push_str(if index > 0 { ",\n" } else { "\n" });
        add_operation(line, &mut text);
    }
    let counts = &dry_run.counts;
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "],\n\"counts\":{{\"new\":{},\"changed\":{},\"removed\":{},\"unchanged\":{}}},\n\"warnings\":",
        counts.new, counts.changed, counts.removed, counts.unchanged
    );
    add_list(dry_run.planned.warnings.iter().map(Path::new), &mut text);
    text.push_str(",\n\"unread\":");
    let unread = dry_run.view.unread();
    add_list(unread.iter().map(AsRef::as_ref), &mut text);
    add_arguments(dry_run, &mut text);
    text.push_str("}\n");
    text
}

/// `"kernel_arguments":{"add":["a"],"remove":["b"],"restarts":true}`. It is missing if the config has none.
fn add_arguments(dry_run: &DryRun<'_>, text: &mut String) {
    let arguments = &dry_run.arguments;
    if arguments.is_empty() {
        return;
    }
    text.push_str(",\n\"kernel_arguments\":{\"add\":");
    add_list(arguments.added().iter().map(Path::new), text);
    text.push_str(",\"remove\":");
    add_list(arguments.removed().iter().map(Path::new), text);
    // They are the last part of a plan. Without a file to change, the machine is started with them already.
    let planned = dry_run.planned;
    let begin = planned.parts.iter().find(|(_, part)| *part == Part::KernelArguments);
    let restarts = begin.is_some_and(|(first, _)| *first < planned.ops.len());
    let _ = write!(text, ",\"restarts\":{restarts}}}");
}

fn add_operation(line: &PlannedOp<'_>, text: &mut String) {
    text.push_str("{\"op\":");
    quote(line.op.words().name, text);
    text.push_str(",\"path\":");
    add_path(line.op.path(), text);
    let _ = write!(text, ",\"present\":{}", line.present.is_some());
    if let Some(Attributes { uid, gid, mode }) = line.attributes() {
        let _ = write!(text, ",\"mode\":\"{mode:04o}\",\"uid\":{uid},\"gid\":{gid}");
    }
    if line.is_default {
        text.push_str(",\"replaces_default\":true");
    }
    if let Some((word, other)) = line.other() {
        let _ = write!(text, ",\"{word}\":");
        add_path(other, text);
    }
    if let Some(size) = line.size {
        let _ = write!(text, ",\"size\":{size}");
    }
    if !line.origins.is_empty() {
        text.push_str(",\"origins\":");
        add_list(line.origins.iter().map(Path::new), text);
    }
    text.push('}');
}

fn add_list<'i>(items: impl Iterator<Item = &'i Path>, text: &mut String) {
    text.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        add_path(item, text);
    }
    text.push(']');
}

fn add_path(path: &Path, text: &mut String) {
    quote(&path.to_string_lossy(), text);
}
