//! The host's ready listener: one line ends podman's wait.
//!
//! podman accepts exactly one connection, reads to the first newline, closes at
//! once and stops listening; with QEMU it connects to the port's socket instead.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::host::{listen, socket_path};
use crate::process::wait_for;

/// The port that podman's hosts wait on.
pub const PORT: u32 = 1025;

const POLL: Duration = Duration::from_millis(20);
/// How long a connection after the first may stay without a newline.
const EXTRA: Duration = Duration::from_secs(5);

/// What happens after the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Stop listening, as podman does.
    Stop,
    /// Keep listening and record everything, to show that nothing more comes.
    Record,
}

/// A line that the guest sent, or a connection that ended without one.
#[derive(Clone, Debug)]
pub struct Line {
    /// When the line was complete.
    pub at: Instant,
    /// The text before the newline. Without a newline, everything before the end of the connection.
    pub text: String,
    /// Whether the text ended with a newline.
    pub complete: bool,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    lines: Mutex<Vec<Line>>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads up to the newline, the end of the stream, `limit` or the end of the wait. Returns whether the newline came.
    fn read_line(&self, stream: &mut UnixStream, limit: Option<Duration>) -> bool {
        let begin = Instant::now();
        let mut text = Vec::new();
        let mut byte = [0];
        let end = loop {
            if self.stopped() || limit.is_some_and(|limit| begin.elapsed() > limit) {
                break true;
            }
            match stream.read(&mut byte) {
                Ok(0) => break true,
                Ok(_) if byte == *b"\n" => break false,
                Ok(_) => text.extend_from_slice(&byte),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break true,
            }
        };
        // The stream of a serial port ends with the guest. If nothing came by then, there is nothing to record.
        if !end || !text.is_empty() || limit.is_some() {
            let text = String::from_utf8_lossy(&text).into_owned();
            self.lines().push(Line { at: Instant::now(), text, complete: !end });
        }
        !end
    }
}

/// A host that waits for the guest's `Ready`.
pub struct Ready {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

impl Ready {
    /// Listens on `FOLDER/v_1025`, as for applehv and libkrun.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn vsock(folder: &Path, after: After) -> Result<Self> {
        Self::vsock_port(folder, PORT, after)
    }

    /// As [`Ready::vsock`] on another port, as for hyperv.
    ///
    /// # Errors
    /// As there.
    pub fn vsock_port(folder: &Path, port: u32, after: After) -> Result<Self> {
        let socket = socket_path(folder, port);
        let listener = listen(&socket)?;
        let path = socket.clone();
        Ok(Self::start(Some(socket), move |shared| accept(shared, &listener, &path, after)))
    }

    /// Connects to the socket of a virtio serial port, as for qemu; the socket
    /// may come later.
    pub fn port(socket: &Path, after: After) -> Self {
        let path = socket.to_owned();
        Self::start(None, move |shared| {
            let mut stream = loop {
                if shared.stopped() {
                    return;
                }
                match UnixStream::connect(&path) {
                    Ok(stream) => break stream,
                    Err(_) => thread::sleep(POLL),
                }
            };
            let _ = stream.set_read_timeout(Some(POLL));
            while shared.read_line(&mut stream, None) && after == After::Record {}
        })
    }

    fn start(socket: Option<PathBuf>, work: impl FnOnce(&Shared) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = Some(thread::spawn(move || work(&theirs)));
        Self { shared, thread, socket }
    }

    /// Returns everything that came so far. More than one entry is possible only with [`After::Record`].
    pub fn lines(&self) -> Vec<Line> {
        self.shared.lines().clone()
    }

    /// Waits for the first line or connection.
    pub fn wait(&self, limit: Duration) -> Option<Line> {
        wait_for(limit, || self.shared.lines().first().cloned())
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(socket) = &self.socket {
            let _ = fs::remove_file(socket);
        }
    }
}

fn accept(shared: &Shared, listener: &UnixListener, path: &Path, after: After) {
    while !shared.stopped() {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(POLL));
        let first = shared.lines().is_empty();
        // podman has no limit for its one connection. Here the limit of the test ends it.
        shared.read_line(&mut stream, Some(if first { Duration::MAX } else { EXTRA }));
        if after == After::Stop {
            let _ = fs::remove_file(path);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scratch;
    use std::io::Write;

    fn send(path: &Path, text: &str) {
        UnixStream::connect(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn one_line_ends_the_wait() {
        let dir = Scratch::new().unwrap();
        let ready = Ready::vsock(dir.path(), After::Stop).unwrap();
        let path = socket_path(dir.path(), PORT);
        send(&path, "Ready\n");
        let line = ready.wait(Duration::from_secs(5)).unwrap();
        assert_eq!((line.text.as_str(), line.complete), ("Ready", true));
        wait_for(Duration::from_secs(5), || UnixStream::connect(&path).err()).unwrap();
    }

    #[test]
    fn further_connections_are_recorded() {
        let dir = Scratch::new().unwrap();
        let ready = Ready::vsock(dir.path(), After::Record).unwrap();
        let path = socket_path(dir.path(), PORT);
        send(&path, "");
        assert!(!ready.wait(Duration::from_secs(5)).unwrap().complete);
        send(&path, "Ready\n");
        wait_for(Duration::from_secs(5), || (ready.lines().len() == 2).then_some(())).unwrap();
        assert_eq!(ready.lines()[1].text, "Ready");
    }
}
