//! What a plan hands to the root: the operations, and the view of the root that they are planned against.

mod op;
mod view;

pub use op::{Contents, Op, Piece};
pub use view::{Attributes, Kind, Stat, View};
