//! What a config changes on disks. Everything here is pure: the state of a disk comes in, and the new table goes out.

mod partitions;

pub use partitions::{Change, DiskState, TablePlan, plan_table};
