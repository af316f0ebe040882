//! TCP connections whose every wait is bounded.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use glowplug::deadline::Deadline;
use glowplug::error::io_words;
use glowplug::http::Failure;
use rustix::net::{RecvFlags, recv};

/// How long connecting may take, to all addresses of a host together. It is the reference's.
const CONNECT: Duration = Duration::from_secs(30);
/// How long one address may take while there are others, so that one that is dead leaves time for the rest.
const ONE_ADDRESS: Duration = Duration::from_secs(10);
/// How many addresses of a host are tried.
const MOST_ADDRESSES: usize = 16;
/// How long the resolver may take. The C library gives up earlier, unless resolv.conf asks for more.
const RESOLVE: Duration = Duration::from_secs(30);
/// The stack of the thread that resolves a name: the C library keeps packets and paths on it.
const RESOLVER_STACK: usize = 256 << 10;
/// The shortest timeout of a read or write, used when the deadline is nearer.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// A connection, with TLS or without.
pub trait Stream: Read + Write + fmt::Debug {}

impl<T: Read + Write + fmt::Debug> Stream for T {}

/// How long the steps of an exchange may take. It is shared by everything that holds a connection.
#[derive(Debug, Clone)]
pub struct Timer(Rc<Cell<Step>>);

#[derive(Debug, Clone, Copy)]
struct Step {
    deadline: Deadline,
    /// How long each wait may take.
    wait: Duration,
    /// Whether a read takes only what has arrived already.
    is_impatient: bool,
}

impl Timer {
    /// Returns a timer that ends at `deadline`.
    pub fn new(deadline: Deadline) -> Self {
        Self(Rc::new(Cell::new(Step { deadline, wait: Duration::MAX, is_impatient: false })))
    }

    /// Sets when the step that begins must be over, and how long each wait in it may take.
    pub fn begin(&self, deadline: Deadline, wait: Duration) {
        self.0.set(Step { deadline, wait, is_impatient: false });
    }

    /// Calls `act`. Until it returns, a read that would wait fails with [`io::ErrorKind::WouldBlock`].
    pub fn without_waiting<T>(&self, act: impl FnOnce() -> T) -> T {
        let step = self.0.get();
        self.0.set(Step { is_impatient: true, ..step });
        let result = act();
        self.0.set(step);
        result
    }

    /// Returns how long the next wait may take. Long waits are all of the same length, so that the kernel need not be told
    /// each time.
    fn next_wait(&self) -> io::Result<Duration> {
        let Step { deadline, wait, .. } = self.0.get();
        let left = deadline.left().map_err(|_| too_slow())?;
        Ok(left.min(wait).max(SHORTEST_WAIT))
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the host takes too long")
}

/// A TCP connection whose waits a [`Timer`] bounds.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    timer: Timer,
    read_wait: Duration,
    write_wait: Duration,
}

/// The kernel's timeouts are this long at most; a longer one is set again.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Link {
    /// Connects to `host`, which may be a name or an address with a zone. Each of its addresses is tried in turn.
    ///
    /// # Errors
    /// A passing failure, with the last address's error.
    pub fn connect(host: &str, port: u16, deadline: Deadline, timer: Timer) -> Result<Self, Failure> {
        let addresses = resolve(host, port, deadline)?;
        let deadline = deadline.or_sooner(Deadline::after(CONNECT));
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for (number, address) in addresses.iter().enumerate() {
            let left = deadline.left().map_err(|_| Failure::passing("connect: the host does not answer"))?;
            let others = addresses.len().saturating_sub(number).saturating_sub(1);
            let still_to_try = u32::try_from(others.saturating_add(1)).unwrap_or(u32::MAX);
            let share = left.checked_div(still_to_try).unwrap_or(left);
            let time =
                if others == 0 { left } else { share.max(left.min(Duration::from_secs(1))).min(ONE_ADDRESS) };
            match TcpStream::connect_timeout(address, time.max(SHORTEST_WAIT)) {
                Ok(stream) => {
                    // A request is one small write, which should not wait for more. A failure would only cost time.
                    let _ = stream.set_nodelay(true);
                    return Ok(Self { stream, timer, read_wait: Duration::ZERO, write_wait: Duration::ZERO });
                }
                Err(error) => last = error,
            }
        }
        Err(Failure::passing(format_args!("connect: {}", words(&last))))
    }
}

/// Returns what a failed connection means. The standard library reports a timeout without an errno.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "the host does not answer".to_owned(),
        _ => io_words(error),
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.timer.0.get().is_impatient {
            return Ok(recv(&self.stream, buffer, RecvFlags::DONTWAIT)?.0);
        }
        let wait = self.timer.next_wait()?.min(LONGEST_WAIT);
        if wait != self.read_wait {
            self.stream.set_read_timeout(Some(wait))?;
            self.read_wait = wait;
        }
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wait = self.timer.next_wait()?.min(LONGEST_WAIT);
        if wait != self.write_wait {
            self.stream.set_write_timeout(Some(wait))?;
            self.write_wait = wait;
        }
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The kernel reports a timeout of a socket as `EAGAIN`. A layer above might take that for a call to try again.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { too_slow() } else { error }
}

/// Returns the addresses of a host, in the order of RFC 6724. The C library cannot be told a deadline, so a thread asks it.
pub fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let deadline = deadline.or_sooner(Deadline::after(RESOLVE));
    let (sender, receiver) = mpsc::channel();
    let place = (host.to_owned(), port);
    let ask = move || {
        let found = place.to_socket_addrs().map(|found| found.take(MOST_ADDRESSES).collect::<Vec<_>>());
        // Nobody listens any more once the deadline has passed.
        let _ = sender.send(found);
    };
    let thread = std::thread::Builder::new().stack_size(RESOLVER_STACK).spawn(ask);
    thread.map_err(|error| Failure::passing(format_args!("resolve the name: {}", io_words(&error))))?;
    match receiver.recv_timeout(deadline.remaining()) {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(Ok(_)) => Err(Failure::passing("resolve the name: it has no address")),
        Ok(Err(error)) => {
            // The resolver's own errors have no errno: "failed to lookup address information: Try again".
            let text = io_words(&error);
            let text = text.rsplit(": ").next().unwrap_or_default().to_lowercase();
            Err(Failure::passing(format_args!("resolve the name: {text}")))
        }
        Err(_) => Err(Failure::passing("resolve the name: no name server answers in time")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    #[test]
    fn waits_end_at_the_deadline_however_slowly_bytes_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let slow = std::thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            while client.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begin = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(300));
        let timer = Timer::new(deadline);
        let mut link = Link::connect("localhost", port, deadline, timer).unwrap();
        let error = loop {
            if let Err(error) = link.read(&mut [0; 8]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= Duration::from_millis(290) && begin.elapsed() < Duration::from_secs(5));
        drop(link);
        slow.join().unwrap();
    }

    #[test]
    fn nobody_there_is_told_in_words() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let deadline = Deadline::after(Duration::from_secs(5));
        for (host, word) in [("127.0.0.1", "refused"), ("x.invalid", "resolve the name: ")] {
            match Link::connect(host, free, deadline, Timer::new(deadline)) {
                Err(Failure::Passing(text)) => assert!(text.contains(word), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(resolve("::1", 1, deadline).is_ok() && resolve("fe80::1%lo", 1, deadline).is_ok());
    }
}
