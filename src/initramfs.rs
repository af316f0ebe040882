//! Whether this program runs in an initramfs.

use rustix::fs::statfs;

use crate::error::{Error, Result};

/// The magic numbers of ramfs and tmpfs.
const IN_MEMORY: [u64; 2] = [0x8584_58f6, 0x0102_1994];

/// Returns whether this program runs in an initramfs, whose root is in memory. A running system keeps its own network and
/// disks.
///
/// # Errors
/// [`Reason::System`](crate::error::Reason::System) if nobody can tell.
pub fn is_here() -> Result<bool> {
    let root = statfs("/").map_err(|errno| Error::system("look at the file system of /", errno))?;
    #[allow(
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the type differs between C libraries"
    )]
    let kind = root.f_type as u64;
    Ok(IN_MEMORY.contains(&kind))
}
