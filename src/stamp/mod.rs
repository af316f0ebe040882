//! The stamp: the file that says that a root is provisioned, and which root it was written for.
//!
//! `glowplug run`, `glowplug-ready` and the agent all use [`judge`], so that they never disagree.

mod identity;
mod parse;
mod text;
mod verdict;

pub use identity::FileIdentity;
pub use text::{Details, Run, Stamp, adopted, text};
pub use verdict::{StampFault, StampVerdict, judge, judge_running_system, read};

use rustix::io::Errno;

/// The path of the stamp in a root. It is the result file that Fedora `CoreOS` tools read.
pub const STAMP: &str = "/etc/.ignition-result.json";
/// The most bytes of a stamp. One without the report of an earlier run has less than 1 KiB.
pub const LIMIT: usize = 16 << 10;

/// The file with the kernel's id of the current boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Returns the kernel's id of the current boot, a UUID.
///
/// # Errors
/// The path of the file below `/proc`, and errno of reading it.
pub fn boot_id() -> Result<String, (&'static str, Errno)> {
    let text = crate::fd::read_text(BOOT_ID).map_err(|errno| (BOOT_ID, errno))?;
    Ok(text.trim().to_owned())
}
