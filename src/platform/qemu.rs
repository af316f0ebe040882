//! Reads the config from QEMU's firmware configuration device, from the entry `opt/com.coreos/config`. QEMU's option
//! `-fw_cfg name=...,file=...` fills the entry.

use std::path::Path;

use super::Provider;
use crate::error::{Error, Reason, Result};
use crate::fd::read_file;
use crate::memory;

pub(super) static QEMU: Provider = Provider {
    name: "qemu",
    source: "firmware configuration (fw_cfg), entry opt/com.coreos/config",
    module: Some(c"qemu_fw_cfg"),
    detect: Some(has_config),
    patience: None,
    fetch: |_| fetch(),
    advice: "Check QEMU's option -fw_cfg name=opt/com.coreos/config,file=PATH, then start again.",
};

const DEVICE: &str = "/sys/firmware/qemu_fw_cfg";
const ENTRY: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config";
/// The most bytes of the file that tells the entry's size.
const LIMIT: u64 = 4096;

fn load_module() {
    if Path::new(DEVICE).metadata().is_err() {
        QEMU.load_module();
    }
}

/// Returns whether QEMU offers a config.
fn has_config() -> bool {
    load_module();
    Path::new(ENTRY).metadata().is_ok()
}

/// Reads the config. The text is empty if QEMU offers no config, as in the reference.
fn fetch() -> Result<Vec<u8>> {
    if !has_config() {
        return Ok(Vec::new());
    }
    let size_path = Path::new(ENTRY).join("size");
    let text = read_file(&size_path, LIMIT).map_err(|errno| Error::system_at("read", &size_path, errno))?;
    let size: u64 = String::from_utf8_lossy(&text).trim().parse().map_err(|_| {
        Error::new(Reason::System, format!("read {}: it is not a number", size_path.display()))
    })?;
    let limit = memory::limit();
    if size > limit {
        return Err(memory::too_large(limit));
    }
    let raw_path = Path::new(ENTRY).join("raw");
    // For each read the kernel copies the entry from its start. With this limit no extra read is needed to find the
    // end.
    let bytes = read_file(&raw_path, size.saturating_sub(1))
        .map_err(|errno| Error::system_at("read", &raw_path, errno))?;
    if bytes.len() as u64 != size {
        let what = format!("read {}: {} bytes came instead of {size}", raw_path.display(), bytes.len());
        return Err(Error::new(Reason::System, what));
    }
    Ok(bytes)
}
