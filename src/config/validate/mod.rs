//! What the language asks of a config beyond its form: the reference's rules, in its words.

mod disks;
mod resources;
mod storage;
mod systemd;
mod unit_file;
mod url;

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::report::{Report, Severity, Step, last_key};
use super::schema::{Duplicates, List, Object, Shape, Value};
use super::types::{Cex, Clevis, Config, Group, Ignition, Passwd, Security, Systemd, Timeouts, User};
use super::version::Version;

/// The rules of one type of object, and what tells its items apart in a list.
pub(super) trait Rules {
    /// Adds what is wrong with the object to the report.
    fn check(&self, _: &mut Checker<'_>) {}

    /// What tells it from the others of a list.
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    /// Whether merging it takes the parent's item away.
    fn removes(&self) -> bool {
        false
    }

    /// Takes what `child` has in another list out of this one, before they are merged.
    fn make_way(&mut self, _child: &Self)
    where
        Self: Sized,
    {
    }

    /// It stands in a config of 3.`minor`. Whether that version makes something of its being there.
    fn given(&mut self, _minor: u8) -> bool {
        false
    }
}

/// The report in the making.
pub(super) struct Checker<'r> {
    pub minor: u8,
    path: Vec<Step>,
    report: &'r mut Report,
}

impl Checker<'_> {
    /// Adds an error at the place that `steps` lead to from the object that is being checked.
    pub fn error(&mut self, steps: &[Step], message: impl Into<Cow<'static, str>>) {
        self.add(Severity::Error, steps, message.into());
    }

    /// As [`Checker::error`], for what the config may say all the same.
    pub fn warning(&mut self, steps: &[Step], message: impl Into<Cow<'static, str>>) {
        self.add(Severity::Warning, steps, message.into());
    }

    /// Adds an error at `key` if there is one.
    pub fn fault(&mut self, key: &'static str, fault: Option<impl Into<Cow<'static, str>>>) {
        if let Some(fault) = fault {
            self.error(&[Step::Key(key)], fault);
        }
    }

    /// The key of the object that is being checked, or of the list that it is in.
    pub fn last_key(&self) -> &'static str {
        last_key(&self.path)
    }

    fn add(&mut self, severity: Severity, steps: &[Step], message: Cow<'static, str>) {
        let path = self.path.iter().chain(steps).cloned().collect();
        self.report.add(severity, path, message);
    }
}

/// Adds everything that is wrong with a config of `version` to `report`.
pub(super) fn validate(config: &Config<'_>, version: Version, report: &mut Report) {
    let mut checker = Checker { minor: version.minor(), path: Vec::new(), report };
    walk(&config.shape(), &mut checker);
}

fn walk(shape: &Shape<'_, '_>, checker: &mut Checker<'_>) {
    match shape {
        Shape::Object(object) => walk_object(*object, checker),
        Shape::List(list) => {
            for index in 0..list.count() {
                checker.path.push(Step::Index(index));
                walk(&list.item(index), checker);
                checker.path.pop();
            }
        }
        _ => {}
    }
}

fn walk_object(object: &dyn Object<'_>, checker: &mut Checker<'_>) {
    object.check(checker);
    let mut shared = BTreeSet::new();
    for (index, field) in object.fields().iter().enumerate() {
        if field.since > checker.minor {
            continue;
        }
        checker.path.push(Step::Key(field.key));
        let value = object.field(index);
        if let Shape::List(list) = value {
            match field.duplicates {
                Duplicates::Refused => refuse_duplicates(list, &mut BTreeSet::new(), checker),
                Duplicates::Shared => refuse_duplicates(list, &mut shared, checker),
                Duplicates::Kept => {}
            }
        }
        walk(&value, checker);
        checker.path.pop();
    }
}

fn refuse_duplicates<'s>(
    list: &'s dyn List<'_>,
    seen: &mut BTreeSet<Cow<'s, str>>,
    checker: &mut Checker<'_>,
) {
    for index in 0..list.count() {
        if !seen.insert(list.item(index).key()) {
            checker.error(&[Step::Index(index)], "duplicate entry defined");
        }
    }
}

fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

impl Rules for Ignition<'_> {}
impl Rules for Security<'_> {}
impl Rules for Timeouts {}
impl Rules for Passwd<'_> {}
impl Rules for Cex {}

impl Rules for Clevis<'_> {}

impl Rules for Group<'_> {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

impl Rules for User<'_> {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// A path that is a unit's as well can be written only once.
impl Rules for Config<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let units = unit_paths(&self.systemd);
        if units.is_empty() {
            return;
        }
        let storage = &self.storage;
        let directories = storage.directories.iter().map(|directory| &directory.path).enumerate();
        let files = storage.files.iter().map(|file| &file.path).enumerate();
        let links = storage.links.iter().map(|link| &link.path).enumerate();
        let entries = directories
            .map(|entry| ("directories", entry))
            .chain(files.map(|entry| ("files", entry)))
            .chain(links.map(|entry| ("links", entry)));
        for (list, (index, path)) in entries {
            if units.contains(path.as_ref()) {
                let steps = [Step::Key("storage"), Step::Key(list), Step::Index(index), Step::Key("path")];
                checker.error(&steps, "path conflicts with systemd unit or dropin");
            }
        }
    }
}

fn unit_paths(systemd: &Systemd<'_>) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for unit in &systemd.units {
        let path = format!("/etc/systemd/system/{}", unit.name);
        for dropin in unit.dropins.iter().filter(|dropin| is_set(dropin.contents.as_deref())) {
            paths.insert(format!("{path}.d/{}", dropin.name));
        }
        if is_set(unit.contents.as_deref()) {
            paths.insert(path);
        }
    }
    paths
}

impl Rules for super::types::KernelArguments<'_> {
    fn make_way(&mut self, child: &Self) {
        self.free_arguments(child);
    }
}
