//! Hosts that do whatever they like with a connection.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::host::{self, listen, socket_path};

const POLL: Duration = Duration::from_millis(5);

/// What a host does with a connection. Connections are numbered from 0. An error means that the guest went away.
pub type Behaviour = dyn Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    accepted: AtomicUsize,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps, but not longer than the host lives.
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(POLL));
        }
    }
}

/// A connection to the guest.
pub struct Peer {
    stream: UnixStream,
    shared: Arc<Shared>,
}

impl Peer {
    /// Reads the request up to its empty line.
    ///
    /// # Errors
    /// When the guest goes away before that, or the host stops.
    pub fn request(&mut self) -> io::Result<String> {
        self.read_until(b"\r\n\r\n")
    }

    /// Reads the bytes up to `end` and with it, or up to the end of the connection.
    ///
    /// # Errors
    /// When the connection breaks, or the host stops.
    pub fn read_until(&mut self, end: &[u8]) -> io::Result<String> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(end) {
            match self.stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => bytes.push(byte[0]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !self.shared.stopped() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// When the guest has gone away, or the host stops.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !self.shared.stopped() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Sends these bytes over and over.
    ///
    /// # Errors
    /// Always: this ends only when the guest goes away or the host stops.
    pub fn send_for_ever(&mut self, bytes: &[u8]) -> io::Result<()> {
        let many = bytes.repeat(1 + 4096 / bytes.len());
        loop {
            self.send(&many)?;
        }
    }

    /// Sends these bytes one by one, with a pause after each.
    ///
    /// # Errors
    /// As for [`Peer::send`].
    pub fn trickle(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            self.send(&[*byte])?;
            self.pause(pause);
        }
        Ok(())
    }

    /// Reads the request and answer it as podman does.
    ///
    /// # Errors
    /// As for [`Peer::send`].
    pub fn answer(&mut self, body: &[u8]) -> io::Result<()> {
        let request = self.request()?;
        self.send(&host::answer(&request, body).0)
    }

    /// Does nothing for a while, with the connection open.
    pub fn pause(&self, time: Duration) {
        self.shared.pause(time);
    }

    /// Waits at most this time until the guest goes away.
    ///
    /// # Errors
    /// Never. The result has the type of a host's behaviour, so that a call can be its last expression.
    pub fn wait_for_end(&mut self, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        let mut bytes = [0; 1024];
        while Instant::now() < end && !self.shared.stopped() {
            match self.stream.read(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// A listener on one vsock port of the host until this value ends.
pub struct Host {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
}

impl Host {
    /// Listens on `port` below `folder`, the folder of the guest's vsock device.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(folder: &Path, port: u32, behaviour: Arc<Behaviour>) -> Result<Self> {
        let socket = socket_path(folder, port);
        let listener = listen(&socket)?;
        Ok(Self::run(socket, move |shared| accept(shared, &listener, &behaviour)))
    }

    /// As [`Host::start`], but nothing listens before `time` has passed.
    pub fn start_late(folder: &Path, port: u32, time: Duration, behaviour: Arc<Behaviour>) -> Self {
        let socket = socket_path(folder, port);
        let path = socket.clone();
        Self::run(socket, move |shared| {
            shared.pause(time);
            if shared.stopped() {
                return;
            }
            match listen(&path) {
                Ok(listener) => accept(shared, &listener, &behaviour),
                Err(e) => eprintln!("lab: {e}"),
            }
        })
    }

    fn run(socket: PathBuf, work: impl FnOnce(&Arc<Shared>) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        Self { shared, thread: Some(thread::spawn(move || work(&theirs))), socket }
    }

    /// Returns how many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

fn accept(shared: &Arc<Shared>, listener: &UnixListener, behaviour: &Arc<Behaviour>) {
    let mut threads = Vec::new();
    while !shared.stopped() {
        let Ok((stream, _)) = listener.accept() else {
            shared.pause(POLL);
            continue;
        };
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let (shared, behaviour) = (shared.clone(), behaviour.clone());
        threads.push(thread::spawn(move || {
            let timeout = Some(Duration::from_millis(100));
            if stream.set_nonblocking(false).is_ok()
                && stream.set_read_timeout(timeout).is_ok()
                && stream.set_write_timeout(timeout).is_ok()
            {
                // The guest may go away at any time.
                let _ = behaviour(number, &mut Peer { stream, shared });
            }
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scratch;

    #[test]
    fn each_connection_has_its_number() {
        let dir = Scratch::new().unwrap();
        let behaviour = |number: usize, peer: &mut Peer| {
            let line = peer.read_until(b"\n")?;
            peer.send(format!("{number} {line}").as_bytes())
        };
        let host = Host::start(dir.path(), 7, Arc::new(behaviour)).unwrap();
        for number in 0..2 {
            let mut stream = UnixStream::connect(socket_path(dir.path(), 7)).unwrap();
            stream.write_all(b"hello\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{number} hello\n"));
        }
        assert_eq!(host.accepted(), 2);
    }

    #[test]
    fn an_endless_answer_ends_with_the_host() {
        let dir = Scratch::new().unwrap();
        let host = Host::start(dir.path(), 7, Arc::new(|_, peer| peer.send_for_ever(b"x"))).unwrap();
        let mut stream = UnixStream::connect(socket_path(dir.path(), 7)).unwrap();
        stream.read_exact(&mut vec![0; 100_000]).unwrap();
        let late = Host::start_late(dir.path(), 8, Duration::from_secs(60), Arc::new(|_, _| Ok(())));
        assert!(UnixStream::connect(socket_path(dir.path(), 8)).is_err());
        drop((host, late));
    }
}
