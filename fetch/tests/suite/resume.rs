//! Bodies that are cut go on at the byte that comes next.

use glowplug::fetch_request::FetchRequest;

use crate::program::{Outcome, request, run};
use crate::server::{Connection, Server};

fn text() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Returns where the request wants the body to begin.
fn start_of(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("Range: bytes=")?.strip_suffix('-')?.parse().ok())
}

/// Sends up to `most` bytes of `body` from where the request wants them, as a server with ranges does.
fn send_range(connection: &mut dyn Connection, head: &str, body: &[u8], fields: &str, most: usize) {
    let start = start_of(head).unwrap_or(0);
    let rest = &body[start..];
    let first = if start > 0 {
        format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{}", body.len() - 1, body.len())
    } else {
        "200 OK".to_owned()
    };
    let _ = write!(connection, "HTTP/1.1 {first}\r\nContent-Length: {}\r\n{fields}\r\n", rest.len());
    let _ = connection.write_all(&rest[..rest.len().min(most)]);
}

fn run_long(server: &Server) -> Outcome {
    run(&FetchRequest { total_seconds: 60, ..request(&server.url("/")) })
}

#[test]
fn by_range_where_the_file_has_an_etag_or_a_date() {
    for (fields, validator) in [
        ("ETag: \"one\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", "If-Range: \"one\""),
        (
            "ETag: W/\"one\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
            "If-Range: Mon, 01 Jan 2024 00:00:00 GMT",
        ),
    ] {
        let server =
            Server::http(move |head, _, connection| send_range(connection, head, &text(), fields, 100_001));
        let outcome = run_long(&server);
        assert!(outcome.body() == text());
        assert!(outcome.notes("was cut after 100001 bytes"), "{:?}", outcome.lines);
        let requests = server.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(start_of(&requests[1]), Some(100_001));
        assert!(requests[1..].iter().all(|head| head.contains(validator)), "{requests:?}");
    }
}

#[test]
fn from_the_beginning_where_the_server_sends_no_ranges() {
    for fields in ["", "ETag: W/\"weak\"\r\n", "Accept-Ranges: none\r\nETag: \"one\"\r\n"] {
        let server = Server::http(move |head, number, connection| {
            assert_eq!(start_of(head), None);
            send_range(connection, head, &text(), fields, (number + 1) * 120_001);
        });
        assert!(run_long(&server).body() == text(), "{fields}");
        assert_eq!(server.requests().len(), 3);
    }
    // A server that ignores the range.
    let server = Server::http(|_, number, connection| {
        send_range(connection, "", &text(), "ETag: \"one\"\r\n", if number == 0 { 7 } else { usize::MAX });
    });
    assert!(run_long(&server).body() == text());
}

#[test]
fn a_file_that_changed_is_final() {
    for (fields, changed_length) in [("", false), ("", true), ("ETag: \"one\"\r\n", true)] {
        let server = Server::http(move |head, number, connection| {
            let mut body = text();
            if number > 0 {
                body[5] ^= 1;
                if changed_length {
                    body.push(0);
                }
            }
            let most = if number == 0 { 100_000 } else { usize::MAX };
            send_range(connection, head, &body, fields, most);
        });
        let outcome = run_long(&server);
        assert!(outcome.error(11).contains("changed on the server"), "{:?}", outcome.lines);
        assert_eq!((outcome.body.len(), server.requests().len()), (100_000, 2));
    }
    // A range that is not the one that was asked for.
    for range in ["bytes 1-299999/300000", "bytes 100000-299998/300000", "bytes 100000-299999/300001", "x"] {
        let server = Server::http(move |head, number, connection| {
            if number == 0 {
                return send_range(connection, head, &text(), "ETag: \"one\"\r\n", 100_000);
            }
            let _ = write!(
                connection,
                "HTTP/1.1 206 X\r\nContent-Range: {range}\r\nContent-Length: 200000\r\n\r\n"
            );
            let _ = connection.write_all(&text()[100_000..]);
        });
        assert!(run_long(&server).error(11).contains("changed"), "{range}");
    }
}

#[test]
fn a_body_that_is_cut_again_and_again_is_given_up() {
    // Each answer brings the same few bytes.
    let server = Server::http(|_, _, connection| send_range(connection, "", &text(), "", 1000));
    let outcome = run(&FetchRequest { total_seconds: 120, ..request(&server.url("/")) });
    assert!(outcome.error(11).contains("was cut after 1000 bytes"), "{:?}", outcome.lines);
    assert!(server.requests().len() <= 12, "{}", server.requests().len());
    assert!(outcome.body == text()[..1000]);
}
