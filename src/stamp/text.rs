//! The text of the stamp: JSON, whose first fields are those of the reference's result file.

use serde::Serialize;

use super::{FileIdentity, LIMIT};
use crate::clock;

/// The most bytes of a stamp with the report of an earlier run. The rest of [`LIMIT`] is a reserve.
const MOST_WITH_PREVIOUS: usize = LIMIT - 1024;

/// The stamp's JSON. The first fields are those that Fedora `CoreOS` tools read.
#[derive(Debug, Serialize)]
pub struct Stamp<'a> {
    /// The kernel's id of the boot that provisioned the machine.
    #[serde(rename = "provisioningBootID")]
    pub boot_id: &'a str,
    /// When the machine was provisioned, in UTC as in RFC 3339.
    #[serde(rename = "provisioningDate")]
    pub date: &'a str,
    /// Whether the user gave a config.
    #[serde(rename = "userConfigProvided")]
    pub user_config_provided: bool,
    /// The fields that only this program writes. A stamp of the reference has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glowplug: Option<Details<'a>>,
}

/// This program's own part of the stamp.
#[derive(Debug, Serialize)]
pub struct Details<'a> {
    /// The version of the program.
    pub version: &'a str,
    /// The name of the platform that the config came from; empty if it is not known.
    pub platform: &'a str,
    /// The spec version that the config names; empty without a config.
    #[serde(rename = "specVersion")]
    pub spec_version: &'a str,
    /// SHA-512 of the config's bytes, hexadecimal; empty if that is not known.
    #[serde(rename = "configSHA512")]
    pub config_sha512: &'a str,
    /// The kernel arguments of the config, as `+added -removed`; empty without any. They hold no quotes.
    #[serde(rename = "kernelArguments", skip_serializing_if = "str::is_empty")]
    pub kernel_arguments: &'a str,
    /// When the root was adopted, in UTC as in RFC 3339. `None` in the stamp of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<&'a str>,
    /// The inode number of the stamp itself. A copy of the stamp in another root has another one.
    pub inode: u64,
    /// The birth time of the stamp: seconds since the epoch, and nanoseconds; (0, 0) if it is not known.
    pub born: (i64, u32),
}

impl Details<'_> {
    /// Returns the identity of the file that this stamp was written to.
    pub fn file(&self) -> FileIdentity {
        FileIdentity { inode: self.inode, born: self.born }
    }
}

impl Stamp<'_> {
    /// Returns the text of the file: indented JSON with a final newline.
    pub fn to_text(&self) -> String {
        // Nothing in a stamp can fail to be written as JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// What the stamp says about a run.
#[derive(Debug)]
pub struct Run<'a> {
    /// The kernel's id of this boot.
    pub boot_id: &'a str,
    /// Whether the user gave a config.
    pub user_config_provided: bool,
    /// The platform's name.
    pub platform: &'a str,
    /// The spec version that the user's config names; empty if it is not known.
    pub spec_version: &'a str,
    /// The SHA-512 of the config's text, in hexadecimal; empty if it is not known.
    pub config_sha512: &'a str,
    /// The kernel arguments of the config, as `+added -removed`; empty without any.
    pub kernel_arguments: &'a str,
    /// The report of an earlier run, as JSON whose lines after the first are indented by two blanks.
    pub previous: Option<&'a str>,
}

/// Returns the text of the stamp of `run`, for the file with the identity `file`. Its date is the present.
pub fn text(run: &Run<'_>, file: FileIdentity) -> String {
    let Run {
        boot_id,
        user_config_provided,
        platform,
        spec_version,
        config_sha512,
        kernel_arguments,
        previous,
    } = *run;
    let details = Details {
        version: env!("CARGO_PKG_VERSION"),
        platform,
        spec_version,
        config_sha512,
        kernel_arguments,
        adopted: None,
        inode: file.inode,
        born: file.born,
    };
    let date = clock::rfc3339(clock::now());
    let stamp = Stamp { boot_id, date: &date, user_config_provided, glowplug: Some(details) };
    with_previous(stamp.to_text(), previous)
}

/// Returns the text of the stamp of a root that is adopted in the boot `boot_id`, for the file with the identity `file`. It
/// keeps what the `present` stamp says, except for the report of an earlier run.
pub fn adopted(present: Option<&Stamp<'_>>, boot_id: &str, file: FileIdentity) -> String {
    let now = clock::rfc3339(clock::now());
    let told = present.and_then(|stamp| stamp.glowplug.as_ref());
    let details = Details {
        version: told.map_or(env!("CARGO_PKG_VERSION"), |told| told.version),
        platform: told.map_or("", |told| told.platform),
        spec_version: told.map_or("", |told| told.spec_version),
        config_sha512: told.map_or("", |told| told.config_sha512),
        kernel_arguments: told.map_or("", |told| told.kernel_arguments),
        adopted: Some(&now),
        inode: file.inode,
        born: file.born,
    };
    let stamp = Stamp {
        boot_id: present.map_or(boot_id, |stamp| stamp.boot_id),
        date: present.map_or(&now, |stamp| stamp.date),
        user_config_provided: present.is_some_and(|stamp| stamp.user_config_provided),
        glowplug: Some(details),
    };
    stamp.to_text()
}

/// Adds the `previous` report to `stamp`, as its last field. A report that is too long is left out.
fn with_previous(stamp: String, previous: Option<&str>) -> String {
    match (previous, stamp.strip_suffix("\n}\n")) {
        (Some(previous), Some(open)) if open.len().saturating_add(previous.len()) < MOST_WITH_PREVIOUS => {
            format!("{open},\n  \"previousReport\": {previous}\n}}\n")
        }
        (Some(_), _) => {
            log::warn!("the previous report is too large to be kept");
            stamp
        }
        (None, _) => stamp,
    }
}
