//! Refuses a release build that is not static, and leaves unwind tables out of it.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=no-unwind-tables.ld");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    if variable("PROFILE") != "release" {
        return ExitCode::SUCCESS;
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
    let script = format!("{}/no-unwind-tables.ld", variable("CARGO_MANIFEST_DIR"));
    // A linker that is called without a compiler driver takes its arguments as they are.
    let prefix = if flags.contains("linker-flavor=ld") { "" } else { "-Wl," };
    println!("cargo:rustc-link-arg-bins={prefix}--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-bins={prefix}--script={script}");
    ExitCode::SUCCESS
}
