//! Watches for writes, and compares states of a tree, to prove that something was left alone.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use rustix::fs::{CWD, inotify, lgetxattr, llistxattr};

use crate::sandbox::Sandbox;

/// Files over this many bytes are not compared: tests make them only to fill disks.
const LARGE: u64 = 20 << 20;

/// Sees what happens outside of the root: every access to `outside`, and every file of the whole namespace that is opened
/// for writing or written to.
pub struct Watch {
    outside: OwnedFd,
    /// `None` in a user namespace, where the kernel does not allow fanotify.
    everywhere: Option<Fanotify>,
}

impl Watch {
    /// Starts to watch. Everything in `outside` must exist already.
    pub fn new(sandbox: &Sandbox) -> Self {
        let outside = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        // Another test may be starting a process, which then closes a directory late that this process has opened.
        let touches = inotify::WatchFlags::ALL_EVENTS.difference(inotify::WatchFlags::CLOSE_NOWRITE)
            | inotify::WatchFlags::DONT_FOLLOW;
        for path in below(&sandbox.outside()) {
            inotify::add_watch(&outside, &path, touches).unwrap();
        }
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_NONBLOCK | InitFlags::FAN_UNLIMITED_QUEUE;
        let everywhere = match Fanotify::init(flags, EventFFlags::O_RDONLY) {
            Err(nix::errno::Errno::EPERM) if is_user_namespace() => {
                return Self { outside, everywhere: None };
            }
            everywhere => everywhere.unwrap(),
        };
        let written = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE;
        let mark = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT;
        let base = sandbox.root().parent().unwrap().to_owned();
        // The base holds the root, and /dev the log of the program. /proc and /sys cannot be marked.
        let known = [base.as_path(), Path::new("/dev"), Path::new("/proc"), Path::new("/sys")];
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        for line in mounts.lines() {
            let point = PathBuf::from(line.split(' ').nth(4).unwrap().replace("\\040", " "));
            if !known.iter().any(|known| point.starts_with(known)) {
                everywhere.mark(mark, written, CWD, Some(&point)).unwrap();
            }
        }
        Self { outside, everywhere: Some(everywhere) }
    }

    /// Returns what has happened since the last call. The text is empty if nothing has.
    pub fn seen(&self) -> String {
        let mut text = String::new();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.outside, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => writeln!(text, "outside: {:?} {:?}", event.events(), event.file_name()).unwrap(),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(errno) => panic!("read the watch: {errno}"),
            }
        }
        match self.everywhere.as_ref().map(Fanotify::read_events) {
            Some(Ok(events)) => {
                for event in events {
                    let fd = event.fd().map(|fd| fd.as_raw_fd());
                    let path = fd.and_then(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).ok());
                    writeln!(text, "written to: {path:?} {:?}", event.mask()).unwrap();
                }
            }
            None | Some(Err(nix::errno::Errno::EAGAIN)) => {}
            Some(Err(errno)) => panic!("read the watch: {errno}"),
        }
        text
    }
}

/// Returns whether root is only the root of a user namespace, in which not every id is mapped to itself.
fn is_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

/// `path` and everything below it.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    let mut next = 0;
    while next < paths.len() {
        if !paths[next].is_symlink() && paths[next].is_dir() {
            let entries = fs::read_dir(&paths[next]).unwrap().map(|entry| entry.unwrap().path());
            paths.extend(entries.collect::<Vec<_>>());
        }
        next += 1;
    }
    paths.sort();
    paths
}

/// Returns a line for every inode below `top`, with its attributes and contents. The times of directories are left out,
/// because staging may have changed them and have been undone.
pub fn state(top: &Path) -> Vec<String> {
    let line = |path: PathBuf| {
        let stat = fs::symlink_metadata(&path).unwrap();
        let kind = stat.file_type();
        let times = (!kind.is_dir()).then(|| (stat.mtime(), stat.mtime_nsec()));
        let contents = if kind.is_file() && stat.size() > LARGE {
            "large".to_owned()
        } else if kind.is_file() {
            fs::read(&path).map_or_else(|error| error.to_string(), |bytes| told(&bytes))
        } else if kind.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            String::new()
        };
        let owner = format!("{:o} {}:{}", stat.mode(), stat.uid(), stat.gid());
        // File systems count the links of a directory differently.
        let links = if kind.is_dir() { 1 } else { stat.nlink() };
        let inode = format!("{} {links} {}", stat.ino(), stat.rdev());
        let name = path.strip_prefix(top).unwrap().display().to_string();
        format!(
            "/{name} {owner} {inode} {} {times:?} {} {contents}",
            stat.size() * u64::from(!kind.is_dir()),
            attributes(&path)
        )
    };
    below(top).into_iter().map(line).collect()
}

/// Returns the contents, without pages of zeroes.
fn told(bytes: &[u8]) -> String {
    const PAGE: usize = 4096;
    let mut text = String::new();
    for (number, page) in bytes.chunks(PAGE).enumerate().filter(|(_, page)| **page != [0; PAGE][..page.len()])
    {
        write!(text, "{number}: {}", page.escape_ascii()).unwrap();
    }
    text
}

/// Returns the extended attributes.
fn attributes(path: &Path) -> String {
    let mut names = vec![0; 1024];
    let length = llistxattr(path, &mut names).unwrap();
    let mut text = String::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1024];
        let length = lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        write!(text, "{}={},", name.escape_ascii(), value[..length].escape_ascii()).unwrap();
    }
    text
}

/// Returns the lines that only `before` or only `after` has. Long lines are cut.
pub fn difference(before: &[String], after: &[String]) -> String {
    let mut text = String::new();
    for (sign, these, those) in [('-', before, after), ('+', after, before)] {
        for line in these.iter().filter(|line| !those.contains(line)).take(8) {
            writeln!(text, "  {sign} {}", line.chars().take(160).collect::<String>()).unwrap();
        }
    }
    text
}
