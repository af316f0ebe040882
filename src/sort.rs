//! The one sort of the program. The standard library's adds 6 KB to the initramfs for each element type.

use std::cmp::Ordering;

/// Returns the numbers below `count`, sorted by `compare`. Equal numbers stay in ascending order. This is a merge
/// sort.
pub fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..count).collect();
    let mut run: usize = 1;
    while run < count {
        let mut merged = Vec::with_capacity(count);
        for runs in sorted.chunks(run.saturating_mul(2)) {
            let (mut left, mut right) = runs.split_at_checked(run).unwrap_or((runs, &[]));
            // Two runs that are in order already need no further comparison. Most input is in order.
            if let (Some(last), Some(first)) = (left.last(), right.first()) {
                if compare(*last, *first).is_le() {
                    (left, right) = (runs, &[]);
                }
            }
            while let ([one, left_rest @ ..], [other, right_rest @ ..]) = (left, right) {
                if compare(*one, *other).is_le() {
                    merged.push(*one);
                    left = left_rest;
                } else {
                    merged.push(*other);
                    right = right_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        sorted = merged;
        run = run.saturating_mul(2);
    }
    sorted
}

/// Sorts `items` by `compare`. Equal items keep their order.
pub fn sort<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let by_index = |one: usize, other: usize| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => compare(one, other),
        _ => Ordering::Equal,
    };
    let order = order(items.len(), &by_index);
    arrange(order, &mut |one, other| items.swap(one, other));
}

/// Brings items into `order` by exchanging two at a time.
fn arrange(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut place = start;
        // Each place gets its item from the next one of its cycle, whose last place is left with the first item.
        while let Some(from) = order.get_mut(place).map(|from| std::mem::replace(from, place)) {
            if from == start {
                break;
            }
            swap(place, from);
            place = from;
        }
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

    #[test]
    fn every_length_is_sorted() {
        for count in 0..70 {
            // 37 is coprime to 101, so its multiples come in no particular order.
            let mut items: Vec<usize> = (0..count).map(|number| number * 37 % 101).collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            sort(&mut items, &usize::cmp);
            assert_eq!(items, expected);
            sort(&mut items, &|one, other| other.cmp(one));
            expected.reverse();
            assert_eq!(items, expected);
        }
    }
}
