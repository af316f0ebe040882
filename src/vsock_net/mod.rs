//! The network of a podman machine on Hyper-V: it carries the frames of a tap device to the host's gvproxy, over vsock.
//! The program `glowplug-vsock-net` is called as podman's `vsock-network.service` calls gvforwarder.

mod address;
mod frames;
mod options;
mod session;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, OFlags, fcntl_setfl, statat};
use rustix::io::Errno;

pub use options::{Call, Options, parse};

use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Reason, Result, errno_words};
use crate::fd::{print_error, write_all};
use crate::{privileges, sys};
use address::Address;
use session::{End, Session};

/// The bytes of a frame around its packet: the ethernet header and a VLAN tag.
const FRAME_AROUND_PACKET: u16 = 18;
/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The pauses between tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the host may leave the first frames of a connection without one of its own. The time doubles with each
/// connection that ends this way, because a machine without an address by DHCP may ask for nothing for long.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_PATIENCE: Duration = Duration::from_secs(640);

/// How long a connection must have worked for its end to count as something new.
const LONG_ENOUGH: Duration = Duration::from_secs(10);
/// How many reasons are told until a connection has worked for that long.
const MOST_TOLD: usize = 16;

/// Carries frames for as long as the process lives, over one connection after another. Returns at once if an interface of
/// [`Options::unless`] exists: then the machine has a network of another kind.
///
/// # Errors
/// [`Reason::System`] if the tap device cannot be opened or is removed, or privileges cannot be given up.
pub fn run(options: &Options) -> Result<()> {
    for name in &options.unless {
        if interface_exists(name)? {
            print_error(&format!("the interface {name} exists: this machine needs no network over vsock"));
            return Ok(());
        }
    }
    let tap = open(options)?;
    privileges::give_up()?;
    if !sys::allow_only_reading(&[])
        .map_err(|errno| Error::system("restrict access to files by Landlock", errno))?
    {
        print_error("this kernel has no Landlock: files of the system that are public can be read");
    }
    carry(options, tap.as_fd())
}

/// Opens the tap device, and sets it up unless somebody else does. It has no carrier yet.
fn open(options: &Options) -> Result<OwnedFd> {
    let name = &options.interface;
    if options.is_preexisting && !interface_exists(name)? {
        let text = format!("there is no interface {name}, although -preexisting says that there is");
        return Err(Error::new(Reason::System, text)
            .advise(format!("Make it first: ip tuntap add dev {name} mode tap")));
    }
    let act = format!("open the tap device {name}");
    let tap = sys::open_tap(name).map_err(|errno| Error::system(&act, errno).advise(advice(errno)))?;
    // Without this, the machine would ask for an address while nobody can answer.
    take_carrier(tap.as_fd(), name)?;
    if !options.is_preexisting {
        sys::set_up(name, options.mac).map_err(|errno| Error::system(&format!("set {name} up"), errno))?;
    }
    Ok(tap)
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::BUSY => "Another program has the device open, perhaps one more of this program.",
        Errno::INVAL => {
            "The interface exists and is not a tap device: remove it, or name another one with -iface."
        }
        Errno::NOENT | Errno::NODEV => "Load the kernel's module tun: modprobe tun.",
        _ => "Opening a tap device needs root, or CAP_NET_ADMIN, and access to /dev/net/tun.",
    }
}

/// Takes the carrier of the tap device away.
fn take_carrier(tap: BorrowedFd<'_>, name: &str) -> Result<()> {
    sys::set_carrier(tap, false).map_err(|errno| lost(name, errno))
}

/// Returns the error for a tap device that was opened and does not work.
fn lost(name: &str, errno: Errno) -> Error {
    let advice = "Somebody has removed the interface: start the service again.";
    Error::system(&format!("use the tap device {name}"), errno).advise(advice)
}

/// Connects again and again. Returns only if the tap device fails.
fn carry(options: &Options, tap: BorrowedFd<'_>) -> Result<()> {
    let most = usize::from(options.mtu.saturating_add(FRAME_AROUND_PACKET));
    let mut told: Vec<String> = Vec::new();
    let mut patience = PATIENCE;
    let mut pauses = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let why = match connect(&options.url) {
            Err(errno) => format!("no connection to {}: {}", options.url, errno_words(errno)),
            Ok(socket) => {
                let began = Instant::now();
                let mut session = Session::new(tap, socket, most, patience, options.debug);
                let why = match session.run() {
                    End::Device(errno) => return Err(lost(&options.interface, errno)),
                    End::Connection(why) => format!("{}: {why}", options.url),
                };
                patience = if session.has_worked() {
                    PATIENCE
                } else {
                    patience.saturating_mul(2).min(LONGEST_PATIENCE)
                };
                if session.has_worked() && began.elapsed() > LONG_ENOUGH {
                    told.clear();
                    pauses = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
                }
                why
            }
        };
        // This also tells whether the interface still exists.
        take_carrier(tap, &options.interface)?;
        // A host that is away for hours, or that fails in turns, gets one line for each reason.
        if !told.contains(&why) && told.len() < MOST_TOLD {
            print_error(&why);
            told.push(why);
        }
        pauses.wait(Deadline::after(CONNECT));
    }
}

/// Connects and asks for frames. The socket does not block afterwards.
fn connect(address: &Address) -> std::result::Result<OwnedFd, Errno> {
    let socket = address.connect(CONNECT)?;
    write_all(socket.as_fd(), address.request().as_bytes())?;
    fcntl_setfl(&socket, OFlags::NONBLOCK)?;
    Ok(socket)
}

/// Returns whether there is a network interface of this name.
fn interface_exists(name: &str) -> Result<bool> {
    let path = Path::new("/sys/class/net").join(name);
    match statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::system_at("look for", &path, errno)),
    }
}
