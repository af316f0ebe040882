//! Knows the three release builds, and refuses everything else by name:
//!
//! - **musl**: all programs static. The project's own packages have it, because it is the smallest.
//! - **static glibc**: the same, where Rust has no standard library for musl.
//! - **Debian's**: dynamic with glibc, for all programs but `glowplug`, which alone is linked statically there
//!   (`debian/rules`). `src/main.rs` refuses to be dynamic.
//!
//! Static programs have no unwind tables: nothing unwinds, and every byte counts in the initramfs.

mod link;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=link.rs");
    println!("cargo:rerun-if-changed=no-unwind-tables.ld");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    if variable("PROFILE") != "release" {
        return ExitCode::SUCCESS;
    }
    if env::var_os("CARGO_FEATURE_FAILPOINTS").is_some() {
        eprintln!("the feature failpoints is for tests: a release build must not have it");
        return ExitCode::FAILURE;
    }
    let libc = variable("CARGO_CFG_TARGET_ENV");
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    let programs = match (libc.as_str(), is_static) {
        ("musl" | "gnu", true) => "bins",
        ("gnu", false) => "bin=glowplug",
        ("musl", false) => {
            eprintln!("a dynamic release build with musl: build without -Ctarget-feature=-crt-static");
            return ExitCode::FAILURE;
        }
        _ => {
            eprintln!("a release build with the C library \"{libc}\": build for musl or glibc");
            return ExitCode::FAILURE;
        }
    };
    link::print_arguments(&variable("CARGO_MANIFEST_DIR"), programs);
    ExitCode::SUCCESS
}
