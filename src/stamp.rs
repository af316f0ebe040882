//! What the stamp says: written at the end of provisioning, read by `glowplug-ready`.

use serde::{Deserialize, Serialize};

use crate::root::FileIdentity;

/// The stamp's JSON. The first fields are those that Fedora `CoreOS` tools read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stamp<'a> {
    /// The kernel's id of the boot that provisioned the machine.
    #[serde(rename = "provisioningBootID", borrow)]
    pub boot_id: &'a str,
    /// When it did: RFC 3339, UTC.
    #[serde(rename = "provisioningDate", borrow)]
    pub date: &'a str,
    /// Whether there was a config.
    #[serde(rename = "userConfigProvided")]
    pub user_config_provided: bool,
    /// What only this program tells; a stamp of another program has none.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub glowplug: Option<Details<'a>>,
}

/// This program's own part of the stamp.
#[derive(Debug, Serialize, Deserialize)]
pub struct Details<'a> {
    /// The version of the program.
    pub version: &'a str,
    /// The platform that the config came from.
    pub platform: &'a str,
    /// The spec version that the config names; empty without a config.
    #[serde(rename = "specVersion")]
    pub spec_version: &'a str,
    /// SHA-512 of the config's bytes, hexadecimal.
    #[serde(rename = "configSHA512")]
    pub config_sha512: &'a str,
    /// Inode number of the stamp itself: a copy of the stamp in another root has another one.
    pub inode: u64,
    /// Birth time of the stamp's inode: seconds since the epoch and nanoseconds.
    pub born: (i64, u32),
}

impl Details<'_> {
    /// The file that this stamp was written to.
    pub fn file(&self) -> FileIdentity {
        FileIdentity { inode: self.inode, born: self.born }
    }
}

impl Stamp<'_> {
    /// The text of the file: indented JSON with a final newline.
    pub fn to_text(&self) -> String {
        // Nothing in a stamp can fail to be written as JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
