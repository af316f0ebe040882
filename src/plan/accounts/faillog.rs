//! `/var/log/faillog`: a record of failed logins for each uid. Debian 13 writes none, older images may have one.

use std::borrow::Cow;
use std::path::Path;

use crate::change::{Kind, Piece};
use crate::error::Result;
use crate::plan::Tree;

const PATH: &str = "/var/log/faillog";
/// The size of a record on 64-bit machines.
const RECORD: usize = 32;
/// A larger one is of uids that nobody has, and is left alone.
const READ_LIMIT: u64 = 8 << 20;

/// Wipes what an earlier owner of `uid` left.
pub(super) fn reset(tree: &mut Tree, uid: u32) -> Result<()> {
    change(tree, |log| match offset(uid) {
        Some(at) if log.len() > at => put(log, at, &[0; RECORD]),
        _ => {}
    })
}

/// Gives the record of `old` to `new`.
pub(super) fn relocate(tree: &mut Tree, old: u32, new: u32) -> Result<()> {
    change(tree, |log| {
        let (Some(from), Some(to)) = (offset(old), offset(new)) else { return };
        let record = |at: usize| log.get(at..at.saturating_add(RECORD)).map(<[u8]>::to_vec);
        match (record(from), record(to)) {
            (Some(record), _) => put(log, to, &record),
            (None, Some(_)) => put(log, to, &[0; RECORD]),
            (None, None) => {}
        }
    })
}

fn offset(uid: u32) -> Option<usize> {
    usize::try_from(uid).ok()?.checked_mul(RECORD)
}

fn put(log: &mut Vec<u8>, at: usize, record: &[u8]) {
    let end = at.saturating_add(record.len());
    if log.len() < end {
        log.resize(end, 0);
    }
    if let Some(place) = log.get_mut(at..end) {
        place.copy_from_slice(record);
    }
}

fn change(tree: &mut Tree, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let at = tree.resolve(Path::new(PATH))?;
    let Some(stat) = tree.stat(&at)? else { return Ok(()) };
    if stat.kind != Kind::File || stat.size > READ_LIMIT {
        return Ok(());
    }
    let Some(old) = tree.read(&at)?.map(Cow::into_owned) else { return Ok(()) };
    let mut new = old.clone();
    change(&mut new);
    if new != old {
        tree.put_file(at, vec![Piece::Bytes(Cow::Owned(new))], stat.attributes);
    }
    Ok(())
}
