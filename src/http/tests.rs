//! Fetches from hosts of every kind. Each host is a real socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::deadline::Deadline;
use crate::error::{Reason, Result};
use crate::testing::TempDir;

/// The request that the platform applehv makes.
const REQUEST: Request<'static> = Request {
    method: "GET",
    path: "/",
    headers: &[("Host", "ignition"), ("User-Agent", "test/1"), ("Accept", "application/json")],
};

fn fetch(
    peer: &str,
    connect: &dyn Fn() -> io::Result<Box<dyn HostStream>>,
    patience: Duration,
    limit: u64,
) -> Result<Vec<u8>> {
    Client { peer, connect, deadline: Deadline::after(patience), limit }.fetch(&REQUEST)
}

impl HostStream for UnixStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

/// A host on its own socket. `serve` is called with the number of each connection and the connection, after the
/// request was read.
struct Host {
    directory: TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn new(name: &str, connections: usize, serve: impl Fn(usize, &mut UnixStream) + Send + 'static) -> Self {
        Self::at(TempDir::new(&format!("http-{name}")), connections, serve)
    }

    fn at(
        directory: TempDir,
        connections: usize,
        serve: impl Fn(usize, &mut UnixStream) + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(directory.join("socket")).unwrap();
        let thread = std::thread::spawn(move || {
            for number in 0..connections {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    request.push(byte[0]);
                }
                assert_eq!(
                    String::from_utf8(request).unwrap(),
                    "GET / HTTP/1.1\r\nHost: ignition\r\nUser-Agent: test/1\r\nAccept: application/json\r\n\
                     Connection: close\r\n\r\n"
                );
                serve(number, &mut stream);
            }
        });
        Self { directory, thread: Some(thread) }
    }

    fn fetch(&self, patience: Duration, limit: u64) -> Result<Vec<u8>> {
        let path = self.directory.join("socket");
        let connect = || -> io::Result<Box<dyn HostStream>> { Ok(Box::new(UnixStream::connect(&path)?)) };
        fetch("test host", &connect, patience, limit)
    }

    /// Returns the result of a fetch with the usual bounds.
    fn answer(self) -> Result<Vec<u8>> {
        let answer = self.fetch(Duration::from_secs(5), 1 << 20);
        drop(self);
        answer
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            if !std::thread::panicking() {
                thread.join().unwrap();
            }
        }
    }
}

/// A host that answers once with exactly these bytes and then closes the connection.
fn once(name: &str, answer: &'static [u8]) -> Result<Vec<u8>> {
    // The client may close before it has read everything. Then the write fails.
    Host::new(name, 1, move |_, stream| drop(stream.write_all(answer))).answer()
}

fn refusal(answer: Result<Vec<u8>>) -> (Reason, String) {
    let error = answer.unwrap_err();
    (error.reason(), error.text().to_owned())
}

#[test]
fn bodies_by_length_in_chunks_and_up_to_the_close() {
    for (name, answer) in [
        ("length", &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..]),
        (
            "chunks",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        ),
        ("trailers", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
        ("close", b"HTTP/1.0 200 OK\r\n\r\nhello"),
        ("more-than-told", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello world"),
    ] {
        assert_eq!(once(name, answer).unwrap(), b"hello", "{name}");
    }
}

#[test]
fn an_empty_body_is_an_empty_config() {
    assert_eq!(once("empty", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap(), b"");
    assert_eq!(
        once("empty-chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").unwrap(),
        b""
    );
}

/// A host that dies after its head must not lead to a machine that counts as provisioned although nothing was
/// applied.
#[test]
fn an_empty_body_without_a_length_is_cut_short() {
    let host = Host::new("empty-close", 2, |number, stream| {
        let body = if number == 0 { "" } else { "hello" };
        write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
    });
    assert_eq!(host.answer().unwrap(), b"hello");
}

/// podman's server keeps the connection open although the client asks it to close.
#[test]
fn the_end_of_the_body_is_enough() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let host = Host::new("open", 1, move |_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .unwrap();
        receiver.recv().unwrap();
    });
    assert_eq!(host.fetch(Duration::from_secs(5), 100).unwrap(), b"hello");
    sender.send(()).unwrap();
}

#[test]
fn status_is_looked_at() {
    for status in [
        "404 Not Found",
        "301 Moved",
        "204 No Content",
        "205 Reset",
        "206 Partial",
        "304 Not Modified",
        "101 Upgrade",
        "000 Zero",
        "099 Low",
        "600 High",
        "999 Highest",
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
        let (reason, text) = refusal(once(&status[..3], Box::leak(answer.into())));
        assert_eq!(reason, Reason::BadAnswer);
        assert!(text.contains(&status[..3]), "{text}");
    }
}

#[test]
fn failures_that_can_pass_are_tried_again() {
    let host = Host::new("third-time", 4, |number, stream| match number {
        0 => {}
        1 => stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap(),
        2 => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe").unwrap(),
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap(),
    });
    assert_eq!(host.answer().unwrap(), b"hello");
}

#[test]
fn a_late_host_is_waited_for() {
    let directory = TempDir::new("http-late");
    let path = directory.join("socket");
    let host = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(700));
        Host::at(directory, 1, |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        })
    });
    let connect = || -> io::Result<Box<dyn HostStream>> { Ok(Box::new(UnixStream::connect(&path)?)) };
    let body = fetch("late", &connect, Duration::from_secs(10), 100);
    assert_eq!(body.unwrap(), b"ok");
    host.join().unwrap();
}

#[test]
fn nobody_there_ends_at_the_deadline() {
    let connect =
        || -> io::Result<Box<dyn HostStream>> { Ok(Box::new(UnixStream::connect("/nonexistent")?)) };
    let (reason, text) = refusal(fetch("nobody", &connect, Duration::from_secs(1), 100));
    assert_eq!(reason, Reason::NoHost);
    assert!(text.contains("connect: no such file or directory"), "{text}");
    assert!(text.contains("tries"), "{text}");
}

#[test]
fn a_silent_or_slow_host_ends_at_the_deadline() {
    for (name, pause) in [("silent", 3000), ("slow", 100)] {
        let host = Host::new(name, 1, move |_, stream| {
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".iter().cycle().take(3000 / pause) {
                std::thread::sleep(Duration::from_millis(pause as u64));
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        });
        // Without a deadline of its own, the fetch would last until the host sends a byte and closes.
        let (reason, text) = refusal(host.fetch(Duration::from_secs(1), 100));
        assert_eq!(reason, Reason::NoHost, "{name}");
        let words = if name == "silent" {
            "the host is silent"
        } else {
            "the time is over in the middle of the answer"
        };
        assert!(text.contains(words), "{name}: {text}");
    }
}

#[test]
fn heads_and_bodies_are_bounded() {
    let head = Host::new("head", 1, |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Filler: 0123456789\r\n").is_ok() {}
    });
    assert!(refusal(head.answer()).1.contains("over 16 KiB"));

    let trailers = Host::new("trailers-endless", 1, |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
        while stream.write_all(b"X-Filler: 0123456789\r\n").is_ok() {}
    });
    assert!(refusal(trailers.answer()).1.contains("over 16 KiB"));

    for (name, start) in [
        ("endless-close", "HTTP/1.0 200 OK\r\n\r\n"),
        ("endless-chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        let host = Host::new(name, 1, move |_, stream| {
            let _ = stream.write_all(start.as_bytes());
            // In large pieces, so that a busy machine comes to the limit before the time is over.
            let chunks = b"5\r\nhello\r\n".repeat(1000);
            while stream.write_all(&chunks).is_ok() {}
        });
        let (reason, text) = refusal(host.answer());
        assert_eq!(reason, Reason::BadAnswer);
        assert!(text.contains("larger than 1048576 bytes"), "{name}: {text}");
    }
    for (name, answer) in [
        ("told-large", &b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n"[..]),
        ("told-huge", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
    ] {
        assert!(refusal(once(name, answer)).1.contains("larger than"), "{name}");
    }
}

/// A config after a length of 0 would be lost, and the machine would have no users.
#[test]
fn a_body_after_an_empty_one_is_refused() {
    for (name, answer) in [
        ("surplus-length", &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{}"[..]),
        ("surplus-chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}"),
    ] {
        assert!(refusal(once(name, answer)).1.contains("announced an empty config but sent more"), "{name}");
    }
    let late = Host::new("surplus-late", 1, |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let _ = stream.write_all(b"{}");
    });
    assert_eq!(refusal(late.answer()).0, Reason::BadAnswer);
    // A host that keeps the connection open after an empty config must not delay the fetch.
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let open = Host::new("surplus-open", 1, move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        receiver.recv().unwrap();
    });
    assert_eq!(open.fetch(Duration::from_secs(5), 100).unwrap(), b"");
    sender.send(()).unwrap();
}

#[test]
fn a_large_body_comes_whole() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let sent = body.clone();
    let host = Host::new("large", 1, move |_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", sent.len()).unwrap();
        stream.write_all(&sent).unwrap();
        stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    });
    assert!(host.fetch(Duration::from_secs(20), 4 << 20).unwrap() == body);
}
