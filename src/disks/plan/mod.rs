//! What a config changes on disks. Everything here is pure: what stands on a disk comes in, and a decision goes out.

mod filesystems;
mod partitions;

pub use filesystems::{Action, Format, command, decide};
pub use partitions::{Change, DiskState, TablePlan, plan_table};
