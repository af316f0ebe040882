//! What the language asks of a config beyond its form: the reference's rules, in its words.

mod disks;
mod resources;
mod storage;
mod systemd;
mod unit_file;
mod url;

use std::borrow::Cow;

use super::hints;
use super::keys::Keys;
use super::path::path_fault;
use super::report::{Finding, Report, Severity, Step, last_key};
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

    /// Takes what one of the two takes out of the other away, before `child` is merged into this one.
    fn make_way(&mut self, _child: &mut Self)
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
        self.add(Severity::Error, steps, message.into(), None);
    }

    /// As [`Checker::error`], for what the config may say all the same.
    pub fn warning(&mut self, steps: &[Step], message: impl Into<Cow<'static, str>>) {
        self.add(Severity::Warning, steps, message.into(), None);
    }

    /// Adds a finding with the hint that fits the value.
    pub fn with_hint(
        &mut self,
        severity: Severity,
        steps: &[Step],
        message: &'static str,
        hint: Option<String>,
    ) {
        self.add(severity, steps, Cow::Borrowed(message), hint);
    }

    /// Adds a hint about something that the reference does not mention.
    pub fn hint(&mut self, steps: &[Step], message: impl AsRef<str>) {
        let path = self.path.iter().chain(steps).cloned().collect();
        self.report.add_hint(path, message.as_ref());
    }

    /// Adds what is wrong with the path at `key`, or what its author may have overlooked.
    pub fn path(&mut self, key: &'static str, path: &str) {
        let hint = hints::for_path(path);
        match (path_fault(path), hint) {
            (Some(fault), hint) => {
                self.with_hint(Severity::Error, &[Step::Key(key)], fault, hint.map(str::to_owned));
            }
            (None, Some(hint)) => self.hint(&[Step::Key(key)], hint),
            (None, None) => {}
        }
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

    fn add(&mut self, severity: Severity, steps: &[Step], message: Cow<'static, str>, hint: Option<String>) {
        let path = self.path.iter().chain(steps).cloned().collect();
        self.report.push(Finding { severity, message, path, hint, ..Finding::default() });
    }
}

/// Adds everything that is wrong with a config of `version` to `report`.
pub(super) fn validate(config: &Config<'_>, version: Version, report: &mut Report) {
    let mut checker = Checker { minor: version.minor(), path: Vec::new(), report };
    walk(&config.shape(), &mut checker);
}

/// Adds the hints about what the root decides in the end.
pub(super) fn guess(config: &Config<'_>, version: Version, report: &mut Report) {
    let mut checker = Checker { minor: version.minor(), path: Vec::new(), report };
    check_groups(&config.passwd, &mut checker);
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
    refuse_duplicates(object, checker);
    for (index, field) in object.fields().iter().enumerate() {
        if field.since <= checker.minor {
            checker.path.push(Step::Key(field.key));
            walk(&object.field(index), checker);
            checker.path.pop();
        }
    }
}

fn refuse_duplicates(object: &dyn Object<'_>, checker: &mut Checker<'_>) {
    let mut shared = Vec::new();
    for (index, field) in object.fields().iter().enumerate() {
        match (object.field(index), field.duplicates) {
            (Shape::List(list), Duplicates::Refused) => refuse_repeated(&[(field.key, list)], checker),
            (Shape::List(list), Duplicates::Shared) => shared.push((field.key, list)),
            _ => {}
        }
    }
    refuse_repeated(&shared, checker);
}

/// Adds an error for every item whose key stands before it already, in the same list or another.
fn refuse_repeated(lists: &[(&'static str, &dyn List<'_>)], checker: &mut Checker<'_>) {
    let items: Vec<&dyn List<'_>> = lists.iter().map(|(_, list)| *list).collect();
    for mut place in Keys::of(&items).repeated() {
        for (key, list) in lists {
            if place < list.count() {
                checker.error(&[Step::Key(key), Step::Index(place)], "duplicate entry defined");
                break;
            }
            place = place.saturating_sub(list.count());
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
    fn check(&self, checker: &mut Checker<'_>) {
        check_password_hash(self.password_hash.as_deref(), checker);
    }

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// The reference checks nothing of users.
impl Rules for User<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_password_hash(self.password_hash.as_deref(), checker);
        for (index, key) in self.ssh_authorized_keys.iter().enumerate() {
            if let Some(hint) = hints::for_ssh_key(key) {
                checker.hint(&[Step::Key("sshAuthorizedKeys"), Step::Index(index)], hint);
            }
        }
        for key in ["homeDir", "shell"] {
            let path = if key == "shell" { &self.shell } else { &self.home_dir };
            if let Some(hint) = path.as_deref().and_then(hints::for_path) {
                checker.hint(&[Step::Key(key)], hint);
            }
        }
    }

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

fn check_password_hash(hash: Option<&str>, checker: &mut Checker<'_>) {
    if let Some(hint) = hash.and_then(hints::for_password_hash) {
        checker.hint(&[Step::Key("passwordHash")], hint);
    }
}

/// Adds a hint for every group of other distributions that a user is to be in, unless the config has the group.
fn check_groups(passwd: &Passwd<'_>, checker: &mut Checker<'_>) {
    let groups = Keys::of(&[&passwd.groups]);
    for (index, user) in passwd.users.iter().enumerate() {
        let user_at = |key| vec![Step::Key("passwd"), Step::Key("users"), Step::Index(index), Step::Key(key)];
        let others = user
            .groups
            .iter()
            .enumerate()
            .map(|(number, group)| ([user_at("groups"), vec![Step::Index(number)]].concat(), group));
        let primary = user.primary_group.iter().map(|group| (user_at("primaryGroup"), group));
        for (steps, group) in others.chain(primary) {
            if let Some(hint) = hints::for_group(group).filter(|_| !groups.has(group)) {
                checker.hint(&steps, hint);
            }
        }
    }
}

/// A path that is a unit's as well can be written only once.
impl Rules for Config<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        hints::homes::check(self, checker);
        let units = Keys::new(unit_paths(&self.systemd));
        let storage = &self.storage;
        let directories = storage.directories.iter().map(|directory| &directory.path).enumerate();
        let files = storage.files.iter().map(|file| &file.path).enumerate();
        let links = storage.links.iter().map(|link| &link.path).enumerate();
        let entries = directories
            .map(|entry| ("directories", entry))
            .chain(files.map(|entry| ("files", entry)))
            .chain(links.map(|entry| ("links", entry)));
        for (list, (index, path)) in entries {
            if units.has(path) {
                let steps = [Step::Key("storage"), Step::Key(list), Step::Index(index), Step::Key("path")];
                checker.error(&steps, "path conflicts with systemd unit or dropin");
            }
        }
    }
}

fn unit_paths(systemd: &Systemd<'_>) -> Vec<Cow<'static, str>> {
    let mut paths = Vec::new();
    for unit in &systemd.units {
        let path = format!("/etc/systemd/system/{}", unit.name);
        for dropin in unit.dropins.iter().filter(|dropin| is_set(dropin.contents.as_deref())) {
            paths.push(Cow::Owned(format!("{path}.d/{}", dropin.name)));
        }
        if is_set(unit.contents.as_deref()) {
            paths.push(Cow::Owned(path));
        }
    }
    paths
}

impl Rules for super::types::KernelArguments<'_> {
    fn make_way(&mut self, child: &mut Self) {
        self.free_arguments(child);
    }
}
