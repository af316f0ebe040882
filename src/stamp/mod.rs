//! The stamp: the file that says that a root is provisioned, and for which root that is true.
//!
//! `glowplug run`, `glowplug-ready` and the agent all ask [`judge`], so that they never disagree.

mod identity;
mod parse;
mod text;
mod verdict;

pub use identity::FileIdentity;
pub use text::{Details, Run, Stamp, adopted, text};
pub use verdict::{StampFault, Verdict, judge, judge_running_system, read};

use rustix::io::Errno;

/// Where the stamp stands in a root: the file that Fedora `CoreOS` tools read.
pub const STAMP: &str = "/etc/.ignition-result.json";
/// The most bytes that a stamp may have. A stamp without the report of an earlier run has under 1 KiB.
pub const LIMIT: usize = 16 << 10;

/// Where the kernel tells the id of the current boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Returns the kernel's id of the current boot, a UUID.
///
/// # Errors
/// errno of reading the file below `/proc`, with the path of that file.
pub fn boot_id() -> Result<String, (&'static str, Errno)> {
    let text = crate::fd::read_text(BOOT_ID).map_err(|errno| (BOOT_ID, errno))?;
    Ok(text.trim().to_owned())
}
