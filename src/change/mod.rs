//! What a plan hands to the root: the operations, and the view of the root that they are planned against.

#[cfg(any(test, fuzzing))]
pub mod memory;
mod op;
mod reserved;
mod stamp_place;
mod view;

pub use op::{Contents, Op, OpWords, Piece};
pub use reserved::{AREA, check_is_not_above_stamp, check_ops, check_path};
pub use stamp_place::StampPlace;
pub use view::{Attributes, DirectoryEntry, FileKind, Stat, View};
