//! glowplug provisions a Debian machine from an Ignition config, once, in the initramfs.
//!
//! The rooms of the house, each of which may use the ones after it: stages, ready, platform, root, plan,
//! resource, config, and the log. See `docs/architecture.md`.

pub mod config;
pub mod error;
pub mod plan;
pub mod resource;
pub mod root;
