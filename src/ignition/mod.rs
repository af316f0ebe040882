//! Standing in for the reference's programs: their flags, stages, cache, state file, log lines and exit codes.
//!
//! `cli` reads a call and decides which program is meant, `stage` does one stage, and `files` is the one that changes the
//! root. How a phase works is known to [`crate::provision`] alone.

mod cache;
pub mod cli;
mod files;
pub mod stage;
mod stage_log;
mod state;
