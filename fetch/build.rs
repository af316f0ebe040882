//! Tells the program when it was built: `SOURCE_DATE_EPOCH` (reproducible-builds.org), or else now. A static release build is
//! linked as the other programs are. Debian's is dynamic, and is linked as usual.

#[path = "../link.rs"]
mod link;

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../link.rs");
    println!("cargo:rerun-if-changed=../no-unwind-tables.ld");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let built: u64 = variable("SOURCE_DATE_EPOCH").parse().unwrap_or_else(|_| now());
    println!("cargo:rustc-env=GLOWPLUG_BUILD_TIME={built}");
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if variable("PROFILE") == "release" && is_static {
        link::print_arguments(&format!("{}/..", variable("CARGO_MANIFEST_DIR")), "bins");
    }
}
