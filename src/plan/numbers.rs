//! The numbers that an index keeps for one name.

/// Numbers. Nearly all names have one, which takes no memory block of its own.
#[derive(Debug)]
pub(super) enum Numbers {
    One([usize; 1]),
    Many(Vec<usize>),
}

impl Numbers {
    /// Returns `number` alone.
    pub(super) fn one(number: usize) -> Self {
        Self::One([number])
    }

    /// Adds a number.
    pub(super) fn push(&mut self, number: usize) {
        match self {
            Self::One([first]) => *self = Self::Many(vec![*first, number]),
            Self::Many(numbers) => numbers.push(number),
        }
    }

    /// Returns all numbers in the order in which they were added.
    pub(super) fn as_slice(&self) -> &[usize] {
        match self {
            Self::One(number) => number,
            Self::Many(numbers) => numbers,
        }
    }

    /// Removes all numbers and returns them.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Many(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_order() {
        let mut numbers = Numbers::one(5);
        assert_eq!(numbers.as_slice(), [5]);
        for number in [3, 9] {
            numbers.push(number);
        }
        assert_eq!(numbers.take().as_slice(), [5, 3, 9]);
        assert!(numbers.as_slice().is_empty());
        numbers.push(1);
        assert_eq!(numbers.as_slice(), [1]);
    }
}
