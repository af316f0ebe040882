//! Staging: everything that an operation puts somewhere is first made in the private directory of its own mount, so
//! that nothing that a program could see has changed when something goes wrong.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FsWord, Mode, OFlags, StatxFlags, fstat, fstatfs, openat, statx};
use rustix::io::{Errno, read, retry_on_intr};

use super::area::{Area, STAGED_STAMP};
use super::attributes::set_attributes_of;
use super::calls::{self, DIRECTORY};
use super::check::{Change, Target, check};
use super::recent::Recent;
use super::view::kind;
use super::walk::{Mount, check_removal, mount_in, mount_of, raise_descriptor_limit};
use super::{Root, c_name};
use crate::change::{Attributes, Contents, Kind, Op, Piece};
use crate::error::{Error, Reason, Result, errno_words};
use crate::stamp::{FileIdentity, STAMP};

/// Bytes copied at once.
const BUFFER: usize = 64 << 10;
/// As many operations share a subdirectory of the area. A full one still is one block of names on most file systems; in
/// a directory of thousands every name costs more to make, to find and to take out again.
const SHARD: usize = 64;
/// What is staged for an operation that puts nothing new anywhere: a link, which is gone once the operation is done.
const PENDING: &CStr = c"pending";
/// A file that keeps blocks for the directories that the commit makes grow.
const ROOM: &CStr = c"room";
/// Blocks of [`ROOM`] whatever the operations are: what file systems want to have for any change (xfs), in bytes.
const ROOM_BYTES: u64 = 1 << 20;
/// What one change may want to have of btrfs for a moment, several times over.
const BTRFS_BYTES: u64 = 8 << 20;
/// linux/magic.h
const BTRFS_SUPER_MAGIC: FsWord = 0x9123_683e;
/// The block of names that a directory may need more.
const BLOCK_BYTES: u64 = 4 << 10;

/// What the text of the stamp is made by, once its file is known.
pub type StampText<'t> = &'t dyn Fn(FileIdentity) -> String;

/// The name of what operation number `index` has staged. Once it is gone, the operation is done.
pub(super) fn staged_name(index: usize) -> std::result::Result<CString, Errno> {
    c_name(format!("{}/{}", index / SHARD, index % SHARD).as_ref())
}

/// What is staged, and where.
pub(super) struct Staged {
    /// One area a mount; the first is the root's own, which has the stamp and the journal too.
    pub(super) areas: Vec<Area>,
    /// The number of the area of each operation.
    pub(super) numbers: Vec<usize>,
}

impl Staged {
    /// Stages all of `ops`, and the stamp, after checking what would fail only later. Every mount that an operation
    /// changes gets an area, which shows that it can be written to, and keeps room for the names to come.
    ///
    /// # Errors
    /// Those of reading sources and of writing the root. Nothing stays then.
    pub(super) fn make(root: &Root, ops: &mut [Op<'_>], stamp: Option<StampText<'_>>) -> Result<Self> {
        raise_descriptor_limit();
        let staged = Self { areas: Vec::new(), numbers: Vec::with_capacity(ops.len()) };
        let mut filling = Stager { root, staged, pages: Vec::new(), places: Recent::default() };
        match filling.all(ops, stamp) {
            Ok(()) => Ok(filling.staged),
            Err(error) => Err(filling.staged.abandon(root, error)),
        }
    }

    /// Takes everything away but a saved config after `error`, which is the one that tells why.
    pub(super) fn abandon(self, root: &Root, error: Error) -> Error {
        if let Err(second) = self.clear_but(root, Area::remove_or_keep_config) {
            log::warn!("{second}");
        }
        error
    }

    /// The area of operation number `index`.
    pub(super) fn area(&self, index: usize) -> std::result::Result<&Area, Errno> {
        self.numbers.get(index).and_then(|number| self.areas.get(*number)).ok_or(Errno::NOENT)
    }

    /// Brings the file systems of all areas to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        for area in &self.areas {
            calls::sync_file_system(area.fd())
                .map_err(|errno| Error::root("sync the file system of", &area.top, errno))?;
        }
        Ok(())
    }

    /// Gives the blocks that were kept to the commit.
    pub(super) fn release_room(&self) -> Result<()> {
        for area in &self.areas {
            area.discard(ROOM)
                .map_err(|errno| Error::root("remove what kept room in", &area.path(), errno))?;
        }
        Ok(())
    }

    /// Takes the areas away with all that is left in them.
    pub(super) fn clear(self, root: &Root) -> Result<()> {
        self.clear_but(root, Area::remove)
    }

    /// Takes the areas away, and does `last` with the root's own when they are gone: its journal tells of them.
    fn clear_but(mut self, root: &Root, last: fn(Area, &Root) -> Result<()>) -> Result<()> {
        let others = self.areas.split_off(self.areas.len().min(1));
        if let Some(own) = self.areas.first() {
            own.forget_journal(!others.is_empty())?;
        }
        let mut tops = Vec::with_capacity(others.len());
        for area in others {
            tops.push(area.top.clone());
            area.remove(root)?;
        }
        for top in tops {
            root.open_at(&top, DIRECTORY, Mode::empty())
                .and_then(|fd| calls::sync_file_system(fd.as_fd()))
                .map_err(|errno| Error::root("sync the file system of", &top, errno))?;
        }
        self.areas.pop().map_or(Ok(()), |area| last(area, root))
    }
}

/// The areas while they are filled.
struct Stager<'r> {
    root: &'r Root,
    staged: Staged,
    pages: Vec<Page>,
    places: Recent<Place>,
}

/// What has been put into an area.
struct Page {
    mount: Mount,
    /// The subdirectory that was made last.
    shard: Option<usize>,
    /// Bytes that directories may grow by.
    growth: u64,
}

/// What is known of a directory that operations change.
struct Place {
    number: usize,
    target: Target,
}

impl Stager<'_> {
    fn all(&mut self, ops: &mut [Op<'_>], stamp: Option<StampText<'_>>) -> Result<()> {
        // The root's own comes first: what an interrupted run left there goes in any case.
        self.place(Path::new("/"))?;
        let mut buffer = vec![0; BUFFER];
        let root = self.root;
        for (index, op) in ops.iter_mut().enumerate() {
            self.check(op)?;
            let area = self.area_for(index, op.path())?;
            stage_one(root, area, index, op, &mut buffer)?;
        }
        if let Some(text) = stamp {
            self.stage_stamp(text)?;
        }
        self.keep_room()
    }

    /// Finds out what would fail in the commit.
    fn check(&mut self, op: &Op<'_>) -> Result<()> {
        let (root, path) = (self.root, op.path());
        let change = match op {
            Op::Remove { .. } => Change::Take,
            Op::File { .. } | Op::Symlink { .. } => Change::Put,
            Op::Directory { attributes, .. } => Change::Directory(*attributes),
            Op::Attributes { attributes, .. } => Change::Attributes(*attributes),
            Op::HardLink { target: other, .. } | Op::Rename { from: other, .. } => {
                let is_rename = matches!(op, Op::Rename { .. });
                let number = self.place(path)?.number;
                let place = self.place(other)?;
                if place.number != number {
                    let act = if is_rename { "rename" } else { "make the hard link" };
                    return Err(Error::root(act, if is_rename { other } else { path }, Errno::XDEV));
                }
                if is_rename {
                    check(&place.target, other, Change::Move)?;
                }
                Change::Put
            }
        };
        check(&self.place(path)?.target, path, change)?;
        if change == Change::Take { check_removal(root, path) } else { Ok(()) }
    }

    /// The area for operation number `index` at `path`, with room for what it stages.
    fn area_for(&mut self, index: usize, path: &Path) -> Result<&Area> {
        let number = self.place(path)?.number;
        self.staged.numbers.push(number);
        let (Some(page), Some(area)) = (self.pages.get_mut(number), self.staged.areas.get(number)) else {
            return Err(Error::root("stage", path, Errno::NOENT));
        };
        let name = path.file_name().map_or(0, std::ffi::OsStr::len);
        // An entry has a head, and blocks that are split are half empty.
        page.growth = page.growth.saturating_add((name as u64).saturating_add(12).saturating_mul(2));
        let shard = index / SHARD;
        if page.shard != Some(shard) {
            c_name(format!("{shard}").as_ref())
                .and_then(|name| calls::make_directory(area.fd(), &name, Mode::RWXU))
                .map_err(|errno| Error::root("make a staging directory for", path, errno))?;
            page.shard = Some(shard);
        }
        Ok(area)
    }

    /// What is known of the directory that holds `path`.
    fn place(&mut self, path: &Path) -> Result<&Place> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if self.places.get(parent).is_none() {
            let place = self.look_up(parent)?;
            self.places.put(parent, place);
        }
        self.places.get(parent).ok_or_else(|| Error::root("look up", parent, Errno::NOENT))
    }

    fn look_up(&mut self, directory: &Path) -> Result<Place> {
        let failed = |errno| Error::root("look up", directory, errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let (mount, target) = match self.root.open_at(directory, flags, Mode::empty()) {
            Ok(fd) => {
                let stat = statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(failed)?;
                (mount_in(&stat), Target::In { directory: fd, attributes: stat.stx_attributes })
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                (mount_of(self.root, directory)?, Target::Nowhere)
            }
            Err(errno) => return Err(failed(errno)),
        };
        let number = if let Some(number) = self.pages.iter().position(|page| page.mount == mount) {
            number
        } else {
            self.staged.areas.push(Area::make(self.root, directory, mount)?);
            self.pages.push(Page { mount, shard: None, growth: ROOM_BYTES });
            self.pages.len().saturating_sub(1)
        };
        if let Some(page) = self.pages.get_mut(number) {
            page.growth = page.growth.saturating_add(BLOCK_BYTES);
        }
        Ok(Place { number, target })
    }

    fn stage_stamp(&mut self, text: StampText<'_>) -> Result<()> {
        let path = Path::new(STAMP);
        let place = self.place(path)?;
        // A directory that is missing is made by the operations: see `Root::make_stamp_place`.
        if place.number != 0 {
            let what = "its directory is another file system than the root";
            return Err(Error::new(Reason::Conflict, format!("write {STAMP} in the root: {what}")));
        }
        check(&place.target, path, Change::Put)?;
        let area = self.staged.areas.first().ok_or_else(|| Error::root("write", path, Errno::NOENT))?;
        calls::create(area.fd(), STAGED_STAMP, Mode::RUSR | Mode::WUSR)
            .and_then(|fd| calls::write_all(fd.as_fd(), text(FileIdentity::of(&fd)?).as_bytes()))
            .map_err(|errno| Error::root("write", path, errno))
    }

    /// Takes the blocks that the commit needs.
    fn keep_room(&self) -> Result<()> {
        for (area, page) in self.staged.areas.iter().zip(&self.pages) {
            let kept = calls::create(area.fd(), ROOM, Mode::RUSR).and_then(|fd| {
                let system = fstatfs(&fd)?;
                if system.f_type != BTRFS_SUPER_MAGIC {
                    return calls::allocate(fd.as_fd(), page.growth);
                }
                // Blocks are not kept for its metadata; where these have no room left it says that nothing has.
                let block = u64::try_from(system.f_bsize).unwrap_or(1);
                if system.f_bavail.saturating_mul(block) < BTRFS_BYTES {
                    return Err(Errno::NOSPC);
                }
                calls::allocate(fd.as_fd(), page.growth.saturating_add(BTRFS_BYTES))
            });
            match kept {
                // Some file systems have no blocks to keep.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(Error::root("keep room for names in", &area.top, errno)),
            }
        }
        Ok(())
    }
}

/// Makes what operation number `index` puts into place, or the link that says that it is to be done.
fn stage_one(root: &Root, area: &Area, index: usize, op: &mut Op<'_>, buffer: &mut [u8]) -> Result<()> {
    let name = staged_name(index).map_err(|errno| Error::root("stage", op.path(), errno))?;
    if let Op::File { path, contents, attributes } = op {
        let contents = std::mem::take(contents);
        return write_file(root, area, &name, path, contents, *attributes, buffer);
    }
    let op = &*op;
    let path = op.path();
    match op {
        Op::Symlink { target, uid, gid, .. } => c_name(target.as_os_str()).and_then(|target| {
            calls::make_link(&target, area.fd(), &name)?;
            calls::set_owner_at(area.fd(), &name, *uid, *gid)
        }),
        Op::Directory { attributes, .. } if path.file_name().is_some() => {
            calls::make_directory(area.fd(), &name, start_mode(*attributes)).and_then(|()| {
                let fd = openat(area.fd(), &name, DIRECTORY, Mode::empty())?;
                set_attributes_of(&fd, *attributes)
            })
        }
        _ => calls::make_link(PENDING, area.fd(), &name),
    }
    .map_err(|errno| Error::root("stage", path, errno))
}

fn write_file(
    root: &Root,
    area: &Area,
    name: &CStr,
    path: &Path,
    contents: Contents<'_>,
    attributes: Attributes,
    buffer: &mut [u8],
) -> Result<()> {
    let failed = |errno| Error::root("write", path, errno);
    let fd = calls::create(area.fd(), name, start_mode(attributes)).map_err(failed)?;
    for piece in contents {
        match piece {
            Piece::Bytes(bytes) => calls::write_all(fd.as_fd(), &bytes).map_err(failed)?,
            Piece::Existing(existing) => {
                let from = open_existing(root, &existing)?;
                copy(fd.as_fd(), path, buffer, &mut |buffer| {
                    retry_on_intr(|| read(&from, &mut *buffer)).map_err(|errno| {
                        let words = errno_words(errno);
                        let what = format!("read {} in the root: {words}", existing.display());
                        Error::new(Reason::RootIo, what)
                    })
                })?;
            }
            Piece::Source(source) => {
                let mut stream = source.open()?;
                copy(fd.as_fd(), path, buffer, &mut |buffer| stream.read(buffer))?;
            }
        }
    }
    set_attributes_of(&fd, attributes).map_err(failed)
}

/// Opens a file that is copied. Something else that has come there since the plan was made could give no bytes, or no end.
fn open_existing(root: &Root, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || {
        let fd = root.open_at(path, flags, Mode::empty())?;
        if kind(fstat(&fd)?.st_mode) == Kind::File { Ok(fd) } else { Err(Errno::INVAL) }
    };
    open().map_err(|errno| Error::root("open the file", path, errno))
}

/// With its mode from the start most files need no chmod(2); only this program comes into an area.
fn start_mode(attributes: Attributes) -> Mode {
    Mode::from_raw_mode(attributes.mode & 0o777)
}

/// Writes to `file`, which will stand at `path`, what `read` gives until it gives nothing.
fn copy(
    file: BorrowedFd<'_>,
    path: &Path,
    buffer: &mut [u8],
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
) -> Result<()> {
    loop {
        match read(buffer)? {
            0 => return Ok(()),
            count => calls::write_all(file, buffer.get(..count).unwrap_or_default())
                .map_err(|errno| Error::root("write", path, errno))?,
        }
    }
}
