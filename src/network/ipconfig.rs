//! Runs klibc's `ipconfig`, which asks DHCP servers for an address of one link, gives it to the link, and writes what it
//! got to `/run/net-LINK.conf`. It knows only IPv4.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, Mode, OFlags, access};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::error::{Error, Reason, Result};
use crate::sys;

/// Where initramfs images have the program.
const PLACES: [&CStr; 4] =
    [c"/usr/lib/klibc/bin/ipconfig", c"/bin/ipconfig", c"/usr/bin/ipconfig", c"/sbin/ipconfig"];
/// How long one run may take, in seconds. ipconfig asks after 0, 1, 3 and 7 seconds, and then ever more rarely: a server
/// or a switch that is late would be noticed a minute after it came. A new run asks quickly again.
const RUN: &CStr = c"10";

/// The program, as it lies in the initramfs.
#[derive(Debug)]
pub(super) struct Program {
    path: &'static CStr,
    /// ipconfig reports what it does. This goes to `/dev/null`, since the outcome is told by who started it.
    null: OwnedFd,
}

impl Program {
    /// Looks for the program.
    ///
    /// # Errors
    /// [`Reason::Unsupported`] if the initramfs has none.
    pub(super) fn find() -> Result<Self> {
        let path =
            PLACES.into_iter().find(|path| access(*path, Access::EXEC_OK).is_ok()).ok_or_else(|| {
                let text = "this initramfs has no ipconfig, which asks DHCP servers for an address";
                Error::new(Reason::Unsupported, text)
                    .advise("Install the package klibc-utils, and make the initramfs again.")
            })?;
        #[allow(clippy::disallowed_methods, reason = "a device of the initramfs, not a path of the root")]
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(|errno| Error::system_at("open", Path::new("/dev/null"), errno))?;
        Ok(Self { path, null })
    }

    /// Starts the program for the link `name`, with `host` as the host name that the DHCP server is told.
    ///
    /// # Errors
    /// [`Reason::System`] if it cannot be started.
    pub(super) fn start(&self, name: &str, host: Option<&str>) -> Result<Ipconfig> {
        // The long form, since a bare name could be an option.
        let host = host.filter(|host| !host.contains(':')).unwrap_or_default();
        let device = CString::new(format!("::::{host}:{name}:dhcp")).map_err(|_| Errno::INVAL);
        let started = device.and_then(|device| {
            let arguments = [self.path, c"-t", RUN, c"-c", c"dhcp", c"-d", &device];
            sys::spawn(self.path, &arguments, &[], Some([self.null.as_fd(); 3]))
        });
        match started {
            Ok(pid) => Ok(Ipconfig(Some(pid))),
            Err(errno) => Err(Error::system_at("start", Path::new(&*self.path.to_string_lossy()), errno)),
        }
    }
}

/// A running `ipconfig`. It is killed when this value goes.
#[derive(Debug)]
pub(super) struct Ipconfig(Option<Pid>);

impl Ipconfig {
    /// Returns how the program ended: its exit code, or -1 if a signal ended it. `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<i32> {
        let code = match waitpid(self.0, WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => return None,
            Ok(Some((_, status))) => status.exit_status().unwrap_or(-1),
            Err(_) => -1,
        };
        self.0 = None;
        Some(code)
    }
}

impl Drop for Ipconfig {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            // A process that has ended already is no failure.
            let _ = kill_process(pid, Signal::KILL);
            let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}
