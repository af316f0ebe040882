//! Disks: what is on them, and how a config changes them.
//!
//! [`carry_out`] does the work of a config: `partitions` and `filesystems`, by the decisions of [`plan`] and with the programs
//! of the root (`tools`). Such changes cannot be staged and renamed. So [`Record`] keeps in the root what was begun and what is
//! done, and a run after a power cut goes on from there.

mod boot;
mod clevis;
mod devices;
mod filesystems;
pub mod gpt;
mod ids;
pub mod in_root;
mod luks;
mod mount;
mod partitions;
pub mod plan;
mod probe;
mod raid;
mod ready;
mod record;
mod resolve;
mod tools;
mod work;

pub use boot::BootMounts;
pub use clevis::programs as clevis_programs;
pub use devices::{Device, Devices, PartitionPlace};
pub use ids::Ids;
pub use luks::unlocks_of;
pub use mount::{Mounted, mounts_of, unmount_all};
pub use probe::{BLKID, Probe, WIPEFS, has_formats};
pub use ready::{Ready, remove_recorded_keys};
pub use record::{Mount, Progress, Record};
pub use tools::{StageRules, Tools};
pub use work::{carry_out, require_initramfs};

#[cfg(feature = "failpoints")]
use crate::root::failpoints::{step, step_in};

/// Is called before each step that changes disks. It does nothing, except in a test with failpoints.
#[cfg(not(feature = "failpoints"))]
fn step() {}

/// Is called before each write to `disk`. It does nothing, except in a test with failpoints.
#[cfg(not(feature = "failpoints"))]
fn step_in(_disk: std::os::fd::BorrowedFd<'_>) {}

/// Returns the place of entry number `index` of a list of `storage`: `$.storage.disks.0`.
fn place_of(list: &str, index: usize) -> String {
    format!("$.storage.{list}.{index}")
}
