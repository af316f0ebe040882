//! Tells the program when it was built: `SOURCE_DATE_EPOCH` (reproducible-builds.org), or else now.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let built: u64 = told.unwrap_or_else(now);
    println!("cargo:rustc-env=GLOWPLUG_BUILD_TIME={built}");
}
