//! Whole configs, planned for a small Debian root. Planning must not panic, must not make a plan that the commit would
//! refuse half-way, and must not make more operations than the config has bytes.
#![no_main]

use glowplug::change::{Op, Piece};
use glowplug_fuzz::{debian, merge_with_itself, read_in_pieces, with_plan};
use libfuzzer_sys::fuzz_target;

/// What this root adds to a config without asking: the files of accounts and the preset file, with their directories.
const OWN_OPS: usize = 64;

fuzz_target!(|text: &[u8]| {
    merge_with_itself(text);
    let mut root = debian();
    let fragment = text.len() % 2 == 1;
    let planned = root.clone();
    with_plan(text, fragment, &planned, |ops| {
        assert!(ops.len() <= text.len() + OWN_OPS, "{} operations", ops.len());
        root.commit(ops);
        let padded = [b" \t\r\n", text, b"\n"].concat();
        let again = with_plan(&padded, fragment, &planned, |again| {
            assert_same(ops, again);
            read_sources(ops, again);
        });
        assert!(again.is_some(), "white space around the config changes it");
    });
});

fn assert_same(one: &[Op<'_>], other: &[Op<'_>]) {
    assert_eq!(one, other);
}

/// Any pieces of a source are the same bytes.
fn read_sources(ops: &mut [Op<'_>], again: &mut [Op<'_>]) {
    for (one, other) in ops.iter_mut().zip(again) {
        let (Op::File { contents: one, .. }, Op::File { contents: other, .. }) = (one, other) else {
            continue;
        };
        for (one, other) in one.drain(..).zip(other.drain(..)) {
            assert_eq!(read(one, &[255]), read(other, &[1, 7, 64]));
        }
    }
}

fn read(piece: Piece<'_>, sizes: &[u8]) -> Option<Vec<u8>> {
    let Piece::Source(source) = piece else { return None };
    let mut stream = source.open().ok()?;
    read_in_pieces(&mut |buffer| stream.read(buffer).ok(), sizes, 1 << 20)
}
