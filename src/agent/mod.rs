//! What the host can ask of the running machine: health, inspection, diagnostics and the journal, over vsock or by
//! hand. The agent only reads.
//!
//! systemd starts a listener when the host connects (`glowplug-agent.socket`). The listener starts one process for each
//! connection. The process answers one request and exits.

pub mod console;
pub mod dbus;
pub mod deadline;
pub mod diagnostics;
pub mod health;
pub mod inspect;
pub mod journal;
pub mod listen;
pub mod packages;
pub mod peer;
pub mod podman;
pub mod request;
pub mod restart;
pub mod serve;
pub mod system;
pub mod systemd;
pub mod text;

use std::path::Path;

use rustix::io::Errno;
use serde::Serialize;

use crate::fd;
use crate::json::{JsonReader, fields};
use crate::ready::{self, Refusal};
use crate::stamp::LIMIT;

/// The version of the schemas in `docs/schema/`. It changes whenever a field is added, removed or changes its
/// meaning.
pub const SCHEMA: u32 = 1;

/// What the stamp says about the provisioning.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// Whether this root has been provisioned.
    pub provisioned: bool,
    /// When the root was provisioned: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The version of glowplug that provisioned the root; `None` if another program did.
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
    /// Whether there is no stamp at all.
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
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// Whether the host has taken the signal.
    pub sent: bool,
    /// Where the signal was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The number of tries that were needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Why the signal was not sent, in the words of `glowplug-ready(8)`; `trying` while `glowplug-ready` tries;
    /// `None` before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Signal {
    /// Reads the record of this boot.
    pub fn read() -> Self {
        const LIMIT: u64 = 4096;
        let unknown = |reason: &str| Self { reason: Some(reason.to_owned()), ..Self::default() };
        match fd::read_file(Path::new(ready::RECORD), LIMIT) {
            Ok(text) => Self::parse(&text).unwrap_or_else(|| unknown("the record is broken")),
            Err(Errno::NOENT) => Self::default(),
            Err(_) => unknown("the record cannot be read"),
        }
    }

    /// Parses a record; `None` if the text is no record.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut reader = JsonReader::new(text);
        let (mut sent, mut signal) = (None, Self::default());
        fields::object(&mut reader, &mut |reader, key| match key {
            "sent" => fields::set(&mut sent, fields::bool(reader)?),
            "to" => fields::set(&mut signal.to, fields::string(reader)?.to_owned()),
            "tries" => fields::set(&mut signal.tries, fields::number(reader)?),
            "reason" => fields::set(&mut signal.reason, fields::string(reader)?.to_owned()),
            _ => reader.skip().ok(),
        })?;
        reader.end().ok()?;
        Some(Self { sent: sent?, ..signal })
    }
}

/// Returns one of the answers as JSON with a final newline and without control characters.
pub fn json(answer: &impl Serialize) -> String {
    // All answers consist of types that JSON can represent, so serialization does not fail.
    let mut text = text::escaped(&serde_json::to_string(answer).unwrap_or_default());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_ready_signal() {
        let parse = |text: &str| Signal::parse(text.as_bytes());
        let sent = Signal { sent: true, to: Some("vsock:1025".into()), tries: Some(2), reason: None };
        assert_eq!(parse("{\"sent\":true,\"to\":\"vsock:1025\",\"tries\":2,\"new\":[1]}\n"), Some(sent));
        let trying = Signal { reason: Some("trying".into()), ..Signal::default() };
        assert_eq!(parse("{\"sent\":false,\"reason\":\"trying\"}"), Some(trying));
        for text in
            ["", "{}", "{\"sent\":1}", "{\"sent\":true,\"tries\":-1}", "{\"sent\":true}x", "{\"sent\":true"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
