//! The real gvproxy: the host's side of the network that a guest has over vsock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::guest::free_port;
use crate::lab;
use crate::process::{Running, wait_for};

/// The address at which the guest reaches the loopback of the host.
pub const HOST: &str = "192.168.127.254";

/// A gvproxy that ends with this value.
pub struct Gvproxy {
    _running: Running,
    socket: PathBuf,
}

impl Gvproxy {
    /// Starts gvproxy for the guest whose vsock device has its sockets in `folder`. The guest reaches it at `port` of the host.
    ///
    /// # Errors
    /// When there is no gvproxy, or it does not listen.
    pub fn start(folder: &Path, port: u32) -> Result<Self> {
        let program = lab::gvproxy()?;
        let socket = folder.join(format!("v_{port}"));
        let _ = fs::remove_file(&socket);
        let log = folder.join("gvproxy.log");
        // It forwards a port of the host to the guest's sshd, by default always the same port.
        let ssh = free_port()?;
        let listen = format!("unix://{}", socket.display());
        let arguments = ["-listen", &listen, "-ssh-port", &ssh.to_string()].map(str::to_owned);
        let mut running = Running::start(&program, &arguments, &log)?;
        wait_for(Duration::from_secs(20), || (socket.exists() || running.ended().is_some()).then_some(()));
        if socket.exists() {
            return Ok(Self { _running: running, socket });
        }
        let text = fs::read_to_string(&log).unwrap_or_default();
        Err(Error::new(format!("gvproxy does not listen: {text}")))
    }
}

impl Drop for Gvproxy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}
