//! Fetches the config from the host's HTTP server on vsock port 1024. vfkit, krunkit, and QEMU with a vsock device
//! offer this server.

use std::io;
use std::time::Duration;

use vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VMADDR_CID_LOCAL, VsockStream};

use super::Provider;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::http::{Client, HostStream, Request};
use crate::memory;

pub(super) static APPLEHV: Provider = Provider {
    name: "applehv",
    source: "HTTP on vsock port 1024 of the host (CID 2): vfkit, krunkit, QEMU",
    module: Some(c"vmw_vsock_virtio_transport"),
    detect: Some(has_transport),
    patience: None,
    fetch,
    advice: "Check that the host serves the config on vsock port 1024 (podman does so only while `podman machine start` \
             runs and until the first successful stop), then start again.",
};

/// The vsock port on which podman serves the config.
const PORT: u32 = 1024;

/// Returns whether this machine is a guest with a vsock device. Loads the device's driver if no vsock driver is
/// loaded yet.
fn has_transport() -> bool {
    is_guest() || {
        APPLEHV.load_module();
        is_guest()
    }
}

/// Returns whether the kernel knows a CID of this machine. It knows one once a vsock driver has found its device.
fn is_guest() -> bool {
    match vsock::get_local_cid() {
        Ok(cid) => ![VMADDR_CID_ANY, VMADDR_CID_LOCAL, VMADDR_CID_HOST].contains(&cid),
        Err(error) => {
            log::debug!("ask for the local vsock CID: {error}");
            false
        }
    }
}

impl HostStream for VsockStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

/// Fetches the config. Tries again until `patience` is over.
fn fetch(patience: Duration) -> Result<Vec<u8>> {
    if !has_transport() {
        log::warn!("no vsock device was found; trying to connect anyway");
    }
    // The kernel gives up an unanswered connection attempt after two seconds (AF_VSOCK's default).
    let connect = || -> io::Result<Box<dyn HostStream>> {
        Ok(Box::new(VsockStream::connect_with_cid_port(VMADDR_CID_HOST, PORT)?))
    };
    let request = Request {
        method: "GET",
        path: "/",
        headers: &[
            ("Host", "ignition"),
            ("User-Agent", concat!("glowplug/", env!("CARGO_PKG_VERSION"))),
            ("Accept", "application/json"),
        ],
    };
    let deadline = Deadline::after(patience);
    Client { peer: "vsock 2:1024", connect: &connect, deadline, limit: memory::limit() }.fetch(&request)
}
