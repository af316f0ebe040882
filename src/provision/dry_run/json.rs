//! A plan as one JSON object, in the form that `glowplug(8)` documents.

use std::fmt::Write as _;
use std::path::Path;

use super::DryRun;
use super::planned_op::PlannedOp;
use crate::change::Attributes;
use crate::config::{Storage, quote};
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
    add_list(dry_run.warnings.iter().map(Path::new), &mut text);
    text.push_str(",\n\"unread\":");
    let unread = dry_run.view.unread();
    add_list(unread.iter().map(AsRef::as_ref), &mut text);
    add_disks(&dry_run.config.storage, &mut text);
    add_arguments(dry_run, &mut text);
    text.push_str("}\n");
    text
}

/// `"disks":[{"device":"/dev/vdb","wipe":true,"partitions":[{"number":1,"wipe":false}]}],"filesystems":[…]`: what the config
/// asks for. Each is missing if the config has none.
fn add_disks(storage: &Storage<'_>, text: &mut String) {
    for (index, disk) in storage.disks.iter().enumerate() {
        text.push_str(if index > 0 { ",\n" } else { ",\n\"disks\":[\n" });
        text.push_str("{\"device\":");
        quote(&disk.device, text);
        let _ = write!(text, ",\"wipe\":{},\"partitions\":[", disk.wipe_table == Some(true));
        for (index, partition) in disk.partitions.iter().enumerate() {
            text.push_str(if index > 0 { ",{" } else { "{" });
            let _ = write!(text, "\"number\":{}", partition.number);
            add_text("label", partition.label.as_deref(), text);
            for (key, value) in [("start_mib", partition.start_mib), ("size_mib", partition.size_mib)] {
                if let Some(value) = value {
                    let _ = write!(text, ",\"{key}\":{value}");
                }
            }
            for (key, value) in [
                ("exists", partition.should_exist != Some(false)),
                ("wipe", partition.wipe_partition_entry == Some(true)),
                ("resize", partition.resize == Some(true)),
            ] {
                let _ = write!(text, ",\"{key}\":{value}");
            }
            text.push('}');
        }
        text.push_str("]}");
    }
    if !storage.disks.is_empty() {
        text.push(']');
    }
    add_arrays_and_volumes(storage, text);
    add_filesystems(storage, text);
}

/// `"raid":[{"name":"data","level":"raid1","devices":["/dev/a"],"spares":0}],"luks":[{"name":"x","device":"/dev/b",…}]`
fn add_arrays_and_volumes(storage: &Storage<'_>, text: &mut String) {
    for (index, raid) in storage.raid.iter().enumerate() {
        text.push_str(if index > 0 { ",\n" } else { ",\n\"raid\":[\n" });
        text.push_str("{\"name\":");
        quote(&raid.name, text);
        add_text("level", raid.level.as_deref(), text);
        text.push_str(",\"devices\":");
        add_list(raid.devices.iter().map(|device| Path::new(device.as_ref())), text);
        let _ = write!(text, ",\"spares\":{}}}", raid.spares.unwrap_or_default());
    }
    if !storage.raid.is_empty() {
        text.push(']');
    }
    for (index, luks) in storage.luks.iter().enumerate() {
        text.push_str(if index > 0 { ",\n" } else { ",\n\"luks\":[\n" });
        text.push_str("{\"name\":");
        quote(&luks.name, text);
        add_text("device", luks.device.as_deref(), text);
        add_text("label", luks.label.as_deref(), text);
        let _ = write!(text, ",\"wipe\":{}}}", luks.wipe_volume == Some(true));
    }
    if !storage.luks.is_empty() {
        text.push(']');
    }
}

fn add_filesystems(storage: &Storage<'_>, text: &mut String) {
    for (index, filesystem) in storage.filesystems.iter().enumerate() {
        text.push_str(if index > 0 { ",\n" } else { ",\n\"filesystems\":[\n" });
        text.push_str("{\"device\":");
        quote(&filesystem.device, text);
        add_text("format", filesystem.format.as_deref(), text);
        add_text("label", filesystem.label.as_deref(), text);
        add_text("path", filesystem.path.as_deref(), text);
        let _ = write!(text, ",\"wipe\":{}}}", filesystem.wipe_filesystem == Some(true));
    }
    if !storage.filesystems.is_empty() {
        text.push(']');
    }
}

/// Adds a member with a text, unless the text is missing.
fn add_text(key: &str, value: Option<&str>, text: &mut String) {
    if let Some(value) = value {
        let _ = write!(text, ",\"{key}\":");
        quote(value, text);
    }
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
