//! The paths that no operation may change: the program's own directory, and the stamp.

use std::ffi::OsStr;
use std::path::Path;

use super::Op;
use crate::error::{Error, Reason, Result};
use crate::stamp::STAMP;

/// The name of an area: the private directory at the top of a mount that holds everything unfinished. `root/area.rs`
/// tells what is in one.
pub const AREA: &str = ".glowplug";

/// Refuses a path that is too long for a file system, and a path that the program needs for itself.
///
/// # Errors
/// [`Reason::ConfigInvalid`].
pub fn check_path(path: &Path) -> Result<()> {
    const NAME_MAX: usize = 255;
    const PATH_MAX: usize = 4096;
    // Letter case is ignored, because some file systems ignore it.
    let is = |name: &OsStr, ours: &str| name.as_encoded_bytes().eq_ignore_ascii_case(ours.as_bytes());
    let stamp = path.iter().zip(Path::new(STAMP)).filter(|(one, other)| is(one, &other.to_string_lossy()));
    let what = if path.as_os_str().len() >= PATH_MAX {
        "the path is longer than 4,095 bytes"
    } else if path.iter().any(|name| name.len() > NAME_MAX) {
        "a name in the path is longer than 255 bytes"
    } else if path.iter().any(|name| is(name, AREA)) {
        "the path is glowplug's own directory, or is below it"
    } else if stamp.count() == Path::new(STAMP).iter().count() {
        "the path is that of the stamp, which glowplug writes itself, or is below it"
    } else {
        return Ok(());
    };
    Err(Error::new(Reason::ConfigInvalid, format!("{}: {what}", path.display())))
}

/// Refuses a `path` above the stamp. For callers that put something other than a directory there.
///
/// # Errors
/// [`Reason::ConfigInvalid`].
pub fn check_is_not_above_stamp(path: &Path) -> Result<()> {
    if Path::new(STAMP).starts_with(path) {
        let path = path.display();
        let what = format!("{path}: it must be a directory, since glowplug writes the stamp {STAMP} in it");
        return Err(Error::new(Reason::ConfigInvalid, what));
    }
    Ok(())
}

/// Refuses operations on paths of the program, and operations after which the stamp could not be put into place. Their
/// commit would fail at every start.
///
/// # Errors
/// [`Reason::ConfigInvalid`].
pub fn check_ops(ops: &[Op<'_>]) -> Result<()> {
    // A directory above the stamp that an operation has removed and none has made again.
    let mut gone: Option<&Path> = None;
    for op in ops {
        check_path(op.path())?;
        let holds_stamp = |path: &Path| Path::new(STAMP).starts_with(path);
        match op {
            Op::Remove { path } if holds_stamp(path) => gone = Some(path),
            Op::Directory { path, .. } if gone == Some(path) => gone = None,
            Op::File { path, .. } | Op::Symlink { path, .. } => check_is_not_above_stamp(path)?,
            Op::HardLink { path, target } => {
                check_path(target)?;
                check_is_not_above_stamp(path)?;
            }
            Op::Rename { from, to } => {
                check_path(from)?;
                check_is_not_above_stamp(from)?;
                check_is_not_above_stamp(to)?;
            }
            Op::Remove { .. } | Op::Directory { .. } | Op::Attributes { .. } => {}
        }
    }
    gone.map_or(Ok(()), check_is_not_above_stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Attributes;

    #[test]
    fn own_paths_are_refused_in_any_case() {
        for path in [
            "/.glowplug",
            "/.glowplug/config",
            "/var/.GlowPlug/x",
            "/etc/.ignition-result.json",
            "/etc/.ignition-result.json/x",
            "/etc/.Ignition-Result.json",
        ] {
            assert!(check_path(Path::new(path)).is_err(), "{path}");
        }
        for path in [
            "/",
            "/etc",
            "/etc/x",
            "/.glowplug2",
            "/etc/.ignition-result.json2",
            "/srv/.ignition-result.json",
        ] {
            assert!(check_path(Path::new(path)).is_ok(), "{path}");
        }
    }

    #[test]
    fn the_directory_of_the_stamp_stays_one() {
        let etc = || "/etc".into();
        let directory = || Op::Directory { path: etc(), attributes: Attributes::root(0o755) };
        let remove = || Op::Remove { path: etc() };
        let link = Op::Symlink { path: etc(), target: "/x".into(), uid: 0, gid: 0 };
        assert!(check_ops(&[directory()]).is_ok());
        assert!(check_ops(&[remove(), directory()]).is_ok());
        assert!(check_ops(&[remove()]).is_err());
        assert!(check_ops(&[directory(), remove()]).is_err());
        assert!(check_ops(&[remove(), link]).is_err());
        assert!(check_ops(&[Op::Rename { from: etc(), to: "/x".into() }]).is_err());
        let target = "/.glowplug/config".into();
        assert!(check_ops(&[Op::HardLink { path: "/srv/x".into(), target }]).is_err());
    }
}
