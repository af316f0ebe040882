//! The paths that no operation may change: the program's own directory, and the stamp.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Op, StampPlace};
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
    let of_name = |name: &[u8]| match name.len() {
        length if length > NAME_MAX => Some("a name in the path is longer than 255 bytes"),
        _ if name.eq_ignore_ascii_case(AREA.as_bytes()) => {
            Some("the path is glowplug's own directory, or is below it")
        }
        _ => None,
    };
    let bytes = path.as_os_str().as_bytes();
    let what = match bytes.split(|byte| *byte == b'/').find_map(of_name) {
        _ if bytes.len() >= PATH_MAX => "the path is longer than 4,095 bytes",
        Some(what) => what,
        None => return check_is_not_at(path, Path::new(STAMP)),
    };
    Err(Error::new(Reason::ConfigInvalid, format!("{}: {what}", path.display())))
}

/// Refuses a `path` at or below that of the stamp.
fn check_is_not_at(path: &Path, stamp: &Path) -> Result<()> {
    let mut names = path.iter();
    // Letter case is ignored, because some file systems ignore it.
    if !stamp.iter().all(|name| names.next().is_some_and(|other| other.eq_ignore_ascii_case(name))) {
        return Ok(());
    }
    let what = "the path is that of the stamp, which glowplug writes itself, or is below it";
    Err(Error::new(Reason::ConfigInvalid, format!("{}: {what}", path.display())))
}

/// Refuses a `path` above the stamp. For callers that put something other than a directory there.
///
/// # Errors
/// [`Reason::ConfigInvalid`].
pub fn check_is_not_above_stamp(path: &Path) -> Result<()> {
    if Path::new(STAMP).starts_with(path) {
        return Err(above_stamp(path));
    }
    Ok(())
}

fn above_stamp(path: &Path) -> Error {
    let path = path.display();
    let what = format!("{path}: it must be a directory, since glowplug writes the stamp {STAMP} in it");
    Error::new(Reason::ConfigInvalid, what)
}

/// Refuses operations on paths of the program, and operations after which the stamp could not be put into `place`. Their
/// commit would fail at every start. So no operation may change a link on the way to the stamp, and a directory above it
/// must be there again in the end.
///
/// # Errors
/// [`Reason::ConfigInvalid`].
pub fn check_ops(ops: &[Op<'_>], place: &StampPlace) -> Result<()> {
    let check_path = |path: &Path| check_path(path).and_then(|()| check_is_not_at(path, &place.path));
    let check_is_not_above = |path: &Path| if place.is_below(path) { Err(above_stamp(path)) } else { Ok(()) };
    // A directory above the stamp that an operation has removed, while none has made that of the stamp again.
    let mut gone: Option<&Path> = None;
    for op in ops {
        check_path(op.path())?;
        match op {
            Op::Remove { path } if place.is_link_below(path) => {
                let path = path.display();
                let what = format!("{path}: it must stay, since it leads to the stamp {STAMP} by a link");
                return Err(Error::new(Reason::ConfigInvalid, what));
            }
            Op::Remove { path } if place.is_below(path) => gone = Some(path),
            Op::Directory { path, .. } if place.path.parent() == Some(path) => gone = None,
            Op::File { path, .. } | Op::Symlink { path, .. } => check_is_not_above(path)?,
            Op::HardLink { path, target } => {
                check_path(target)?;
                check_is_not_above(path)?;
            }
            Op::Rename { from, to } => {
                check_path(from)?;
                check_is_not_above(from)?;
                check_is_not_above(to)?;
            }
            Op::Remove { .. } | Op::Directory { .. } | Op::Attributes { .. } => {}
        }
    }
    gone.map_or(Ok(()), check_is_not_above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::memory::Memory;

    fn check(ops: &[Op<'_>]) -> Result<()> {
        check_ops(ops, &StampPlace::find(&Memory::debian())?)
    }
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
        assert!(check(&[directory()]).is_ok());
        assert!(check(&[remove(), directory()]).is_ok());
        assert!(check(&[remove()]).is_err());
        assert!(check(&[directory(), remove()]).is_err());
        assert!(check(&[remove(), link]).is_err());
        assert!(check(&[Op::Rename { from: etc(), to: "/x".into() }]).is_err());
        let target = "/.glowplug/config".into();
        assert!(check(&[Op::HardLink { path: "/srv/x".into(), target }]).is_err());
    }
}
