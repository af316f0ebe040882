//! One sort for the whole program: each kind of element that the standard library sorts costs its own copy of the
//! algorithm, 5 KB of the initramfs.

use std::cmp::Ordering;

/// The numbers below `count` in the order of `compare`, equal ones in their own.
pub fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..count).collect();
    indices.sort_by(|one, other| compare(*one, *other));
    indices
}

/// Sorts `items` by `compare`, equal ones in their own order.
pub fn sort<T: Default>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let by_index = |one: usize, other: usize| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => compare(one, other),
        _ => Ordering::Equal,
    };
    let order = order(items.len(), &by_index);
    let sorted: Vec<T> = order.iter().filter_map(|index| items.get_mut(*index).map(std::mem::take)).collect();
    for (place, item) in items.iter_mut().zip(sorted) {
        *place = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_items_keep_their_order() {
        let mut items = vec!["b2", "a1", "b1", "a2", "a0"];
        sort(&mut items, &|one, other| one.as_bytes()[0].cmp(&other.as_bytes()[0]));
        assert_eq!(items, ["a1", "a2", "a0", "b2", "b1"]);
        assert!(order(0, &|_, _| Ordering::Equal).is_empty());
    }
}
