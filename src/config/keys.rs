//! The keys of lists, to look them up: what [`Duplicates`](super::schema::Duplicates), merging and the rules that
//! compare one list with another need.

use std::borrow::Cow;
use std::ops::Range;

use super::schema::List;
use crate::sort::order;

/// Keys by their places.
pub(super) struct Keys<'s> {
    keys: Vec<Cow<'s, str>>,
    /// The places in the order of the keys.
    order: Vec<usize>,
}

impl<'s> Keys<'s> {
    /// `keys` with their places counted from zero.
    pub fn new(keys: Vec<Cow<'s, str>>) -> Self {
        let order = order(keys.len(), &|one, other| keys.get(one).cmp(&keys.get(other)));
        Self { keys, order }
    }

    /// The keys of the items of `lists`, one list after the other.
    pub fn of(lists: &[&'s dyn List<'_>]) -> Self {
        let items = lists.iter().flat_map(|list| (0..list.count()).map(|index| list.item(index).key()));
        Self::new(items.collect())
    }

    /// The places with this key, in order.
    pub fn places(&self, key: &str) -> &[usize] {
        self.order.get(self.range(key)).unwrap_or_default()
    }

    /// Whether there is this key.
    pub fn has(&self, key: &str) -> bool {
        !self.range(key).is_empty()
    }

    fn range(&self, key: &str) -> Range<usize> {
        let of = |place: &usize| self.keys.get(*place).map_or("", AsRef::as_ref);
        let start = self.order.partition_point(|place| of(place) < key);
        start..self.order.partition_point(|place| of(place) <= key)
    }

    /// The places of keys that were there before.
    pub fn repeated(&self) -> impl Iterator<Item = usize> + '_ {
        self.order.windows(2).filter_map(|pair| match pair {
            [one, other] if self.keys.get(*one) == self.keys.get(*other) => Some(*other),
            _ => None,
        })
    }
}
