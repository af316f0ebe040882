//! What the fuzz targets share: making a plan from bytes, a root in memory, and the checks that every plan must pass.

mod scenario;

pub use glowplug::change::memory::Memory;
pub use scenario::Scenario;

use std::path::Path;

use glowplug::change::memory::is_clean;
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
    let options = Options {
        today: Today(20_500),
        ssh_key_fragment,
        image_defaults: true,
        changes_disks: false,
        unlocks: &[],
        made_directories: &[],
        transport: &NoTransport,
        kernel_command_line: Some(b"root=/dev/vda1 quiet"),
    };
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

/// Returns a Debian root, much shortened, with links that lead astray.
pub fn debian() -> Memory {
    let mut root = Memory::debian();
    root.file("/etc/subuid", "");
    root.directory("/usr/games", 0, 0, 0o755);
    root.directory("/var/mail", 0, 0, 0o755);
    root.link("/lib", "usr/lib");
    root.link("/up", "../../../etc");
    root.link("/loop", "loop");
    root.link("/abs", "/usr/./../var//mail");
    root.link("/dangling", "nowhere/at/all");
    let unit = "[Install]\nWantedBy=multi-user.target\nAlias=b.service\nAlso=a@x.service\n";
    root.file("/usr/lib/systemd/system/a.service", unit);
    let template = "[Install]\nDefaultInstance=d\nRequiredBy=%i.target\n";
    root.file("/usr/lib/systemd/system/a@.service", template);
    root.link("/etc/systemd/system/a.target.wants/a.service", "/lib/systemd/system/a.service");
    root.link("/etc/systemd/system/masked.service", "/dev/null");
    root
}
