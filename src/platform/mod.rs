//! Where the config comes from. Nothing here knows what a config means.

mod cmdline;
mod device;
mod fw_cfg;
pub(crate) mod http;
mod hyperv;
pub(crate) mod memory;
mod modules;
pub mod system;
mod user_config;
mod vsock;

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

pub use cmdline::CommandLine;
pub use user_config::{Fetched, Origin, UserConfig, user_config};

use rustix::io::Errno;

use crate::error::{Error, Reason, Result, errno_words};
use crate::fd;
use crate::sys::Mapped;

/// A platform that a config can be fetched on, by the reference's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// vsock port 1024 of the host: vfkit, krunkit, QEMU with a vsock device.
    AppleHv,
    /// QEMU's firmware configuration device.
    Qemu,
    /// A file of the running system, named by `IGNITION_CONFIG_FILE`.
    File,
    /// Hyper-V's key-value pairs.
    HyperV,
    /// A machine that has no config of its own: the kernel command line or the system names it.
    Metal,
}

/// The reference's platforms that no config is fetched from here.
const ELSEWHERE: &str = "akamai aliyun aws azure azurestack cloudstack digitalocean exoscale gcp hetzner ibmcloud \
    kubevirt nutanix nvidiabluefield openstack oraclecloud packet powervs proxmoxve scaleway upcloud virtualbox vmware \
    vultr zvm";

impl Platform {
    const ALL: [Self; 5] = [Self::AppleHv, Self::File, Self::HyperV, Self::Metal, Self::Qemu];

    /// The platform that the reference calls `name`.
    ///
    /// # Errors
    /// [`Reason::Unsupported`] for one that this program does not fetch from, [`Reason::Usage`] where there is none.
    pub fn named(name: &str) -> Result<Self> {
        const OURS: &str = "applehv, file, hyperv, metal and qemu";
        if let Some(platform) = Self::ALL.into_iter().find(|platform| platform.name() == name) {
            return Ok(platform);
        }
        Err(if ELSEWHERE.split(' ').any(|other| other == name) {
            let what = format!("fetching a config on platform {name} is not supported, only on {OURS}");
            Error::new(Reason::Unsupported, what)
        } else {
            Error::new(Reason::Usage, format!("there is no platform \"{name}\"; there are {OURS}"))
        })
    }

    /// The reference's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppleHv => "applehv",
            Self::Qemu => "qemu",
            Self::File => "file",
            Self::HyperV => "hyperv",
            Self::Metal => "metal",
        }
    }

    /// The platform that this machine shows itself to be: one with a config in QEMU's firmware configuration, else
    /// one with Hyper-V's key-value pairs, else one with a vsock transport to a host, else none.
    pub fn detect() -> Option<Self> {
        if fw_cfg::has_config() {
            Some(Self::Qemu)
        } else if hyperv::has_device() {
            Some(Self::HyperV)
        } else if vsock::has_transport() {
            Some(Self::AppleHv)
        } else {
            None
        }
    }

    /// Fetches the config; an empty one is none. `patience` bounds the whole fetch.
    ///
    /// # Errors
    /// [`Reason::NoHost`] and [`Reason::BadAnswer`] for a host that gives no config, [`Reason::System`] for a
    /// device or file that cannot be read.
    pub fn fetch(self, patience: Duration) -> Result<Vec<u8>> {
        match self {
            Self::AppleHv => vsock::fetch(patience),
            Self::Qemu => fw_cfg::fetch(),
            Self::File => fetch_file(),
            Self::HyperV => hyperv::fetch(patience),
            Self::Metal => Ok(Vec::new()),
        }
    }
}

fn fetch_file() -> Result<Vec<u8>> {
    let path = std::env::var_os("IGNITION_CONFIG_FILE").filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| "config.ign".into());
    read(Path::new(&path), memory::limit())
}

/// Reads a file of the running system, at most `limit` bytes.
///
/// # Errors
/// [`Reason::System`] where it cannot be read, [`Reason::BadAnswer`] where it is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    within(path, limit, fd::read_file(path, limit))
}

/// Tells what went wrong with reading at most `limit` bytes of `path`.
fn within(path: &Path, limit: u64, read: std::result::Result<Vec<u8>, Errno>) -> Result<Vec<u8>> {
    let bytes = read.map_err(|errno| {
        Error::new(Reason::System, format!("read {}: {}", path.display(), errno_words(errno)))
    })?;
    if bytes.len() as u64 > limit {
        let what = format!("{} is larger than {limit} bytes", path.display());
        return Err(Error::new(Reason::BadAnswer, what));
    }
    Ok(bytes)
}

/// The text of a file.
#[derive(Debug)]
pub enum Text {
    /// Read into memory.
    Read(Vec<u8>),
    /// Left where it is.
    Mapped(Mapped),
}

impl std::ops::Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(mapped) => mapped,
        }
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Read(bytes)
    }
}

/// A config in a file of the running system, or on standard input for `-`.
///
/// # Errors
/// As for [`read`].
pub fn read_argument(path: &Path) -> Result<Vec<u8>> {
    let limit = memory::limit();
    if path == Path::new("-") {
        within(path, limit, fd::read_all(std::io::stdin().as_fd(), limit))
    } else {
        read(path, limit)
    }
}

/// A file of this program's own, which is never changed in place, mapped if it can be.
///
/// # Errors
/// As for [`read`].
pub fn map(path: &Path) -> Result<Text> {
    // What cannot be mapped, like an empty file, is read, which also tells what is wrong with it.
    match Mapped::new(path) {
        Ok(mapped) => Ok(Text::Mapped(mapped)),
        Err(_) => read(path, memory::limit()).map(Text::Read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_by_name() {
        for platform in Platform::ALL {
            assert_eq!(Platform::named(platform.name()), Ok(platform));
            assert!(ELSEWHERE.split(' ').all(|name| name != platform.name()));
        }
        // The reference has 30.
        assert_eq!(ELSEWHERE.split(' ').count() + Platform::ALL.len(), 30);
        for name in ELSEWHERE.split(' ') {
            let error = Platform::named(name).unwrap_err();
            assert_eq!(error.reason(), Reason::Unsupported);
            assert!(error.text().contains(name), "{error}");
        }
        for name in ["", " ", "AWS", "ec2", "qemu ", "aws azure"] {
            assert_eq!(Platform::named(name).unwrap_err().reason(), Reason::Usage, "{name}");
        }
    }

    #[test]
    fn metal_has_no_config_of_its_own() {
        assert_eq!(Platform::Metal.fetch(Duration::ZERO), Ok(Vec::new()));
    }
}
