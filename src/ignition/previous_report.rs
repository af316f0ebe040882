//! The report of an earlier run, which the reference puts into the new one.

use crate::change::{FileKind, StampPlace, View as _};
use crate::error::{Error, Reason, Result, errno_words};
use crate::json::{JsonReader, SyntaxError};
use crate::kmsg_logger::NOTICE;
use crate::root::Root;
use crate::stamp::STAMP;
use crate::sys;

/// Returns the report of an earlier run, as JSON that is indented for its place in the new one. Returns `None` if there is
/// none, and on a live system, where the report was made for the image.
///
/// # Errors
/// Those of reading the root, and [`Reason::Conflict`] if the report is not JSON.
pub(super) fn previous_report(root: &Root) -> Result<Option<String>> {
    let place = StampPlace::find(root)?;
    let path = place.path.as_path();
    if root.stat(path)?.is_none_or(|stat| stat.kind != FileKind::File) {
        return Ok(None);
    }
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
        let mut reader = JsonReader::new(text);
        reader.skip()?;
        reader.end()
    };
    whole(&text).map_err(|error| {
        Error::new(Reason::Conflict, format!("the previous report {STAMP} in the root is not JSON: {error}"))
    })?;
    Ok(Some(String::from_utf8_lossy(&text).trim().replace('\n', "\n  ")))
}
