//! The journal: the operations of a commit that has begun, so that the next start can finish it without the config.
//!
//! A journal is a list of fields, each ended by a NUL byte:
//!
//! - the head, and the number of areas;
//! - for each area the top of its mount, and the identity of its owner link in three fields;
//! - for each staged entry the letter of its operation, the number of its area, its paths and its numbers;
//! - the word `end`, and the SHA-512 of everything before this hash, in hexadecimal.
//!
//! The contents of files are not in the journal, because they are staged already. Nor is an operation whose file is staged in a
//! directory that comes into its place as a whole.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::Root;
use super::area::{Area, AreaPath, JOURNAL};
use super::staged::Staged;
use crate::change::{Attributes, Op};
use crate::error::{Error, Reason, Result, errno_words};
use crate::fd::read_all;
use crate::source::sha512_hex;
use crate::stamp::FileIdentity;

/// The first field of a journal: what it is, and the version of its format.
const HEAD: &str = "glowplug journal 1";
const END: &str = "end";
/// The most bytes of a journal. A config has at most 100,000 items in its lists and most paths are short, so real journals
/// stay far below this.
const MOST_BYTES: u64 = 256 << 20;

/// Returns the text of the journal of `ops`, which are staged in `staged`.
///
/// # Errors
/// [`Reason::Unsupported`] if the journal would be larger than [`read`] accepts.
pub(super) fn encode(ops: &[Op<'_>], staged: &Staged) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    put(&mut text, HEAD.as_bytes());
    put_number(&mut text, staged.areas.len() as u64);
    for area in &staged.areas {
        put_path(&mut text, &area.top);
        put_identity(&mut text, area.identity);
    }
    for (op, area) in staged.entries(ops) {
        put(&mut text, op.words().letter.as_bytes());
        put_number(&mut text, area as u64);
        put_path(&mut text, op.path());
        match op {
            Op::Directory { attributes, .. } | Op::Attributes { attributes, .. } => {
                let Attributes { uid, gid, mode } = *attributes;
                for number in [uid, gid, mode] {
                    put_number(&mut text, number.into());
                }
            }
            Op::HardLink { target: other, .. } | Op::Rename { from: other, .. } => put_path(&mut text, other),
            Op::Remove { .. } | Op::File { .. } | Op::Symlink { .. } => {}
        }
    }
    put(&mut text, END.as_bytes());
    let digest = sha512_hex(&text);
    put(&mut text, digest.as_bytes());
    if text.len() as u64 > MOST_BYTES {
        let what = format!("the journal of this config would be larger than {MOST_BYTES} bytes");
        return Err(Error::new(Reason::Unsupported, what));
    }
    Ok(text)
}

/// Reads the journal in `area`, which is the root's own. Returns the operations and the areas that they are staged in.
///
/// # Errors
/// [`Reason::Journal`] if the journal is damaged, if it belongs to another root, or if a mount that it names is missing.
pub(super) fn read(root: &Root, area: Area) -> Result<(Vec<Op<'static>>, Staged)> {
    let JournalContents { tops, ops, numbers } = load(&area)?;
    let mut staged = Staged { areas: Vec::with_capacity(tops.len()), numbers };
    let path = area.path().join("journal");
    let mut own = Some(area);
    for (top, identity) in tops {
        let area = match own.take() {
            Some(own) => own,
            None => match Area::find(root, &top)? {
                AreaPath::Ours(area) => area,
                _ => {
                    return Err(refused(
                        &path,
                        &format!("the file system that was mounted at {} is missing", top.display()),
                    ));
                }
            },
        };
        if area.identity != identity {
            return Err(refused(&path, "it belongs to another root"));
        }
        staged.areas.push(area);
    }
    Ok((ops, staged))
}

/// Returns the areas that the journal in `area`, the root's own, names. Areas that are missing or of another root are
/// left out. A journal that cannot be used names only `area`.
pub(super) fn areas(root: &Root, area: Area) -> Result<Vec<Area>> {
    let tops = match load(&area) {
        Ok(journal) => journal.tops,
        Err(error) if error.reason() == Reason::Journal => {
            log::warn!("{error}");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let mut areas = vec![area];
    for (top, identity) in tops.into_iter().skip(1) {
        match Area::find(root, &top)? {
            AreaPath::Ours(area) if area.identity == identity => areas.push(area),
            _ => {}
        }
    }
    Ok(areas)
}

/// Reads the journal in `area` and verifies it.
fn load(area: &Area) -> Result<JournalContents> {
    let path = area.path().join("journal");
    let bytes = area.open(JOURNAL).and_then(|fd| read_all(fd.as_fd(), MOST_BYTES)).map_err(|errno| {
        Error::new(Reason::RootIo, format!("read {} in the root: {}", path.display(), errno_words(errno)))
    })?;
    let fields =
        verified(&bytes).ok_or_else(|| refused(&path, "it is damaged or was changed by somebody else"))?;
    decode(fields).ok_or_else(|| refused(&path, "it was written by another version of glowplug"))
}

fn refused(path: &Path, what: &str) -> Error {
    Error::new(Reason::Journal, format!("{} in the root: {what}", path.display()))
}

fn put(text: &mut Vec<u8>, field: &[u8]) {
    text.extend_from_slice(field);
    text.push(0);
}

fn put_path(text: &mut Vec<u8>, path: &Path) {
    put(text, path.as_os_str().as_bytes());
}

fn put_number(text: &mut Vec<u8>, number: u64) {
    put(text, number.to_string().as_bytes());
}

/// Appends the three fields that [`Fields::identity`] reads.
pub(super) fn put_identity(text: &mut Vec<u8>, identity: FileIdentity) {
    let (seconds, nanoseconds) = identity.born;
    put(text, format!("{}\0{seconds}\0{nanoseconds}", identity.inode).as_bytes());
}

/// Returns the fields before the final hash, or `None` if the hash does not match.
fn verified(bytes: &[u8]) -> Option<Fields<'_>> {
    let without_end = bytes.strip_suffix(b"\0")?;
    let start = without_end.iter().rposition(|byte| *byte == 0)?.checked_add(1)?;
    let (text, digest) = without_end.split_at_checked(start)?;
    (sha512_hex(text).as_bytes() == digest).then_some(Fields(text))
}

/// A journal that has been read.
struct JournalContents {
    /// The top of each mount, with the identity of its area's owner link.
    tops: Vec<(PathBuf, FileIdentity)>,
    ops: Vec<Op<'static>>,
    /// For each operation, the index of its area in `tops`.
    numbers: Vec<Option<usize>>,
}

/// Reads the fields of a journal; `None` if they are not those of this format.
fn decode(mut fields: Fields<'_>) -> Option<JournalContents> {
    if fields.next()? != HEAD.as_bytes() {
        return None;
    }
    let count: usize = fields.number()?;
    let mut journal = JournalContents { tops: Vec::new(), ops: Vec::new(), numbers: Vec::new() };
    for _ in 0..count {
        journal.tops.push((fields.path()?, fields.identity()?));
    }
    loop {
        let letter = fields.next()?;
        if letter == END.as_bytes() {
            return fields.0.is_empty().then_some(journal);
        }
        let area = fields.number::<usize>().filter(|number| *number < count)?;
        journal.numbers.push(Some(area));
        journal.ops.push(fields.op(letter)?);
    }
}

/// The fields that have not been read yet. Each method reads as many as it needs and returns `None` if they are missing or
/// malformed.
pub(super) struct Fields<'t>(pub(super) &'t [u8]);

impl<'t> Fields<'t> {
    pub(super) fn next(&mut self) -> Option<&'t [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (field, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(field)
    }

    pub(super) fn text(&mut self) -> Option<&'t str> {
        std::str::from_utf8(self.next()?).ok()
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    pub(super) fn identity(&mut self) -> Option<FileIdentity> {
        Some(FileIdentity { inode: self.number()?, born: (self.number()?, self.number()?) })
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(OsString::from_vec(self.next()?.to_vec()).into())
    }

    fn attributes(&mut self) -> Option<Attributes> {
        Some(Attributes { uid: self.number()?, gid: self.number()?, mode: self.number()? })
    }

    /// Reads the operation that `letter` stands for. Its contents, link text and owner are left empty where they are staged.
    fn op(&mut self, letter: &[u8]) -> Option<Op<'static>> {
        let path = self.path()?;
        Some(match letter {
            b"x" => Op::Remove { path },
            b"d" => Op::Directory { path, attributes: self.attributes()? },
            b"f" => Op::File { path, contents: Vec::new(), attributes: Attributes::default() },
            b"l" => Op::Symlink { path, target: PathBuf::new(), uid: 0, gid: 0 },
            b"h" => Op::HardLink { path, target: self.path()? },
            b"a" => Op::Attributes { path, attributes: self.attributes()? },
            b"r" => Op::Rename { from: self.path()?, to: path },
            _ => return None,
        })
    }
}
