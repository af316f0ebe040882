//! Refuses a release build that is not static, and leaves unwind tables out of it.

use std::env;
use std::process::{Command, ExitCode};

/// The first Rust, 1.93, whose musl can relocate itself by packed relocations, 28 KB less.
const RUST_WITH_MUSL_1_2_5: u32 = 93;

/// The minor version of the compiler; zero if it does not tell.
fn rust_minor() -> u32 {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    // rustc 1.95.0 (59807616e 2026-04-14)
    let text = String::from_utf8_lossy(&output);
    text.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
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
    let script = format!("{}/no-unwind-tables.ld", variable("CARGO_MANIFEST_DIR"));
    // A linker that is called without a compiler driver takes its arguments as they are.
    let prefix = if flags.contains("linker-flavor=ld") { "" } else { "-Wl," };
    println!("cargo:rustc-link-arg-bins={prefix}--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-bins={prefix}--script={script}");
    if variable("CARGO_CFG_TARGET_ENV") == "musl" && rust_minor() >= RUST_WITH_MUSL_1_2_5 {
        // `-z` takes its word as an argument of its own.
        let separator = if prefix.is_empty() { "\ncargo:rustc-link-arg-bins=" } else { "," };
        println!("cargo:rustc-link-arg-bins={prefix}-z{separator}pack-relative-relocs");
    }
    ExitCode::SUCCESS
}
