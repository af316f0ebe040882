//! Reads the config from a file of the running system, for tests and for images that bring their own config.

use std::path::Path;

use super::Provider;
use crate::error::Result;
use crate::{file, memory};

pub(super) static FILE: Provider = Provider {
    name: "file",
    source: "the file that IGNITION_CONFIG_FILE names; config.ign by default",
    module: None,
    detect: None,
    patience: None,
    fetch: |_| fetch(),
    advice: "Check the file that the environment variable IGNITION_CONFIG_FILE names (config.ign by default).",
};

fn fetch() -> Result<Vec<u8>> {
    let path = std::env::var_os("IGNITION_CONFIG_FILE").filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| "config.ign".into());
    file::read(Path::new(&path), memory::limit())
}
