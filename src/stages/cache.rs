//! The files that stages hand over to each other, outside of the root: the config cache, the state file and the flag
//! that says that the network is needed.
#![allow(clippy::disallowed_methods, reason = "files of the running system, not of the root")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Reason, Result, io_words};

/// Writes `bytes` to `path` as a whole, with `mode` as far as the umask lets it.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: &io::Error| fault("write", path, error);
    let unfinished = unfinished(path)?;
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let open = || OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished);
    let mut file = open().map_err(|error| failed(&error))?;
    let done = file.write_all(bytes).and_then(|()| std::fs::rename(&unfinished, path));
    done.map_err(|error| {
        if let Err(second) = std::fs::remove_file(&unfinished) {
            log::warn!("{}", fault("remove", &unfinished, &second));
        }
        failed(&error)
    })
}

/// The name beside `path` that what is to stand there has until it is whole.
fn unfinished(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::new(Reason::System, format!("write {}: it is a directory", path.display())));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(hidden))
}

/// Makes the directories above `path` that are missing.
pub(super) fn make_parents(path: &Path, mode: u32) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let done = DirBuilder::new().recursive(true).mode(mode).create(parent);
    done.map_err(|error| fault("make directory", parent, &error))
}

/// Makes the empty file that says that the network is needed.
pub(super) fn signal_need_network(path: &Path) -> Result<()> {
    make_parents(path, 0o755)?;
    File::create(path).map(drop).map_err(|error| fault("write", path, &error))
}

fn fault(act: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(Reason::System, format!("{act} {}: {}", path.display(), io_words(error)))
}
