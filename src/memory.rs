//! How large a config may be on this machine.

use crate::error::{Error, Reason};
use crate::fd::read_text;

/// Assumed if the kernel does not report the available memory: 64 MiB, which is far more than a config needs.
const FALLBACK: u64 = 64 << 20;

/// Returns half of the memory that is available without swapping, in bytes. Planning and the page cache need the
/// other half.
pub(crate) fn limit() -> u64 {
    let text = read_text("/proc/meminfo").unwrap_or_default();
    available(&text).map_or(FALLBACK, |bytes| bytes / 2)
}

/// Parses `MemAvailable` of proc(5) and returns it in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Returns the error for a config of more than `limit` bytes.
pub(crate) fn too_large(limit: u64) -> Error {
    Error::new(
        Reason::BadAnswer,
        format!("the config is larger than {limit} bytes, half of the memory that this machine has to spare"),
    )
    .advise("Make the config smaller, or give the machine more memory, then start again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mem_available_is_read() {
        assert_eq!(available("MemTotal: 10 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 10 kB\n"), None);
        assert!(limit() > 0);
    }
}
