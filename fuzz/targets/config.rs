//! Whole configs, planned for a small Debian root: no panic, no plan that the commit would fail at half-way, no more
//! operations than the config has bytes.
#![no_main]

use glowplug::change::{Op, Piece};
use glowplug_fuzz::{Memory, merge_with_itself, read_in_pieces, with_plan};
use libfuzzer_sys::fuzz_target;

/// What this root adds to a config without asking: the files of accounts and the preset file, with their directories.
const OWN_OPS: usize = 64;

fuzz_target!(|text: &[u8]| {
    merge_with_itself(text);
    let mut root = Memory::debian();
    let fragment = text.len() % 2 == 1;
    let planned = root.clone();
    with_plan(text, fragment, &planned, |ops| {
        assert!(ops.len() <= text.len() + OWN_OPS, "{} operations", ops.len());
        read_sources(ops);
        root.commit(ops);
        let padded = [b" \t\r\n", text, b"\n"].concat();
        let again = with_plan(&padded, fragment, &planned, |again| assert_eq!(ops, again));
        assert!(again.is_some(), "white space around the config changes it");
    });
});

/// Any pieces of a source are the same bytes.
fn read_sources(ops: &[Op<'_>]) {
    for op in ops {
        let Op::File { contents, .. } = op else { continue };
        for piece in contents {
            let Piece::Source(source) = piece else { continue };
            let read = |sizes: &[u8]| {
                let mut stream = source.open().ok()?;
                read_in_pieces(&mut |buffer| stream.read(buffer).ok(), sizes, 1 << 20)
            };
            assert_eq!(read(&[255]), read(&[1, 7, 64]));
        }
    }
}
