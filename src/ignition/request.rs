//! What a stage of the reference is called with.

use std::path::PathBuf;
use std::time::Duration;

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

    /// The stage that the reference calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, stage)| *stage)
    }

    /// The reference's name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }
}

/// What a stage is called with.
#[derive(Debug)]
pub struct StageCall {
    /// Which stage.
    pub stage: Stage,
    /// One of the reference's platforms. The config of those that are not supported can still come from elsewhere:
    /// the kernel command line, the system, another program's cache.
    pub platform: String,
    /// The root to provision.
    pub root: PathBuf,
    /// The user's config after the fetch.
    pub config_cache: PathBuf,
    /// The file that `fetch-offline` makes if the network is needed.
    pub need_net: PathBuf,
    /// What stages leave for each other.
    pub state_file: PathBuf,
    /// How long the fetch from the platform may take; the kernel command line says it where this does not.
    pub patience: Option<Duration>,
}
