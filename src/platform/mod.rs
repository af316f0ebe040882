//! Where configs come from. Nothing here knows what a config means.
//!
//! To add a platform, write a file with its `Provider` and add that to `TABLE`. The help text, the messages, and the
//! checks of the manual and of the initramfs hooks follow from the table.

mod applehv;
pub(crate) mod cmdline;
mod device;
mod file;
mod hyperv;
mod metal;
mod modules;
mod qemu;
pub mod system;
mod user_config;

use std::ffi::CStr;
use std::fmt;
use std::time::Duration;

pub use cmdline::CommandLine;
pub use user_config::{Answer, ConfigOrigin, PlatformChoice, UserConfig, user_config};

use crate::error::{Error, Reason, Result};

/// The platforms on which a config can be fetched, in the order in which they are tried.
static TABLE: [&Provider; 5] = [&qemu::QEMU, &hyperv::HYPERV, &applehv::APPLEHV, &metal::METAL, &file::FILE];

/// The names of all platforms of the reference. A platform that is not in [`TABLE`] is refused as unsupported.
const REFERENCE: &str = "akamai aliyun applehv aws azure azurestack cloudstack digitalocean exoscale file gcp hetzner \
    hyperv ibmcloud kubevirt metal nutanix nvidiabluefield openstack oraclecloud packet powervs proxmoxve qemu scaleway \
    upcloud virtualbox vmware vultr zvm";

/// A platform: one row of the table.
struct Provider {
    /// The reference's name.
    name: &'static str,
    /// Where its configs come from, for people: the help text and the manual show it. At most 66 characters.
    source: &'static str,
    /// The kernel module that must be in the initramfs.
    module: Option<&'static CStr>,
    /// Returns whether this machine is of this platform. `None` for a platform that must be named.
    detect: Option<fn() -> bool>,
    /// How long to wait for a config if nobody named the platform. If none has come by then, there is none, which is
    /// not a failure. `None` for a platform whose detection already shows that the host should have a config.
    patience: Option<Duration>,
    /// Fetches the config within the given time. An empty text means that there is no config.
    fetch: fn(Duration) -> Result<Vec<u8>>,
    /// The advice for a failed fetch that has no advice of its own.
    advice: &'static str,
}

impl Provider {
    /// Loads the kernel module, if there is one.
    fn load_module(&self) {
        if let Some(module) = self.module {
            modules::load(module);
        }
    }
}

/// A platform on which a config can be fetched.
#[derive(Clone, Copy)]
pub struct Platform(&'static Provider);

impl PartialEq for Platform {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Platform {}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Platform {
    /// Returns the platform that the reference calls `name`.
    ///
    /// # Errors
    /// [`Reason::Unsupported`] for a platform on which only the reference can fetch, [`Reason::Usage`] for an unknown
    /// name.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(platform) = Self::all().find(|platform| platform.name() == name) {
            return Ok(platform);
        }
        let ours = Self::all().map(Self::name).collect::<Vec<_>>().join(", ");
        Err(if REFERENCE.split(' ').any(|other| other == name) {
            let what = format!("fetching a config on platform {name} is not supported, only on: {ours}");
            Error::new(Reason::Unsupported, what)
        } else {
            Error::new(Reason::Usage, format!("there is no platform \"{name}\"; there are: {ours}"))
        })
    }

    /// Returns all platforms on which a config can be fetched.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|provider| Self(provider))
    }

    /// Returns the reference's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns where the platform's configs come from, in words for people.
    pub fn source(self) -> &'static str {
        self.0.source
    }

    /// Returns the first platform of the table that detects this machine; `None` if none does.
    pub fn detect() -> Option<Self> {
        Self::all().find(|platform| platform.0.detect.is_some_and(|detect| detect()))
    }

    /// Fetches the config within `patience`. An empty text means that there is no config.
    ///
    /// # Errors
    /// [`Reason::NoHost`] and [`Reason::BadAnswer`] if the host gives no usable config, [`Reason::System`] if a
    /// device or file cannot be read.
    pub fn fetch(self, patience: Duration) -> Result<Vec<u8>> {
        (self.0.fetch)(patience).map_err(|error| error.advise_otherwise(self.0.advice))
    }

    /// Fetches the config on a platform that nobody named. `None` if the host has no config within the platform's own
    /// patience.
    ///
    /// # Errors
    /// As for [`Self::fetch`].
    fn fetch_if_any(self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let Some(own) = self.0.patience else {
            return self.fetch(patience).map(Some);
        };
        match self.fetch(patience.min(own)) {
            Err(error) if error.reason() == Reason::NoHost => Ok(None),
            fetched => fetched.map(Some),
        }
    }
}

#[cfg(test)]
mod tests;
