//! Staging: everything that an operation puts into the root is first made in the area of its mount. Nothing that another
//! program could see has changed by then, so a failure leaves the root as it was.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FsWord, Mode, OFlags, StatxFlags, fstatfs, openat, statx};
use rustix::io::Errno;

use super::area::{Area, STAGED_STAMP};
use super::attributes::{has_attributes, set_attributes_of};
use super::calls::{self, DIRECTORY, OsResult};
use super::check::{NameChange, Parent, check};
use super::in_place;
use super::new_file::NewFile;
use super::recent::Recent;
use super::staged::{ROOM, SHARD, Staged, staged_name};
use super::walk::{MountId, check_removal, mount_in, mount_of, raise_descriptor_limit};
use super::{Root, c_name};
use crate::change::{Attributes, Op, StampPlace};
use crate::error::{Error, Reason, Result};
use crate::stamp::{FileIdentity, STAMP};
use crate::sys::project_of_new_files;

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
        entries: 0,
        changed_at: 0,
        rewrites: Vec::new(),
        downloads: Vec::with_capacity(DOWNLOADS),
        last: None,
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
    /// The number of entries that have been staged.
    entries: usize,
    /// The number of the last operation that removed, renamed or changed something.
    changed_at: usize,
    /// The files that are rewritten in place, each with the number of its entry.
    rewrites: Vec<(usize, PathBuf)>,
    /// The files whose bytes are still being fetched.
    downloads: Vec<NewFile<'a>>,
    /// How the last file was created, and whether its owner or mode had to be set. Most files are created like the one before.
    last: Option<(Creation, bool)>,
}

/// What decides which owner and mode a file has when it is created.
#[derive(PartialEq, Eq)]
struct Creation {
    area: usize,
    /// The number of the operation whose staged directory the file is in; `None` for a file in the area itself.
    within: Option<usize>,
    /// The owner and mode that the file shall have.
    attributes: Attributes,
}

/// What has been staged on a mount so far.
struct MountUse {
    mount: MountId,
    /// The subdirectory of the area that was made last.
    shard: Option<usize>,
    /// The bytes by which directories may grow in the commit.
    growth: u64,
    /// The quota project of what is staged.
    project: u32,
}

/// A directory in which operations change something.
struct ChangedDirectory {
    /// The index of the area of its mount; of the root's own area for a mount that cannot have one.
    area: usize,
    /// Whether it is on such a mount.
    is_in_place: bool,
    parent: Parent,
}

impl<'a> Stager<'_, 'a> {
    fn stage_all(&mut self, ops: &mut [Op<'a>], stamp: Option<StampText<'_>>) -> Result<()> {
        // The root's own area must be the first. Making it also removes what an interrupted run left in it.
        self.directory_of(Path::new("/"))?;
        let mut buffer = vec![0; BUFFER];
        let root = self.root;
        for op in ops {
            self.check(op)?;
            let Some(mut file) = self.stage_one(op)? else { continue };
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
        if let Some(area) = self.staged.areas.first() {
            in_place::check_rewrites(root, area, &self.rewrites)?;
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
                if directory.is_in_place {
                    return Err(in_place::refused(other));
                }
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
        let entry = self.entries;
        let ChangedDirectory { is_in_place, parent, .. } = self.directory_of(path)?;
        check(parent, path, change)?;
        if let (true, Parent::Existing { directory, .. }) = (*is_in_place, parent) {
            in_place::check(op, directory.as_fd())?;
            self.rewrites.push((entry, path.to_owned()));
        }
        if change == NameChange::Remove { check_removal(root, path) } else { Ok(()) }
    }

    /// Stages `op`. Returns the file that is still to be filled, if it puts one.
    fn stage_one(&mut self, op: &mut Op<'a>) -> Result<Option<NewFile<'a>>> {
        let number = self.staged.numbers.len();
        let area = self.directory_of(op.path())?.area;
        if let Some(mount) = self.mounts.get_mut(area) {
            let name = op.path().file_name().map_or(0, std::ffi::OsStr::len);
            // A directory entry has a header of up to 12 bytes, and a block that was split is half empty. Names in a staged
            // directory count too: they move one by one if their directory exists by then.
            mount.growth = mount.growth.saturating_add((name as u64).saturating_add(12).saturating_mul(2));
        }
        let is_new = matches!(op, Op::Directory { .. } | Op::File { .. } | Op::Symlink { .. });
        let within = if is_new { self.stage_within(op)? } else { None };
        let (made, within) = if let Some((made, directory)) = within {
            self.staged.numbers.push(None);
            (made, Some(directory))
        } else {
            if !is_new {
                self.changed_at = number;
            }
            let entry = self.entries;
            self.entries = entry.saturating_add(1);
            self.staged.numbers.push(Some(area));
            let area = self.area_for(entry, area, op.path())?;
            let made = staged_name(entry).and_then(|name| make(area.fd(), &name, op));
            (made.map_err(|errno| failed(op, errno))?, None)
        };
        match made {
            Made::File(file, attributes) => {
                let creation = Creation { area, within, attributes };
                let needs = self.needs_attributes(&file, creation).map_err(|errno| failed(op, errno))?;
                Ok(NewFile::new(file, op, needs))
            }
            Made::Directory(directory) => {
                let path = op.path();
                if within.is_some() || matches!(self.directory_at(path)?.parent, Parent::NotYet) {
                    let parent = Parent::Staged { directory, op: number };
                    self.directories.put(path, ChangedDirectory { area, is_in_place: false, parent });
                }
                Ok(None)
            }
            Made::Other => Ok(None),
        }
    }

    /// Returns whether owner or mode of a file that has just been created must be set. Asks the kernel only if the last file was
    /// created otherwise.
    fn needs_attributes(&mut self, file: &OwnedFd, creation: Creation) -> OsResult<bool> {
        if let Some((_, needs)) = self.last.as_ref().filter(|(last, _)| *last == creation) {
            return Ok(*needs);
        }
        let needs = !has_attributes(file, creation.attributes)?;
        self.last = Some((creation, needs));
        Ok(needs)
    }

    /// Makes what `op` puts in the staged directory of its parent. Then it needs no entry of its own: the directory comes into
    /// its place with all that is in it. Returns `None` where there is no such directory. Nor is there one for this purpose after
    /// an operation that removes, renames or changes something, because its order among the others counts. Also returns the
    /// number of the operation that staged the directory.
    fn stage_within(&mut self, op: &Op<'_>) -> Result<Option<(Made, usize)>> {
        let changed_at = self.changed_at;
        let Parent::Staged { directory, op: number } = &self.directory_of(op.path())?.parent else {
            return Ok(None);
        };
        if *number < changed_at {
            return Ok(None);
        }
        let name = op.path().file_name().unwrap_or_default();
        match c_name(name).and_then(|name| make(directory.as_fd(), &name, op)) {
            Ok(made) => Ok(Some((made, *number))),
            // The config puts something there twice.
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(failed(op, errno)),
        }
    }

    /// Returns the area with this index, for entry number `entry`, whose operation changes `path`. Makes the subdirectory for
    /// the entry, if it does not exist yet.
    fn area_for(&mut self, entry: usize, number: usize, path: &Path) -> Result<&Area> {
        let (Some(mount), Some(area)) = (self.mounts.get_mut(number), self.staged.areas.get(number)) else {
            return Err(Error::root("stage", path, Errno::NOENT));
        };
        let shard = entry / SHARD;
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
        self.directory_at(path.parent().unwrap_or(Path::new("/")))
    }

    /// Returns the directory at `path` as [`Self::directory_of`] does.
    fn directory_at(&mut self, path: &Path) -> Result<&ChangedDirectory> {
        if self.directories.get(path).is_none() {
            let directory = self.look_up(path)?;
            self.directories.put(path, directory);
        }
        self.directories.get(path).ok_or_else(|| Error::root("look up", path, Errno::NOENT))
    }

    fn look_up(&mut self, directory: &Path) -> Result<ChangedDirectory> {
        let failed = |errno| Error::root("look up", directory, errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let (mut project, mut is_in_place) = (0, false);
        let (mount, parent) = match self.root.open_at(directory, flags, Mode::empty()) {
            Ok(fd) => {
                let stat = statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(failed)?;
                is_in_place = in_place::is_needed(&fd).map_err(failed)?;
                project = project_of(fd.as_fd()).map_err(failed)?;
                (mount_in(&stat), Parent::Existing { directory: fd, attributes: stat.stx_attributes })
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                (mount_of(self.root, directory)?, Parent::NotYet)
            }
            Err(errno) => return Err(failed(errno)),
        };
        let area = if let Some(number) = self.mounts.iter().position(|known| known.mount == mount) {
            number
        } else if is_in_place {
            0
        } else {
            let area = Area::make(self.root, directory, mount)?;
            let project = project_of_new_files(area.fd()).map_err(failed)?;
            self.staged.areas.push(area);
            self.mounts.push(MountUse { mount, shard: None, growth: ROOM_BYTES, project });
            self.mounts.len().saturating_sub(1)
        };
        if project != 0 && self.mounts.get(area).is_some_and(|mount| mount.project != project) {
            let what = format!(
                "change something in {} in the root: what is new there belongs to the quota project {project}, which a file \
                 that is put into its place cannot",
                directory.display()
            );
            return Err(Error::new(Reason::Unsupported, what).advise(
                "Take the project of the directory out of the image (chattr -P), set it by a unit of the config, and start \
                 again: nothing was written.",
            ));
        }
        if let Some(mount) = self.mounts.get_mut(area) {
            mount.growth = mount.growth.saturating_add(BLOCK_BYTES);
        }
        Ok(ChangedDirectory { area, is_in_place, parent })
    }

    fn stage_stamp(&mut self, text: StampText<'_>) -> Result<()> {
        let place = StampPlace::find(self.root)?;
        let path = place.path.as_path();
        let directory = self.directory_of(path)?;
        // The operations make a directory that is missing: see `Root::make_stamp_place`.
        if directory.area != 0 || directory.is_in_place {
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

/// Returns the error for an operation that cannot be staged.
fn failed(op: &Op<'_>, errno: Errno) -> Error {
    let act = if matches!(op, Op::File { .. }) { "write" } else { "stage" };
    Error::root(act, op.path(), errno)
}

/// What [`make`] has made.
enum Made {
    /// An empty file, open for writing, and the owner and mode that it shall have.
    File(OwnedFd, Attributes),
    /// A directory, opened.
    Directory(OwnedFd),
    /// A link.
    Other,
}

/// Makes what `op` puts into place with `name` in `directory`, or a link `pending` if it puts nothing new.
fn make(directory: BorrowedFd<'_>, name: &CStr, op: &Op<'_>) -> OsResult<Made> {
    match op {
        Op::File { attributes, .. } => {
            let file = calls::create(directory, name, start_mode(*attributes))?;
            Ok(Made::File(file, *attributes))
        }
        Op::Symlink { target, uid, gid, .. } => c_name(target.as_os_str()).and_then(|target| {
            calls::make_link(&target, directory, name)?;
            calls::set_owner_at(directory, name, *uid, *gid).map(|()| Made::Other)
        }),
        Op::Directory { attributes, path } if path.file_name().is_some() => {
            calls::make_directory(directory, name, start_mode(*attributes))?;
            let fd = openat(directory, name, DIRECTORY, Mode::empty())?;
            set_attributes_of(&fd, *attributes).map(|()| Made::Directory(fd))
        }
        _ => calls::make_link(PENDING, directory, name).map(|()| Made::Other),
    }
}

/// Returns the mode to create a file or directory with. It has the final permissions, so that most files need no chmod(2)
/// afterwards. This is safe because no other user can enter an area.
fn start_mode(attributes: Attributes) -> Mode {
    Mode::from_raw_mode(attributes.mode & 0o777)
}

/// Returns the quota project that new files get in the directory, of which `path` is an `O_PATH` descriptor.
fn project_of(path: BorrowedFd<'_>) -> std::result::Result<u32, Errno> {
    match openat(path, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(directory) => project_of_new_files(directory.as_fd()),
        // An ordinary user may not list it. Nobody but root gives projects.
        Err(Errno::ACCESS) => Ok(0),
        Err(errno) => Err(errno),
    }
}
