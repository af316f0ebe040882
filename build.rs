//! Refuses a release build that is not static, and leaves unwind tables out of it.

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
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    // musl is linked statically unless told otherwise, glibc dynamically unless told otherwise.
    let is_static = match variable("CARGO_CFG_TARGET_ENV").as_str() {
        "musl" => !flags.contains("-crt-static"),
        _ => variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static"),
    };
    if !is_static {
        eprintln!(
            "a release build of glowplug must be static: build for {}-unknown-linux-musl, or with \
             RUSTFLAGS=-Ctarget-feature=+crt-static (`make` picks what this machine has)",
            variable("CARGO_CFG_TARGET_ARCH"),
        );
        return ExitCode::FAILURE;
    }
    link::print_arguments(&variable("CARGO_MANIFEST_DIR"));
    ExitCode::SUCCESS
}
