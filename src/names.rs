//! Names in the order of their bytes, found by their bits.
//!
//! This is a binary radix tree for each group. A branch holds the first position at which the names below it differ, so a lookup looks
//! at few bits of a name on its way down, compares one whole name at the end, and takes no more steps than the name has
//! bits. No choice of names makes it slower: neither long common beginnings nor a certain order do.

/// A name in a group. Each group has its own names. Groups have small numbers: the highest one decides how much memory the
/// groups take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'k> {
    pub(crate) group: u32,
    pub(crate) name: &'k [u8],
}

/// Each byte of a name has this many positions. The first is 1 if the name has the byte, the next eight are the byte, and
/// the others are always 0.
const POSITIONS: usize = 16;

impl Key<'_> {
    /// Returns the bit of the name at `position`: 0 or 1. It is most of the work of planning.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        reason = "the compiler inlines for size only, and a call takes as long as the work"
    )]
    fn bit(self, position: usize) -> usize {
        (digit(self.name, position / POSITIONS) >> (8_usize.saturating_sub(position % POSITIONS))) & 1
    }

    /// Returns the first position at which the two names differ.
    fn difference(self, other: Self) -> Option<usize> {
        let mut pairs = self.name.iter().zip(other.name);
        let shorter = self.name.len().min(other.name.len());
        let same = pairs.position(|(one, other)| one != other).unwrap_or(shorter);
        let bits = digit(self.name, same) ^ digit(other.name, same);
        // The highest of the nine bits is at the first position of the byte.
        let first = 8_u32.checked_sub(bits.checked_ilog2()?)?;
        Some(same.saturating_mul(POSITIONS).saturating_add(first as usize))
    }
}

/// Returns the nine bits of the byte at `index`, 0 behind the end of the name.
fn digit(name: &[u8], index: usize) -> usize {
    name.get(index).map_or(0, |byte| 0x100 | usize::from(*byte))
}

/// Names, numbered from 0 in the order of their insertion.
#[derive(Debug, Default)]
pub(crate) struct Names {
    all: Vec<Name>,
    /// The bytes of all names, one after another. A memory block for each name would take most of the time.
    bytes: Vec<u8>,
    branches: Vec<Branch>,
    /// The numbers of branches that are not in use.
    spare: Vec<u32>,
    /// The first node of each group, by the group's number.
    tops: Vec<Node>,
}

/// A name is the `length` bytes from `start` on.
#[derive(Debug)]
struct Name {
    start: usize,
    length: u32,
    group: u32,
}

/// Twice the number of a name, or one more than twice the number of a branch: small nodes are found in the processor's
/// caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node(u32);

/// What a node stands for.
enum Below {
    /// The name with this number.
    Name(u32),
    /// The branch with this number.
    Branch(u32),
}

impl Node {
    /// The first node of a group without names: a branch that never exists.
    const NONE: Self = Self(u32::MAX);

    // Memory ends long before a number has its highest bit.
    fn name(number: u32) -> Self {
        Self(number << 1)
    }

    fn branch(number: u32) -> Self {
        Self((number << 1) | 1)
    }

    fn below(self) -> Below {
        let number = self.0 >> 1;
        if self.0 & 1 == 0 { Below::Name(number) } else { Below::Branch(number) }
    }
}

/// Names that are equal before `position`. Those below the first node have 0 there, those below the second 1.
#[derive(Debug, Clone, Copy)]
struct Branch {
    position: usize,
    below: [Node; 2],
}

/// A branch, and one of its two sides. `None` stands for the place above the first branch of a group.
type Side = Option<(u32, usize)>;

impl Names {
    /// Returns the key with this number.
    pub(crate) fn get(&self, number: u32) -> Option<Key<'_>> {
        let name = self.all.get(number as usize)?;
        let end = name.start.saturating_add(name.length as usize);
        Some(Key { group: name.group, name: self.bytes.get(name.start..end)? })
    }

    /// Returns the number of `key`.
    pub(crate) fn number(&self, key: Key) -> Option<u32> {
        self.closest(key).filter(|number| self.get(*number) == Some(key))
    }

    /// Adds `key` if it is new, and returns its number.
    pub(crate) fn insert(&mut self, key: Key) -> u32 {
        let known = self.closest(key);
        let difference = known.and_then(|known| self.get(known)).map(|known| known.difference(key));
        let position = match (known, difference) {
            (Some(known), Some(None)) => return known,
            (_, difference) => difference.flatten(),
        };
        // Memory ends long before the numbers do.
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let (start, length) = (self.bytes.len(), u32::try_from(key.name.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(key.name);
        self.all.push(Name { start, length, group: key.group });
        let Some((position, top)) = position.zip(self.top(key.group)) else {
            self.set(key.group, None, Node::name(number));
            return number;
        };
        // The new branch goes above the first one that has a later position.
        let (mut above, mut below) = (None, top);
        while let Some((at, branch)) = self.branch(below).filter(|(_, branch)| branch.position < position) {
            let side = key.bit(branch.position);
            (above, below) = (Some((at, side)), branch.on(side));
        }
        let mut below = [below, Node::name(number)];
        if key.bit(position) == 0 {
            below.reverse();
        }
        let branch = self.put(Branch { position, below });
        self.set(key.group, above, Node::branch(branch));
        number
    }

    /// Removes `key` and returns whether it was present. Its number is not used again.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let (Some(number), Some(top)) = (self.number(key), self.top(key.group)) else { return false };
        let (mut above, mut place, mut node) = (None, None, top);
        while let Some((at, branch)) = self.branch(node) {
            let side = key.bit(branch.position);
            (above, place, node) = (place, Some((at, side)), branch.on(side));
        }
        match place.and_then(|(at, side)| Some((self.branches.get(at as usize)?.on(1 ^ side), at))) {
            // The other side takes the place of the branch.
            Some((other, at)) => {
                self.set(key.group, above, other);
                self.spare.push(at);
            }
            None => self.set(key.group, None, Node::NONE),
        }
        if let Some(name) = self.all.get_mut(number as usize) {
            name.length = 0;
        }
        true
    }

    /// Returns the number of `key`, or of the next key of its group after it; of the next one before it with `backwards`.
    pub(crate) fn near(&self, key: Key, backwards: bool) -> Option<u32> {
        let closest = self.closest(key)?;
        let Some(position) = self.get(closest)?.difference(key) else { return Some(closest) };
        let onwards = usize::from(!backwards);
        let (mut beyond, mut node) = (None, self.top(key.group)?);
        while let Some((_, branch)) = self.branch(node).filter(|(_, branch)| branch.position < position) {
            let side = key.bit(branch.position);
            if side != onwards {
                beyond = Some(branch.on(onwards));
            }
            node = branch.on(side);
        }
        // All keys below `node` are on the same side of `key`.
        let mut node = if key.bit(position) == onwards { beyond? } else { node };
        loop {
            match self.branch(node) {
                Some((_, branch)) => node = branch.on(1 ^ onwards),
                None => return number(node),
            }
        }
    }

    /// Returns the numbers of all keys in the group of `prefix` whose names begin with it, in the order of the names.
    pub(crate) fn beginning_with(&self, prefix: Key) -> impl Iterator<Item = u32> {
        let end = prefix.name.len().saturating_mul(POSITIONS);
        let begins = |number: &u32| self.get(*number).is_some_and(|key| key.name.starts_with(prefix.name));
        let mut top = self.closest(prefix).filter(begins).and_then(|_| self.top(prefix.group));
        while let Some((_, branch)) =
            top.and_then(|top| self.branch(top)).filter(|(_, branch)| branch.position < end)
        {
            top = Some(branch.on(prefix.bit(branch.position)));
        }
        let mut open: Vec<Node> = top.into_iter().collect();
        std::iter::from_fn(move || {
            let mut node = open.pop()?;
            while let Some((_, branch)) = self.branch(node) {
                open.push(branch.on(1));
                node = branch.on(0);
            }
            number(node)
        })
    }

    /// Returns the first node of a group that has names.
    fn top(&self, group: u32) -> Option<Node> {
        self.tops.get(group as usize).copied().filter(|top| *top != Node::NONE)
    }

    /// Returns the number of the key of the same group to which the bits of `key` lead. If any of them begins like `key` up to
    /// some position, then that key does.
    fn closest(&self, key: Key) -> Option<u32> {
        let mut node = self.top(key.group)?;
        while let Below::Branch(at) = node.below() {
            let branch = self.branches.get(at as usize)?;
            node = branch.on(key.bit(branch.position));
        }
        number(node)
    }

    /// Returns the branch at `node` with its number; `None` for a name.
    fn branch(&self, node: Node) -> Option<(u32, Branch)> {
        match node.below() {
            Below::Branch(at) => self.branches.get(at as usize).map(|branch| (at, *branch)),
            Below::Name(_) => None,
        }
    }

    /// Keeps a new branch and returns its number.
    fn put(&mut self, branch: Branch) -> u32 {
        let spare = self.spare.pop();
        if let Some((place, at)) = spare.and_then(|at| Some((self.branches.get_mut(at as usize)?, at))) {
            *place = branch;
            return at;
        }
        self.branches.push(branch);
        // There are fewer branches than names.
        u32::try_from(self.branches.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn set(&mut self, group: u32, side: Side, node: Node) {
        let Some((at, side)) = side else {
            let group = group as usize;
            if group >= self.tops.len() {
                self.tops.resize(group.saturating_add(1), Node::NONE);
            }
            if let Some(top) = self.tops.get_mut(group) {
                *top = node;
            }
            return;
        };
        let branch = self.branches.get_mut(at as usize);
        if let Some(place) = branch.and_then(|branch| branch.below.get_mut(side)) {
            *place = node;
        }
    }
}

impl Branch {
    /// Returns what is on side 0 or 1.
    fn on(&self, side: usize) -> Node {
        let [zero, one] = self.below;
        if side == 0 { zero } else { one }
    }
}

fn number(node: Node) -> Option<u32> {
    match node.below() {
        Below::Name(number) => Some(number),
        Below::Branch(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Compares the names with the standard library's map, for pseudo-random short names of few different bytes.
    #[test]
    fn names_are_a_sorted_set() {
        let mut names = Names::default();
        let mut map: BTreeMap<(u32, Vec<u8>), u32> = BTreeMap::new();
        let mut random: u64 = 7;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % below
        };
        for round in 0..20_000 {
            let group = [0, 1, 700][draw(3)];
            let name: Vec<u8> = (0..draw(6)).map(|_| [0, b'a', b'b', 0xff][draw(4)]).collect();
            let key = Key { group, name: &name };
            let pair = (group, name.clone());
            assert_eq!(names.number(key), map.get(&pair).copied(), "{key:?}");
            let found = |number: Option<u32>| number.and_then(|number| names.get(number));
            let of_group = |((one, _), number): (&(u32, Vec<u8>), &u32)| (*one == group).then_some(*number);
            let after = map.range(pair.clone()..).next().and_then(of_group);
            assert_eq!(names.near(key, false), after, "{key:?} {:?}", found(after));
            let before = map.range(..=pair.clone()).next_back().and_then(of_group);
            assert_eq!(names.near(key, true), before, "{key:?} {:?}", found(before));
            if round % 16 == 0 {
                let begins = |(one, other): &(u32, Vec<u8>)| *one == group && other.starts_with(&name);
                let all: Vec<u32> = map.iter().filter(|(pair, _)| begins(pair)).map(|(_, n)| *n).collect();
                assert_eq!(names.beginning_with(key).collect::<Vec<_>>(), all, "{key:?}");
            }
            if draw(3) == 0 {
                assert_eq!(names.remove(key), map.remove(&pair).is_some());
            } else {
                let number = names.insert(key);
                assert_eq!(*map.entry(pair).or_insert(number), number);
                assert_eq!(names.get(number), Some(key));
            }
        }
        assert!(names.branches.len() < 3 * 1366, "branches are used again");
        for (group, name) in map.into_keys() {
            assert!(names.remove(Key { group, name: &name }));
        }
        assert!(names.tops.iter().all(|top| *top == Node::NONE));
    }
}
