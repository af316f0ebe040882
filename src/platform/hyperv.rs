//! Reads the config from Hyper-V's key-value pairs, as the kernel passes them on. No key-value daemon runs in an
//! initramfs, so this program takes the daemon's place at `/dev/vmbus/hv_kvp` until it has the config.

mod message;
mod pool;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Provider;
use crate::deadline::Deadline;
use crate::error::{Error, Reason, Result};
use crate::memory;
use message::{DONE, KvpMessage, KvpRequest, NO_MORE};
use pool::Pool;

pub(super) static HYPERV: Provider = Provider {
    name: "hyperv",
    source: "key-value pairs ignition.config, or ignition.config.0 and so on",
    module: Some(c"hv_utils"),
    detect: Some(has_device),
    // Every guest of Hyper-V has the device, but only a machine that is to be provisioned gets the keys.
    patience: Some(Duration::from_secs(5)),
    fetch,
    advice: "Check that the host gives this machine the key-value pairs ignition.config.0 and so on (podman does so at \
             `podman machine start`), then restart the machine.",
};

const DEVICE: &str = "/dev/vmbus/hv_kvp";
const DEVICE_ADVICE: &str = "Check that this is a guest of Hyper-V, that the initramfs has the module hv_utils, and that \
    nothing in it takes the key-value pairs first, as hv_kvp_daemon does.";
/// Exists if the kernel has found Hyper-V's bus.
const BUS: &str = "/sys/bus/vmbus";
/// The host sends the keys one after the other and does not tell how many there are. If it is silent for this long
/// after a config that lacks no part, the config is complete. The reference waits equally long.
const SILENCE: Duration = Duration::from_secs(1);

/// Returns whether this machine is a guest of Hyper-V with key-value pairs.
fn has_device() -> bool {
    let is_there = |path: &str| Path::new(path).metadata().is_ok();
    if is_there(BUS) && !is_there(DEVICE) {
        HYPERV.load_module();
    }
    is_there(DEVICE)
}

/// Reads the config from the host's keys. Waits for them until `patience` is over.
fn fetch(patience: Duration) -> Result<Vec<u8>> {
    if Path::new(DEVICE).metadata().is_err() {
        HYPERV.load_module();
    }
    let mut device = open().map_err(|error| {
        let error = if Errno::from_io_error(&error) == Some(Errno::BUSY) {
            let what = format!("open {DEVICE}: another program, like hv_kvp_daemon, has taken it");
            Error::new(Reason::System, what)
        } else {
            Error::system_at("open", Path::new(DEVICE), error)
        };
        error.advise(DEVICE_ADVICE)
    })?;
    converse(&mut device, Deadline::after(patience), memory::limit()).map_err(|error| error.at(&DEVICE))
}

#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
fn open() -> io::Result<File> {
    std::fs::OpenOptions::new().read(true).write(true).open(DEVICE)
}

/// Registers as the daemon and answers the host until the config is complete.
fn converse(device: &mut File, deadline: Deadline, limit: u64) -> Result<Vec<u8>> {
    let mut pool = Pool::new(limit);
    let mut message = message::register();
    send(device, &message)?;
    loop {
        let left = deadline.remaining();
        let wait = if pool.has_config() { left.min(SILENCE) } else { left };
        if wait.is_zero() || !is_readable(device, wait)? {
            return pool.config(deadline.patience());
        }
        match device.read(&mut message) {
            Ok(size) if size == message.len() => {}
            Ok(size) => {
                let what = format!("the kernel sent a message of {size} bytes instead of {}", message.len());
                return Err(Error::new(Reason::System, what));
            }
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(Error::system("read", error)),
        }
        if let Some(status) = take(&mut pool, &message)? {
            message::answer(&mut message, status);
            send(device, &message)?;
        }
    }
}

/// Carries out a message. Returns the status for the answer; `None` if the message must not be answered.
fn take(pool: &mut Pool, message: &KvpMessage) -> Result<Option<u32>> {
    let malformed = || Error::new(Reason::BadAnswer, "the host sent a key or value that is too long");
    Ok(match message::parse(message).ok_or_else(malformed)? {
        KvpRequest::Registered => None,
        KvpRequest::Set { key, value } => {
            pool.set(key, value)?;
            Some(DONE)
        }
        KvpRequest::Delete { key } => Some(if pool.delete(key)? { DONE } else { NO_MORE }),
        KvpRequest::SetElsewhere => Some(DONE),
        // Queries for names and addresses are left to the daemon of the real root.
        KvpRequest::Other => Some(NO_MORE),
    })
}

fn send(device: &mut File, message: &KvpMessage) -> Result<()> {
    // The kernel accepts whole messages only.
    let sent = loop {
        match device.write(message) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => break sent,
        }
    };
    match sent {
        Ok(size) if size == message.len() => Ok(()),
        Ok(size) => Err(Error::new(Reason::System, format!("write: only {size} bytes were taken"))),
        Err(error) => Err(Error::system("write", error)),
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// Waits for a message. The read itself would wait without end, because the device ignores `O_NONBLOCK`.
fn is_readable(device: &File, wait: Duration) -> Result<bool> {
    let timeout = Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    };
    loop {
        match poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("poll", errno)),
        }
    }
}

#[cfg(test)]
mod tests;
