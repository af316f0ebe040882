//! The ready signal: one line to the host, once a boot, if the stamp says that this root is provisioned.
//!
//! While the program waits for the host, it allocates nothing, so a waiting program holds only a few pages of memory.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use heapless::String;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use vsock::VsockStream;

use crate::deadline::{Backoff, Deadline};
use crate::error::{errno_of, errno_words};
use crate::fd;
use crate::json::{JsonReader, fields};
use crate::stamp::{self, LIMIT, STAMP, Stamp, StampFault, StampVerdict};
use crate::sys;

/// The vsock port on which podman listens for the signal, unless its config names another.
const PORT: u32 = 1025;
/// podman's own unit. On Hyper-V only this unit tells the port, which differs between machines.
const UNIT: &str = "/etc/systemd/system/ready.service";
/// The text in the unit before the port.
const BEFORE_PORT: &[u8] = b"VSOCK-CONNECT:2:";
/// The most bytes of the unit that are read. podman's has less than 1 KiB.
const UNIT_LIMIT: usize = 8 << 10;
/// The name of the virtio port on which podman's QEMU listens.
const VIRTIO_PORT: &str = "org.fedoraproject.port.0";
/// The signal. The host reads up to the end of the line.
const SIGNAL: &[u8] = b"Ready\n";
/// The file in which the outcome is recorded.
pub(crate) const RECORD: &str = "/run/glowplug/ready.json";
/// How long one attempt to connect may take, at least and at most. The attempt may not be short: a busy host may
/// still accept a connection that was given up here, and podman takes an empty connection for the end of the boot.
const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why no signal was sent. Each reason has a stable word and an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no stamp: this root has not been provisioned.
    StampMissing,
    /// The stamp does not prove that this root is provisioned.
    Stamp(StampFault),
    /// There is no vsock device and no virtio port, so there is no way to the host.
    NoDevice,
    /// The host did not take the signal before the deadline.
    NoHost(Errno),
    /// The outcome cannot be recorded, so a second signal could not be prevented.
    NoRecord(Errno),
}

impl Refusal {
    /// Returns the stable word that stands in the record and in the manual.
    pub fn word(self) -> &'static str {
        match self {
            Self::StampMissing => "stamp-missing",
            Self::Stamp(fault) => fault.reason().word(),
            Self::NoDevice => "no-device",
            Self::NoHost(_) => "no-host",
            Self::NoRecord(_) => "no-record",
        }
    }

    /// Returns the exit code, listed in `glowplug-ready(8)`.
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
            Self::Stamp(fault @ StampFault::Unreadable(..)) => write!(f, "{fault}"),
            Self::Stamp(fault) => {
                write!(
                    f,
                    "{fault} (if this root is provisioned nevertheless, run \"glowplug adopt --root /\")"
                )
            }
            Self::NoDevice => write!(f, "no vsock device and no virtio port {VIRTIO_PORT}"),
            Self::NoHost(errno) => write!(
                f,
                "the host did not take the signal: {} (after a reboot from inside the machine, it waits for none)",
                errno_words(*errno)
            ),
            Self::NoRecord(errno) => write!(f, "record the outcome in {RECORD}: {}", errno_words(*errno)),
        }
    }
}

/// How the signal was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The line was written at this try; the first try is 1.
    Sent(u32),
    /// The line was already written earlier in this boot.
    SentBefore,
}

/// Checks the stamp and sends the signal. Tries again until `patience` is over. A signal that was sent is never sent
/// again in the same boot, unless `/run` had no space for the record.
///
/// # Errors
/// The [`Refusal`], which is recorded as well.
pub fn signal(patience: Duration) -> Result<Outcome, Refusal> {
    if was_sent()? {
        return Ok(Outcome::SentBefore);
    }
    let mut buffer = [0; LIMIT];
    let done = read_stamp(&mut buffer).and_then(|_| {
        // The record must be writable before anything is sent. Otherwise the signal could be sent twice.
        record_if_there_is_space(format_args!("{{\"sent\":false,\"reason\":\"trying\"}}"))?;
        send(patience)
    });
    match done {
        Ok((tries, to)) => {
            record_if_there_is_space(format_args!("{{\"sent\":true,\"to\":\"{to}\",\"tries\":{tries}}}"))?;
            Ok(Outcome::Sent(tries))
        }
        Err(refusal) => {
            // This refusal is returned even if it cannot be recorded.
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

/// Returns the stamp of the running system if it says that this root is provisioned.
pub(crate) fn read_stamp(buffer: &mut [u8; LIMIT]) -> Result<Stamp<'_>, Refusal> {
    match stamp::judge_running_system(buffer).map_err(Refusal::Stamp)? {
        StampVerdict::Missing => Err(Refusal::StampMissing),
        StampVerdict::Ours(stamp) | StampVerdict::Reference(stamp) => Ok(stamp),
    }
}

/// Returns the character device of the virtio port on which podman's QEMU listens, such as `/dev/vport1p1`.
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

/// Returns the vsock port that podman's unit names. The unit must have exactly one line that starts a program, and
/// that line must name a port.
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
    // The buffer has space for either text.
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

/// The signal is sent when the line has been written. The host closes the connection as soon as it has the line, so
/// no answer is waited for.
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
    // Without NONBLOCK the write would wait while nobody listens on the host.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(device, flags, Mode::empty())?;
    let count = rustix::io::write(&fd, SIGNAL)?;
    // The port takes a buffer as a whole or not at all.
    if count == SIGNAL.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Returns whether an earlier call in this boot has recorded that it sent the signal.
///
/// # Errors
/// A record that cannot be read is an error, because it could be that of a sent signal.
fn was_sent() -> Result<bool, Refusal> {
    let mut buffer = [0; 1024];
    match read_file(Path::new(RECORD), &mut buffer) {
        Ok(text) => says_sent(text).ok_or(Refusal::NoRecord(Errno::BADMSG)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Refusal::NoRecord(errno)),
    }
}

/// Reads the field `sent` of a record; none if the text is no record.
fn says_sent(record: &[u8]) -> Option<bool> {
    let mut reader = JsonReader::new(record);
    let mut sent = None;
    fields::object(&mut reader, &mut |reader, key| match key {
        "sent" => fields::set(&mut sent, fields::bool(reader)?),
        _ => reader.skip().ok(),
    })?;
    reader.end().ok()?;
    sent
}

/// Records the outcome. A `/run` without space is no error: a signal that is sent twice does less harm than a host that waits
/// without end.
fn record_if_there_is_space(json: fmt::Arguments<'_>) -> Result<(), Refusal> {
    match record(json) {
        Ok(()) | Err(Errno::NOSPC) => Ok(()),
        Err(errno) => Err(Refusal::NoRecord(errno)),
    }
}

fn record(json: fmt::Arguments<'_>) -> Result<(), Errno> {
    let mut text: String<256> = String::new();
    text.write_fmt(json)
        .and_then(|()| text.push('\n').map_err(|()| fmt::Error))
        .map_err(|_| Errno::NOBUFS)?;
    let record = Path::new(RECORD);
    match fd::replace(record, Path::new("/run/glowplug/ready.json.new"), &text) {
        // The record of an earlier moment has its page of memory, where this one has space as well.
        Err(Errno::NOSPC) => overwrite(record, &text),
        done => done,
    }
}

/// Writes `text` over the file at `path`, which exists.
#[allow(clippy::disallowed_methods, reason = "/run is the running system's, not a path of the root")]
fn overwrite(path: &Path, text: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|_| Errno::NOSPC)?;
    fd::write_all(file.as_fd(), text.as_bytes())?;
    rustix::fs::ftruncate(&file, u64::try_from(text.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
