//! `/var/log/faillog` holds a record of failed logins for each uid. Debian 13 does not write it, but older images may
//! have one.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::change::{Attributes, FileKind, Piece};
use crate::error::Result;
use crate::plan::Tree;

const PATH: &str = "/var/log/faillog";
/// The size of a record in bytes on 64-bit machines.
const RECORD: usize = 32;
/// The largest file in bytes that is changed or made. Only unusually high uids need a larger one.
const LIMIT: u64 = 8 << 20;

/// The file, which is read when it is first needed.
#[derive(Default)]
pub(super) enum Faillog {
    #[default]
    Unread,
    /// There is no file that can be changed.
    Absent,
    There {
        at: PathBuf,
        attributes: Attributes,
        records: Vec<u8>,
        has_changed: bool,
    },
}

impl Faillog {
    /// Clears the record that an earlier owner of `uid` left.
    pub(super) fn reset(&mut self, tree: &Tree, uid: u32) -> Result<()> {
        self.read(tree)?;
        if let Self::There { records, has_changed, .. } = self {
            let record = offset(uid).and_then(|at| records.get_mut(at..at.checked_add(RECORD)?));
            if let Some(record) = record.filter(|record| record.iter().any(|byte| *byte != 0)) {
                record.fill(0);
                *has_changed = true;
            }
        }
        Ok(())
    }

    /// Copies the record of the uid `old` to the uid `new`.
    pub(super) fn relocate(&mut self, tree: &Tree, old: u32, new: u32) -> Result<()> {
        self.read(tree)?;
        let Self::There { records, has_changed, .. } = self else { return Ok(()) };
        let (Some(from), Some(to)) = (offset(old), offset(new)) else { return Ok(()) };
        let record = |at: usize| records.get(at..at.saturating_add(RECORD)).map(<[u8]>::to_vec);
        let record = match (record(from), record(to)) {
            (Some(record), _) => record,
            (None, Some(_)) => vec![0; RECORD],
            (None, None) => return Ok(()),
        };
        let end = to.saturating_add(RECORD);
        if end as u64 > LIMIT {
            return Ok(());
        }
        if records.len() < end {
            records.resize(end, 0);
            *has_changed = true;
        }
        if let Some(place) = records.get_mut(to..end).filter(|place| **place != *record) {
            place.copy_from_slice(&record);
            *has_changed = true;
        }
        Ok(())
    }

    fn read(&mut self, tree: &Tree) -> Result<()> {
        if !matches!(self, Self::Unread) {
            return Ok(());
        }
        *self = Self::Absent;
        let at = tree.resolve(Path::new(PATH))?;
        let Some(stat) = tree.stat(&at)? else { return Ok(()) };
        if stat.kind != FileKind::File || stat.size > LIMIT {
            return Ok(());
        }
        let Some(records) = tree.read(&at)?.map(Cow::into_owned) else { return Ok(()) };
        *self = Self::There { at, attributes: stat.attributes, records, has_changed: false };
        Ok(())
    }

    /// Plans the file if it has changed.
    pub(super) fn write(self, tree: &mut Tree) {
        if let Self::There { at, attributes, records, has_changed: true } = self {
            tree.put_file(at, vec![Piece::Bytes(Cow::Owned(records))], attributes);
        }
    }
}

fn offset(uid: u32) -> Option<usize> {
    usize::try_from(uid).ok()?.checked_mul(RECORD)
}
