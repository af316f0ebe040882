//! One change of a root at a time.

use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Root;
use crate::error::{Error, Reason, Result};

impl Root {
    /// Locks this root against every other process that changes it through this program, until `self` is dropped. The
    /// call never waits. The lock is flock(2) on the root's own directory, so that it needs no file and also holds on a
    /// root that is mounted read-only. Whoever looks at what an interrupted run left must hold it: otherwise the run
    /// may still be at work.
    ///
    /// [`Root::is_whole`] needs no lock. The stamp is renamed into place after everything else, and the private
    /// directory goes after that: with a stamp and without that directory no run is at work.
    ///
    /// # Errors
    /// [`Reason::Busy`] if another process has the lock.
    pub fn lock(&self) -> Result<()> {
        flock(&self.fd, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            Errno::AGAIN => {
                let what = format!("another process is at work on the root {}", self.path.display());
                Error::new(Reason::Busy, what)
            }
            errno => Error::root("lock", Path::new("/"), errno),
        })
    }
}
