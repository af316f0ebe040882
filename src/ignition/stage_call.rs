//! The stages of the reference, and the arguments of a call.

use std::path::PathBuf;
use std::time::Duration;

use crate::fetcher::{FetchOptions, Fetcher, NetworkUse};

/// A stage of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the reference's names say it")]
pub enum Stage {
    FetchOffline,
    Fetch,
    Kargs,
    Disks,
    Mount,
    Files,
    Umount,
}

impl Stage {
    const ALL: [(&'static str, Self); 7] = [
        ("disks", Self::Disks),
        ("fetch", Self::Fetch),
        ("fetch-offline", Self::FetchOffline),
        ("files", Self::Files),
        ("kargs", Self::Kargs),
        ("mount", Self::Mount),
        ("umount", Self::Umount),
    ];

    /// Returns the stage with the name `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, stage)| *stage)
    }

    /// Returns the reference's name for the stage.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }
}

impl StageCall {
    /// Returns what fetches in this stage. `patience` is how long the user's config may take, and how long a server may be
    /// silent if the config does not say.
    pub(super) fn fetcher(&self, network: NetworkUse, patience: Duration) -> Fetcher<'_> {
        Fetcher::new(FetchOptions {
            platform: &self.platform,
            patience,
            network,
            tell: |line| log::info!("{line}"),
        })
    }
}

/// A call of a stage.
#[derive(Debug)]
pub struct StageCall {
    /// The stage.
    pub stage: Stage,
    /// The name of one of the reference's platforms. If it is not supported here, the config can still come from the kernel
    /// command line, the system's directories, or the cache of another program.
    pub platform: String,
    /// The path of the root to provision.
    pub root: PathBuf,
    /// The path of the config cache: the user's config after the fetch.
    pub config_cache: PathBuf,
    /// The path of the file that `fetch-offline` makes if the network is needed.
    pub need_net: PathBuf,
    /// The path of the state file.
    pub state_file: PathBuf,
    /// How long the fetch from the platform may take. `None` leaves that to the kernel command line.
    pub patience: Option<Duration>,
}
