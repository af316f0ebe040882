//! Merging: a child config laid over its parent (`reference`: `docs/operator-notes`, "Config merging").
//!
//! What the child does not say stays as the parent has it. Items of lists that have the same key are merged in the
//! parent's place; what only the child has comes after them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::schema::{Duplicates, List, Shape, Value};
use super::types::{Config, KernelArguments, Storage};
use super::validate::Rules;

/// A value that can be merged with a later one.
pub(super) trait Merge {
    /// Lays `child` over this value.
    fn merge(&mut self, child: Self, duplicates: Duplicates);
}

impl<'a> Config<'a> {
    /// Lays `child` over this config. Both may be of any version: the result is in the newest form.
    pub fn merge_with(&mut self, child: Config<'a>) {
        self.merge(child, Duplicates::Refused);
    }
}

/// The child always says these.
macro_rules! replaced {
    ($($type:ty),*) => { $(
        impl Merge for $type {
            fn merge(&mut self, child: Self, _: Duplicates) {
                *self = child;
            }
        }
    )* };
}

replaced!(Cow<'_, str>, i64);

impl<T> Merge for Option<T> {
    fn merge(&mut self, child: Self, _: Duplicates) {
        if child.is_some() {
            *self = child;
        }
    }
}

impl<'a, T: Value<'a> + Merge> Merge for Vec<T> {
    fn merge(&mut self, child: Self, duplicates: Duplicates) {
        if duplicates == Duplicates::Kept || self.is_empty() {
            self.extend(child);
            return;
        }
        let places = places(self, &child);
        let mut removed = BTreeSet::new();
        for (item, place) in child.into_iter().zip(places) {
            match place {
                Some(place) if removes(&item.shape()) => drop(removed.insert(place)),
                Some(place) => {
                    if let Some(own) = self.get_mut(place) {
                        own.merge(item, Duplicates::Refused);
                    }
                }
                None => self.push(item),
            }
        }
        let mut place: usize = 0;
        self.retain(|_| {
            let stays = !removed.contains(&place);
            place = place.saturating_add(1);
            stays
        });
    }
}

/// For each item of `child` the place of the item of `parent` with the same key.
fn places<'a>(parent: &dyn List<'a>, child: &dyn List<'a>) -> Vec<Option<usize>> {
    let own: BTreeMap<Cow<'_, str>, usize> =
        (0..parent.count()).map(|place| (parent.item(place).key(), place)).collect();
    (0..child.count()).map(|index| own.get(&child.item(index).key()).copied()).collect()
}

/// Whether an item of the child takes the parent's away: a header without a value.
fn removes(item: &Shape<'_, '_>) -> bool {
    matches!(item, Shape::Object(object) if object.removes())
}

/// Takes what `child` has in another list of a group that shares its keys out of `parent`.
pub(super) fn make_way<T: Rules>(parent: &mut T, child: &T) {
    parent.make_way(child);
}

impl Storage<'_> {
    /// A path that the child makes something else of goes.
    pub(super) fn free_paths(&mut self, child: &Self) {
        let directories = keys(&child.directories);
        let files = keys(&child.files);
        let links = keys(&child.links);
        let taken = |path: &str, one: &BTreeSet<Cow<'_, str>>, other: &BTreeSet<Cow<'_, str>>| {
            one.contains(path) || other.contains(path)
        };
        self.directories.retain(|directory| !taken(&directory.path, &files, &links));
        self.files.retain(|file| !taken(&file.path, &directories, &links));
        self.links.retain(|link| !taken(&link.path, &directories, &files));
    }
}

impl KernelArguments<'_> {
    /// An argument that the child wants the other way goes.
    pub(super) fn free_arguments(&mut self, child: &Self) {
        let wanted = keys(&child.should_exist);
        let unwanted = keys(&child.should_not_exist);
        self.should_exist.retain(|argument| !unwanted.contains(argument.as_ref()));
        self.should_not_exist.retain(|argument| !wanted.contains(argument.as_ref()));
    }
}

fn keys<'s>(list: &'s dyn List<'_>) -> BTreeSet<Cow<'s, str>> {
    (0..list.count()).map(|index| list.item(index).key()).collect()
}

#[cfg(test)]
mod tests;
