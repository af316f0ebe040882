//! The lock of a root: one process at a time may change it.

use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Root;
use crate::error::{Error, Reason, Result};

impl Root {
    /// Locks this root until `self` is dropped, against every other process of this program. Never waits.
    ///
    /// The lock is flock(2) on the root's own directory. So it needs no file, and works on a root that is mounted read-only.
    /// A caller of [`Root::leftovers`] must hold it, because otherwise a run may still be at work there.
    ///
    /// [`Root::is_provisioned`] needs no lock. The stamp is renamed into place after everything else, and the area is removed
    /// after that. So no run is at work if the stamp stands and the area does not.
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

impl Drop for Root {
    /// Unlocks the root. To close the descriptor is not enough, because a program that another thread starts at this moment
    /// has a copy of it until its own file takes the place of this one. Without a lock this does nothing.
    fn drop(&mut self) {
        let _ = flock(&self.fd, FlockOperation::NonBlockingUnlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_goes_with_its_root_while_another_process_has_a_copy_of_the_descriptor() {
        let temp = crate::testing::TempDir::new("lock");
        let root = Root::open(temp.path()).unwrap();
        root.lock().unwrap();
        assert_eq!(Root::open(temp.path()).unwrap().lock().unwrap_err().reason(), Reason::Busy);
        let _copy = root.fd.try_clone().unwrap();
        drop(root);
        Root::open(temp.path()).unwrap().lock().unwrap();
    }
}
