//! What all values of the config have in common, so that validation, merging and writing need to know each type
//! only where it is special.

use std::borrow::Cow;

use super::decode::{Decoder, Fault};
use super::validate::Rules;

/// What happens to items of a list that have the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// A fault within one config; merged where two configs meet.
    Refused,
    /// As `Refused`, and the keys count for all lists of the object that share theirs.
    Shared,
    /// All are kept, one after the other.
    Kept,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    /// The exact key.
    pub key: &'static str,
    /// The minor version of the first spec that has it.
    pub since: u8,
    /// Of a list's items.
    pub duplicates: Duplicates,
}

/// A value that can be read from JSON. `null` leaves it as it is by default.
pub(super) trait Value<'a> {
    /// Reads the value that comes next; one that stands twice is read over the first.
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), Fault>;

    /// The value for whoever walks over the config.
    fn shape(&self) -> Shape<'_, 'a>;
}

/// An object of the config. A field's index is its place in `fields`.
pub(super) trait Object<'a>: Rules {
    /// The name of the reference's type.
    fn name(&self) -> &'static str;
    fn fields(&self) -> &'static [Field];
    /// `Absent` past the last field.
    fn field(&self, index: usize) -> Shape<'_, 'a>;
    fn field_mut(&mut self, index: usize) -> Option<&mut dyn Value<'a>>;
}

/// A list of the config.
pub(super) trait List<'a> {
    fn count(&self) -> usize;
    /// `Absent` past the last item.
    fn item(&self, index: usize) -> Shape<'_, 'a>;
}

/// A list that is being read.
pub(super) trait ListMut<'a> {
    /// The item at `index`, made if it is the one after the last.
    fn slot(&mut self, index: usize) -> Option<&mut dyn Value<'a>>;
    /// Takes the items from `count` on away.
    fn cut(&mut self, count: usize);
}

/// A value by its kind.
pub(super) enum Shape<'s, 'a> {
    /// Not there: not written.
    Absent,
    Text(&'s str),
    Integer(i64),
    Bool(bool),
    Object(&'s dyn Object<'a>),
    List(&'s dyn List<'a>),
}

impl<'s> Shape<'s, '_> {
    /// What tells an item of a list from the others.
    pub fn key(&self) -> Cow<'s, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Object(object) => object.key(),
            _ => Cow::Borrowed(""),
        }
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

/// A string that is empty if absent.
impl<'a> Value<'a> for Cow<'a, str> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), Fault> {
        if let Some(text) = decoder.string()? {
            *self = text;
        }
        Ok(())
    }

    fn shape(&self) -> Shape<'_, 'a> {
        Shape::Text(self)
    }
}

impl<'a> Value<'a> for bool {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), Fault> {
        if let Some(value) = decoder.bool()? {
            *self = value;
        }
        Ok(())
    }

    fn shape(&self) -> Shape<'_, 'a> {
        Shape::Bool(*self)
    }
}

/// A number that is zero if absent.
impl<'a> Value<'a> for i64 {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), Fault> {
        if let Some(value) = decoder.integer()? {
            *self = value;
        }
        Ok(())
    }

    fn shape(&self) -> Shape<'_, 'a> {
        if *self == 0 { Shape::Absent } else { Shape::Integer(*self) }
    }
}

/// Here `null` unsets.
macro_rules! optional {
    ($($type:ty => $shape:expr;)*) => { $(
        impl<'a> Value<'a> for Option<$type> {
            fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), Fault> {
                if decoder.null()? {
                    *self = None;
                    return Ok(());
                }
                self.get_or_insert_with(Default::default).decode(decoder)
            }

            fn shape(&self) -> Shape<'_, 'a> {
                self.as_ref().map_or(Shape::Absent, $shape)
            }
        }
    )* };
}

optional! {
    Cow<'a, str> => |text| Shape::Text(text);
    i64 => |value| Shape::Integer(*value);
    bool => |value| Shape::Bool(*value);
}

impl<'a, T: Value<'a> + Default> Value<'a> for Vec<T> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), Fault> {
        decoder.list(self)
    }

    fn shape(&self) -> Shape<'_, 'a> {
        if self.is_empty() { Shape::Absent } else { Shape::List(self) }
    }
}

impl<'a, T: Value<'a> + Default> ListMut<'a> for Vec<T> {
    fn slot(&mut self, index: usize) -> Option<&mut dyn Value<'a>> {
        if self.len() == index {
            self.push(T::default());
        }
        self.get_mut(index).map(|item| item as &mut dyn Value<'a>)
    }

    fn cut(&mut self, count: usize) {
        self.truncate(count);
    }
}
