//! glowplug provisions a Debian machine from an Ignition config, once, in the initramfs.
//!
//! The rooms of the house, each of which may use the ones after it: stages, agent, ready, platform, root, plan,
//! resource, config, and the log. See `docs/architecture.md`.

// Tests make and break files where they like; the program itself is checked without them.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

pub mod agent;
pub mod clock;
pub mod config;
pub mod error;
pub mod fd;
#[cfg(fuzzing)]
pub mod fuzz;
mod http;
pub mod ignition_log;
pub mod kmsg_logger;
pub mod plan;
pub mod platform;
pub mod ready;
pub mod reference_cli;
pub mod resource;
pub mod root;
pub mod sort;
pub mod stages;
pub mod stamp;
pub mod sys;
