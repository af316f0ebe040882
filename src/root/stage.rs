//! Staging: everything with contents is first written to a private directory of its own file system, so that
//! nothing that a program could see has changed when something goes wrong.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, chownat, fchmod, fchown, fstat, mkdirat, openat,
    renameat_with, symlinkat, unlinkat,
};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

use super::Root;
use crate::error::{Error, Reason, Result, io_words};
use crate::plan::{Attributes, Op, Piece};

/// The private directory at the top of each file system that is written to.
pub(super) const STAGE: &str = ".glowplug";
/// Bytes copied at once.
const BUFFER: usize = 64 << 10;
/// Directory trees deeper than this are not removed: `PATH_MAX` allows no more by name.
const MAX_DEPTH: usize = 2048;

/// The staging directories, one a file system.
pub(super) struct Stage {
    areas: Vec<Area>,
    /// The parent directory that was asked for last, and the number of its area: operations come sorted.
    last: Option<(PathBuf, usize)>,
}

/// A staging directory.
pub(super) struct Area {
    device: u64,
    fd: OwnedFd,
    top: PathBuf,
}

/// The name of what operation number `index` stages.
pub(super) fn staged_name(index: usize) -> String {
    format!("{index}")
}

/// The name under which operation number `index` puts away what it takes out of the tree.
pub(super) fn trash_name(index: usize) -> String {
    format!("{index}.old")
}

impl Stage {
    /// Writes the contents of all of `ops` to staging directories.
    ///
    /// # Errors
    /// Those of reading sources and of writing the root. The staging directories are taken away again.
    pub(super) fn fill(root: &Root, ops: &[Op<'_>]) -> Result<Self> {
        let mut stage = Self { areas: Vec::new(), last: None };
        let filled = stage.write_all(root, ops);
        if let Err(error) = filled {
            // The first error is the one that tells why; what cannot be removed is found by the next run.
            if let Err(second) = stage.clear(root) {
                log::warn!("{second}");
            }
            return Err(error);
        }
        Ok(stage)
    }

    fn write_all(&mut self, root: &Root, ops: &[Op<'_>]) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        for (index, op) in ops.iter().enumerate() {
            match op {
                Op::File { path, contents, attributes } => {
                    let area = self.area(root, path)?;
                    write_file(root, area, index, path, contents, *attributes, &mut buffer)?;
                }
                Op::Symlink { path, target, uid, gid } => {
                    let area = self.area(root, path)?;
                    let failed = |errno| Error::root("make the link", path, errno);
                    let name = staged_name(index);
                    symlinkat(target, &area.fd, &name).map_err(failed)?;
                    let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                    chownat(&area.fd, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                }
                Op::HardLink { path, .. } | Op::Remove { path } => {
                    self.area(root, path)?;
                }
                Op::Directory { .. } | Op::Attributes { .. } | Op::Rename { .. } => {}
            }
        }
        Ok(())
    }

    /// The staging directory on the file system where `path` is or will be.
    pub(super) fn area(&mut self, root: &Root, path: &Path) -> Result<&Area> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let number = match &self.last {
            Some((last, number)) if last == parent => *number,
            _ => {
                let device = device_of(root, parent)?;
                let found = self.areas.iter().position(|area| area.device == device);
                let number = if let Some(number) = found {
                    number
                } else {
                    self.areas.push(Area::make(root, parent, device)?);
                    self.areas.len().saturating_sub(1)
                };
                self.last = Some((parent.to_owned(), number));
                number
            }
        };
        self.areas.get(number).ok_or_else(|| Error::root("stage", path, Errno::NOENT))
    }

    /// The descriptors of all staging directories, to sync their file systems.
    pub(super) fn file_systems(&self) -> impl Iterator<Item = (BorrowedFd<'_>, &Path)> {
        self.areas.iter().map(|area| (area.fd.as_fd(), area.top.as_path()))
    }

    /// Takes the staging directories away with all that is left in them.
    pub(super) fn clear(self, root: &Root) -> Result<()> {
        for area in self.areas {
            let path = area.top.join(STAGE);
            drop(area);
            remove_tree(root, &path)?;
        }
        Ok(())
    }
}

impl Area {
    /// Makes the staging directory at the top of the file system with number `device` that holds `inside`.
    fn make(root: &Root, inside: &Path, device: u64) -> Result<Self> {
        let mut top = PathBuf::from("/");
        for ancestor in inside.ancestors() {
            if device_of(root, ancestor)? != device {
                break;
            }
            ancestor.clone_into(&mut top);
        }
        let path = top.join(STAGE);
        remove_tree(root, &path)?;
        let failed = |errno| Error::root("make the staging directory", &path, errno);
        let (parent, name) = root.open_parent(&path).map_err(failed)?;
        mkdirat(&parent, name, Mode::RWXU).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&parent, name, flags, Mode::empty()).map_err(failed)?;
        Ok(Self { device, fd, top })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The device number of the nearest ancestor of `path` that exists.
fn device_of(root: &Root, path: &Path) -> Result<u64> {
    for ancestor in path.ancestors() {
        match root.open_at(ancestor, OFlags::PATH, Mode::empty()) {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(|errno| Error::root("look up", ancestor, errno))?;
                return Ok(stat.st_dev);
            }
            // Not there yet, or a link that the plan replaces by a directory: its parent tells.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(Error::root("look up", ancestor, errno)),
        }
    }
    Err(Error::root("look up", path, Errno::NOENT))
}

fn write_file(
    root: &Root,
    area: &Area,
    index: usize,
    path: &Path,
    contents: &[Piece<'_>],
    attributes: Attributes,
    buffer: &mut [u8],
) -> Result<()> {
    let failed = |errno| Error::root("write", path, errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&area.fd, staged_name(index), flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let mut file = File::from(fd);
    let written = |result: io::Result<()>| result.map_err(|error| write_error(path, &error));
    for piece in contents {
        match piece {
            Piece::Bytes(bytes) => written(file.write_all(bytes))?,
            Piece::Existing(existing) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let fd = root
                    .open_at(existing, flags, Mode::empty())
                    .map_err(|errno| Error::root("open", existing, errno))?;
                let mut reader = File::from(fd);
                copy(&mut reader, &mut file, buffer, path, |read| {
                    read.map_err(|error| {
                        let what = format!("read {} in the root: {}", existing.display(), io_words(&error));
                        Error::new(Reason::RootIo, what)
                    })
                })?;
            }
            Piece::Source(source) => {
                let mut reader = source.open()?;
                copy(&mut reader, &mut file, buffer, path, |read| source.finish(read))?;
            }
        }
    }
    let (uid, gid) = (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)));
    fchown(&file, uid, gid).map_err(failed)?;
    // chown(2) clears setuid and setgid, so that the mode comes second.
    fchmod(&file, Mode::from_raw_mode(attributes.mode)).map_err(failed)
}

fn copy(
    reader: &mut dyn Read,
    file: &mut File,
    buffer: &mut [u8],
    path: &Path,
    finish: impl Fn(io::Result<usize>) -> Result<usize>,
) -> Result<()> {
    loop {
        // Decoders give what they have: the buffer is filled before it is written.
        let mut filled: usize = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match reader.read(rest) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => match finish(read)? {
                    0 => break,
                    count => filled = filled.saturating_add(count),
                },
            }
        }
        let bytes = buffer.get(..filled).unwrap_or_default();
        file.write_all(bytes).map_err(|error| write_error(path, &error))?;
        if filled < buffer.len() {
            return Ok(());
        }
    }
}

fn write_error(path: &Path, error: &io::Error) -> Error {
    Error::root("write", path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// Removes what stands at `path`, never following a link or leaving the file system by one.
pub(super) fn remove_tree(root: &Root, path: &Path) -> Result<()> {
    let failed = |errno| Error::root("remove", path, errno);
    let (parent, name) = match root.open_parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    remove_entry(parent.as_fd(), name, 0).map_err(failed)
}

fn remove_entry(parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> std::result::Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    if depth >= MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent, name, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&fd)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes != b"." && bytes != b".." {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        use std::os::unix::ffi::OsStrExt as _;
        remove_entry(fd.as_fd(), OsStr::from_bytes(name.to_bytes()), depth.saturating_add(1))?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Moves `name` of `from` to `to_name` of `to` unless that is there already.
pub(super) fn put_away(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    to_name: &str,
) -> std::result::Result<(), Errno> {
    match renameat_with(from, name, to, to_name, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST | Errno::NOENT) => Ok(()),
        moved => moved,
    }
}

/// Whether `mode` of a stat is that of a directory.
pub(super) fn is_directory(mode: rustix::fs::RawMode) -> bool {
    FileType::from_raw_mode(mode) == FileType::Directory
}
