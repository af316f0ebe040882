//! From a config and a read-only view of the root to the ordered operations that make the root so.
//!
//! Nothing here writes. Order and results follow the reference's files stage: groups and users, then
//! directories, files and links from the top of the tree down, then units.

mod op;
mod tree;
mod view;

pub use op::{Contents, Op, Piece};
pub use tree::Tree;
pub use view::{Attributes, Kind, Stat, View};
