//! Whether updates wait for a restart of the machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{readlink, stat};
use rustix::io::Errno;
use rustix::system::uname;

use super::system::FactReader;

/// The link to the newest kernel, which Debian's kernel packages keep.
const KERNEL: &str = "/vmlinuz";
/// The file by which Debian's packages ask for a restart.
const REQUIRED: &str = "/run/reboot-required";

/// Returns a fault if packages have asked for a restart, or if the newest kernel is not the one that runs.
pub fn due(reader: &mut FactReader) -> Option<String> {
    let link = match readlink(KERNEL, Vec::new()) {
        // Another system than Debian has no such link, or has the kernel itself there.
        Err(Errno::NOENT | Errno::INVAL) => None,
        link => reader.or_note(KERNEL, link.map(Some)),
    };
    let required = match stat(REQUIRED) {
        Err(Errno::NOENT) => false,
        there => reader.or_note(REQUIRED, there.map(|_| true)),
    };
    let newest = link.as_ref().and_then(|link| version(link.to_bytes()));
    reason(newest, uname().release().to_bytes(), required).map(str::to_owned)
}

fn reason(newest: Option<&[u8]>, running: &[u8], required: bool) -> Option<&'static str> {
    if newest.is_some_and(|newest| newest != running) {
        Some("a restart is due: /vmlinuz leads to another kernel than the running one")
    } else if required {
        Some("a restart is due: packages have asked for it in /run/reboot-required")
    } else {
        None
    }
}

/// Returns the version in the name of a kernel, as `6.12.1-amd64` in `boot/vmlinuz-6.12.1-amd64`. Kernels of some
/// architectures are called `vmlinux`.
fn version(link: &[u8]) -> Option<&[u8]> {
    let name = Path::new(OsStr::from_bytes(link)).file_name()?.as_bytes();
    name.strip_prefix(b"vmlinuz-").or_else(|| name.strip_prefix(b"vmlinux-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_due_for_another_kernel_and_for_packages() {
        let running = b"6.12.118+deb13-amd64";
        let due = |link: &[u8], required| reason(version(link), running, required);
        assert_eq!(due(b"boot/vmlinuz-6.12.118+deb13-amd64", false), None);
        assert_eq!(due(b"/boot/vmlinux-6.12.118+deb13-amd64", false), None);
        // The name of the link says nothing about the version.
        assert_eq!(due(b"boot/bzImage", false), None);
        assert_eq!(reason(None, running, false), None);
        let kernel = due(b"boot/vmlinuz-7.3.4+deb13-amd64", true);
        assert!(kernel.is_some_and(|text| text.contains("another kernel")), "{kernel:?}");
        let packages = due(b"boot/vmlinuz-6.12.118+deb13-amd64", true);
        assert!(packages.is_some_and(|text| text.contains("reboot-required")), "{packages:?}");
    }
}
