//! Unix sockets on which every call ends at a deadline.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

pub use crate::deadline::Deadline;

/// The most bytes of one write.
const PIECE: usize = 4 << 10;

/// A connection to a unix socket on which every call ends at the deadline.
pub struct TimedStream {
    stream: UnixStream,
    deadline: Deadline,
}

impl TimedStream {
    /// Connects to the socket at `path`. Does not wait for a server that accepts no connection.
    ///
    /// # Errors
    /// The errno of connect(2); `EAGAIN` if the server's queue is full.
    pub fn connect(path: &Path, deadline: Deadline) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false).map_err(|error| crate::error::errno_of(&error))?;
        Ok(Self { stream, deadline })
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The errno of write(2); `ETIMEDOUT` at the deadline.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // The timeout is set anew for each write, and each write is short. The kernel restarts the timeout
            // whenever the server takes a few bytes, so one long write could outlast the deadline.
            let left = self.deadline.left()?;
            let piece = bytes.get(..PIECE).unwrap_or(bytes);
            let written = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write(piece));
            match written {
                Ok(0) => return Err(Errno::PIPE),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno(&error)),
            }
        }
        Ok(())
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// The errno of read(2); `ETIMEDOUT` at the deadline, `ECONNRESET` if the stream ends too early.
    pub fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), Errno> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(Errno::CONNRESET),
                count => buffer = buffer.get_mut(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Reads as read(2) does: returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    /// The errno of read(2); `ETIMEDOUT` at the deadline.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let left = self.deadline.left()?;
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(buffer));
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| errno(&error)),
            }
        }
    }
}

impl AsFd for TimedStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Returns the errno of an error. The kernel reports a timeout of a socket as `EAGAIN`, which becomes `ETIMEDOUT`.
fn errno(error: &io::Error) -> Errno {
    match crate::error::errno_of(error) {
        Errno::AGAIN => Errno::TIMEDOUT,
        errno => errno,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::{Duration, Instant};

    use rustix::net::{bind, listen};

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_server_that_says_nothing_ends_at_the_deadline() {
        let temp = TempDir::new("deadline");
        let path = temp.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let begin = Instant::now();
        let mut stream = TimedStream::connect(&path, Deadline::after(Duration::from_millis(50))).unwrap();
        assert_eq!(stream.read(&mut [0; 4]), Err(Errno::TIMEDOUT));
        assert_eq!(stream.read_exact(&mut [0; 4]), Err(Errno::TIMEDOUT));
        assert!(begin.elapsed() >= Duration::from_millis(50));
        drop(listener);
        let gone = TimedStream::connect(&path, Deadline::after(Duration::from_secs(1)));
        assert_eq!(gone.err(), Some(Errno::CONNREFUSED));
    }

    #[test]
    fn a_server_that_takes_a_little_now_and_then_does_not_get_its_time_again() {
        let temp = TempDir::new("slow");
        let path = temp.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let begin = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(300));
        let mut stream = TimedStream::connect(&path, deadline).unwrap();
        let mut server = listener.accept().unwrap().0;
        let slow = std::thread::spawn(move || {
            // Reads until the client has closed the connection.
            while matches!(server.read(&mut [0; 16 << 10]), Ok(1..)) {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        assert_eq!(stream.write_all(&vec![0; 16 << 20]), Err(Errno::TIMEDOUT));
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        drop(stream);
        slow.join().unwrap();
    }

    #[test]
    fn a_server_whose_queue_is_full_is_not_waited_for() {
        let temp = TempDir::new("queue");
        let path = temp.join("socket");
        let listener =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        let mut streams = Vec::new();
        let full = loop {
            match TimedStream::connect(&path, Deadline::after(Duration::from_secs(5))) {
                Ok(stream) => streams.push(stream),
                Err(errno) => break errno,
            }
        };
        assert_eq!(full, Errno::AGAIN);
    }
}
