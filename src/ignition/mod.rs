//! Standing in for the reference's programs: their flags, stages, cache, state file, log lines and exit codes.
//!
//! `cli` parses the command line and decides which program is meant. `stage` runs one stage. The stage that changes the root
//! is in `files`, and `apply` does the same to a container. `disks` has the stages that change and mount disks. `kargs` changes
//! kernel arguments. `part` says which stage carries out which part of a config. The phases of provisioning themselves are in
//! [`crate::provision`].

mod apply;
mod cache;
pub mod cli;
mod disks;
mod files;
mod kargs;
mod part;
mod previous_report;
mod stage;
mod stage_call;
mod stage_log;
mod state;

pub use stage::run;
pub use stage_call::{Stage, StageCall};
