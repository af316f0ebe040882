//! The result file, which is the stamp: what it says, and the one of an earlier run in it.

use std::path::Path;

use crate::change::View as _;
use crate::clock;
use crate::config::json::{Reader, SyntaxError};
use crate::error::{Error, Reason, Result, errno_words};
use crate::kmsg_logger::NOTICE;
use crate::root::{FileIdentity, Root, STAMP};
use crate::stamp::{Details, Stamp};
use crate::sys;

/// What [`crate::ready`] takes as a stamp, less what the newest part of it needs.
const MOST_OF_STAMP: usize = 15 << 10;

/// What the result file tells of the run.
pub(crate) struct Provision<'a> {
    /// The kernel's id of this boot.
    pub boot_id: &'a str,
    /// Whether the user gave a config.
    pub user_config_provided: bool,
    /// The platform's name.
    pub platform: &'a str,
    /// The spec version that the user's config names, if that is known.
    pub spec_version: &'a str,
    /// SHA-512 of its text, if that is known.
    pub config_sha512: &'a str,
    /// The report of an earlier run.
    pub previous: Option<&'a str>,
}

/// The text of the result file, which is `file`.
pub(crate) fn text(provision: &Provision<'_>, file: FileIdentity) -> String {
    let Provision { boot_id, user_config_provided, platform, spec_version, config_sha512, previous } =
        *provision;
    let details = Details {
        version: env!("CARGO_PKG_VERSION"),
        platform,
        spec_version,
        config_sha512,
        inode: file.inode,
        born: file.born,
    };
    let date = clock::rfc3339(clock::now());
    let stamp = Stamp { boot_id, date: &date, user_config_provided, glowplug: Some(details) };
    with_previous(stamp.to_text(), previous)
}

/// Nests the `previous` report in `stamp`, as its last field; one that has become too long is left off.
fn with_previous(stamp: String, previous: Option<&str>) -> String {
    match (previous, stamp.strip_suffix("\n}\n")) {
        (Some(previous), Some(open)) if open.len().saturating_add(previous.len()) < MOST_OF_STAMP => {
            format!("{open},\n  \"previousReport\": {previous}\n}}\n")
        }
        (Some(_), _) => {
            log::warn!("the previous report is too large to be kept");
            stamp
        }
        (None, _) => stamp,
    }
}

/// The result file of an earlier run, unless the system is a live one, which has it from its image.
pub(crate) fn previous(root: &Root) -> Result<Option<String>> {
    if !root.has_stamp()? {
        return Ok(None);
    }
    let path = Path::new(STAMP);
    let text = root.read(path, 1 << 20)?;
    match sys::spawn_and_wait(&[c"is-live-image"]) {
        Ok(Some(0)) => return Ok(None),
        Ok(_) => {}
        Err(errno) => log::info!(target: NOTICE, "failed to run is-live-image hook: {}", errno_words(errno)),
    }
    log::warn!(
        "Ignition has already run on this system. Unexpected behavior may occur. Ignition is not designed to run \
         more than once per system."
    );
    let whole = |text: &[u8]| -> std::result::Result<(), SyntaxError> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.end()
    };
    whole(&text).map_err(|error| {
        Error::new(Reason::Conflict, format!("the previous report {STAMP} in the root is not JSON: {error}"))
    })?;
    Ok(Some(String::from_utf8_lossy(&text).trim().replace('\n', "\n  ")))
}
