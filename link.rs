//! What the linker is told for a release build of each program: to leave out what a program that never unwinds does not need.

use std::env;
use std::process::Command;

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

/// Prints the linker's arguments for cargo. `top` is the directory of the linker's script. `programs` is `bins` for all
/// programs of the package, or `bin=NAME` for one.
pub fn print_arguments(top: &str, programs: &str) {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    // A linker that is called without a compiler driver takes its arguments as they are.
    let prefix = if flags.contains("linker-flavor=ld") { "" } else { "-Wl," };
    println!("cargo:rustc-link-arg-{programs}={prefix}--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-{programs}={prefix}--script={top}/no-unwind-tables.ld");
    if variable("CARGO_CFG_TARGET_ENV") == "musl" && rust_minor() >= RUST_WITH_MUSL_1_2_5 {
        // `-z` takes its word as an argument of its own.
        let separator =
            if prefix.is_empty() { format!("\ncargo:rustc-link-arg-{programs}=") } else { ",".to_owned() };
        println!("cargo:rustc-link-arg-{programs}={prefix}-z{separator}pack-relative-relocs");
    }
}
