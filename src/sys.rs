//! The only unsafe code: system calls that rustix does not have, or that the standard library has only at the cost of a
//! larger program.
#![allow(unsafe_code)]

#[cfg(all(not(fuzzing), any(test, not(debug_assertions))))]
mod allocator;
mod disks;
#[cfg(all(panic = "abort", target_env = "musl"))]
mod no_unwinder;
mod project;
mod tap;

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::error::errno_of;
pub use disks::{KernelPartition, leave_mount_namespace, replace_by, tell_kernel};
pub use project::project_of_new_files;
pub use tap::{open_tap, set_carrier, set_up};

/// A socket option of `linux/vm_sockets.h`. Its value is a `timeval` on machines whose long has 64 bits.
const SO_VM_SOCKETS_CONNECT_TIMEOUT: libc::c_int = 6;

/// Connects to `port` of the host by vsock(7), as [`connect_by_vsock`] does.
///
/// # Errors
/// As there.
pub fn connect_to_host(port: u32, patience: Duration) -> Result<OwnedFd, Errno> {
    connect_by_vsock(libc::VMADDR_CID_HOST, port, patience)
}

/// Connects to `port` of the machine `cid` by vsock(7). The kernel gives up after `patience` instead of its default of two
/// seconds.
///
/// # Errors
/// errno of socket(2), setsockopt(2) or connect(2).
pub fn connect_by_vsock(cid: u32, port: u32, patience: Duration) -> Result<OwnedFd, Errno> {
    let check = |code: libc::c_int| match code {
        0.. => Ok(code),
        _ => Err(errno_of(&std::io::Error::last_os_error())),
    };
    // SAFETY: no pointers are passed.
    let raw = check(unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just opened, and nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let timeout = libc::timeval {
        tv_sec: patience.as_secs().try_into().map_err(|_| Errno::DOM)?,
        tv_usec: patience.subsec_micros().into(),
    };
    // SAFETY: the pointer is to a whole `timeval`, whose size is told, and the kernel copies it.
    check(unsafe {
        libc::setsockopt(
            raw,
            libc::AF_VSOCK,
            SO_VM_SOCKETS_CONNECT_TIMEOUT,
            (&raw const timeout).cast(),
            length_of::<libc::timeval>(),
        )
    })?;
    let address = libc::sockaddr_vm {
        svm_family: libc::AF_VSOCK.try_into().map_err(|_| Errno::AFNOSUPPORT)?,
        svm_reserved1: 0,
        svm_port: port,
        svm_cid: cid,
        svm_zero: [0; 4],
    };
    // SAFETY: the pointer is to a whole `sockaddr_vm`, whose size is told, and the kernel copies it.
    check(unsafe { libc::connect(raw, (&raw const address).cast(), length_of::<libc::sockaddr_vm>()) })?;
    Ok(fd)
}

/// Sets the mode of an open file, which may be opened with `O_PATH`, by fchmodat2(2).
///
/// # Errors
/// errno of fchmodat2(2); `ENOSYS` before Linux 6.6.
pub fn set_mode_of(file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    /// The number of the system call, which is the same on every architecture of Debian.
    const FCHMODAT2: libc::c_long = 452;
    // SAFETY: the name is a string that ends in NUL and outlives the call; the call writes to no memory.
    let code = unsafe { libc::syscall(FCHMODAT2, file.as_raw_fd(), c"".as_ptr(), mode, libc::AT_EMPTY_PATH) };
    if code == 0 { Ok(()) } else { Err(errno_of(&std::io::Error::last_os_error())) }
}

/// Returns the addresses of all network interfaces, each with the name of its interface.
///
/// # Errors
/// errno of getifaddrs(3).
pub fn network_addresses() -> Result<Vec<(String, IpAddr)>, Errno> {
    let mut list = ptr::null_mut();
    // SAFETY: `list` is a valid place for the list's start; it is freed below, once.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(errno_of(&std::io::Error::last_os_error()));
    }
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: the items are getifaddrs(3)'s until they are freed, and the last one's `ifa_next` is null.
    while let Some(item) = unsafe { next.as_ref() } {
        next = item.ifa_next;
        // SAFETY: `ifa_addr` is null or points to an address, whose family tells how long it is at least.
        let address = unsafe {
            match item.ifa_addr.as_ref().map(|address| libc::c_int::from(address.sa_family)) {
                Some(libc::AF_INET) => {
                    let address: libc::sockaddr_in =
                        item.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    IpAddr::from(address.sin_addr.s_addr.to_ne_bytes())
                }
                Some(libc::AF_INET6) => {
                    let address: libc::sockaddr_in6 =
                        item.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    IpAddr::from(address.sin6_addr.s6_addr)
                }
                _ => continue,
            }
        };
        // SAFETY: `ifa_name` is a string of the item.
        let name = unsafe { CStr::from_ptr(item.ifa_name) };
        addresses.push((name.to_string_lossy().into_owned(), address));
    }
    // SAFETY: the list is getifaddrs(3)'s, and nothing borrows from it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

/// Forbids this thread, and all threads and programs that it starts, to change any file system, by landlock(7). Files that
/// are open already can still be written to. Returns false if the kernel has no Landlock.
///
/// # Errors
/// errno of prctl(2) or of Landlock's calls.
pub fn forbid_changes() -> Result<bool, Errno> {
    /// The rights of ABI 1 to write to files, and to remove and make files of all kinds.
    const CHANGES: u64 = (1 << 1) | (0b1_1111_1111 << 4);
    restrict_files(&[(1, CHANGES), (3, TRUNCATE)], &[])
}

/// Forbids this thread, and all threads and programs that it starts, to use any file but to read those at `paths` and, where a
/// path is that of a directory, those below it. Paths that are missing are left out. Open files and the network are not
/// restricted. Returns false if the kernel has no Landlock.
///
/// # Errors
/// errno of open(2), fstat(2), prctl(2) or of Landlock's calls.
#[allow(clippy::disallowed_methods, reason = "not paths of the root, and nothing is opened but the names")]
pub fn allow_only_reading(paths: &[&Path]) -> Result<bool, Errno> {
    /// All rights of ABI 1: to execute, write, read, list, remove and make files of all kinds.
    const ALL: u64 = (1 << 13) - 1;
    /// The right to link and rename across directories, in ABI 2, and that to control devices, in ABI 5.
    const REFER: u64 = 1 << 13;
    const CONTROL_DEVICES: u64 = 1 << 15;
    let mut readable = Vec::new();
    for path in paths {
        match open(*path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => {
                let is_directory = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Directory;
                readable.push((fd, if is_directory { READ | LIST } else { READ }));
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    restrict_files(&[(1, ALL), (2, REFER), (3, TRUNCATE), (5, CONTROL_DEVICES)], &readable)
}

// Landlock's rights to read a file and to list a directory, in ABI 1, and to truncate a file, in ABI 3 (Linux 6.2).
const READ: u64 = 1 << 2;
const LIST: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;

/// Takes rights away from this thread by landlock(7), each if the kernel's ABI has it: `rights` has the first ABI with each.
/// `exceptions` are files and directories with the rights that stay there.
fn restrict_files(rights: &[(libc::c_long, u64)], exceptions: &[(OwnedFd, u64)]) -> Result<bool, Errno> {
    /// The flag that asks for the number of the ABI.
    const VERSION: libc::c_int = 1;
    /// The kind of a rule for a file, or for a directory and everything below it.
    const PATH_BENEATH: libc::c_int = 1;
    /// `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct PathBeneath {
        allowed: u64,
        fd: i32,
    }

    let check = |code: libc::c_long| match code {
        0.. => Ok(code),
        _ => Err(errno_of(&std::io::Error::last_os_error())),
    };
    let nothing = ptr::null::<u64>();
    // SAFETY: with this flag the call takes a null pointer and no size.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    let version = match check(version) {
        Ok(version) => version,
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let known = rights.iter().filter(|(first, _)| version >= *first);
    let handled = known.fold(0, |all, (_, right)| all | right);
    let attributes = &raw const handled;
    // SAFETY: the attributes of ABI 1 are one number of 64 bits, whose size is told.
    let raw = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes, size_of::<u64>(), 0) };
    let raw = check(raw)?.try_into().map_err(|_| Errno::BADF)?;
    // SAFETY: the descriptor was just opened, and nothing else owns it.
    let rules = unsafe { OwnedFd::from_raw_fd(raw) };
    for (fd, allowed) in exceptions {
        let rule = PathBeneath { allowed: *allowed, fd: fd.as_raw_fd() };
        let rule = &raw const rule;
        // SAFETY: the pointer is to a whole rule of this kind, which the kernel copies.
        check(unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), PATH_BENEATH, rule, 0)
        })?;
    }
    let [one, zero]: [libc::c_ulong; 2] = [1, 0];
    // SAFETY: no pointers are passed; the arguments are as wide as the call takes them.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) }.into())?;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) })?;
    Ok(true)
}

/// Loads `kernel` with `initrd` and the command line `line`, to be started by reboot(2) with `LINUX_REBOOT_CMD_KEXEC`.
///
/// # Errors
/// errno of `kexec_file_load(2)`, among them `EPERM` if this is forbidden, `ENOEXEC` or `EKEYREJECTED` for a kernel that is not
/// accepted.
pub fn load_kernel(kernel: BorrowedFd<'_>, initrd: Option<BorrowedFd<'_>>, line: &CStr) -> Result<(), Errno> {
    /// The flag that says that there is no initramfs.
    const NO_INITRAMFS: libc::c_ulong = 4;
    // The crate libc does not know this number for arm64. It is the one of the processors without numbers of their own.
    #[cfg(target_arch = "x86_64")]
    const NUMBER: libc::c_long = libc::SYS_kexec_file_load;
    #[cfg(not(target_arch = "x86_64"))]
    const NUMBER: libc::c_long = 294;
    let (initrd, flags) = initrd.map_or((-1, NO_INITRAMFS), |initrd| (initrd.as_raw_fd(), 0));
    // SAFETY: the line is a string whose length is told with its NUL, it outlives the call, and the kernel copies it; the
    // descriptors are open.
    let code = unsafe {
        libc::syscall(
            NUMBER,
            kernel.as_raw_fd(),
            initrd,
            line.count_bytes().saturating_add(1),
            line.as_ptr(),
            flags,
        )
    };
    if code == 0 { Ok(()) } else { Err(errno_of(&std::io::Error::last_os_error())) }
}

/// Returns the size of a structure, in the type that the socket calls take.
#[allow(clippy::cast_possible_truncation, reason = "structures of a few bytes")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// Runs the program `arguments[0]`, which is found by `PATH`, and waits for it. It gets this process's descriptors, and an
/// environment with nothing but `PATH`. Returns its exit code, or `None` if a signal ended it.
///
/// # Errors
/// As for [`spawn`], or errno of waitpid(2); `EINVAL` without a program.
pub fn spawn_and_wait(arguments: &[&CStr]) -> Result<Option<i32>, Errno> {
    let program = arguments.first().ok_or(Errno::INVAL)?;
    let child = spawn(program, arguments, &[c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"], None)?;
    let ended = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()))?;
    Ok(ended.and_then(|(_, status)| status.exit_status()))
}

/// Starts `program`, which is found by `PATH` unless it has a slash, with `arguments`, whose first is its name, and with the
/// variables `environment` alone. If `stdio` are given, they become its standard input, output and error, and it is in a process group of its own.
///
/// # Errors
/// errno of `posix_spawnp(3)`.
pub fn spawn(
    program: &CStr,
    arguments: &[&CStr],
    environment: &[&CStr],
    stdio: Option<[BorrowedFd<'_>; 3]>,
) -> Result<Pid, Errno> {
    let check = |code: libc::c_int| if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code)) };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let mut child = 0;
    let mut actions = MaybeUninit::<libc::posix_spawn_file_actions_t>::uninit();
    let mut attributes = MaybeUninit::<libc::posix_spawnattr_t>::uninit();
    // SAFETY: both are valid places for what these functions initialise.
    unsafe {
        check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
        check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
    }
    let (actions, attributes) = (actions.as_mut_ptr(), attributes.as_mut_ptr());
    let mut start = || {
        // The standard library has opened the descriptors 0 to 2, so that none of these is one of those.
        for (target, fd) in (0..).zip(stdio.iter().flatten()) {
            // SAFETY: the actions are initialised, and the function keeps no pointer.
            check(unsafe { libc::posix_spawn_file_actions_adddup2(actions, fd.as_raw_fd(), target) })?;
        }
        if stdio.is_some() {
            // The flag has a value of two bits.
            let flag = libc::c_short::try_from(libc::POSIX_SPAWN_SETPGROUP).map_err(|_| Errno::INVAL)?;
            // SAFETY: the attributes are initialised. A process group of 0 is a new one.
            check(unsafe { libc::posix_spawnattr_setflags(attributes, flag) })?;
        }
        // SAFETY: all pointers but the last of both arrays are strings that end in NUL and outlive the call, both
        // arrays end in a null pointer, and posix_spawnp(3) writes to none of them.
        check(unsafe {
            libc::posix_spawnp(
                &raw mut child,
                program.as_ptr(),
                actions,
                attributes,
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        })
    };
    let started = start();
    // SAFETY: both are initialised, and nothing uses them any more.
    unsafe {
        libc::posix_spawn_file_actions_destroy(actions);
        libc::posix_spawnattr_destroy(attributes);
    }
    started.and_then(|()| Pid::from_raw(child).ok_or(Errno::SRCH))
}

/// Returns the pointers to `texts`, which the caller keeps, and a null pointer at the end.
fn pointers(texts: &[&CStr]) -> Vec<*mut libc::c_char> {
    let texts = texts.iter().map(|text| text.as_ptr().cast_mut());
    texts.chain(std::iter::once(ptr::null_mut())).collect()
}

/// The bytes of a file, mapped by mmap(2). They share memory with the kernel's cache, which can free it at any time.
#[derive(Debug)]
pub struct Mapped {
    start: ptr::NonNull<u8>,
    length: usize,
}

impl Mapped {
    /// Maps the whole file at `path`. Nobody may write to that file while it is mapped; to replace it by renaming is fine.
    ///
    /// # Errors
    /// errno of open(2), fstat(2) or mmap(2); `EINVAL` for an empty file.
    #[allow(clippy::disallowed_methods, reason = "not a path of the root, and only read")]
    pub fn new(path: &Path) -> Result<Self, Errno> {
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let length = usize::try_from(fstat(&file)?.st_size).map_err(|_| Errno::FBIG)?;
        // SAFETY: a new private mapping that the kernel places aliases nothing.
        let start = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) }?;
        let start = ptr::NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, length })
    }
}

impl std::ops::Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `length` bytes long, readable, and stays until it is dropped; the file is one that
        // nobody writes to in place.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping any more. A failure would only leave it.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_forbidden_to_one_thread_and_what_it_starts() {
        let temp = crate::testing::TempDir::new("landlock");
        let path = temp.join("file");
        std::fs::write(&path, "before").unwrap();
        let tried = std::thread::scope(|scope| {
            let restricted = scope.spawn(|| {
                let is_forbidden = forbid_changes().unwrap();
                let touch = std::process::Command::new("touch").arg(temp.join("new")).status().unwrap();
                let tries = [
                    std::fs::write(&path, "after").is_err(),
                    std::fs::remove_file(&path).is_err(),
                    std::fs::create_dir(temp.join("directory")).is_err(),
                    !touch.success(),
                ];
                (is_forbidden, tries, std::fs::read_to_string(&path).unwrap_or_default())
            });
            restricted.join().unwrap()
        });
        match tried {
            (true, found, text) => assert_eq!((found, text.as_str()), ([true; 4], "before")),
            (false, found, _) => assert_eq!(found, [false; 4], "a kernel without Landlock"),
        }
        std::fs::write(&path, "after").unwrap();
    }

    #[test]
    fn the_loopback_has_an_address() {
        let addresses = network_addresses().unwrap();
        assert!(addresses.contains(&("lo".to_owned(), IpAddr::from([127, 0, 0, 1]))), "{addresses:?}");
    }

    #[test]
    fn programs_are_found_run_and_waited_for() {
        assert_eq!(spawn_and_wait(&[c"true"]), Ok(Some(0)));
        assert_eq!(spawn_and_wait(&[c"sh", c"-c", c"exit 7"]), Ok(Some(7)));
        assert_eq!(spawn_and_wait(&[c"sh", c"-c", c"kill -9 $$"]), Ok(None));
        assert!(matches!(spawn_and_wait(&[c"no-such-program"]), Err(Errno::NOENT) | Ok(Some(127))));
        assert_eq!(spawn_and_wait(&[]), Err(Errno::INVAL));
        assert_eq!(spawn_and_wait(&[c"true"; 900]), Ok(Some(0)));
    }
}
