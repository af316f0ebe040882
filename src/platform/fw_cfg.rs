//! QEMU's firmware configuration device, `opt/com.coreos/config`: what `-fw_cfg name=...,file=...` gives.

use std::io::Read as _;
use std::path::Path;

use super::{memory, modules};
use crate::error::{Error, Reason, Result, io_words};

const DEVICE: &str = "/sys/firmware/qemu_fw_cfg";
const ENTRY: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config";

fn load_module() {
    if Path::new(DEVICE).metadata().is_err() {
        modules::load(c"qemu_fw_cfg");
    }
}

/// Whether QEMU offers a config.
pub(super) fn has_config() -> bool {
    load_module();
    Path::new(ENTRY).metadata().is_ok()
}

/// Reads the config; QEMU without one gives an empty config, as in the reference.
pub(super) fn fetch() -> Result<Vec<u8>> {
    if !has_config() {
        return Ok(Vec::new());
    }
    let failed = |path: &Path, error: &std::io::Error| {
        Error::new(Reason::System, format!("read {}: {}", path.display(), io_words(error)))
    };
    let size_path = Path::new(ENTRY).join("size");
    let text = std::fs::read_to_string(&size_path).map_err(|error| failed(&size_path, &error))?;
    let size: u64 = text.trim().parse().map_err(|_| {
        Error::new(Reason::System, format!("read {}: it is not a number", size_path.display()))
    })?;
    let limit = memory::limit();
    if size > limit {
        return Err(memory::too_large(limit));
    }
    let raw_path = Path::new(ENTRY).join("raw");
    let raw = std::fs::File::open(&raw_path).map_err(|error| failed(&raw_path, &error))?;
    // The kernel reads the entry from its start for every read, so that few and large ones are asked for; the
    // byte beyond the end spares growing the buffer to find it.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    raw.take(size).read_to_end(&mut bytes).map_err(|error| failed(&raw_path, &error))?;
    if bytes.len() as u64 != size {
        let what = format!("read {}: {} bytes came instead of {size}", raw_path.display(), bytes.len());
        return Err(Error::new(Reason::System, what));
    }
    Ok(bytes)
}
