//! Fetches from hosts of every kind. Each host is a real socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::answer::AnswerReader;
use super::failure::Failure;
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
            while stream.write_all(b"5\r\nhello\r\n").is_ok() {}
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

/// Reads one answer whose connection then closes, without retries.
fn read(answer: &[u8]) -> std::result::Result<Vec<u8>, Failure> {
    struct Bytes<'b>(std::cell::RefCell<&'b [u8]>);
    impl Input for Bytes<'_> {
        fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.borrow_mut().read(buffer)
        }
    }
    AnswerReader::new(&Bytes(answer.into())).body(1 << 20)
}

/// Asserts that each of these answers is refused at once.
fn assert_refused(head: &str, answers: &[&str]) {
    for rest in answers {
        let answer = format!("{head}{rest}");
        match read(answer.as_bytes()) {
            Err(Failure::Final(error)) => assert_eq!(error.reason(), Reason::BadAnswer, "{rest:?}"),
            other => panic!("{answer:?} gave {other:?}"),
        }
    }
}

#[test]
fn what_is_not_http_is_refused() {
    assert_refused(
        "",
        &[
            "\x00\x01garbage\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "\r\n\r\n",
            // An empty line before the status line, which httparse skips.
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
}

#[test]
fn status_lines_other_than_http_1_are_refused() {
    for line in [
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.11 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 +200 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1 0200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 200.0 OK",
        "HTTP/1.1 OK",
        "HTTP/1.1",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
    ] {
        assert_refused(line, &["\r\nContent-Length: 1\r\n\r\nx"]);
    }
    // The reason phrase may be missing, and may be any text.
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 \u{e4}\tx"] {
        let answer = format!("{line}\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(read(answer.as_bytes()).unwrap(), b"x", "{line}");
    }
}

/// A status that no server may send is refused at once. It is not tried again as a server error is.
#[test]
fn an_impossible_status_is_refused_at_once() {
    for status in ["000", "099", "600", "999"] {
        assert_refused(&format!("HTTP/1.1 {status} X"), &["\r\nContent-Length: 0\r\n\r\n"]);
    }
    for status in ["500", "503", "599"] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(read(answer.as_bytes()), Err(Failure::Passing(_))), "{status}");
    }
}

#[test]
fn interim_answers_are_skipped_up_to_a_bound() {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n",
        // An interim answer has no body, whatever its head says.
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 199 Other\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(read(format!("{interim}{good}").as_bytes()).unwrap(), b"hello", "{interim}");
        assert_eq!(read(format!("{}{good}", interim.repeat(8)).as_bytes()).unwrap(), b"hello", "{interim}");
        assert_refused(&interim.repeat(9), &[good]);
        assert!(matches!(read(interim.as_bytes()), Err(Failure::Passing(_))), "{interim}");
    }
    // Status 101 switches to another protocol, which the client does not ask for.
    assert_refused("HTTP/1.1 101 Switching Protocols\r\n\r\n", &[good]);
    assert_refused("HTTP/1.1 100 Continue\r\n\r\n", &["hello\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\nx"]);
}

#[test]
fn heads_that_are_not_exact_are_refused() {
    assert_refused(
        "HTTP/1.1 200 OK",
        &[
            // A bare LF in each place.
            "\nContent-Length: 1\n\nx",
            "\r\nContent-Length: 1\n\r\nx",
            "\r\nContent-Length: 1\r\n\nx",
            "\nContent-Length: 1\r\n\r\nx",
            // A bare CR, and NUL.
            "\r\nA: b\rc\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA: b\0c\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA\0: b\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA: \u{7f}\r\nContent-Length: 1\r\n\r\nx",
            // Folded lines, blanks around names, and lines that are not fields.
            "\r\nA: b\r\n c\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA: b\r\n\tc\r\nContent-Length: 1\r\n\r\nx",
            "\r\n A: b\r\nContent-Length: 1\r\n\r\nx",
            "\r\nContent-Length : 1\r\n\r\nx",
            "\r\nContent Length: 1\r\n\r\nx",
            "\r\n: b\r\nContent-Length: 1\r\n\r\nx",
            "\r\nhello\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\nx", "A: b\r\n".repeat(count));
    assert_eq!(read(fields(64).as_bytes()).unwrap(), b"x");
    assert_refused(&fields(65), &[""]);
}

#[test]
fn lengths_that_are_not_exact_are_refused() {
    assert_refused(
        "HTTP/1.1 200 OK\r\n",
        &[
            "Content-Length: -1\r\n\r\nx",
            "Content-Length: +1\r\n\r\nx",
            "Content-Length:\r\n\r\nx",
            "Content-Length: 1 1\r\n\r\nx",
            "Content-Length: 1,1\r\n\r\nx",
            "Content-Length: 1, 1\r\n\r\nx",
            "Content-Length: 1;\r\n\r\nx",
            "Content-Length: 0x1\r\n\r\nx",
            "Content-Length: 1.0\r\n\r\nx",
            "Content-Length: \u{a0}1\r\n\r\nx",
            "Content-Length: 18446744073709551616\r\n\r\nx",
            "Content-Length: 18446744073709551617\r\n\r\nx",
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: identity\r\n\r\nx",
            "Transfer-Encoding:\r\n\r\nx",
            "Transfer-Encoding: chunked;q=1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
    // HTTP/1.0 has no transfer encodings.
    assert_refused("HTTP/1.0 200 OK\r\n", &["Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"]);
    for head in ["content-length:1", "CONTENT-LENGTH:\t 01 ", "Transfer-encoding: Chunked"] {
        let body = if head.contains("unked") { "1\r\nx\r\n0\r\n\r\n" } else { "x" };
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        assert_eq!(read(answer.as_bytes()).unwrap(), b"x", "{head}");
    }
}

#[test]
fn chunks_that_are_not_exact_are_refused() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(300));
    assert_refused(
        head,
        &[
            // A line without digits is not a size. It must not count as size 0.
            "\r\n",
            "\r\n\r\n",
            "\r\n{\"ignition\":{}}\r\n0\r\n\r\n",
            ";\r\n\r\n",
            ";x=y\r\n\r\n",
            " \r\n\r\n",
            "\t;x\r\n\r\n",
            "1\r\nx\r\n\r\n",
            "zz\r\n",
            "-1\r\nx\r\n0\r\n\r\n",
            "+1\r\nx\r\n0\r\n\r\n",
            "0x1\r\nx\r\n0\r\n\r\n",
            " 1\r\nx\r\n0\r\n\r\n",
            "1 1\r\nx\r\n0\r\n\r\n",
            "1 x\r\nx\r\n0\r\n\r\n",
            "1,\r\nx\r\n0\r\n\r\n",
            "1\0\r\nx\r\n0\r\n\r\n",
            "1;\0\r\nx\r\n0\r\n\r\n",
            "1;a\rb\r\nx\r\n0\r\n\r\n",
            // A bare LF, and a bare CR.
            "1\nx\r\n0\r\n\r\n",
            "1;x\nx\r\n0\r\n\r\n",
            "1\rx\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx\r\n0\n\r\n",
            "1\r\nx\r\n0\r\n\n",
            // The chunk does not have the size that its line says.
            "1\r\nxyz\r\n0\r\n\r\n",
            "0\r\nhello\r\n0\r\n\r\n",
            "0\r\n{\"ignition\":{}}\r\n0\r\n\r\n",
            "0\r\n5\r\nhello\r\n0\r\n\r\n",
            // Sizes beyond 64 bits, also with leading zeros.
            "11111111111111111\r\n",
            "00000000000000001\r\nx\r\n0\r\n\r\n",
            "10000000000000000\r\n\r\n",
            &long,
            // Trailers that are not fields.
            "1\r\nx\r\n0\r\nA b\r\n\r\n",
            "1\r\nx\r\n0\r\nA : b\r\n\r\n",
            "1\r\nx\r\n0\r\nA: b\r\n c: d\r\n\r\n",
            "1\r\nx\r\n0\r\nA: b\0\r\n\r\n",
        ],
    );
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n000\r\n\r\n",
        "5 \t\r\nhello\r\n0;x\r\n\r\n",
        "5 ; x=\"y\tz\"\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ] {
        assert_eq!(read(format!("{head}{body}").as_bytes()).unwrap(), b"hello", "{body}");
    }
    let large = format!("{head}A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n");
    assert_eq!(read(large.as_bytes()).unwrap().len(), 21);
    // The end of the connection is neither a last chunk nor the end of the trailers.
    for body in [
        "",
        "5",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
        "0\r\n",
        "0\r\nA: b\r\n",
    ] {
        let read = read(format!("{head}{body}").as_bytes());
        assert!(matches!(read, Err(Failure::Passing(_))), "{body:?}: {read:?}");
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
