//! Staging: everything that an operation puts into the root is first made in the area of its mount. Nothing that another
//! program could see has changed by then, so a failure leaves the root as it was.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FsWord, Mode, OFlags, StatxFlags, fstat, fstatfs, openat, statx};
use rustix::io::{Errno, read, retry_on_intr};

use super::area::{Area, STAGED_STAMP};
use super::attributes::set_attributes_of;
use super::calls::{self, DIRECTORY};
use super::check::{NameChange, Parent, check};
use super::recent::Recent;
use super::staged::{ROOM, SHARD, Staged, staged_name};
use super::view::kind;
use super::walk::{MountId, check_removal, mount_in, mount_of, raise_descriptor_limit};
use super::{Root, c_name};
use crate::change::{Attributes, FileKind, Op, Piece, StampPlace};
use crate::error::{Error, Reason, Result, errno_words};
use crate::source::Stream;
use crate::stamp::{FileIdentity, STAMP};

/// How many files are fetched at the same time.
const DOWNLOADS: usize = 4;
/// How many bytes are copied at once.
const BUFFER: usize = 64 << 10;
/// The target of the link that is staged for an operation which puts nothing new anywhere. Like everything staged, the
/// link is gone once the operation is done.
const PENDING: &CStr = c"pending";
/// The bytes of [`ROOM`] before any operation is counted. xfs needs as much for any change at all.
const ROOM_BYTES: u64 = 1 << 20;
/// The bytes that one change of btrfs may occupy for a moment, several times over.
const BTRFS_BYTES: u64 = 8 << 20;
/// `BTRFS_SUPER_MAGIC` of linux/magic.h.
const BTRFS_SUPER_MAGIC: FsWord = 0x9123_683e;
/// The bytes by which a directory may grow when it gets a name: one block.
const BLOCK_BYTES: u64 = 4 << 10;

/// Returns the text of the stamp for the identity of the file that it will be written to.
pub type StampText<'t> = &'t dyn Fn(FileIdentity) -> String;

/// Stages all of `ops`, taking the contents of files out of them, and the stamp. Checks in advance for what would make the
/// commit fail. Every mount that an operation changes gets an area, which proves that the mount can be written to.
///
/// # Errors
/// Those of reading sources and of writing the root. Nothing stays staged then.
pub(super) fn stage(root: &Root, ops: &mut [Op<'_>], stamp: Option<StampText<'_>>) -> Result<Staged> {
    raise_descriptor_limit();
    root.forget_looked_into();
    let staged = Staged { areas: Vec::new(), numbers: Vec::with_capacity(ops.len()) };
    let mut filling = Stager {
        root,
        staged,
        mounts: Vec::new(),
        directories: Recent::default(),
        downloads: Vec::with_capacity(DOWNLOADS),
    };
    match filling.stage_all(ops, stamp) {
        Ok(()) => Ok(filling.staged),
        Err(error) => Err(filling.staged.abandon(root, error)),
    }
}

/// The areas while they are filled.
struct Stager<'r, 'a> {
    root: &'r Root,
    staged: Staged,
    /// For each area, what has been put into it so far.
    mounts: Vec<MountUse>,
    directories: Recent<ChangedDirectory>,
    /// The files whose bytes are still being fetched.
    downloads: Vec<NewFile<'a>>,
}

/// What has been staged on a mount so far.
struct MountUse {
    mount: MountId,
    /// The subdirectory of the area that was made last.
    shard: Option<usize>,
    /// The bytes by which directories may grow in the commit.
    growth: u64,
}

/// A directory in which operations change something.
struct ChangedDirectory {
    /// The index of the area of its mount.
    area: usize,
    parent: Parent,
}

impl<'a> Stager<'_, 'a> {
    fn stage_all(&mut self, ops: &mut [Op<'a>], stamp: Option<StampText<'_>>) -> Result<()> {
        // The root's own area must be the first. Making it also removes what an interrupted run left in it.
        self.directory_of(Path::new("/"))?;
        let mut buffer = vec![0; BUFFER];
        let root = self.root;
        for (index, op) in ops.iter_mut().enumerate() {
            self.check(op)?;
            let area = self.area_for(index, op.path())?;
            let Some(mut file) = stage_op(area, index, op)? else { continue };
            if !file.fill(root, &mut buffer)? {
                self.downloads.push(file);
            }
            while self.downloads.len() >= DOWNLOADS {
                self.fill_downloads(&mut buffer)?;
            }
        }
        while !self.downloads.is_empty() {
            self.fill_downloads(&mut buffer)?;
        }
        if let Some(text) = stamp {
            self.stage_stamp(text)?;
        }
        self.keep_room()
    }

    /// Waits for bytes of any download, and writes what has come.
    fn fill_downloads(&mut self, buffer: &mut [u8]) -> Result<()> {
        // All streams have the same transport, so waiting on any one of them waits for all.
        if let Some(stream) = self.downloads.iter().find_map(|file| file.stream.as_ref()) {
            stream.wait()?;
        }
        let mut index = 0;
        while let Some(file) = self.downloads.get_mut(index) {
            if file.fill(self.root, buffer)? {
                self.downloads.swap_remove(index);
            } else {
                index = index.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Refuses an operation that would fail in the commit.
    fn check(&mut self, op: &Op<'_>) -> Result<()> {
        let (root, path) = (self.root, op.path());
        let change = match op {
            Op::Remove { .. } => NameChange::Remove,
            Op::File { .. } | Op::Symlink { .. } => NameChange::Put,
            Op::Directory { attributes, .. } => NameChange::Directory(*attributes),
            Op::Attributes { attributes, .. } => NameChange::Attributes(*attributes),
            Op::HardLink { target: other, .. } | Op::Rename { from: other, .. } => {
                let is_rename = matches!(op, Op::Rename { .. });
                let area = self.directory_of(path)?.area;
                let directory = self.directory_of(other)?;
                if directory.area != area {
                    let act = if is_rename { "rename" } else { "make the hard link" };
                    return Err(Error::root(act, if is_rename { other } else { path }, Errno::XDEV));
                }
                if is_rename {
                    check(&directory.parent, other, NameChange::Move)?;
                }
                NameChange::Put
            }
        };
        check(&self.directory_of(path)?.parent, path, change)?;
        if change == NameChange::Remove { check_removal(root, path) } else { Ok(()) }
    }

    /// Returns the area for operation number `index`, which changes `path`. Makes the subdirectory for what the operation
    /// stages, if it does not exist yet.
    fn area_for(&mut self, index: usize, path: &Path) -> Result<&Area> {
        let number = self.directory_of(path)?.area;
        self.staged.numbers.push(number);
        let (Some(mount), Some(area)) = (self.mounts.get_mut(number), self.staged.areas.get(number)) else {
            return Err(Error::root("stage", path, Errno::NOENT));
        };
        let name = path.file_name().map_or(0, std::ffi::OsStr::len);
        // A directory entry has a header of up to 12 bytes, and a block that was split is half empty.
        mount.growth = mount.growth.saturating_add((name as u64).saturating_add(12).saturating_mul(2));
        let shard = index / SHARD;
        if mount.shard != Some(shard) {
            c_name(format!("{shard}").as_ref())
                .and_then(|name| calls::make_directory(area.fd(), &name, Mode::RWXU))
                .map_err(|errno| Error::root("make a staging directory for", path, errno))?;
            mount.shard = Some(shard);
        }
        Ok(area)
    }

    /// Returns the directory that holds `path`, and makes the area of its mount if there is none yet.
    fn directory_of(&mut self, path: &Path) -> Result<&ChangedDirectory> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if self.directories.get(parent).is_none() {
            let directory = self.look_up(parent)?;
            self.directories.put(parent, directory);
        }
        self.directories.get(parent).ok_or_else(|| Error::root("look up", parent, Errno::NOENT))
    }

    fn look_up(&mut self, directory: &Path) -> Result<ChangedDirectory> {
        let failed = |errno| Error::root("look up", directory, errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let (mount, parent) = match self.root.open_at(directory, flags, Mode::empty()) {
            Ok(fd) => {
                let stat = statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(failed)?;
                (mount_in(&stat), Parent::Existing { directory: fd, attributes: stat.stx_attributes })
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                (mount_of(self.root, directory)?, Parent::NotYet)
            }
            Err(errno) => return Err(failed(errno)),
        };
        let area = if let Some(number) = self.mounts.iter().position(|known| known.mount == mount) {
            number
        } else {
            self.staged.areas.push(Area::make(self.root, directory, mount)?);
            self.mounts.push(MountUse { mount, shard: None, growth: ROOM_BYTES });
            self.mounts.len().saturating_sub(1)
        };
        if let Some(mount) = self.mounts.get_mut(area) {
            mount.growth = mount.growth.saturating_add(BLOCK_BYTES);
        }
        Ok(ChangedDirectory { area, parent })
    }

    fn stage_stamp(&mut self, text: StampText<'_>) -> Result<()> {
        let place = StampPlace::find(self.root)?;
        let path = place.path.as_path();
        let directory = self.directory_of(path)?;
        // The operations make a directory that is missing: see `Root::make_stamp_place`.
        if directory.area != 0 {
            let what = "its directory is on another file system than the root";
            return Err(Error::new(Reason::Conflict, format!("write {STAMP} in the root: {what}")));
        }
        check(&directory.parent, path, NameChange::Put)?;
        let area = self.staged.areas.first().ok_or_else(|| Error::root("write", path, Errno::NOENT))?;
        calls::create(area.fd(), STAGED_STAMP, Mode::RUSR | Mode::WUSR)
            .and_then(|fd| calls::write_all(fd.as_fd(), text(FileIdentity::of(&fd)?).as_bytes()))
            .map_err(|errno| Error::root("write", path, errno))
    }

    /// Occupies the blocks that the commit will need on each mount, so that it cannot run out of them.
    fn keep_room(&self) -> Result<()> {
        for (area, mount) in self.staged.areas.iter().zip(&self.mounts) {
            let kept = calls::create(area.fd(), ROOM, Mode::RUSR).and_then(|fd| {
                let system = fstatfs(&fd)?;
                if system.f_type != BTRFS_SUPER_MAGIC {
                    return calls::allocate(fd.as_fd(), mount.growth);
                }
                // The blocks of a file do not help btrfs, which needs room for metadata. It reports no free blocks at
                // all when the room for metadata is used up.
                let block = u64::try_from(system.f_bsize).unwrap_or(1);
                if system.f_bavail.saturating_mul(block) < BTRFS_BYTES {
                    return Err(Errno::NOSPC);
                }
                calls::allocate(fd.as_fd(), mount.growth.saturating_add(BTRFS_BYTES))
            });
            match kept {
                // Some file systems cannot allocate blocks in advance.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(Error::root("reserve blocks for new names in", &area.top, errno)),
            }
        }
        Ok(())
    }
}

/// Stages operation number `index` in `area`: what it puts into place, or a link `pending` if it puts nothing new. Returns the
/// file that is still to be filled, if it puts one.
fn stage_op<'a>(area: &Area, index: usize, op: &mut Op<'a>) -> Result<Option<NewFile<'a>>> {
    let name = staged_name(index).map_err(|errno| Error::root("stage", op.path(), errno))?;
    if let Op::File { path, contents, attributes } = op {
        let file = calls::create(area.fd(), &name, start_mode(*attributes))
            .map_err(|errno| Error::root("write", path, errno))?;
        let contents = std::mem::take(contents).into_iter();
        return Ok(Some(NewFile {
            file,
            path: path.clone(),
            attributes: *attributes,
            contents,
            stream: None,
        }));
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
    .map(|()| None)
}

/// A file that is being staged.
struct NewFile<'a> {
    file: OwnedFd,
    /// The path at which the file will stand, for messages.
    path: PathBuf,
    attributes: Attributes,
    /// The pieces of which nothing has been written yet.
    contents: std::vec::IntoIter<Piece<'a>>,
    /// The source that is being read, if the current piece is one.
    stream: Option<Stream<'a>>,
}

impl NewFile<'_> {
    /// Writes to the file until it is complete, or until the next bytes have not arrived yet. Returns whether it is complete.
    fn fill(&mut self, root: &Root, buffer: &mut [u8]) -> Result<bool> {
        loop {
            if let Some(stream) = &mut self.stream {
                match stream.read_some(buffer)? {
                    None => return Ok(false),
                    Some(0) => self.stream = None,
                    Some(count) => {
                        let is_remote = stream.is_remote();
                        self.write(buffer.get(..count).unwrap_or_default())?;
                        if is_remote {
                            // Give the other downloads their turn.
                            return Ok(false);
                        }
                    }
                }
                continue;
            }
            match self.contents.next() {
                Some(Piece::Bytes(bytes)) => self.write(&bytes)?,
                Some(Piece::Existing(existing)) => self.copy(root, &existing, buffer)?,
                Some(Piece::Source(source)) => self.stream = Some(source.open()?),
                None => {
                    return set_attributes_of(&self.file, self.attributes)
                        .map(|()| true)
                        .map_err(|errno| Error::root("write", &self.path, errno));
                }
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        calls::write_all(self.file.as_fd(), bytes).map_err(|errno| Error::root("write", &self.path, errno))
    }

    /// Copies the file at the path `existing` of the root.
    fn copy(&self, root: &Root, existing: &Path, buffer: &mut [u8]) -> Result<()> {
        let from = open_existing(root, existing)?;
        loop {
            let count = retry_on_intr(|| read(&from, &mut *buffer)).map_err(|errno| {
                let words = errno_words(errno);
                Error::new(Reason::RootIo, format!("read {} in the root: {words}", existing.display()))
            })?;
            match count {
                0 => return Ok(()),
                count => self.write(buffer.get(..count).unwrap_or_default())?,
            }
        }
    }
}

/// Opens a file of the root that is copied.
///
/// # Errors
/// Those of the root. `EINVAL` if something other than a file stands there now, although planning found a file. A device,
/// for example, could give bytes without end.
fn open_existing(root: &Root, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || {
        let fd = root.open_at(path, flags, Mode::empty())?;
        if kind(fstat(&fd)?.st_mode) == FileKind::File { Ok(fd) } else { Err(Errno::INVAL) }
    };
    open().map_err(|errno| Error::root("open the file", path, errno))
}

/// Returns the mode to create a file or directory with. It has the final permissions, so that most files need no chmod(2)
/// afterwards. This is safe because no other user can enter an area.
fn start_mode(attributes: Attributes) -> Mode {
    Mode::from_raw_mode(attributes.mode & 0o777)
}
