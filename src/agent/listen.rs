//! Listens for the host. Each connection gets a process of its own, which answers one request ([`super::serve`]). At
//! most 32 of them run at once; further clients wait in the kernel's queue of the socket.
//!
//! systemd itself could start these processes (`Accept=yes`). But above its limit it closes connections without an
//! answer.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use vsock::{VMADDR_CID_HOST, VsockStream};

use super::deadline::Deadline;
use super::request::HttpRefusal;
use super::serve;
use crate::error::{errno_words, io_words};

/// The most connections that are answered at once.
const MOST: usize = 32;
/// How many of them may be those of clients other than the host. They are users of this machine and other machines,
/// and must not keep the host waiting.
const MOST_OF_OTHERS: usize = 4;
/// How long one process may take. The diagnostics take about 15 seconds at worst, and the client may take 5 seconds
/// each for its request and for the answer.
const LONGEST: Duration = Duration::from_secs(60);
/// How long to wait for a next connection before the listener ends.
const IDLE: Duration = Duration::from_secs(10);
/// How long the client may take for the refusal if no process can be started. The listener waits for it.
const REFUSAL: Duration = Duration::from_millis(100);

/// Answers the connections of a listening socket.
pub struct Listener {
    /// The program that answers a connection on its standard input when it is called with the word `serve`.
    program: PathBuf,
    is_host: fn(&VsockStream) -> bool,
    idle: Duration,
    longest: Duration,
}

/// A process that answers a connection.
struct Answering {
    process: Child,
    /// Becomes readable when the process ends.
    end: OwnedFd,
    deadline: Deadline,
    is_host: bool,
}

impl Listener {
    /// Returns a listener that starts `program serve` for each connection.
    pub fn new(program: PathBuf) -> Self {
        let is_host = |stream: &VsockStream| stream.peer_addr().is_ok_and(|it| it.cid() == VMADDR_CID_HOST);
        Self { program, is_host, idle: IDLE, longest: LONGEST }
    }

    /// Answers connections until there is none for a while. systemd keeps the socket, so a client that comes later
    /// makes systemd start the next listener.
    ///
    /// # Errors
    /// What is wrong with the socket, in words for the journal.
    pub fn run(&self, socket: &OwnedFd) -> Result<(), String> {
        // systemd passes a socket that waits. A client that leaves before it is accepted must not hold up the listener.
        ioctl_fionbio(socket, true).map_err(|errno| format!("prepare the socket: {}", errno_words(errno)))?;
        let mut at_work: Vec<Answering> = Vec::new();
        loop {
            let next = at_work.iter().map(|it| it.deadline.remaining()).min().unwrap_or(self.idle);
            let is_full = at_work.len() >= MOST;
            let is_pending = wait(socket, &at_work, next, is_full)
                .map_err(|errno| format!("wait for connections: {}", errno_words(errno)))?;
            let was_idle = at_work.is_empty();
            at_work.retain_mut(Answering::goes_on);
            if is_pending {
                match accept_with(socket, SocketFlags::CLOEXEC) {
                    Ok(connection) => at_work.extend(self.answer(connection, &at_work)),
                    // The client has left, or a signal came.
                    Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                    Err(errno) => return Err(format!("accept a connection: {}", errno_words(errno))),
                }
            } else if was_idle {
                return Ok(());
            }
        }
    }

    /// Starts a process that answers `connection`; none if the client is refused.
    fn answer(&self, connection: OwnedFd, at_work: &[Answering]) -> Option<Answering> {
        let stream = VsockStream::from(connection);
        let is_host = (self.is_host)(&stream);
        if !is_host && at_work.iter().filter(|it| !it.is_host).count() >= MOST_OF_OTHERS {
            complain("too many clients at once that are not the host: the newest connection is closed");
            return None;
        }
        let connection = OwnedFd::from(stream);
        let started = connection.try_clone().and_then(|input| self.start(input));
        match started {
            Ok((process, end)) => {
                Some(Answering { process, end, deadline: Deadline::after(self.longest), is_host })
            }
            Err(error) => {
                let what = format!("start a process for the answer: {}", io_words(&error));
                complain(&what);
                serve::refuse(connection, HttpRefusal { status: 503, what }, REFUSAL);
                None
            }
        }
    }

    fn start(&self, connection: OwnedFd) -> std::io::Result<(Child, OwnedFd)> {
        let mut process = Command::new(&self.program).arg("serve").stdin(connection).spawn()?;
        // The process is not waited for here, so its number cannot belong to another process yet.
        match pidfd_open(Pid::from_child(&process), PidfdFlags::empty()) {
            Ok(end) => Ok((process, end)),
            Err(errno) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(errno.into())
            }
        }
    }
}

impl Answering {
    /// Returns whether the process still runs. Ends it if its time is over.
    fn goes_on(&mut self) -> bool {
        let ended = self.process.try_wait();
        if let Ok(None) = ended {
            if !self.deadline.remaining().is_zero() {
                return true;
            }
            complain("an answer took too long: its process is killed");
            let _ = self.process.kill();
            let _ = self.process.wait();
        } else if let Ok(Some(status)) = ended {
            complain_of(status);
        }
        false
    }
}

/// Waits until a client is there, a process ends, or the time `left` is over. Returns whether a client is there. Does
/// not look for clients if the listener is full.
fn wait(socket: &OwnedFd, at_work: &[Answering], left: Duration, is_full: bool) -> Result<bool, Errno> {
    let clients = if is_full { PollFlags::empty() } else { PollFlags::IN };
    let mut events: Vec<PollFd<'_>> = Vec::with_capacity(MOST.saturating_add(1));
    events.push(PollFd::from_borrowed_fd(socket.as_fd(), clients));
    events.extend(at_work.iter().map(|it| PollFd::from_borrowed_fd(it.end.as_fd(), PollFlags::IN)));
    let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
    poll(&mut events, Some(&left))?;
    Ok(events.first().is_some_and(|it| !it.revents().is_empty()))
}

/// Tells how a process ended, unless it has told why by itself, which is exit code 1.
fn complain_of(status: ExitStatus) {
    if !matches!(status.code(), Some(0 | 1)) {
        complain(&format!("a process that answered a connection failed: {status}"));
    }
}

fn complain(what: &str) {
    // Standard error is the journal. If it is closed, nobody can be told. It is also that of all processes that answer, so the
    // line is written by one call: otherwise it would be mixed with theirs.
    let _ = std::io::stderr().write_all(format!("glowplug-agent: {what}\n").as_bytes());
}

#[cfg(test)]
mod tests;
