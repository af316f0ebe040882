//! Serves one connection of the host: reads a request, sends an answer, and closes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use vsock::{VMADDR_CID_HOST, VsockStream};

use super::deadline::Deadline;
use super::diagnostics::Diagnostics;
use super::health::{self, Health};
use super::inspect::Inspection;
use super::journal::Journal;
use super::json;
use super::request::{HostRequest, HttpRefusal};
use crate::error::{errno_of, errno_words, io_words};
use crate::http::Input;

/// How long the client may take to send its request, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the client may take to close the connection after the answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// The most bytes of one write.
const PIECE: usize = 16 << 10;

/// The paths that can be asked for.
const PATHS: &str = "/health, /inspect, /diagnostics, /journal?unit=NAME&lines=NUMBER";

/// Answers the connection on `socket`. Only the host gets an answer.
///
/// # Errors
/// What is wrong with the connection, in words for the journal: also that the host took too long. A refused request is
/// not an error.
pub fn serve(socket: OwnedFd) -> Result<(), String> {
    let stream = VsockStream::from(socket);
    let peer =
        stream.peer_addr().map_err(|error| format!("this is no vsock connection: {}", io_words(&error)))?;
    let connection = HostConnection(stream);
    let is_host = peer.cid() == VMADDR_CID_HOST;
    let answer = if is_host {
        HostRequest::read(&connection.until(Deadline::after(PATIENCE))).and_then(|request| answer(&request))
    } else {
        Err(HttpRefusal { status: 403, what: "only the host is answered".into() })
    };
    let is_late = answer.as_ref().is_err_and(|refusal| refusal.status == 408);
    let sent = connection.send(answer, PATIENCE);
    let seconds = PATIENCE.as_secs();
    match sent {
        _ if !is_host => Err(format!("vsock CID {} asked, which is not the host", peer.cid())),
        _ if is_late => Err(format!("the host sent no complete request within {seconds} s")),
        Err(Errno::TIMEDOUT) => Err(format!("the host did not take its answer within {seconds} s")),
        // The host may close the connection at any time.
        Ok(()) | Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(format!("answer the host: {}", errno_words(errno))),
    }
}

/// Tells the client on `socket` why it gets no answer. The client may take `patience` for that.
pub(super) fn refuse(socket: OwnedFd, refusal: HttpRefusal, patience: Duration) {
    // The client may have left already.
    let _ = HostConnection(VsockStream::from(socket)).send(Err(refusal), patience);
}

/// The body of an answer.
struct Body {
    kind: &'static str,
    text: String,
}

impl Body {
    fn json(text: String) -> Self {
        Self { kind: "application/json", text }
    }
}

fn answer(request: &HostRequest) -> Result<Body, HttpRefusal> {
    if request.path != "/journal" && !request.query.is_empty() {
        return Err(HttpRefusal::bad("only /journal takes a query"));
    }
    match request.path.as_str() {
        "/health" => Ok(Body::json(json(&Health::read(health::PROMPT)))),
        "/inspect" => Ok(Body::json(Inspection::read())),
        "/diagnostics" if request.wants_text => {
            Ok(Body { kind: "text/plain; charset=utf-8", text: Diagnostics::read().text() })
        }
        "/diagnostics" => Ok(Body::json(json(&Diagnostics::read()))),
        "/journal" => Journal::read(&request.query).map(|journal| Body::json(json(&journal))),
        _ => Err(HttpRefusal { status: 404, what: format!("there are {PATHS}") }),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

struct HostConnection(VsockStream);

/// A connection whose reads end at a deadline.
struct Until<'c> {
    connection: &'c HostConnection,
    deadline: Deadline,
}

impl HostConnection {
    fn until(&self, deadline: Deadline) -> Until<'_> {
        Until { connection: self, deadline }
    }

    fn wait(&self, flags: PollFlags, deadline: Deadline) -> Result<(), Errno> {
        let left = Timespec::try_from(deadline.left()?).map_err(|_| Errno::TIMEDOUT)?;
        match poll(&mut [PollFd::from_borrowed_fd(self.0.as_fd(), flags)], Some(&left))? {
            0 => Err(Errno::TIMEDOUT),
            _ => Ok(()),
        }
    }

    /// Sends the answer. The client may take `patience` for all of it.
    fn send(&self, answer: Result<Body, HttpRefusal>, patience: Duration) -> Result<(), Errno> {
        let (status, body) = match answer {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.status, Body::json(json(&refusal.told()))),
        };
        let allow = if status == 405 { "Allow: GET\r\n" } else { "" };
        let mut whole = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             Connection: close\r\n\r\n",
            reason(status),
            body.kind,
            body.text.len()
        );
        let deadline = Deadline::after(patience);
        whole.push_str(&body.text);
        let mut rest = whole.as_bytes();
        while !rest.is_empty() {
            self.wait(PollFlags::OUT, deadline)?;
            // Pieces are small because the kernel restarts the timeout of a waiting write whenever the client takes a
            // few bytes.
            let piece = rest.get(..PIECE).unwrap_or(rest);
            match send(&self.0, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.see_off();
        Ok(())
    }

    /// Waits until the client closes the connection. To close a socket with unread bytes resets the connection, and
    /// the answer could be lost.
    fn see_off(&self) {
        // The answer has been sent, so errors from here on do not matter.
        let _ = shutdown(&self.0, Shutdown::Write);
        let until = self.until(Deadline::after(FAREWELL));
        while matches!(until.read(&mut [0; 4096]), Ok(1..)) {}
    }
}

impl Input for Until<'_> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection.wait(PollFlags::IN, self.deadline)?;
        Ok(rustix::io::read(&self.connection.0, buffer)?)
    }
}

/// Returns the connection that systemd passes as standard input.
///
/// # Errors
/// The errno of dup(2).
pub fn standard_input() -> Result<OwnedFd, Errno> {
    std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| errno_of(&error))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use rustix::net::sockopt::set_socket_send_buffer_size;

    use super::*;

    #[test]
    fn a_client_that_takes_a_few_bytes_now_and_then_does_not_get_its_time_again() {
        let (ours, mut client) = UnixStream::pair().unwrap();
        set_socket_send_buffer_size(&ours, 4096).unwrap();
        let slow = std::thread::spawn(move || {
            while matches!(client.read(&mut [0; 1024]), Ok(1..)) {
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let begin = Instant::now();
        let connection = HostConnection(VsockStream::from(OwnedFd::from(ours)));
        let sent = connection.send(Ok(Body::json("x".repeat(1 << 20))), Duration::from_millis(300));
        assert_eq!(sent, Err(Errno::TIMEDOUT));
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        drop(connection);
        slow.join().unwrap();
    }
}
