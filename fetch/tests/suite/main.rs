//! Runs the program `glowplug-fetch` against servers that behave, servers that do not, and real ones.

// Inside tests a failed assumption is the test's own message.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod bad_certificates;
mod behaviour;
mod certificates;
mod gs;
mod hostile;
mod program;
mod proxies;
mod real;
mod resume;
mod s3;
mod sandbox;
mod server;
mod tftp;
