//! The ready signal: one line to the host, once a boot, if the stamp says that this root is provisioned.
//!
//! Nothing here allocates in its steady state: the helper waits for its host in a few pages of memory.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use heapless::String;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use vsock::VsockStream;

use crate::deadline::{Backoff, Deadline};
use crate::error::{errno_of, errno_words};
use crate::fd;
use crate::stamp::{self, Fault, LIMIT, STAMP, Stamp, Verdict};
use crate::sys;

/// The port that podman listens on for the signal, where its config names no other.
const PORT: u32 = 1025;
/// podman's own unit: on Hyper-V only its text has the port, which is another for every machine.
const UNIT: &str = "/etc/systemd/system/ready.service";
/// What stands before the port there.
const BEFORE_PORT: &[u8] = b"VSOCK-CONNECT:2:";
/// podman's unit is under 1 KiB.
const UNIT_LIMIT: usize = 8 << 10;
/// The name of the port that podman's QEMU listens on.
const VIRTIO_PORT: &str = "org.fedoraproject.port.0";
/// What the host reads up to the end of the line.
const SIGNAL: &[u8] = b"Ready\n";
/// Where the outcome is recorded.
pub(crate) const RECORD: &str = "/run/glowplug/ready.json";
/// How long one connection may take to come about. A host without time may still accept one that was given up here,
/// and podman takes an empty connection for the end: so rather long, and not less than so much at the deadline.
const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why no signal was sent. The word is stable and decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no stamp: this root has not been provisioned.
    StampMissing,
    /// The stamp says nothing about this root.
    Stamp(Fault),
    /// There is neither a vsock device nor a virtio port to send to.
    NoDevice,
    /// The host did not take the signal before the deadline.
    NoHost(Errno),
    /// The outcome cannot be recorded, so that a second signal could not be prevented.
    NoRecord(Errno),
}

impl Refusal {
    /// The stable word, as it stands in the record and in the manual.
    pub fn word(self) -> &'static str {
        match self {
            Self::StampMissing => "stamp-missing",
            Self::Stamp(fault) => fault.reason().word(),
            Self::NoDevice => "no-device",
            Self::NoHost(_) => "no-host",
            Self::NoRecord(_) => "no-record",
        }
    }

    /// The exit code, listed in `glowplug-ready(8)`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::StampMissing => 60,
            Self::Stamp(fault) => fault.reason().exit_code(),
            Self::NoDevice => 64,
            Self::NoHost(_) => 10,
            Self::NoRecord(_) => 65,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StampMissing => write!(f, "{STAMP} is missing: this root has not been provisioned"),
            Self::Stamp(fault @ Fault::Unreadable(..)) => write!(f, "{fault}"),
            Self::Stamp(fault) => {
                write!(
                    f,
                    "{fault} (a root that is provisioned all the same: run \"glowplug adopt --root /\")"
                )
            }
            Self::NoDevice => write!(f, "no vsock device and no virtio port {VIRTIO_PORT}"),
            Self::NoHost(errno) => write!(f, "the host did not take the signal: {}", errno_words(*errno)),
            Self::NoRecord(errno) => write!(f, "record the outcome in {RECORD}: {}", errno_words(*errno)),
        }
    }
}

/// How the signal went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The line was written after this many tries.
    Sent(u32),
    /// It was written before in this boot.
    SentBefore,
}

/// Checks the stamp and sends the signal, trying again until `patience` is over. Once sent, it is never sent
/// again in this boot.
///
/// # Errors
/// The [`Refusal`], which is recorded as well.
pub fn signal(patience: Duration) -> Result<Outcome, Refusal> {
    if was_sent()? {
        return Ok(Outcome::SentBefore);
    }
    let mut buffer = [0; LIMIT];
    let done = read_stamp(&mut buffer).and_then(|_| {
        // Before anything is sent: what cannot be recorded could be sent twice.
        record(format_args!("{{\"sent\":false,\"reason\":\"trying\"}}")).map_err(Refusal::NoRecord)?;
        send(patience)
    });
    match done {
        Ok((tries, to)) => {
            record(format_args!("{{\"sent\":true,\"to\":\"{to}\",\"tries\":{tries}}}"))
                .map_err(Refusal::NoRecord)?;
            Ok(Outcome::Sent(tries))
        }
        Err(refusal) => {
            // The refusal is the error to tell, also where it cannot be recorded.
            let _ = record(format_args!("{{\"sent\":false,\"reason\":\"{}\"}}", refusal.word()));
            Err(refusal)
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "opens to read")]
fn read_file<'b>(path: &Path, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd: OwnedFd = rustix::fs::open(path, flags, Mode::empty())?;
    let mut file = File::from(fd);
    let mut length: usize = 0;
    loop {
        let rest = buffer.get_mut(length..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Errno::FBIG);
        }
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => length = length.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno_of(&error)),
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

/// The stamp of the running system, if it says that this root is provisioned.
pub(crate) fn read_stamp(buffer: &mut [u8; LIMIT]) -> Result<Stamp<'_>, Refusal> {
    match stamp::judge_running_system(buffer).map_err(Refusal::Stamp)? {
        Verdict::Missing => Err(Refusal::StampMissing),
        Verdict::Ours(stamp) | Verdict::Reference(stamp) => Ok(stamp),
    }
}

/// The character device of the virtio port that podman's QEMU listens on: `/dev/vport1p1`.
fn virtio_port() -> Option<String<64>> {
    let class = "/sys/class/virtio-ports";
    for entry in std::fs::read_dir(class).ok()?.flatten() {
        let name = entry.file_name();
        let name = name.to_str()?;
        let mut path: String<256> = String::new();
        write!(path, "{class}/{name}/name").ok()?;
        let mut buffer = [0; 256];
        let is_port = read_file(Path::new(path.as_str()), &mut buffer)
            .is_ok_and(|text| text.trim_ascii_end() == VIRTIO_PORT.as_bytes());
        if is_port {
            let mut device: String<64> = String::new();
            write!(device, "/dev/{name}").ok()?;
            return Some(device);
        }
    }
    None
}

/// The vsock port that podman's unit names, if it is one line that starts a program and names one.
fn unit_port(unit: &Path) -> Option<u32> {
    let mut buffer = [0; UNIT_LIMIT];
    let text = read_file(unit, &mut buffer).ok()?;
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"ExecStart="));
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let start = line.windows(BEFORE_PORT.len()).position(|window| window == BEFORE_PORT)?;
    let rest = line.get(start.saturating_add(BEFORE_PORT.len())..)?;
    let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    std::str::from_utf8(rest.get(..length)?).ok()?.parse().ok().filter(|port| *port > 0)
}

fn send(patience: Duration) -> Result<(u32, String<64>), Refusal> {
    let port = virtio_port();
    let vsock_port = unit_port(Path::new(UNIT)).unwrap_or(PORT);
    let mut to: String<64> = String::new();
    // Both fit.
    let _ = match &port {
        Some(_) => to.write_str(VIRTIO_PORT),
        None => write!(to, "vsock 2:{vsock_port}"),
    };
    if port.is_none() && Path::new("/dev/vsock").metadata().is_err() {
        return Err(Refusal::NoDevice);
    }
    let deadline = Deadline::after(patience);
    let mut backoff = Backoff::new();
    let mut tries: u32 = 0;
    loop {
        tries = tries.saturating_add(1);
        let sent = match &port {
            Some(device) => send_to_port(device),
            None => send_to_vsock(vsock_port, deadline.remaining()),
        };
        match sent {
            Ok(()) => return Ok((tries, to)),
            Err(_) if backoff.wait(deadline) => {}
            Err(errno) => return Err(Refusal::NoHost(errno)),
        }
    }
}

/// The host closes as soon as it has the line, so that success is the line written and nothing after it.
fn send_to_vsock(port: u32, left: Duration) -> Result<(), Errno> {
    let patience = left.clamp(*CONNECT_TIMEOUT.start(), *CONNECT_TIMEOUT.end());
    let write = || -> io::Result<()> {
        let mut stream = VsockStream::from(sys::connect_to_host(port, patience)?);
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        stream.write_all(SIGNAL)
    };
    write().map_err(|error| errno_of(&error))
}

#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
fn send_to_port(device: &str) -> Result<(), Errno> {
    // Without NONBLOCK the write waits for as long as nobody listens on the host.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(device, flags, Mode::empty())?;
    let count = rustix::io::write(&fd, SIGNAL)?;
    // The port takes a whole buffer or nothing.
    if count == SIGNAL.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Whether the record of an earlier call in this boot says that the signal went out.
///
/// # Errors
/// A record that cannot be read could be one of a signal.
fn was_sent() -> Result<bool, Refusal> {
    #[derive(serde::Deserialize)]
    struct Sent {
        sent: bool,
    }
    let mut buffer = [0; 1024];
    match read_file(Path::new(RECORD), &mut buffer) {
        Ok(text) => match serde_json::from_slice::<Sent>(text) {
            Ok(record) => Ok(record.sent),
            Err(_) => Err(Refusal::NoRecord(Errno::BADMSG)),
        },
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Refusal::NoRecord(errno)),
    }
}

fn record(json: fmt::Arguments<'_>) -> Result<(), Errno> {
    let mut text: String<256> = String::new();
    text.write_fmt(json)
        .and_then(|()| text.push('\n').map_err(|()| fmt::Error))
        .map_err(|_| Errno::NOBUFS)?;
    fd::replace(Path::new(RECORD), Path::new("/run/glowplug/ready.json.new"), &text)
}

#[cfg(test)]
mod tests;
