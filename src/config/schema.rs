//! What all values of a config have in common. Decoding, validation, merging and writing are each one walk over these
//! traits, and need a type by name only where it has rules of its own.

use std::borrow::Cow;

use super::checker::Rules;

/// What happens to items of a list that have the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// An error within one config. Where two configs meet, the items are merged.
    Refused,
    /// As `Refused`, but one key must not stand in two lists of the object either, if both lists are `Shared`.
    Shared,
    /// Every item is kept, also where two configs meet.
    Kept,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    /// The key, spelled as in the spec.
    pub key: &'static str,
    /// The minor version of the first spec that has the field.
    pub since: u8,
    /// How a list treats items with the same key. Fields that are no lists have [`Duplicates::Refused`].
    pub duplicates: Duplicates,
}

/// A value of the config: what the walks can read, and what decoding can fill.
pub(super) trait Value<'a> {
    /// Returns the value for reading.
    fn shape(&self) -> Shape<'_, 'a>;

    /// Returns the value for writing.
    fn shape_mut(&mut self) -> ShapeMut<'_, 'a>;
}

/// An object of the config. A field's index is its place in `fields`.
pub(super) trait Object<'a>: Rules {
    /// Returns the name of the reference's type.
    fn name(&self) -> &'static str;

    /// Returns what tells the object from the other items of its list; empty for objects that stand in no list.
    fn key(&self) -> Cow<'_, str>;

    /// Returns the fields of the newest version, in the reference's order.
    fn fields(&self) -> &'static [Field];

    /// Returns the field at `index` for reading; `Absent` past the last field.
    fn field(&self, index: usize) -> Shape<'_, 'a>;

    /// Returns the field at `index` for writing; `None` past the last field.
    fn field_mut(&mut self, index: usize) -> Option<ShapeMut<'_, 'a>>;
}

/// A list of the config.
pub(super) trait List<'a> {
    /// Returns the number of items.
    fn count(&self) -> usize;

    /// Returns the item at `index` for reading; `Absent` past the last item.
    fn item(&self, index: usize) -> Shape<'_, 'a>;
}

/// A list that is being filled.
pub(super) trait ListMut<'a> {
    /// Returns the item at `index` for writing. The item after the last one is added first; `None` beyond that.
    fn slot(&mut self, index: usize) -> Option<ShapeMut<'_, 'a>>;

    /// Removes the items from index `count` on.
    fn truncate(&mut self, count: usize);
}

/// A value by its kind, for reading.
pub(super) enum Shape<'s, 'a> {
    /// A value that the config does not have, and that is not written.
    Absent,
    Text(&'s str),
    Integer(i64),
    Bool(bool),
    Object(&'s dyn Object<'a>),
    List(&'s dyn List<'a>),
}

/// A value by its kind, for writing. `null` makes an optional value `None` and leaves a required one as it is.
pub(super) enum ShapeMut<'s, 'a> {
    Text(&'s mut Cow<'a, str>),
    OptionalText(&'s mut Option<Cow<'a, str>>),
    Integer(&'s mut i64),
    OptionalInteger(&'s mut Option<i64>),
    OptionalBool(&'s mut Option<bool>),
    Object(&'s mut dyn Object<'a>),
    List(&'s mut dyn ListMut<'a>),
}

impl<'s> Shape<'s, '_> {
    /// Returns what tells an item of a list from the others; empty where nothing does.
    pub fn key(&self) -> Cow<'s, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Object(object) => object.key(),
            _ => Cow::Borrowed(""),
        }
    }
}

/// A required string, which is empty if the config does not have it.
impl<'a> Value<'a> for Cow<'a, str> {
    fn shape(&self) -> Shape<'_, 'a> {
        Shape::Text(self)
    }

    fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
        ShapeMut::Text(self)
    }
}

/// A required number, which is zero if the config does not have it.
impl<'a> Value<'a> for i64 {
    fn shape(&self) -> Shape<'_, 'a> {
        if *self == 0 { Shape::Absent } else { Shape::Integer(*self) }
    }

    fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
        ShapeMut::Integer(self)
    }
}

impl<'a> Value<'a> for Option<Cow<'a, str>> {
    fn shape(&self) -> Shape<'_, 'a> {
        self.as_ref().map_or(Shape::Absent, |text| Shape::Text(text))
    }

    fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
        ShapeMut::OptionalText(self)
    }
}

impl<'a> Value<'a> for Option<i64> {
    fn shape(&self) -> Shape<'_, 'a> {
        self.map_or(Shape::Absent, Shape::Integer)
    }

    fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
        ShapeMut::OptionalInteger(self)
    }
}

impl<'a> Value<'a> for Option<bool> {
    fn shape(&self) -> Shape<'_, 'a> {
        self.map_or(Shape::Absent, Shape::Bool)
    }

    fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
        ShapeMut::OptionalBool(self)
    }
}

/// A list, which is empty if the config does not have it.
impl<'a, T: Value<'a> + Default> Value<'a> for Vec<T> {
    fn shape(&self) -> Shape<'_, 'a> {
        if self.is_empty() { Shape::Absent } else { Shape::List(self) }
    }

    fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
        ShapeMut::List(self)
    }
}

impl<'a, T: Value<'a>> List<'a> for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, index: usize) -> Shape<'_, 'a> {
        self.get(index).map_or(Shape::Absent, Value::shape)
    }
}

impl<'a, T: Value<'a> + Default> ListMut<'a> for Vec<T> {
    fn slot(&mut self, index: usize) -> Option<ShapeMut<'_, 'a>> {
        if self.len() == index {
            self.push(T::default());
        }
        self.get_mut(index).map(Value::shape_mut)
    }

    fn truncate(&mut self, count: usize) {
        self.truncate(count);
    }
}
