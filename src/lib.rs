//! glowplug provisions a Debian machine from an Ignition config, once, in the initramfs.
//!
//! The rooms of the house, each of which may use the ones after it: ignition, provision, agent, ready, platform,
//! root, plan, change, source, config, and the log. See `docs/architecture.md`.

// Tests make and break files where they like; the program itself is checked without them.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

pub mod agent;
pub mod change;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod error;
pub mod fd;
pub mod file;
#[cfg(fuzzing)]
pub mod fuzz;
mod http;
pub mod ignition;
pub mod kmsg_logger;
mod memory;
pub mod plan;
pub mod platform;
pub mod provision;
pub mod ready;
pub mod root;
pub mod sort;
pub mod source;
pub mod stamp;
pub mod sys;
