//! Sockets in the directory of one user. The user may put anything there and may listen himself, while this program is
//! root: so no link is followed, no file system but the directory's own is touched, and only that user is talked to.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;

use super::deadline::{Deadline, Stream};
use crate::error::errno_words;
use crate::fd;

/// Why a socket gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A call failed, or the other side did not answer as it should.
    Errno(Errno),
    /// A symbolic link is in the socket's path: not asked.
    Link,
    /// Another file system is mounted in the socket's path, for example by the user with FUSE: not asked.
    Mount,
    /// Another user than the directory's listens on the socket: not asked.
    Stranger,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::LOOP => Self::Link,
            Errno::XDEV => Self::Mount,
            errno => Self::Errno(errno),
        }
    }
}

impl Failure {
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

/// The runtime directory of a user: `/run` for root.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    uid: u32,
}

impl Directory {
    /// Opens the runtime directory of the user `uid`.
    ///
    /// # Errors
    /// `ENOENT` for a user who has none; [`Failure::Mount`] if it is not the tmpfs that systemd-logind mounts there.
    pub fn of(uid: u32) -> Result<Self, Failure> {
        if uid == 0 {
            return Self::open(Path::new("/run"), uid);
        }
        let directory = Self::open(Path::new(&format!("/run/user/{uid}")), uid)?;
        // What the kernel tells here is its own knowledge: it asks no file system, which could be one that the user
        // serves and that never answers.
        let info = fd::read_text(&format!("/proc/self/fdinfo/{}", directory.fd.as_raw_fd()))?;
        if mount_type(&fd::read_text("/proc/self/mountinfo")?, &info) == Some("tmpfs") {
            Ok(directory)
        } else {
            Err(Failure::Mount)
        }
    }

    /// Opens the directory at `path`, in which only the user `uid` is talked to.
    ///
    /// # Errors
    /// As for [`Directory::of`].
    #[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
    pub(super) fn open(path: &Path, uid: u32) -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
        Ok(Self { fd, uid })
    }

    /// Returns whether this is the directory of root, who is trusted.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Finds what stands at `name` below the directory, without a look at what it is.
    ///
    /// # Errors
    /// errno of openat2(2); [`Failure::Link`] and [`Failure::Mount`].
    #[allow(clippy::disallowed_methods, reason = "not a path of the root, and only looked up")]
    pub fn find(&self, name: &str) -> Result<OwnedFd, Failure> {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        Ok(openat2(&self.fd, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// Reads the text of the file at `name` below the directory.
    ///
    /// # Errors
    /// As for [`Directory::find`]; `EFBIG` for more than 64 KiB, `EAGAIN` for a fifo that somebody holds open.
    #[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        const LIMIT: u64 = 64 << 10;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        // A fifo in the file's place must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat2(&self.fd, name, flags, Mode::empty(), resolve)?;
        let bytes = fd::read_all(file.as_fd(), LIMIT)?;
        if bytes.len() as u64 > LIMIT {
            return Err(Errno::FBIG.into());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Connects to the socket at `name` below the directory.
    ///
    /// # Errors
    /// As for [`Directory::find`] and [`Stream::connect`]; [`Failure::Stranger`] if another user listens.
    pub fn connect(&self, name: &str, deadline: Deadline) -> Result<Stream, Failure> {
        let socket = self.find(name)?;
        // Through the descriptor, so that it is this very file and not what the user has put in its place meanwhile.
        let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let stream = Stream::connect(Path::new(&path), deadline)?;
        // Of the process that listens, as it was when it began to.
        let peer = socket_peercred(stream.as_fd())?;
        if peer.uid.as_raw() == self.uid { Ok(stream) } else { Err(Failure::Stranger) }
    }
}

/// Returns the type of the file system that a descriptor is on, by `/proc/self/mountinfo` and the descriptor's
/// `/proc/self/fdinfo`.
fn mount_type<'t>(mountinfo: &'t str, fdinfo: &str) -> Option<&'t str> {
    let id = fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let line = mountinfo.lines().find(|line| line.split(' ').next() == Some(id))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;
    use crate::agent::tests::Folder;

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn no_link_in_the_path_is_followed() {
        let folder = Folder::new("links");
        std::fs::create_dir(folder.path("real")).unwrap();
        let listener = UnixListener::bind(folder.path("real/socket")).unwrap();
        symlink("real", folder.path("link")).unwrap();
        symlink("real/socket", folder.path("socket")).unwrap();
        symlink("itself", folder.path("itself")).unwrap();
        symlink("/proc/self/root", folder.path("root")).unwrap();
        let directory = Directory::open(&folder.path(""), own_uid()).unwrap();
        for name in ["link/socket", "socket", "itself", "root/proc/version"] {
            assert_eq!(directory.connect(name, deadline()).err(), Some(Failure::Link), "{name}");
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock,
            "somebody was asked"
        );
        assert!(directory.connect("real/socket", deadline()).is_ok());
        // The directory itself, too.
        let linked = Directory::open(&folder.path("link"), own_uid());
        assert_eq!(linked.err(), Some(Failure::Link));
    }

    #[test]
    fn only_the_user_of_the_directory_is_talked_to() {
        let folder = Folder::new("stranger");
        let _listener = UnixListener::bind(folder.path("socket")).unwrap();
        let directory = Directory::open(&folder.path(""), own_uid().wrapping_add(1)).unwrap();
        let asked = directory.connect("socket", deadline());
        assert_eq!(asked.err(), Some(Failure::Stranger));
        assert!(Failure::Stranger.words().starts_with("not asked"));
    }

    #[test]
    fn what_is_no_socket_or_no_file_is_not_waited_for() {
        let folder = Folder::new("files");
        std::fs::write(folder.path("file"), "").unwrap();
        std::fs::create_dir(folder.path("directory")).unwrap();
        // To open it would wait without end.
        let fifo = std::process::Command::new("mkfifo").arg(folder.path("fifo")).status().unwrap();
        assert!(fifo.success());
        let directory = Directory::open(&folder.path(""), own_uid()).unwrap();
        std::fs::write(folder.path("text"), "nameserver 1.1.1.1\n").unwrap();
        std::fs::write(folder.path("long"), "a".repeat((64 << 10) + 1)).unwrap();
        symlink("text", folder.path("link")).unwrap();
        assert_eq!(directory.text("text").unwrap(), "nameserver 1.1.1.1\n");
        assert_eq!(directory.text("fifo").unwrap(), "");
        assert_eq!(directory.text("link"), Err(Failure::Link));
        assert_eq!(directory.text("long"), Err(Failure::Errno(Errno::FBIG)));
        for name in ["file", "directory", "fifo"] {
            let refused = directory.connect(name, deadline()).err();
            assert_eq!(refused, Some(Failure::Errno(Errno::CONNREFUSED)), "{name}");
        }
        assert_eq!(directory.connect("nothing", deadline()).err(), Some(Failure::Errno(Errno::NOENT)));
    }

    #[test]
    fn another_file_system_is_not_entered() {
        // The kernel's own files are on a file system of their own.
        let directory = Directory::open(Path::new("/"), 0).unwrap();
        assert_eq!(directory.find("proc/version").err(), Some(Failure::Mount));
        let mountinfo = "22 1 254:1 / / rw shared:1 - ext4 /dev/vda3 rw\n\
            31 22 0:6 / /run/user/501 rw - tmpfs tmpfs rw\n\
            32 31 0:7 / /run/user/501 rw - fuse.sshfs a rw\n";
        assert_eq!(mount_type(mountinfo, "pos:\t0\nflags:\t010\nmnt_id:\t31\n"), Some("tmpfs"));
        assert_eq!(mount_type(mountinfo, "mnt_id:\t32\n"), Some("fuse.sshfs"));
        assert_eq!(mount_type(mountinfo, "mnt_id:\t3\n"), None);
        assert_eq!(mount_type(mountinfo, ""), None);
    }
}
