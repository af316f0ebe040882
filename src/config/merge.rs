//! Merging: a child config laid over its parent (`reference`: `docs/operator-notes`, "Config merging").
//!
//! A field that the child does not set keeps the parent's value. List items with the same key are merged, and stay in
//! the parent's place. Items that only the child has are appended.

mod conflicts;

use std::borrow::Cow;
use std::mem::take;

use super::keys::Keys;
use super::schema::{Duplicates, List, Value};

/// A value that can be merged with the value of a child config.
pub(super) trait Merge {
    /// Lays `child` over this value and takes what it needs out of `child`. If both are lists, `duplicates` says what
    /// happens to items with the same key.
    fn merge(&mut self, child: &mut Self, duplicates: Duplicates);
}

/// An object in which a child's field can contradict another field of the parent.
pub(super) trait Conflicts {
    /// Removes from both objects what must not be merged. Runs before `child` is laid over this object.
    fn remove_conflicts(&mut self, _child: &mut Self) {}
}

/// Implements [`Merge`] for required values: the child's value replaces the parent's.
macro_rules! replaced {
    ($($type:ty),*) => { $(
        impl Merge for $type {
            fn merge(&mut self, child: &mut Self, _: Duplicates) {
                *self = take(child);
            }
        }
    )* };
}

replaced!(Cow<'_, str>, i64);

impl<T> Merge for Option<T> {
    fn merge(&mut self, child: &mut Self, _: Duplicates) {
        if child.is_some() {
            *self = child.take();
        }
    }
}

impl<'a, T: Value<'a> + Merge + Default> Merge for Vec<T> {
    fn merge(&mut self, child: &mut Self, duplicates: Duplicates) {
        let places = match duplicates {
            Duplicates::Kept => Vec::new(),
            _ => places(self, child),
        };
        for (index, item) in child.iter_mut().enumerate() {
            let place = places.get(index).copied().flatten();
            match place.and_then(|place| self.get_mut(place)) {
                Some(own) => own.merge(item, Duplicates::Refused),
                None => self.push(take(item)),
            }
        }
    }
}

/// Returns, for each item of `child`, the index of the first item of `parent` with the same key; `None` if there is
/// none.
fn places<'a>(parent: &dyn List<'a>, child: &dyn List<'a>) -> Vec<Option<usize>> {
    let own = Keys::of(&[parent]);
    (0..child.count()).map(|index| own.places(&child.item(index).key()).first().copied()).collect()
}

#[cfg(test)]
mod tests;
