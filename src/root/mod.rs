//! The root file system that is provisioned. This is the only code that writes below it, and no path leads out of it.
//!
//! One directory descriptor stands for the root. Each path is opened below it by `openat2(2)` with `RESOLVE_IN_ROOT`,
//! `RESOLVE_NO_MAGICLINKS` and `RESOLVE_NO_SYMLINKS`. Planning has resolved all links in the parents of a path. So a link
//! in a path was put there after planning, and is an error.
//!
//! A change of the root goes through these steps: `stage` makes the new files in an area (`area`), `journal` records the
//! operations, `commit` puts everything into place. `transaction` has the order of the steps.
#![allow(clippy::disallowed_methods)]

mod area;
mod attributes;
mod calls;
mod check;
mod commit;
mod disk_record;
#[cfg(feature = "failpoints")]
pub mod failpoints;
mod file;
mod in_place;
mod journal;
mod lock;
mod mount_point;
mod new_file;
mod recent;
mod saved;
mod stage;
mod staged;
mod stamp;
mod transaction;
mod view;
mod walk;
mod writable;

pub use saved::{ConfigToSave, SavedConfig};
pub use stage::StampText;
pub use transaction::{LastStep, Leftovers};
pub use writable::Writable;

use std::cell::RefCell;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::error::{Error, Reason, Result, errno_words};
use walk::mount_of_fd;

/// The root that is being provisioned.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// Its path in the running system, for messages and to remount it.
    path: PathBuf,
    /// The directories in which planning looked up names last. Most names have the same directory as the ones before.
    looked_into: RefCell<Vec<(PathBuf, OwnedFd)>>,
}

impl Root {
    /// Opens the directory at `path`, a path of the running system.
    ///
    /// # Errors
    /// [`Reason::RootIo`] if it cannot be opened or is not a directory.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = c_name(path.as_os_str()).and_then(|path| openat(CWD, path, flags, Mode::empty())).map_err(
            |errno| {
                let what = format!("open the root {}: {}", path.display(), errno_words(errno));
                Error::new(Reason::RootIo, what)
            },
        )?;
        Ok(Self { fd, path: path.to_owned(), looked_into: RefCell::default() })
    }

    /// Returns the path of the root in the running system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of the root's mount, as statx(2) gives it.
    ///
    /// # Errors
    /// Those of the root.
    pub fn mount_id(&self) -> Result<u64> {
        let (_, _, id) =
            mount_of_fd(self.fd.as_fd()).map_err(|errno| Error::root("look up", Path::new("/"), errno))?;
        Ok(id)
    }

    /// Opens `path` below the root without following any symbolic link.
    fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> std::result::Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        openat2(&self.fd, relative(path)?, flags | OFlags::CLOEXEC, mode, resolve)
    }

    /// Opens the directory that holds `path` with `O_PATH`. Returns it with the last component of `path`.
    ///
    /// # Errors
    /// errno of openat2(2); `EINVAL` for the root itself, which has no last component.
    fn open_parent(&self, path: &Path) -> std::result::Result<(OwnedFd, CString), Errno> {
        let name = c_name(path.file_name().ok_or(Errno::INVAL)?)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((self.open_at(parent, flags, Mode::empty())?, name))
    }
}

/// Returns `path` relative to the root's descriptor.
fn relative(path: &Path) -> std::result::Result<CString, Errno> {
    let relative = path.strip_prefix("/").unwrap_or(path).as_os_str();
    c_name(if relative.is_empty() { OsStr::new(".") } else { relative })
}

/// Converts a name to the form that system calls take. rustix can do this as well, but would add the code to every call.
///
/// # Errors
/// `EINVAL` for a name with a NUL byte.
fn c_name(name: &OsStr) -> std::result::Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)
}
