//! The host's config listener: HTTP as podman's applehv and libkrun providers
//! serve it, and hosts that do not behave.
//!
//! podman serves with Go's `net/http`: any path and method, a body of more than
//! 2048 bytes as one chunk, a shorter one with its length, the connection kept
//! open unless the client asks otherwise, 400 for a request without `Host`.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};

/// The port that podman's hosts serve the config on.
pub const PORT: u32 = 1024;

/// Go's server sends a body up to this size with its length, not in chunks.
const WHOLE: usize = 2048;
const LONGEST_HEAD: usize = 64 * 1024;
const POLL: Duration = Duration::from_millis(20);

/// How the host behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It behaves as podman does.
    Podman,
    /// The socket listens and nobody accepts: connects succeed, then silence.
    /// With the backlog full the vsock device stalls for every other port too.
    NeverAccepts,
    /// It accepts and at once closes this many connections, then behaves as podman does.
    HangsUp(usize),
    /// It has no socket before this time, then behaves as podman does.
    Late(Duration),
    /// It sends the right answer one byte at a time, with this time between two bytes.
    Trickles(Duration),
    /// It sends this status with a short body this many times, then behaves as podman does.
    Status(u16, usize),
}

/// A request as the host received it.
#[derive(Clone, Debug)]
pub struct Request {
    /// When the head of the request was complete.
    pub at: Instant,
    /// The request line and the headers.
    pub head: String,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    accepted: AtomicUsize,
    failed: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

/// A config served on `FOLDER/v_1024` until this value ends.
pub struct Config {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
}

impl Config {
    /// Serves `body` below `folder`, the folder of the guest's vsock device.
    /// The socket is there on return, unless the manner is [`Manner::Late`].
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn serve(folder: &Path, body: Vec<u8>, manner: Manner) -> Result<Self> {
        let socket = socket_path(folder, PORT);
        let shared = Arc::new(Shared::default());
        let listener = if let Manner::Late(_) = manner { None } else { Some(listen(&socket)?) };
        let server = Server { shared: shared.clone(), body: Arc::new(body), manner };
        let late = socket.clone();
        let thread = thread::spawn(move || match listener {
            Some(listener) => server.accept_all(&listener),
            None => server.accept_later(&late),
        });
        Ok(Self { shared, thread: Some(thread), socket })
    }

    /// Returns every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Returns the path at which the vsock device looks for the listener of a port.
pub fn socket_path(folder: &Path, port: u32) -> PathBuf {
    folder.join(format!("v_{port}"))
}

/// Listens at `path`. accept(2) on the result does not block.
pub(crate) fn listen(path: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(path).doing_to("listen on", path)?;
    listener.set_nonblocking(true).doing_to("listen on", path)?;
    Ok(listener)
}

#[derive(Clone)]
struct Server {
    shared: Arc<Shared>,
    body: Arc<Vec<u8>>,
    manner: Manner,
}

impl Server {
    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Sleeps, but not longer than the server lives.
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

    fn accept_later(&self, socket: &Path) {
        if let Manner::Late(time) = self.manner {
            self.pause(time);
        }
        if self.stopped() {
            return;
        }
        match listen(socket) {
            Ok(listener) => self.accept_all(&listener),
            Err(e) => eprintln!("lab: {e}"),
        }
    }

    fn accept_all(&self, listener: &UnixListener) {
        let mut threads = Vec::new();
        while !self.stopped() {
            if self.manner == Manner::NeverAccepts {
                self.pause(POLL);
                continue;
            }
            let Ok((stream, _)) = listener.accept() else {
                self.pause(POLL);
                continue;
            };
            let before = self.shared.accepted.fetch_add(1, Ordering::Relaxed);
            if matches!(self.manner, Manner::HangsUp(times) if before < times) {
                continue;
            }
            let server = self.clone();
            threads.push(thread::spawn(move || {
                // The client may go away at any time.
                let _ = server.serve(stream);
            }));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        let mut pending = Vec::new();
        while let Some(head) = self.read_head(&mut stream, &mut pending)? {
            let request = Request { at: Instant::now(), head };
            self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            let (bytes, last) = match self.manner {
                Manner::Status(code, times) if self.shared.failed.fetch_add(1, Ordering::Relaxed) < times => {
                    (error_page(&format!("{code} Lab"), "no config today"), true)
                }
                _ => answer(&request.head, &self.body),
            };
            if let Manner::Trickles(time) = self.manner {
                for byte in bytes {
                    self.pause(time);
                    if self.stopped() {
                        return Ok(());
                    }
                    stream.write_all(&[byte])?;
                }
            } else {
                stream.write_all(&bytes)?;
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    /// Reads the head of the next request. Returns `None` at the end of the connection.
    fn read_head(&self, stream: &mut UnixStream, pending: &mut Vec<u8>) -> io::Result<Option<String>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = pending.split_off(end + 4);
                let head = std::mem::replace(pending, rest);
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if pending.len() > LONGEST_HEAD || self.stopped() {
                return Ok(None);
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => pending.extend_from_slice(&buffer[..count]),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Returns podman's answer, and whether the connection ends after it.
pub fn answer(head: &str, body: &[u8]) -> (Vec<u8>, bool) {
    let mut lines = head.split("\r\n");
    let request = lines.next().unwrap_or_default();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    let old = request.ends_with(" HTTP/1.0");
    if !old && !request.ends_with(" HTTP/1.1") {
        return (error_page("400 Bad Request", "400 Bad Request"), true);
    }
    if !old && header("host").is_none() {
        return (error_page("400 Bad Request", "400 Bad Request: missing required Host header"), true);
    }
    let close = old || header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let mut out = format!("HTTP/1.{} 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n", u8::from(!old));
    if !old && body.len() <= WHOLE {
        out = out + "Content-Length: " + &body.len().to_string() + "\r\n";
    }
    out += "Content-Type: text/plain; charset=utf-8\r\n";
    if close && !old {
        out += "Connection: close\r\n";
    }
    let chunked = !old && body.len() > WHOLE;
    if chunked {
        out += "Transfer-Encoding: chunked\r\n";
    }
    let mut out = (out + "\r\n").into_bytes();
    if chunked {
        out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        out.extend_from_slice(body);
    }
    (out, close)
}

fn error_page(status: &str, text: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

/// Reads one of the lab's own configs.
///
/// # Errors
/// When there is none of that name.
pub fn config(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
    if !path.exists() {
        return Err(Error::new(format!("no config {}", path.display())));
    }
    fs::read_to_string(&path).doing_to("read", &path)
}

/// Returns the units for the shares of a Mac. podman leaves them out of a machine without volumes.
const SHARES: [&str; 6] = [
    "Users.mount",
    "private.mount",
    "var-folders.mount",
    "etc-containers.mount",
    "immutable-root-off.service",
    "immutable-root-on.service",
];

/// Returns podman's config without the shares in it.
///
/// # Errors
/// When the config is not as podman writes it.
pub fn without_shares(config: &str) -> Result<String> {
    let mut config = config.to_owned();
    for unit in SHARES {
        let Some(name) = config.find(&format!("\"name\":\"{unit}\"")) else { continue };
        let range = config[..name].rfind(",{").zip(config[name..].find('}'));
        let (begin, length) = range.ok_or_else(|| Error::new(format!("{unit} is no unit among others")))?;
        config.replace_range(begin..=name + length, "");
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scratch;

    fn ask(folder: &Path, request: &str) -> String {
        let mut stream = UnixStream::connect(socket_path(folder, PORT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_long_body_is_one_chunk_and_the_connection_closes_when_asked() {
        let dir = Scratch::new().unwrap();
        let host = Config::serve(dir.path(), vec![b'x'; 3000], Manner::Podman).unwrap();
        let text = ask(dir.path(), "GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\nxxx"), "{text}");
        assert!(text.ends_with("xxx\r\n0\r\n\r\n"), "{text}");
        assert_eq!(host.requests().len(), 1);
    }

    #[test]
    fn a_short_body_has_its_length_and_a_missing_host_is_refused() {
        let dir = Scratch::new().unwrap();
        let _host = Config::serve(dir.path(), b"{}".to_vec(), Manner::Podman).unwrap();
        let text = ask(dir.path(), "GET / HTTP/1.1\r\nhost: d\r\nconnection: Close\r\n\r\n");
        assert!(text.contains("\r\nContent-Length: 2\r\n") && text.ends_with("\r\n\r\n{}"), "{text}");
        let text = ask(dir.path(), "GET / HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        let text = ask(dir.path(), "GET / HTTP/1.0\r\n\r\n");
        assert!(text.starts_with("HTTP/1.0 200 OK") && !text.contains("Length"), "{text}");
    }

    #[test]
    fn a_kept_connection_serves_again() {
        let dir = Scratch::new().unwrap();
        let host = Config::serve(dir.path(), b"{}".to_vec(), Manner::Podman).unwrap();
        let twice =
            "GET / HTTP/1.1\r\nHost: d\r\n\r\nGET /x HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(dir.path(), twice).matches("200 OK").count(), 2);
        assert_eq!(host.requests().len(), 2);
    }

    #[test]
    fn hosts_that_do_not_behave() {
        let dir = Scratch::new().unwrap();
        let get = "GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
        let host = Config::serve(dir.path(), b"{}".to_vec(), Manner::Status(503, 1)).unwrap();
        assert!(ask(dir.path(), get).starts_with("HTTP/1.1 503 "));
        assert!(ask(dir.path(), get).starts_with("HTTP/1.1 200 "));
        drop(host);
        let wait = Duration::from_millis(300);
        let _late = Config::serve(dir.path(), b"{}".to_vec(), Manner::Late(wait)).unwrap();
        assert!(UnixStream::connect(socket_path(dir.path(), PORT)).is_err());
        thread::sleep(wait * 2);
        assert!(ask(dir.path(), get).ends_with("{}"));
    }
}
