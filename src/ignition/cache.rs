//! The files outside of the root that stages leave for each other: the config cache, the state file, and the empty files that
//! say that the network or a restart is needed.
#![allow(clippy::disallowed_methods, reason = "files of the running system, not of the root")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::config::encode::Take;
use crate::error::{Error, Result, errno_of};

/// Replaces the file at `path` by the text that `text` writes, whole or not at all. It gets `mode` without the bits of the umask.
pub(super) fn put(path: &Path, mode: u32, text: &mut dyn FnMut(Take<'_>)) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = Path::new(&name);
    let mut write = || {
        remove(unfinished)?;
        let mut file = BufWriter::new(create(unfinished, OFlags::EXCL, mode)?);
        let mut written = Ok(());
        text(&mut |part| {
            if written.is_ok() {
                written = file.write_all(part.as_bytes());
            }
        });
        written.and_then(|()| file.flush()).map_err(|error| errno_of(&error))?;
        renameat(CWD, unfinished, CWD, path)
    };
    write().map_err(|errno| {
        if let Err(second) = remove(unfinished) {
            log::warn!("{}", Error::system_at("remove", unfinished, second));
        }
        Error::system_at("write", path, errno)
    })
}

fn create(path: &Path, how: OFlags, mode: u32) -> std::result::Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | how;
    openat(CWD, path, flags, Mode::from_raw_mode(mode)).map(File::from)
}

fn remove(path: &Path) -> std::result::Result<(), Errno> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// Makes the missing directories above `path`, each with `mode` without the bits of the umask.
pub(super) fn make_parents(path: &Path, mode: u32) -> Result<()> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    let mut done = mkdirat(CWD, parent, Mode::from_raw_mode(mode));
    if done == Err(Errno::NOENT) {
        make_parents(parent, mode)?;
        done = mkdirat(CWD, parent, Mode::from_raw_mode(mode));
    }
    match done {
        // If it exists and is not a directory, the next call on a path below it fails.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::system_at("make directory", parent, errno)),
    }
}

/// Makes an empty file at `path`, and the missing directories above it. The file says that the network is needed, or that the
/// machine has to restart.
pub(super) fn make_empty(path: &Path) -> Result<()> {
    make_parents(path, 0o755)?;
    create(path, OFlags::TRUNC, 0o666).map(drop).map_err(|errno| Error::system_at("write", path, errno))
}
