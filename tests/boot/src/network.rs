//! A small network for guests: a namespace with a tap interface, and real servers of DHCP, DNS, https and tftp behind it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::lab::Scratch;
use crate::process::{Running, wait_for};

/// The arguments by which QEMU gives a guest the network's interface.
pub const INTERFACE: &str = "tap,id=net,ifname=tap0,script=no,downscript=no";

const START: Duration = Duration::from_secs(60);

/// The network; its servers end with this value.
pub struct Network {
    folder: Scratch,
    servers: Running,
}

impl Network {
    /// Start the services that `tests/boot/network` knows by these names, with `files` to serve.
    ///
    /// # Errors
    /// When a server does not start.
    pub fn start(services: &[&str], files: &[(&str, &str)]) -> Result<Self> {
        let folder = Scratch::new()?;
        let served = folder.join("files");
        fs::create_dir(&served).doing_to("make the folder", &served)?;
        for (name, text) in files {
            let path = served.join(name);
            fs::write(&path, text).doing_to("write", &path)?;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("network");
        let own = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
        let mut arguments = own.map(str::to_owned).to_vec();
        arguments.push(script.display().to_string());
        arguments.push(folder.path().display().to_string());
        arguments.extend(services.iter().copied().map(str::to_owned));
        let log = folder.join("log");
        let mut servers = Running::start(Path::new("unshare"), &arguments, &log)?;
        let up = folder.join("up");
        wait_for(START, || (up.exists() || servers.ended().is_some()).then_some(()));
        if up.exists() && servers.ended().is_none() {
            return Ok(Self { folder, servers });
        }
        let text = fs::read_to_string(&log).unwrap_or_default();
        Err(Error::new(format!("the network's servers do not run: {text}")))
    }

    /// The certificate of the authority that the https server's certificate is of, in PEM.
    ///
    /// # Errors
    /// When there is no https server.
    pub fn authority(&self) -> Result<String> {
        let path = self.folder.join("ca.pem");
        fs::read_to_string(&path).doing_to("read", &path)
    }

    /// The network's namespace.
    pub(crate) fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.servers.id()))
    }
}
