//! Hostile roots, file systems and configs. The program must touch nothing outside of the root. When it fails, it must
//! leave the root as it was and say why. No secret of a config may appear anywhere.
//!
//! Each test has a mount namespace of its own. `tests/runner` makes an ordinary user root of a user namespace, and
//! skips the tests that need loop devices, device files or fanotify.
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
mod remote;
mod roots;
mod sandbox;
mod secrets;
#[path = "../remote/server.rs"]
mod server;
mod stamps;
mod table;
mod watch;
