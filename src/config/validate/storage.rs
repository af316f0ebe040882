//! Rules for files, directories and links.

use super::super::checker::{Checker, Rules, is_set};
use super::super::hints;
use super::super::keys::Keys;
use super::super::path::{clean, path_fault};
use super::super::report::{Severity, Step};
use super::super::types::{Directory, File, Link, NodeGroup, NodeUser, Storage};

/// The largest number of directories above a path that are looked at.
const MAX_DEPTH: usize = 257;

impl Rules for Storage<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let links = Keys::of(&[&self.links]);
        for (list, index, path) in paths(self) {
            let message = match list {
                "directories" => "directory path includes link in config",
                "files" => "file path includes link in config",
                _ => "link path includes link in config",
            };
            // Each lookup takes as long as the path. Planning refuses deeper paths, so that they need no check here.
            for (slash, _) in path.match_indices('/').take(MAX_DEPTH) {
                for _ in links.places(path.get(..slash).unwrap_or_default()) {
                    checker.error(&[Step::Key(list), Step::Index(index)], message);
                }
            }
        }
        let directories = Keys::of(&[&self.directories]);
        for (index, link) in self.links.iter().enumerate() {
            check_link(link, index, &directories, checker);
        }
        self.check_filesystems(checker);
    }
}

/// Returns the directories, files and links of a config, each with the key of its list, its index in the list and its
/// path.
pub(super) fn paths<'s>(storage: &'s Storage<'_>) -> impl Iterator<Item = (&'static str, usize, &'s str)> {
    let directories = storage.directories.iter().map(|directory| directory.path.as_ref()).enumerate();
    let files = storage.files.iter().map(|file| file.path.as_ref()).enumerate();
    let links = storage.links.iter().map(|link| link.path.as_ref()).enumerate();
    directories
        .map(|(index, path)| ("directories", index, path))
        .chain(files.map(|(index, path)| ("files", index, path)))
        .chain(links.map(|(index, path)| ("links", index, path)))
}

fn check_link(link: &Link<'_>, index: usize, directories: &Keys<'_>, checker: &mut Checker<'_>) {
    let place = [Step::Key("links"), Step::Index(index)];
    let at = |steps: &[&'static str]| {
        place.iter().cloned().chain(steps.iter().map(|key| Step::Key(key))).collect::<Vec<_>>()
    };
    let target = link.target.as_deref().unwrap_or_default();
    if target.is_empty() && checker.minor >= 3 {
        checker.error(&at(&["target"]), "link target is required");
        return;
    }
    if link.hard != Some(true) {
        return;
    }
    let cleaned = clean(target);
    let target = if cleaned.starts_with('/') { cleaned } else { clean(&format!("{}/{target}", link.path)) };
    for _ in directories.places(&target) {
        checker.error(&place, "hard link target is a directory");
    }
    let owners = [
        (link.user.id.is_some(), ["user", "id"]),
        (link.user.name.is_some(), ["user", "name"]),
        (link.group.id.is_some(), ["group", "id"]),
        (link.group.name.is_some(), ["group", "name"]),
    ];
    for (is_named, steps) in owners {
        if is_named {
            checker.warning(&at(&steps), "user/group ignored for hard link");
        }
    }
}

impl Storage<'_> {
    fn check_filesystems(&self, checker: &mut Checker<'_>) {
        let disks = Keys::of(&[&self.disks]);
        for (index, filesystem) in self.filesystems.iter().enumerate() {
            let last = disks.places(&filesystem.device).last();
            let Some(disk) = last.and_then(|last| self.disks.get(*last)) else { continue };
            let what = if !disk.partitions.is_empty() {
                "filesystem overwrites partitioned device"
            } else if disk.wipe_table == Some(true) && filesystem.wipe_filesystem != Some(true) {
                "device matches disk with wipeTable enabled; filesystem will be wiped"
            } else {
                continue;
            };
            checker.warning(&[Step::Key("filesystems"), Step::Index(index), Step::Key("device")], what);
        }
    }
}

impl Rules for File<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_path("path", &self.path, checker);
        check_mode(self.mode, checker);
        if self.overwrite == Some(true) && self.contents.source.is_none() {
            checker.fault("overwrite", Some("overwrite must be false if source is unspecified"));
        }
    }
}

impl Rules for Directory<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_path("path", &self.path, checker);
        check_mode(self.mode, checker);
    }
}

/// Adds what is wrong with the path in the field `key`, or a hint that its author may have meant another path.
pub(super) fn check_path(key: &'static str, path: &str, checker: &mut Checker<'_>) {
    let hint = hints::for_path(path);
    match (path_fault(path), hint) {
        (Some(fault), hint) => {
            checker.with_hint(Severity::Error, &[Step::Key(key)], fault, hint.map(str::to_owned));
        }
        (None, Some(hint)) => checker.hint(&[Step::Key(key)], hint),
        (None, None) => {}
    }
}

fn check_mode(mode: Option<i64>, checker: &mut Checker<'_>) {
    let Some(mode) = mode else { return };
    let hint = hints::for_mode(mode);
    let at = [Step::Key("mode")];
    let is_illegal = !(0..=0o7777).contains(&mode);
    let has_special_bits = mode & 0o7000 != 0 && checker.minor < 6;
    match &hint {
        Some(hint) if !is_illegal && !has_special_bits => checker.hint(&at, hint),
        _ => {}
    }
    if is_illegal {
        checker.with_hint(Severity::Error, &at, "illegal file mode", hint.clone());
    }
    if has_special_bits {
        let what =
            "setuid/setgid/sticky bits are not supported or functional in spec versions older than 3.6.0";
        checker.with_hint(Severity::Warning, &at, what, hint);
    }
}

impl Rules for Link<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_path("path", &self.path, checker);
        if let Some(hint) = self.target.as_deref().and_then(hints::for_target) {
            checker.hint(&[Step::Key("target")], hint);
        }
    }
}

impl Rules for NodeUser<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_owner(self.id, self.name.as_deref(), checker);
    }
}

impl Rules for NodeGroup<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_owner(self.id, self.name.as_deref(), checker);
    }
}

fn check_owner(id: Option<i64>, name: Option<&str>, checker: &mut Checker<'_>) {
    if id.is_some() && is_set(name) {
        checker.error(&[], "cannot set both id and name");
    }
}
