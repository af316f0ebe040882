//! What the fuzz targets share: the way from bytes to a plan, a root in memory, and what a plan must hold to.

mod memory;
mod scenario;

pub use memory::Memory;
pub use scenario::Scenario;

use std::path::Path;

use glowplug::change::{Op, Piece, View};
use glowplug::config::{self, Parsed, Report};
use glowplug::plan::{self, Options, Today};
use glowplug::source::NoTransport;

/// Takes a config the way a run takes it, up to its plan. `check` gets the operations if there is no error before.
pub fn with_plan<T>(
    text: &[u8],
    ssh_key_fragment: bool,
    view: &dyn View,
    check: impl FnOnce(&mut Vec<Op<'_>>) -> T,
) -> Option<T> {
    let parsed = parse(text)?;
    let options =
        Options { today: Today(20_500), ssh_key_fragment, image_defaults: true, transport: &NoTransport };
    let mut ops = plan::plan(&parsed.config, view, options).ok()?.ops;
    check_paths(&ops);
    Some(check(&mut ops))
}

/// Parses and validates a config. What there is to say of it can be said, also where it is refused.
fn parse(text: &[u8]) -> Option<Parsed<'_>> {
    let mut report = Report::default();
    let parsed = config::parse(text, &mut report);
    assert_eq!(report.is_fatal(), report.first_error().is_some());
    assert!(parsed.is_err() || !report.is_fatal(), "accepted with {report}");
    let _ = report.with_hints();
    parsed.ok()
}

/// Lays a config over itself; what that gives may be invalid.
pub fn merge_with_itself(text: &[u8]) {
    let (Some(mut merged), Some(child)) = (parse(text), parse(text)) else { return };
    merged.config.merge_with(child.config);
    let _ = config::validate_merged(&merged.config);
}

/// Reads all that `stream` gives, at most `most` bytes, in pieces whose sizes go round in `sizes`. An error counts only
/// as such: how much of the stream came before it is nobody's business.
pub fn read_in_pieces(
    read: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    sizes: &[u8],
    most: usize,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 256];
    let mut sizes = sizes.iter().map(|size| usize::from(*size).max(3)).cycle();
    while bytes.len() < most {
        let size = sizes.next().unwrap_or(buffer.len());
        match read(&mut buffer[..size])? {
            0 => return Some(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    bytes.truncate(most);
    Some(bytes)
}

/// Every path of a plan is absolute and simplified.
fn check_paths(ops: &[Op<'_>]) {
    for op in ops {
        assert_clean(op.path());
        match op {
            Op::Rename { from: other, .. } | Op::HardLink { target: other, .. } => assert_clean(other),
            Op::File { contents, .. } => contents.iter().for_each(|piece| {
                if let Piece::Existing(path) = piece {
                    assert_clean(path);
                }
            }),
            _ => {}
        }
    }
}

fn assert_clean(path: &Path) {
    let has_nul = path.as_os_str().as_encoded_bytes().contains(&0);
    assert!(is_clean(path) && !has_nul, "{} is not absolute and simplified", path.display());
}

/// Nothing that a kernel would read in another way than it is written. `Path` itself hides `//` and `/./`.
fn is_clean(path: &Path) -> bool {
    let Some(steps) = path.as_os_str().as_encoded_bytes().strip_prefix(b"/") else { return false };
    let mut each = steps.split(|byte| *byte == b'/');
    steps.is_empty() || each.all(|step| !matches!(step, b"" | b"." | b".."))
}
