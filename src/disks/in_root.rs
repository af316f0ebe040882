//! This program under another name: it enters the root, in a mount namespace of its own, and becomes a program of the root.
//!
//! There the program finds the devices and the kernel's files, and empty directories in memory at `/run` and `/tmp`. Nothing of
//! this is seen outside, and it is gone when the program has ended. The root may be mounted read-only. A program that talks to
//! udev finds the `/run` of the initramfs instead, where udev is reached.

use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::process::{chdir, chroot};

use crate::error::{Error, Result};
use crate::sys::{leave_mount_namespace, replace_by};

/// The name. The arguments are the root, the device and the type of a file system for [`PLACE`] or two empty ones, and then
/// those of the program.
pub const PROGRAM: &str = "glowplug-in-root";
/// The variable that keeps the programs from udev.
pub const NO_UDEV: &CStr = c"DM_DISABLE_UDEV=1";
/// Where the program finds the file system of a device that the caller names.
pub const PLACE: &str = "/run/glowplug-new";

/// Becomes the program that `arguments` name, if their first is [`PROGRAM`]. Returns `None` for another one, or why it could
/// not be done.
pub fn main(arguments: std::env::ArgsOs) -> Option<Error> {
    let words: Vec<CString> =
        arguments.map(OsString::into_vec).map(CString::new).collect::<std::result::Result<_, _>>().ok()?;
    let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
    match words.as_slice() {
        [name, root, device, kind, program @ ..] if name.to_bytes() == PROGRAM.as_bytes() => {
            Some(enter(root, device, kind).err().unwrap_or_else(|| start(program)))
        }
        _ => None,
    }
}

/// Becomes a program of the root. Returns only if that fails.
fn start(program: &[&CStr]) -> Error {
    let errno = replace_by(program);
    let name = program.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    Error::system(&format!("start {name} in the root"), errno)
}

/// Makes `root` the root directory of this process, and prepares what a program expects in it. If `device` is not empty, its
/// file system of the type `kind` is mounted at [`PLACE`].
fn enter(root: &CStr, device: &CStr, kind: &CStr) -> Result<()> {
    let failed = |act: &'static str| move |errno: Errno| Error::system(act, errno);
    leave_mount_namespace().map_err(failed("make a mount namespace"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(failed("make the mounts private"))?;
    let root = Path::new(
        std::str::from_utf8(root.to_bytes()).map_err(|_| Error::system("enter the root", Errno::INVAL))?,
    );
    let has_udev = std::env::var_os("DM_DISABLE_UDEV").is_none();
    let bound: &[&str] = if has_udev { &["dev", "proc", "sys", "run"] } else { &["dev", "proc", "sys"] };
    for from in bound {
        mount_bind_recursive(Path::new("/").join(from), root.join(from))
            .map_err(|errno| Error::system_at("mount in the root", &root.join(from), errno))?;
    }
    for at in if has_udev { &["tmp"][..] } else { &["run", "tmp"] } {
        mount(c"tmpfs", root.join(at), c"tmpfs", MountFlags::empty(), None)
            .map_err(|errno| Error::system_at("mount a file system in memory at", &root.join(at), errno))?;
    }
    chroot(root).and_then(|()| chdir("/")).map_err(failed("enter the root"))?;
    if device.is_empty() {
        return Ok(());
    }
    make_place().map_err(failed("make a directory for the new file system"))?;
    mount(device, PLACE, kind, MountFlags::empty(), None).map_err(|errno| {
        Error::system(&format!("mount the new file system of {}", device.to_string_lossy()), errno)
    })
}

/// Makes the directory at [`PLACE`]. It is in memory, not a part of the root.
#[allow(clippy::disallowed_methods, reason = "/run is a file system in memory of this namespace")]
fn make_place() -> std::result::Result<(), Errno> {
    rustix::fs::mkdir(PLACE, rustix::fs::Mode::RWXU)
}
