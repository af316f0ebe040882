//! Standing in for the reference's programs: their flags, stages, cache, state file, log lines and exit codes.
//!
//! `cli` reads a call and decides which program is meant. `stage` does one stage; `files` is the stage that changes the
//! root, and `apply` does the same to a container. `part` says which part of a config is whose work. How a phase of
//! provisioning works is known to [`crate::provision`] alone.

mod apply;
mod cache;
pub mod cli;
mod files;
mod part;
mod previous_report;
mod request;
mod stage;
mod stage_log;
mod state;

pub use request::{Stage, StageCall};
pub use stage::run;
