//! A file while it is being staged. Its bytes come from the config, from other files of the root, and from servers.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat};
use rustix::io::{Errno, read, retry_on_intr};

use super::Root;
use super::attributes::set_attributes_of;
use super::calls;
use super::view::kind;
use crate::change::{Attributes, FileKind, Op, Piece};
use crate::error::{Error, Reason, Result, errno_words};
use crate::source::Stream;

/// A file that is being staged.
pub(super) struct NewFile<'a> {
    file: OwnedFd,
    /// The path at which the file will stand, for messages.
    path: PathBuf,
    attributes: Attributes,
    /// Whether the file was created with another owner or mode.
    needs_attributes: bool,
    /// The pieces of which nothing has been written yet.
    contents: std::vec::IntoIter<Piece<'a>>,
    /// The source that is being read, if the current piece is one.
    pub(super) stream: Option<Stream<'a>>,
}

impl<'a> NewFile<'a> {
    /// Takes the contents out of `op`, which puts `file`. `needs_attributes` tells whether the file was created with another owner
    /// or mode than it shall have.
    pub(super) fn new(file: OwnedFd, op: &mut Op<'a>, needs_attributes: bool) -> Option<Self> {
        let Op::File { path, contents, attributes } = op else { return None };
        let contents = std::mem::take(contents).into_iter();
        let (path, attributes) = (path.clone(), *attributes);
        Some(Self { file, path, attributes, needs_attributes, contents, stream: None })
    }

    /// Writes to the file until it is complete, or until the next bytes have not arrived yet. Returns whether it is complete.
    pub(super) fn fill(&mut self, root: &Root, buffer: &mut [u8]) -> Result<bool> {
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
                    if self.needs_attributes {
                        set_attributes_of(&self.file, self.attributes)
                            .map_err(|errno| Error::root("write", &self.path, errno))?;
                    }
                    return Ok(true);
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
