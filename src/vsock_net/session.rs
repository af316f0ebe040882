//! One connection to the host: frames go both ways until it ends.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr, write};

use super::frames::{Incoming, Malformed, Outgoing};
use crate::error::errno_words;
use crate::fd::print_error;
use crate::sys;

/// How long no frame is sent after the request. gvproxy drops bytes that come before it has made a network of the
/// connection, and does not tell when it has. The stream would then be out of step.
const SETTLE: Duration = Duration::from_millis(200);
/// How long the host may take no bytes.
const STALL: Duration = Duration::from_secs(30);
/// How many frames are taken from one side before the other has its turn.
const TURN: usize = 64;

/// How a connection ended.
pub enum End {
    /// The host ended it, or has sent what cannot be understood: the reason for people.
    Connection(String),
    /// The tap device cannot be used any more.
    Device(Errno),
}

impl From<String> for End {
    fn from(text: String) -> Self {
        Self::Connection(text)
    }
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Connection(match malformed {
            Malformed::Length(length) => {
                format!("the host sent a frame of {length} bytes (-mtu says how long a frame can be)")
            }
            Malformed::Status(status) => {
                format!(
                    "the host answered with the HTTP status {status}: gvproxy does not know the path of -url"
                )
            }
        })
    }
}

/// A connection, the tap device, and what is on the way between them.
pub struct Session<'a> {
    tap: BorrowedFd<'a>,
    socket: OwnedFd,
    incoming: Incoming,
    outgoing: Outgoing,
    /// When the first frame may be sent; `None` once the tap device has its carrier.
    settles: Option<Instant>,
    /// Since when the host takes no bytes, while there are some for it.
    stalls: Option<Instant>,
    /// When the first frame was sent, until one has come back.
    asked: Option<Instant>,
    /// How long the host may leave the first frames without one of its own.
    patience: Duration,
    /// Frames that the tap device sent to the host.
    sent: u64,
    /// Frames that the host sent.
    received: u64,
    /// Frames of either side that did not reach the other.
    dropped: u64,
    debug: bool,
}

impl<'a> Session<'a> {
    /// Makes a session of a connection over which the request was sent. A frame has at most `most` bytes. If the host sends
    /// no frame within `patience` after the first frame to it, the session ends.
    pub fn new(tap: BorrowedFd<'a>, socket: OwnedFd, most: usize, patience: Duration, debug: bool) -> Self {
        Self {
            tap,
            socket,
            incoming: Incoming::new(most),
            outgoing: Outgoing::new(most),
            settles: Instant::now().checked_add(SETTLE),
            stalls: None,
            asked: None,
            patience,
            sent: 0,
            received: 0,
            dropped: 0,
            debug,
        }
    }

    /// Returns whether the host has sent a frame.
    pub fn has_worked(&self) -> bool {
        self.received > 0
    }

    /// Carries frames until the connection ends.
    pub fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.step() {
                return end;
            }
        }
    }

    /// Waits until something can be done, and does it.
    fn step(&mut self) -> Result<(), End> {
        let left = self.check_times()?;
        let is_settled = self.settles.is_none();
        let mut of_socket = PollFlags::IN;
        if !self.outgoing.pending().is_empty() {
            of_socket |= PollFlags::OUT;
        }
        let of_tap =
            if is_settled && self.outgoing.place().is_some() { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), of_socket),
            PollFd::from_borrowed_fd(self.tap, of_tap),
        ];
        let timeout = left.map(|left| Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }));
        retry_on_intr(|| poll(&mut fds, timeout.as_ref()))
            .map_err(|errno| format!("wait for frames: {}", errno_words(errno)))?;
        let [socket, tap] = fds.each_ref().map(PollFd::revents);
        if !socket.difference(PollFlags::OUT).is_empty() {
            self.receive()?;
        }
        if !tap.difference(PollFlags::IN).is_empty() {
            return Err(End::Device(Errno::BADFD));
        }
        if tap.contains(PollFlags::IN) {
            self.collect()?;
        }
        self.send()
    }

    /// Ends the session if the host has been silent for too long. Returns how long the next such time is away.
    fn check_times(&mut self) -> Result<Option<Duration>, End> {
        let now = Instant::now();
        if self.settles.is_some_and(|settles| settles <= now) {
            self.settles = None;
            sys::set_carrier(self.tap, true).map_err(End::Device)?;
        }
        let left = |since: Option<Instant>, patience: Duration| {
            since.map(|since| patience.saturating_sub(now.saturating_duration_since(since)))
        };
        let (stall, silence) = (left(self.stalls, STALL), left(self.asked, self.patience));
        if stall == Some(Duration::ZERO) {
            return Err(format!("the host took no frame for {} s", STALL.as_secs()).into());
        }
        if silence == Some(Duration::ZERO) {
            return Err(format!("the host sent no frame within {} s", self.patience.as_secs()).into());
        }
        let settle = self.settles.map(|settles| settles.saturating_duration_since(now));
        Ok([stall, silence, settle].into_iter().flatten().min())
    }

    /// Reads what the host has sent, and gives whole frames to the tap device.
    fn receive(&mut self) -> Result<(), End> {
        match retry_on_intr(|| read(&self.socket, self.incoming.room())) {
            Ok(0) => return Err(self.ended("the host closed the connection")),
            Ok(count) => self.incoming.add(count),
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(self.ended(&errno_words(errno))),
        }
        while let Some(frame) = self.incoming.next()? {
            if self.debug {
                show("from", frame);
            }
            self.asked = None;
            count(&mut self.received);
            match retry_on_intr(|| write(self.tap, frame)) {
                Ok(_) => {}
                Err(errno @ (Errno::BADFD | Errno::BADF | Errno::NODEV)) => return Err(End::Device(errno)),
                // A frame can always get lost on an ethernet: here while the interface is down, or without memory for it.
                Err(_) => count(&mut self.dropped),
            }
        }
        Ok(())
    }

    /// Takes frames from the tap device, while there is room for them.
    fn collect(&mut self) -> Result<(), End> {
        for _ in 0..TURN {
            let Some(place) = self.outgoing.place() else { break };
            let length = match retry_on_intr(|| read(self.tap, &mut *place)) {
                Ok(length) => length,
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(End::Device(errno)),
            };
            if self.debug {
                show("to", place.get(..length).unwrap_or_default());
            }
            if self.outgoing.add(length) {
                count(&mut self.sent);
            } else {
                count(&mut self.dropped);
            }
        }
        Ok(())
    }

    /// Sends as much as the host takes now.
    fn send(&mut self) -> Result<(), End> {
        let pending = self.outgoing.pending();
        if pending.is_empty() {
            return Ok(());
        }
        match retry_on_intr(|| write(&self.socket, pending)) {
            Ok(sent) => {
                self.outgoing.sent(sent);
                self.stalls = None;
                if self.received == 0 && self.asked.is_none() {
                    self.asked = Some(Instant::now());
                }
            }
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(self.ended(&errno_words(errno))),
        }
        if !self.outgoing.pending().is_empty() && self.stalls.is_none() {
            self.stalls = Some(Instant::now());
        }
        Ok(())
    }

    fn ended(&self, why: &str) -> End {
        let (sent, received, dropped) = (self.sent, self.received, self.dropped);
        if !self.has_worked() {
            return End::Connection(format!("{why} before it sent a frame"));
        }
        End::Connection(format!("{why}, after {sent} frames to it, {received} from it and {dropped} dropped"))
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// Logs the length and the type of a frame. What it carries is nobody's business.
fn show(direction: &str, frame: &[u8]) {
    let kind = match frame.get(12..14) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    print_error(&format!("{direction} the host: {} bytes of type {kind:04x}", frame.len()));
}
