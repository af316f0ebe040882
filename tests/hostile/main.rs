//! Roots, file systems and configs that do not mean well: nothing outside of the root is touched, what fails leaves the
//! root as it was and says why, and no secret of a config shows anywhere.
//!
//! Each test has a mount namespace of its own. An ordinary user runs them as root of a user namespace (`tests/runner`),
//! without those that need loop devices, device files or fanotify: `tests/runner` lists them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed assumption is the test's own message"
)]
#![allow(dead_code, reason = "the manifests are the cases' own, of which these tests need a part")]

mod accounts;
mod busy;
#[path = "../cases/runner/disk.rs"]
mod disk;
mod disks;
mod full;
#[path = "../cases/runner/manifest.rs"]
mod manifest;
mod own_paths;
mod roots;
mod sandbox;
mod secrets;
mod stamps;
mod table;
mod watch;
