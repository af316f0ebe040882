//! Staging: everything with contents is first written to a private directory of its own file system, so that
//! nothing that a program could see has changed when something goes wrong.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, openat,
    renameat_with, symlinkat,
};
use rustix::io::{Errno, read, retry_on_intr};

use super::recent::Recent;
use super::walk::{Mount, mount_of, raise_descriptor_limit, refuse_mounts, remove_tree};
use super::{Root, c_name};
use crate::error::{Error, Reason, Result, errno_words};
use crate::fd::write_all;
use crate::plan::{Attributes, Op, Piece};

/// The private directory at the top of each file system that is written to.
pub(super) const STAGE: &str = ".glowplug";
/// Bytes copied at once.
const BUFFER: usize = 64 << 10;
/// The staging directories, one a file system.
pub(super) struct Stage {
    areas: Vec<Area>,
    /// The numbers of the areas of the directories that were asked for. No operation changes them: what is mounted
    /// stays, and nothing is moved from one mount to another.
    numbers: Recent<usize>,
}

/// A staging directory.
pub(super) struct Area {
    mount: Mount,
    fd: OwnedFd,
    top: PathBuf,
    /// The subdirectory that was made last.
    shard: Option<usize>,
}

/// As many operations share a subdirectory of the staging directory. A full one still is one block of names on most
/// file systems; in a directory of thousands every name costs more to make, to find and to take out again.
const SHARD: usize = 64;

/// The name of what operation number `index` stages.
pub(super) fn staged_name(index: usize) -> std::result::Result<CString, Errno> {
    c_name(format!("{}/{}", index / SHARD, index % SHARD).as_ref())
}

/// The name under which operation number `index` puts away what it takes out of the tree.
pub(super) fn trash_name(index: usize) -> std::result::Result<CString, Errno> {
    c_name(format!("{index}.old").as_ref())
}

impl Stage {
    /// Writes the contents of all of `ops` to staging directories, after checking what would fail only later.
    /// Every file system that an operation changes gets a directory, which shows that it can be written to.
    ///
    /// # Errors
    /// Those of reading sources and of writing the root. The staging directories are taken away again.
    pub(super) fn fill(root: &Root, ops: &[Op<'_>]) -> Result<Self> {
        raise_descriptor_limit();
        let mut stage = Self { areas: Vec::new(), numbers: Recent::default() };
        match stage.write_all(root, ops) {
            Ok(()) => Ok(stage),
            Err(error) => Err(stage.abandon(root, error)),
        }
    }

    /// Takes the staging directories away after `error`, which is the one that tells why.
    pub(super) fn abandon(self, root: &Root, error: Error) -> Error {
        if let Err(second) = self.clear(root) {
            log::warn!("{second}");
        }
        error
    }

    fn write_all(&mut self, root: &Root, ops: &[Op<'_>]) -> Result<()> {
        // The root's own comes first: what an interrupted run left there goes in any case.
        self.number(root, Path::new("/"))?;
        let mut buffer = vec![0; BUFFER];
        for (index, op) in ops.iter().enumerate() {
            match op {
                Op::File { path, contents, attributes } => {
                    let area = self.area_for(root, index, path)?;
                    write_file(root, area, index, path, contents, *attributes, &mut buffer)?;
                }
                Op::Symlink { path, target, uid, gid } => {
                    let area = self.area_for(root, index, path)?;
                    let failed = |errno| Error::root("make the link", path, errno);
                    let name = staged_name(index).map_err(failed)?;
                    let target = c_name(target.as_os_str()).map_err(failed)?;
                    symlinkat(&target, &area.fd, &name).map_err(failed)?;
                    let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                    chownat(&area.fd, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                }
                Op::HardLink { path, target } => {
                    if self.number(root, target)? != self.number(root, path)? {
                        return Err(Error::root("make the hard link", path, Errno::XDEV));
                    }
                    self.area_for(root, index, path)?;
                }
                Op::Remove { path } => {
                    self.number(root, path)?;
                    refuse_mounts(root, path)?;
                }
                Op::Rename { from, to } => {
                    if self.number(root, from)? != self.number(root, to)? {
                        return Err(Error::root("rename", from, Errno::XDEV));
                    }
                }
                Op::Directory { path, .. } | Op::Attributes { path, .. } => {
                    self.number(root, path)?;
                }
            }
        }
        Ok(())
    }

    /// The staging directory on the file system where `path` is or will be.
    pub(super) fn area(&mut self, root: &Root, path: &Path) -> Result<&Area> {
        let number = self.number(root, path)?;
        self.areas.get(number).ok_or_else(|| Error::root("stage", path, Errno::NOENT))
    }

    /// The same, with room for what operation number `index` stages.
    fn area_for(&mut self, root: &Root, index: usize, path: &Path) -> Result<&Area> {
        let number = self.number(root, path)?;
        let area = self.areas.get_mut(number).ok_or_else(|| Error::root("stage", path, Errno::NOENT))?;
        let shard = index / SHARD;
        if area.shard != Some(shard) {
            c_name(format!("{shard}").as_ref())
                .and_then(|name| mkdirat(&area.fd, &name, Mode::RWXU))
                .map_err(|errno| Error::root("make a staging directory for", path, errno))?;
            area.shard = Some(shard);
        }
        Ok(area)
    }

    /// The number of the staging directory for `path`.
    fn number(&mut self, root: &Root, path: &Path) -> Result<usize> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if let Some(number) = self.numbers.get(parent) {
            return Ok(*number);
        }
        let mount = mount_of(root, parent)?;
        let number = if let Some(number) = self.areas.iter().position(|area| area.mount == mount) {
            number
        } else {
            self.areas.push(Area::make(root, parent, mount)?);
            self.areas.len().saturating_sub(1)
        };
        self.numbers.put(parent, number);
        Ok(number)
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
    /// Makes the staging directory at the top of the mount that holds `inside`.
    fn make(root: &Root, inside: &Path, mount: Mount) -> Result<Self> {
        let mut top = PathBuf::from("/");
        for ancestor in inside.ancestors() {
            if mount_of(root, ancestor)? != mount {
                break;
            }
            ancestor.clone_into(&mut top);
        }
        let path = top.join(STAGE);
        remove_tree(root, &path)?;
        let failed = |errno| Error::root("make the staging directory", &path, errno);
        let (parent, name) = root.open_parent(&path).map_err(failed)?;
        mkdirat(&parent, &name, Mode::RWXU).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&parent, &name, flags, Mode::empty()).map_err(failed)?;
        Ok(Self { mount, fd, top, shard: None })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
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
    // With its mode from the start most files need no chmod(2); only root comes into the staging directory.
    let mode = Mode::from_raw_mode(attributes.mode & 0o777);
    let name = staged_name(index).map_err(failed)?;
    let fd = openat(&area.fd, &name, flags, mode).map_err(failed)?;
    for piece in contents {
        match piece {
            Piece::Bytes(bytes) => write_all(fd.as_fd(), bytes).map_err(failed)?,
            Piece::Existing(existing) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let from = root
                    .open_at(existing, flags, Mode::empty())
                    .map_err(|errno| Error::root("open", existing, errno))?;
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

/// Sets owner and mode of an open file or directory where they differ: the two calls cost more than the look.
pub(super) fn set_attributes_of(fd: impl AsFd, attributes: Attributes) -> std::result::Result<(), Errno> {
    let fd = fd.as_fd();
    let stat = fstat(fd)?;
    let Attributes { uid, gid, mode } = attributes;
    let is_owned = (stat.st_uid, stat.st_gid) == (uid, gid);
    if !is_owned {
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    // chown(2) clears setuid and setgid of files, so that the mode comes second.
    if !is_owned || stat.st_mode & 0o7777 != mode {
        fchmod(fd, Mode::from_raw_mode(mode))?;
    }
    Ok(())
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
            count => write_all(file, buffer.get(..count).unwrap_or_default())
                .map_err(|errno| Error::root("write", path, errno))?,
        }
    }
}

/// Moves `name` of `from` to `to_name` of `to` unless that is there already.
pub(super) fn put_away(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    to_name: &CStr,
) -> std::result::Result<(), Errno> {
    match renameat_with(from, name, to, to_name, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST | Errno::NOENT) => Ok(()),
        moved => moved,
    }
}
