//! Looking in from the host: health, inspection, diagnostics and the journal, over vsock or by hand. Read-only.
//!
//! systemd starts one process for each connection (`glowplug-agent.socket`); it answers one request and is gone.

pub mod console;
pub mod dbus;
pub mod deadline;
pub mod diagnostics;
pub mod health;
pub mod inspect;
pub mod journal;
pub mod packages;
pub mod peer;
pub mod podman;
pub mod request;
pub mod serve;
pub mod system;
pub mod systemd;
pub mod text;

use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::fd;
use crate::ready::{self, Refusal};
use crate::stamp::LIMIT;

/// The number of the schemas in `docs/schema/`: another one whenever a field comes, goes or changes its meaning.
pub const SCHEMA: u32 = 1;

/// What the stamp says.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// Whether this root has been provisioned.
    pub provisioned: bool,
    /// When: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// By which version of glowplug; none where another program did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where the config came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The spec version of the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec_version: Option<String>,
    /// SHA-512 of the config, hexadecimal.
    #[serde(rename = "configSHA512", skip_serializing_if = "Option::is_none")]
    pub config_sha512: Option<String>,
    /// What is wrong with the stamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// There is no stamp at all.
    #[serde(skip)]
    pub is_missing: bool,
}

impl Provisioning {
    /// Reads the stamp.
    pub fn read() -> Self {
        let mut buffer = [0; LIMIT];
        match ready::read_stamp(&mut buffer) {
            Err(refusal) => Self {
                error: Some(refusal.to_string()),
                is_missing: refusal == Refusal::StampMissing,
                ..Self::default()
            },
            Ok(stamp) => {
                let ours = |of: fn(&crate::stamp::Details<'_>) -> String| stamp.glowplug.as_ref().map(of);
                Self {
                    provisioned: true,
                    date: Some(stamp.date.to_owned()),
                    by: ours(|details| details.version.to_owned()),
                    platform: ours(|details| details.platform.to_owned()),
                    spec_version: ours(|details| details.spec_version.to_owned()),
                    config_sha512: ours(|details| details.config_sha512.to_owned()),
                    ..Self::default()
                }
            }
        }
    }
}

/// The record of the ready signal, as `glowplug-ready` leaves it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Signal {
    /// Whether the host has it.
    pub sent: bool,
    /// Where it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// After so many tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Why it was not sent, in the words of `glowplug-ready(8)`; `trying` while it is; none before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Signal {
    /// Reads the record of this boot.
    pub fn read() -> Self {
        const LIMIT: u64 = 4096;
        let unknown = |reason: &str| Self { reason: Some(reason.to_owned()), ..Self::default() };
        match fd::read_file(Path::new(ready::RECORD), LIMIT) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|_| unknown("the record is broken")),
            Err(Errno::NOENT) => Self::default(),
            Err(_) => unknown("the record cannot be read"),
        }
    }
}

/// Returns one of the answers as JSON with a final newline and without control characters.
pub fn json(answer: &impl Serialize) -> String {
    // Nothing in an answer can fail to be written as JSON.
    let mut text = text::escaped(&serde_json::to_string(answer).unwrap_or_default());
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder for sockets, which goes with the value.
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new(name: &str) -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("glowplug-{name}-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
