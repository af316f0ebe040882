//! Merging: a child config laid over its parent (`reference`: `docs/operator-notes`, "Config merging").
//!
//! What the child does not say stays as the parent has it. Items of lists that have the same key are merged in the
//! parent's place; what only the child has comes after them.

use std::borrow::Cow;

use super::keys::Keys;
use super::schema::{Duplicates, List, Value};
use super::types::{Config, HttpHeader, KernelArguments, Resource, Storage};
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
        let places = match duplicates {
            Duplicates::Kept => Vec::new(),
            _ => places(self, &child),
        };
        for (index, item) in child.into_iter().enumerate() {
            let place = places.get(index).copied().flatten();
            match place.and_then(|place| self.get_mut(place)) {
                Some(own) => own.merge(item, Duplicates::Refused),
                None => self.push(item),
            }
        }
    }
}

/// For each item of `child` the place of the item of `parent` with the same key.
fn places<'a>(parent: &dyn List<'a>, child: &dyn List<'a>) -> Vec<Option<usize>> {
    let own = Keys::of(&[parent]);
    (0..child.count()).map(|index| own.places(&child.item(index).key()).first().copied()).collect()
}

/// Takes what one of the two takes out of the other away, before they are merged.
pub(super) fn make_way<T: Rules>(parent: &mut T, child: &mut T) {
    parent.make_way(child);
}

impl Storage<'_> {
    /// A path that the child makes something else of goes.
    pub(super) fn free_paths(&mut self, child: &Self) {
        let (directories, files, links) = (&child.directories, &child.files, &child.links);
        let others = Keys::of(&[files, links]);
        self.directories.retain(|directory| !others.has(&directory.path));
        let others = Keys::of(&[directories, links]);
        self.files.retain(|file| !others.has(&file.path));
        let others = Keys::of(&[directories, files]);
        self.links.retain(|link| !others.has(&link.path));
    }
}

impl KernelArguments<'_> {
    /// An argument that the child wants the other way goes.
    pub(super) fn free_arguments(&mut self, child: &Self) {
        let unwanted = Keys::of(&[&child.should_not_exist]);
        self.should_exist.retain(|argument| !unwanted.has(argument));
        let wanted = Keys::of(&[&child.should_exist]);
        self.should_not_exist.retain(|argument| !wanted.has(argument));
    }
}

impl Resource<'_> {
    /// A header of the child without a value takes the parent's away, and goes with it.
    pub(super) fn take_headers_away(&mut self, child: &mut Self) {
        let has_no_value = |header: &&HttpHeader<'_>| header.value.is_none();
        let names = |headers: &[HttpHeader<'_>]| {
            Keys::new(
                headers.iter().filter(has_no_value).map(|header| header.name.to_string().into()).collect(),
            )
        };
        let unwanted = names(&child.http_headers);
        let own = Keys::new(self.http_headers.iter().map(|header| header.name.to_string().into()).collect());
        self.http_headers.retain(|header| !unwanted.has(&header.name));
        child.http_headers.retain(|header| header.value.is_some() || !own.has(&header.name));
    }
}

#[cfg(test)]
mod tests;
