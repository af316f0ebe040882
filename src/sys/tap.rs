//! Calls for a tap device: a network interface whose frames a program reads and writes.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::error::errno_of;

/// The size of the name of an interface, with its NUL.
const NAME: usize = 16;

/// `struct ifreq`: the name of an interface, and a union whose longest member has 24 bytes.
#[repr(C, align(8))]
struct Request {
    name: [u8; NAME],
    value: [u8; 24],
}

impl Request {
    fn new(name: &str, value: &[u8]) -> Result<Self, Errno> {
        let mut request = Self { name: [0; NAME], value: [0; 24] };
        // The last byte stays NUL.
        let place = request.name.get_mut(..name.len()).filter(|place| place.len() < NAME);
        place.ok_or(Errno::NAMETOOLONG)?.copy_from_slice(name.as_bytes());
        request.value.get_mut(..value.len()).ok_or(Errno::OVERFLOW)?.copy_from_slice(value);
        Ok(request)
    }

    /// Calls ioctl(2) with this structure. `number` must be a request that takes one.
    fn call(&mut self, fd: BorrowedFd<'_>, number: libc::Ioctl) -> Result<(), Errno> {
        // SAFETY: the pointer is to a whole `struct ifreq`, which outlives the call.
        let code = unsafe { libc::ioctl(fd.as_raw_fd(), number, &raw mut *self) };
        if code == 0 { Ok(()) } else { Err(errno_of(&std::io::Error::last_os_error())) }
    }
}

/// Opens the tap device with the interface `name`, without blocking reads. The kernel makes the interface if it does not
/// exist, and removes it again with the last descriptor. An interface that existed before stays.
///
/// # Errors
/// errno of open(2) or of `TUNSETIFF`: `EBUSY` if another program has the device open, `EINVAL` if the interface is not
/// a tap device, `ENAMETOOLONG` for a name of more than 15 bytes.
#[allow(clippy::disallowed_methods, reason = "not a path of the root, and not a file that keeps anything")]
pub fn open_tap(name: &str) -> Result<OwnedFd, Errno> {
    /// `_IOW('T', 202, int)`.
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
    /// `IFF_TAP | IFF_NO_PI`: whole ethernet frames, without a header of the kernel before each.
    const FLAGS: u16 = 0x0002 | 0x1000;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut request = Request::new(name, &FLAGS.to_ne_bytes())?;
    let tap = open(Path::new("/dev/net/tun"), flags, Mode::empty())?;
    request.call(tap.as_fd(), TUNSETIFF)?;
    Ok(tap)
}

/// Tells the kernel whether the tap device has a carrier, as if a cable were plugged in or pulled.
///
/// # Errors
/// errno of `TUNSETCARRIER`: `EBADFD` if the interface is gone.
pub fn set_carrier(tap: BorrowedFd<'_>, is_on: bool) -> Result<(), Errno> {
    /// `_IOW('T', 226, int)`.
    const TUNSETCARRIER: libc::Ioctl = 0x4004_54e2;
    let value = libc::c_int::from(is_on);
    // SAFETY: the pointer is to a number, which the kernel copies.
    let code = unsafe { libc::ioctl(tap.as_raw_fd(), TUNSETCARRIER, &raw const value) };
    if code == 0 { Ok(()) } else { Err(errno_of(&std::io::Error::last_os_error())) }
}

/// Gives the ethernet interface `name` the address `mac` and sets it up.
///
/// # Errors
/// errno of socket(2) or of the ioctls of netdevice(7).
pub fn set_up(name: &str, mac: [u8; 6]) -> Result<(), Errno> {
    const SIOCGIFFLAGS: libc::Ioctl = 0x8913;
    const SIOCSIFFLAGS: libc::Ioctl = 0x8914;
    const SIOCSIFHWADDR: libc::Ioctl = 0x8924;
    /// The kind of address of an ethernet device.
    const ARPHRD_ETHER: u16 = 1;
    const IFF_UP: u8 = 1;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let address = [&ARPHRD_ETHER.to_ne_bytes()[..], &mac].concat();
    Request::new(name, &address)?.call(socket.as_fd(), SIOCSIFHWADDR)?;
    let mut flags = Request::new(name, &[])?;
    flags.call(socket.as_fd(), SIOCGIFFLAGS)?;
    // The flags are a number of 16 bits.
    let [first, second, ..] = flags.value;
    let up = u16::from_ne_bytes([first, second]) | u16::from(IFF_UP);
    Request::new(name, &up.to_ne_bytes())?.call(socket.as_fd(), SIOCSIFFLAGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_nul() {
        let name = |text: &str| Request::new(text, &[]).map(|request| request.name);
        assert_eq!(name("vsock0").unwrap(), *b"vsock0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(name("123456789012345").unwrap(), *b"123456789012345\0");
        for long in ["1234567890123456", "12345678901234567"] {
            assert_eq!(name(long).err(), Some(Errno::NAMETOOLONG));
        }
    }

    #[test]
    fn a_request_is_as_large_as_the_kernels() {
        assert_eq!((size_of::<Request>(), align_of::<Request>()), (40, 8));
    }
}
