//! Servers that misbehave, over HTTP and over HTTPS. Each run must end in its time, with a reason, and with no more than a little
//! memory.

use std::io::Write as _;
use std::time::Duration;

use crate::certificates::Authority;
use crate::program::{request, run};
use crate::server::{Connection, Server, ok};

/// What a server does to one connection.
type Act = fn(&mut dyn Connection);

/// How long each run may take, in seconds.
const PATIENCE: u64 = 3;

/// A server that misbehaves: its name, what it does, and the exit code that it leads to.
const SERVERS: &[(&str, Act, i32)] = &[
    ("closes", |_| (), 10),
    ("is silent", |_| std::thread::sleep(Duration::from_secs(PATIENCE + 2)), 10),
    ("sends a byte now and then", |c| slowly(c, &ok("hello")), 10),
    ("sends garbage", |c| send(c, b"\0\x01garbage\r\n\r\n"), 11),
    ("sends garbage without end", |c| endless(c, &[b"\0\x01"], b"garbage"), 11),
    ("sends another protocol's greeting", |c| send(c, b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), 11),
    ("answers in HTTP/2", |c| send(c, b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"), 11),
    (
        "sends 50 MB of fields",
        |c| send(c, &[&b"HTTP/1.1 200 OK\r\n"[..], &b"X-A: b\r\n".repeat(6 << 20)].concat()),
        11,
    ),
    ("sends one field without end", |c| endless(c, &[b"HTTP/1.1 200 OK\r\nA: "], b"aaaaaaaaaaaaaaa"), 11),
    (
        "sends too many fields",
        |c| send(c, &[&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(65), b"\r\n"].concat()),
        11,
    ),
    ("sends interim answers without end", |c| endless(c, &[], b"HTTP/1.1 100 Continue\r\n\r\n"), 11),
    ("ends lines without a carriage return", |c| send(c, b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx"), 11),
    (
        "tells two lengths",
        |c| send(c, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        11,
    ),
    (
        "tells a length and sends chunks",
        |c| {
            send(c, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        },
        11,
    ),
    ("tells a length that is none", |c| send(c, b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"), 11),
    (
        "tells a length beyond the limit",
        |c| send(c, b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx"),
        11,
    ),
    ("sends less than it told", |c| send(c, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), 10),
    ("sends a body without end", |c| endless(c, &[b"HTTP/1.1 200 OK\r\n\r\n"], &[b'x'; 1000]), 11),
    (
        "sends chunks without end",
        |c| endless(c, &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], b"5\r\nhello\r\n"),
        11,
    ),
    (
        "sends a chunk beyond the limit",
        |c| {
            endless(
                c,
                &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"],
                &[b'x'; 1000],
            );
        },
        11,
    ),
    (
        "sends a chunk size of no digit",
        |c| send(c, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n"),
        11,
    ),
    (
        "sends a chunk size of many digits",
        |c| send(c, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx"),
        11,
    ),
    (
        "sends a chunk that is longer than told",
        |c| send(c, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz"),
        11,
    ),
    (
        "sends a chunk's extension without end",
        |c| endless(c, &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"], b"x"),
        11,
    ),
    (
        "sends trailers without end",
        |c| endless(c, &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"], b"A: b\r\n"),
        11,
    ),
    (
        "sends an unknown transfer encoding",
        |c| send(c, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        11,
    ),
    ("redirects in a circle", |c| send(c, b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), 11),
    (
        "redirects to a longer place each time",
        |c| send(c, b"HTTP/1.1 302 X\r\nLocation: x/x\r\nContent-Length: 0\r\n\r\n"),
        11,
    ),
    (
        "redirects to garbage",
        |c| send(c, b"HTTP/1.1 302 X\r\nLocation: \xff\xfe\r\nContent-Length: 0\r\n\r\n"),
        11,
    ),
];

fn send(connection: &mut dyn Connection, bytes: &[u8]) {
    // The program closes the connection once it has seen enough.
    let _ = connection.write_all(bytes).and_then(|()| connection.flush());
}

fn endless(connection: &mut dyn Connection, first: &[&[u8]], again: &[u8]) {
    send(connection, &first.concat());
    let many = again.repeat(64);
    while connection.write_all(&many).is_ok() {}
}

fn slowly(connection: &mut dyn Connection, bytes: &[u8]) {
    for byte in bytes {
        std::thread::sleep(Duration::from_millis(150));
        send(connection, &[*byte]);
    }
}

/// Asks a server for its file and checks the end.
fn check(name: &str, url: &str, ca: &[u8], code: i32) {
    let mut asked = request(url);
    asked.cas.push(ca.into());
    asked.total_seconds = PATIENCE;
    asked.limit = 100 << 10;
    let outcome = run(&asked);
    assert_eq!(outcome.code, Some(code), "{name}: {:?}", outcome.lines);
    assert!(outcome.error(code).starts_with(&url[..url.len() - 1]), "{name}: {:?}", outcome.lines);
    // Most of a busy machine's time goes to other tests.
    assert!(outcome.time < Duration::from_secs(PATIENCE + 20), "{name}: {:?}", outcome.time);
}

#[test]
fn each_is_survived() {
    let authority = Authority::new();
    let ca = authority.pem("ca");
    authority.localhost();
    std::thread::scope(|scope| {
        for part in SERVERS.chunks(SERVERS.len().div_ceil(6)) {
            let (authority, ca) = (&authority, &ca);
            scope.spawn(move || {
                for (name, act, code) in part {
                    let server = Server::http(|_, _, connection| act(connection));
                    check(name, &server.url("/"), ca, *code);
                    let server =
                        Server::https(authority.server(&["leaf"]), |_, _, connection| act(connection));
                    check(name, &server.https_url("localhost", "/"), ca, *code);
                }
            });
        }
    });
}

/// An answer that ends anywhere, the first time, is fetched whole the second time.
#[test]
fn an_answer_that_is_cut_anywhere_is_fetched_again() {
    let length = ok("hello, world");
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\nA: b\r\n\r\n".to_vec();
    std::thread::scope(|scope| {
        for answer in [&length, &chunks] {
            for start in 0..4 {
                scope.spawn(move || {
                    for end in (start..answer.len()).step_by(4) {
                        let whole = answer.clone();
                        let server = Server::http(move |_, number, connection| {
                            let part = if number == 0 { &whole[..end] } else { &whole };
                            send(connection, part);
                        });
                        let outcome = run(&request(&server.url("/")));
                        assert_eq!(outcome.body(), b"hello, world", "cut at {end}: {:?}", outcome.lines);
                        assert_eq!(server.requests().len(), 2, "cut at {end}");
                    }
                });
            }
        }
    });
}

/// A server that does not speak TLS, and one that ends TLS without saying so.
#[test]
fn tls_that_is_none_or_cut() {
    for greeting in [&b"HTTP/1.1 400 Bad\r\n\r\n"[..], b"220 smtp\r\n"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let _ = stream.write_all(greeting);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let outcome = run(&request(&format!("https://localhost:{port}/")));
        assert!(outcome.error(11).contains("does not speak TLS"), "{:?}", outcome.lines);
        thread.join().unwrap();
    }
    // Without a length, the end of the connection is the end of the body, if TLS confirms it.
    let authority = Authority::new();
    let server = Server::https(authority.localhost(), |_, _, c| send(c, b"HTTP/1.1 200 OK\r\n\r\nhello"));
    let mut asked = request(&server.https_url("localhost", "/"));
    asked.cas.push(authority.pem("ca").into());
    assert_eq!(run(&asked).body(), b"hello");
}
