//! Disks: what is on them, and how a config changes them.

pub mod gpt;
mod ids;
pub mod plan;

pub use ids::Ids;
