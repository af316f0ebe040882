//! Lookup of list items by their keys. Merging needs it, and so do the rules that compare items or lists.

use std::borrow::Cow;
use std::ops::Range;

use super::schema::List;
use crate::sort::order;

/// The keys of items, sorted so that a lookup takes log n steps. An item's place is its index, counted over all lists.
pub(super) struct Keys<'s> {
    /// The key of each place.
    keys: Vec<Cow<'s, str>>,
    /// The places, sorted by key; equal keys stay in their order.
    order: Vec<usize>,
}

impl<'s> Keys<'s> {
    /// Returns a lookup of `keys`, whose places are counted from 0.
    pub fn new(keys: Vec<Cow<'s, str>>) -> Self {
        let order = order(keys.len(), &|one, other| keys.get(one).cmp(&keys.get(other)));
        Self { keys, order }
    }

    /// Returns a lookup of the items of `lists`. Places are counted through all lists.
    pub fn of(lists: &[&'s dyn List<'_>]) -> Self {
        let items = lists.iter().flat_map(|list| (0..list.count()).map(|index| list.item(index).key()));
        Self::new(items.collect())
    }

    /// Returns the places that have this key, in ascending order.
    pub fn places(&self, key: &str) -> &[usize] {
        self.order.get(self.range(key)).unwrap_or_default()
    }

    /// Returns whether an item has this key.
    pub fn has(&self, key: &str) -> bool {
        !self.range(key).is_empty()
    }

    /// Returns the part of `order` that has this key.
    fn range(&self, key: &str) -> Range<usize> {
        let of = |place: &usize| self.keys.get(*place).map_or("", AsRef::as_ref);
        let start = self.order.partition_point(|place| of(place) < key);
        start..self.order.partition_point(|place| of(place) <= key)
    }

    /// Returns each place whose key an earlier place has as well, sorted by key.
    pub fn repeated(&self) -> impl Iterator<Item = usize> + '_ {
        self.order.windows(2).filter_map(|pair| match pair {
            [one, other] if self.keys.get(*one) == self.keys.get(*other) => Some(*other),
            _ => None,
        })
    }
}
