//! Sockets in the runtime directory of a user. This program is root, while the user may put any file there and may
//! run any server. So no symbolic link is followed, no other mount is entered, and only servers of that user are
//! talked to.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;

use super::deadline::{Deadline, TimedStream};
use crate::error::errno_words;
use crate::fd;

/// Why a socket gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerFailure {
    /// A system call failed, or the server broke the protocol.
    Errno(Errno),
    /// A symbolic link is in the socket's path. The socket was not opened.
    Link,
    /// Another file system is mounted in the socket's path, for example by the user with FUSE. The socket was not
    /// opened.
    Mount,
    /// Another user than the directory's owner listens on the socket. Nothing was sent.
    Stranger,
}

impl From<Errno> for PeerFailure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl PeerFailure {
    /// Returns the failure in words.
    pub fn words(self) -> String {
        match self {
            Self::Errno(errno) => errno_words(errno),
            Self::Link => "not asked, since a symbolic link is in the path of its socket".to_owned(),
            Self::Mount => "not asked, since a mount is in the path of its socket".to_owned(),
            Self::Stranger => "not asked, since another user listens on its socket".to_owned(),
        }
    }
}

/// The runtime directory of a user: `/run/user/UID`, or `/run` for root.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// The id of the mount that the directory is on.
    mount: String,
    uid: u32,
}

impl Directory {
    /// Opens the runtime directory of the user `uid`.
    ///
    /// # Errors
    /// `ENOENT` if the user has none; [`PeerFailure::Mount`] if it is not the tmpfs that systemd-logind mounts there.
    pub fn of(uid: u32) -> Result<Self, PeerFailure> {
        if uid == 0 {
            return Self::open(Path::new("/run"), uid);
        }
        let directory = Self::open(Path::new(&format!("/run/user/{uid}")), uid)?;
        if mount_type(&fd::read_text("/proc/self/mountinfo")?, &directory.mount) == Some("tmpfs") {
            Ok(directory)
        } else {
            Err(PeerFailure::Mount)
        }
    }

    /// Opens the directory at `path` for talking to servers of the user `uid`. Only root may be able to change the
    /// parents of `path`.
    ///
    /// # Errors
    /// As for [`Directory::of`]; `ENOTDIR` also for a symbolic link.
    pub(super) fn open(path: &Path, uid: u32) -> Result<Self, PeerFailure> {
        let fd = look_up(CWD, path, OFlags::DIRECTORY)?;
        Ok(Self { mount: mount_of(&fd)?, fd, uid })
    }

    /// Returns whether this is root's directory. Root is trusted.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Looks up `name` below the directory without opening the file itself.
    ///
    /// The path is walked name by name, because `RestrictSUIDSGID=` of systemd blocks openat2(2).
    ///
    /// # Errors
    /// The errno of openat(2); [`PeerFailure::Link`] and [`PeerFailure::Mount`].
    pub fn find(&self, name: &str) -> Result<OwnedFd, PeerFailure> {
        let mut found: Option<OwnedFd> = None;
        for part in name.split('/') {
            let parent = found.as_ref().unwrap_or(&self.fd);
            let child = look_up(parent.as_fd(), Path::new(part), OFlags::empty())?;
            // The mount must be checked before anything else: a user's file system could block even a question for
            // the file type.
            if mount_of(&child)? != self.mount {
                return Err(PeerFailure::Mount);
            }
            if FileType::from_raw_mode(fstat(&child)?.st_mode) == FileType::Symlink {
                return Err(PeerFailure::Link);
            }
            found = Some(child);
        }
        found.ok_or(PeerFailure::Errno(Errno::INVAL))
    }

    /// Reads the text of the file at `name` below the directory.
    ///
    /// # Errors
    /// As for [`Directory::find`]; `EFBIG` for more than 64 KiB, `EAGAIN` for a FIFO that somebody holds open.
    #[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
    pub fn text(&self, name: &str) -> Result<String, PeerFailure> {
        const LIMIT: u64 = 64 << 10;
        let found = self.find(name)?;
        // Without NONBLOCK the open of a FIFO in the file's place would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(CWD, by_descriptor(&found), flags, Mode::empty())?;
        let bytes = fd::read_all(file.as_fd(), LIMIT)?;
        if bytes.len() as u64 > LIMIT {
            return Err(Errno::FBIG.into());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Connects to the socket at `name` below the directory.
    ///
    /// # Errors
    /// As for [`Directory::find`] and [`TimedStream::connect`]; [`PeerFailure::Stranger`] if another user listens.
    pub fn connect(&self, name: &str, deadline: Deadline) -> Result<TimedStream, PeerFailure> {
        let socket = self.find(name)?;
        let stream = TimedStream::connect(Path::new(&by_descriptor(&socket)), deadline)?;
        // The kernel reports the owner of the listening process at the time when it began to listen.
        let peer = socket_peercred(stream.as_fd())?;
        if peer.uid.as_raw() == self.uid { Ok(stream) } else { Err(PeerFailure::Stranger) }
    }
}

/// Opens `path` below `parent` with `O_PATH`. If it ends in a symbolic link, the link itself is opened.
#[allow(clippy::disallowed_methods, reason = "not a path of the root, and only looked up")]
fn look_up(parent: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(parent, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags, Mode::empty())
}

/// Returns a path that leads to exactly this file, even if the user has replaced it meanwhile.
fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Returns the id of the mount that a descriptor is on. The kernel answers this itself. A file system that a user
/// serves is not asked, because it might never answer.
fn mount_of(fd: &OwnedFd) -> Result<String, Errno> {
    let info = fd::read_text(&format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    number.map(|number| number.trim().to_owned()).ok_or(Errno::NODATA)
}

/// Returns the file system type of a mount, by `/proc/self/mountinfo`.
fn mount_type<'t>(mountinfo: &'t str, mount: &str) -> Option<&'t str> {
    let line = mountinfo.lines().find(|line| line.split(' ').next() == Some(mount))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;
    use crate::testing::TempDir;

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn no_link_in_the_path_is_followed() {
        let temp = TempDir::new("links");
        std::fs::create_dir(temp.join("real")).unwrap();
        let listener = UnixListener::bind(temp.join("real/socket")).unwrap();
        symlink("real", temp.join("link")).unwrap();
        symlink("real/socket", temp.join("socket")).unwrap();
        symlink("itself", temp.join("itself")).unwrap();
        symlink("/proc/self/root", temp.join("root")).unwrap();
        let directory = Directory::open(temp.path(), own_uid()).unwrap();
        for name in ["link/socket", "socket", "itself", "root/proc/version"] {
            assert_eq!(directory.connect(name, deadline()).err(), Some(PeerFailure::Link), "{name}");
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock,
            "somebody was asked"
        );
        assert!(directory.connect("real/socket", deadline()).is_ok());
        // The same for a link in place of the directory itself.
        let linked = Directory::open(&temp.join("link"), own_uid());
        assert_eq!(linked.err(), Some(PeerFailure::Errno(Errno::NOTDIR)));
    }

    #[test]
    fn only_the_user_of_the_directory_is_talked_to() {
        let temp = TempDir::new("stranger");
        let _listener = UnixListener::bind(temp.join("socket")).unwrap();
        let directory = Directory::open(temp.path(), own_uid().wrapping_add(1)).unwrap();
        let asked = directory.connect("socket", deadline());
        assert_eq!(asked.err(), Some(PeerFailure::Stranger));
        assert!(PeerFailure::Stranger.words().starts_with("not asked"));
    }

    #[test]
    fn what_is_no_socket_or_no_file_is_not_waited_for() {
        let temp = TempDir::new("files");
        std::fs::write(temp.join("file"), "").unwrap();
        std::fs::create_dir(temp.join("directory")).unwrap();
        // Opening the FIFO would wait without end.
        let fifo = std::process::Command::new("mkfifo").arg(temp.join("fifo")).status().unwrap();
        assert!(fifo.success());
        let directory = Directory::open(temp.path(), own_uid()).unwrap();
        std::fs::write(temp.join("text"), "nameserver 1.1.1.1\n").unwrap();
        std::fs::write(temp.join("long"), "a".repeat((64 << 10) + 1)).unwrap();
        symlink("text", temp.join("link")).unwrap();
        assert_eq!(directory.text("text").unwrap(), "nameserver 1.1.1.1\n");
        assert_eq!(directory.text("fifo").unwrap(), "");
        assert_eq!(directory.text("link"), Err(PeerFailure::Link));
        assert_eq!(directory.text("long"), Err(PeerFailure::Errno(Errno::FBIG)));
        for name in ["file", "directory", "fifo"] {
            let refused = directory.connect(name, deadline()).err();
            assert_eq!(refused, Some(PeerFailure::Errno(Errno::CONNREFUSED)), "{name}");
        }
        assert_eq!(directory.connect("nothing", deadline()).err(), Some(PeerFailure::Errno(Errno::NOENT)));
    }

    #[test]
    fn another_file_system_is_not_entered() {
        // `/proc` is another mount.
        let directory = Directory::open(Path::new("/"), 0).unwrap();
        assert_eq!(directory.find("proc/version").err(), Some(PeerFailure::Mount));
        let mountinfo = "22 1 254:1 / / rw shared:1 - ext4 /dev/vda3 rw\n\
            31 22 0:6 / /run/user/501 rw - tmpfs tmpfs rw\n\
            32 31 0:7 / /run/user/501 rw - fuse.sshfs a rw\n";
        assert_eq!(mount_type(mountinfo, "31"), Some("tmpfs"));
        assert_eq!(mount_type(mountinfo, "32"), Some("fuse.sshfs"));
        assert_eq!(mount_type(mountinfo, "3"), None);
        assert_eq!(mount_type(mountinfo, ""), None);
    }
}
