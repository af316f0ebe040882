//! What a config changes on disks. Everything here is pure: what stands on a disk comes in, and a decision goes out.

mod filesystems;
mod partitions;
mod raid;

pub use filesystems::{Action, Format, command, decide};
pub use partitions::{Before, Change, DiskState, TablePlan, plan_table};
pub use raid::{Member, create as raid_create, is_wanted, module as raid_module};
