//! What the language asks of a config that was decoded: the reference's rules, in the reference's words.

mod disks;
mod homes;
mod layers;
mod passwd;
mod resources;
mod storage;
mod systemd;
mod unit_file;
mod url;

use std::borrow::Cow;

use super::checker::{Checker, Rules, is_set};
use super::hints;
use super::keys::Keys;
use super::report::{Report, Step};
use super::schema::{Duplicates, List, Object, Shape, Value as _};
use super::types::{Cex, Clevis, Config, Ignition, KernelArguments, Security, Systemd, Timeouts};
use super::version::Version;

/// Checks a config by the rules of `version`. Adds errors, warnings and hints to `report`.
pub(super) fn validate(config: &Config<'_>, version: Version, report: &mut Report) {
    walk(&config.shape(), &mut Checker::new(version.minor(), report));
}

/// Adds the hints that can be wrong, because they depend on the root, which is not known here.
pub(super) fn guess(config: &Config<'_>, version: Version, report: &mut Report) {
    passwd::check_groups(&config.passwd, &mut Checker::new(version.minor(), report));
}

fn walk(shape: &Shape<'_, '_>, checker: &mut Checker<'_>) {
    match shape {
        Shape::Object(object) => walk_object(*object, checker),
        Shape::List(list) => {
            for index in 0..list.count() {
                checker.enter(Step::Index(index));
                walk(&list.item(index), checker);
                checker.leave();
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
            checker.enter(Step::Key(field.key));
            walk(&object.field(index), checker);
            checker.leave();
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

/// Adds an error for every item whose key an earlier item has, in the same list or in one before it.
fn refuse_repeated(lists: &[(&'static str, &dyn List<'_>)], checker: &mut Checker<'_>) {
    let items: Vec<&dyn List<'_>> = lists.iter().map(|(_, list)| *list).collect();
    for mut index in Keys::of(&items).repeated() {
        for (key, list) in lists {
            if index < list.count() {
                checker.error(&[Step::Key(key), Step::Index(index)], "duplicate entry defined");
                break;
            }
            index = index.saturating_sub(list.count());
        }
    }
}

impl Rules for Ignition<'_> {}
impl Rules for Security<'_> {}
impl Rules for Timeouts {}
impl Rules for Clevis<'_> {}
impl Rules for Cex {}

impl Rules for KernelArguments<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        for (key, list) in [("shouldExist", &self.should_exist), ("shouldNotExist", &self.should_not_exist)] {
            for (index, item) in list.iter().enumerate() {
                let hint = hints::for_argument(item, key == "shouldExist");
                if let Some(hint) = hint.or_else(|| hints::for_repeated_word(item)) {
                    checker.hint(&[Step::Key(key), Step::Index(index)], hint);
                }
            }
        }
    }
}

impl Rules for Config<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        homes::check(self, checker);
        layers::check(self, checker);
        // systemd.units writes the units itself, so that an entry of storage at the same path would write it twice.
        let units = Keys::new(unit_paths(&self.systemd));
        for (list, index, path) in storage::paths(&self.storage) {
            if units.has(path) {
                let steps = [Step::Key("storage"), Step::Key(list), Step::Index(index), Step::Key("path")];
                checker.error(&steps, "path conflicts with systemd unit or dropin");
            }
        }
    }
}

/// Returns the paths of the units and drop-ins that the config brings with contents.
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
