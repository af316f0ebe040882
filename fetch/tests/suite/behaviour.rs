//! What is sent, which answers count, and where redirects lead.

use std::process::Command;
use std::time::Duration;

use crate::certificates::{Authority, Issue, LOCALHOST};
use crate::program::{PROGRAM, request, run, run_with};
use crate::server::{Server, ok, redirect};

#[test]
fn the_head_of_a_request() {
    let server = Server::answering(ok("hello"));
    let outcome = run(&request(&server.url("/a b?c=d#part")));
    assert_eq!((outcome.body(), outcome.size()), (&b"hello"[..], Some(5)));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        server.requests(),
        [format!(
            "GET /a%20b?c=d HTTP/1.1\r\nHost: {}\r\nUser-Agent: Ignition/2.26.0 glowplug/{version}\r\n\
             Accept: application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1\r\nAccept-Encoding: identity\r\n\
             Connection: close\r\n\r\n",
            server.address
        )]
    );
}

#[test]
fn own_headers_replace_defaults_and_the_last_one_counts() {
    let server = Server::answering(ok(""));
    let mut asked = request(&server.url("/").replace("://", "://user:p%40ss@"));
    run(&asked).body();
    assert!(server.requests()[0].contains("\r\nAuthorization: Basic dXNlcjpwQHNz\r\n"));
    for (name, value) in [
        ("user-agent", "mine/1"),
        ("X-Token", "one"),
        ("x-token", "two"),
        ("AUTHORIZATION", "Bearer x"),
        ("Host", "elsewhere"),
        ("Content-Length", "9"),
    ] {
        asked.headers.push((name.into(), value.into()));
    }
    run(&asked).body();
    let head = server.requests()[1].clone();
    for wanted in ["\r\nUser-Agent: mine/1\r\n", "\r\nX-Token: two\r\n", "\r\nAuthorization: Bearer x\r\n"] {
        assert!(head.contains(wanted), "{head}");
    }
    for unwanted in ["Ignition/", "one", "Basic", "elsewhere", "Content-Length"] {
        assert!(!head.contains(unwanted), "{head}");
    }
    for (name, value) in [("A", ""), ("A\r\nB", "c"), ("A", "b\r\nC: d"), ("", "x"), ("A b", "c")] {
        asked.headers = vec![(name.to_owned().into(), value.to_owned().into())];
        assert!(run(&asked).error(30).contains("header"), "{name:?}");
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn statuses() {
    for (status, code) in [
        ("200 OK", 0),
        ("204 No Content", 0),
        ("404 X", 30),
        ("403 X", 30),
        ("201 X", 30),
        ("206 X", 30),
        ("304 X", 30),
        ("429 X", 30),
        ("302 X", 30),
        ("101 X", 30),
        ("600 X", 30),
        ("999 X", 30),
    ] {
        let server = Server::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let mut asked = request(&server.url("/secret?token"));
        asked.total_seconds = 1;
        let outcome = run(&asked);
        assert_eq!(outcome.code, Some(code), "{status}: {:?}", outcome.lines);
        if code == 30 {
            assert!(
                outcome.error(30).contains(&status[..3]) && server.requests().len() == 1,
                "{:?}",
                outcome.lines
            );
        }
    }
    // The body of an answer without one is not waited for.
    let server = Server::http(|_, _, connection| {
        let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        std::thread::sleep(Duration::from_secs(3));
    });
    let outcome = run(&request(&server.url("/")));
    assert!(outcome.body().is_empty() && outcome.time < Duration::from_secs(3));
}

#[test]
fn passing_failures_are_tried_again_until_the_time_is_over() {
    let server = Server::http(|_, number, connection| {
        let _ = match number {
            0 => Ok(()),
            1 => connection.write_all(b"HTTP/1.1 503 Busy\r\n\r\n"),
            2 => connection.write_all(b"HTTP/1.1 200 OK\r\nContent-L"),
            _ => connection.write_all(&ok("hello")),
        };
    });
    let outcome = run(&request(&server.url("/")));
    assert_eq!(outcome.body(), b"hello");
    assert!(outcome.notes("try 1"), "{:?}", outcome.lines);

    let server = Server::answering("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    let mut asked = request(&server.url("/secret"));
    asked.total_seconds = 2;
    let outcome = run(&asked);
    assert!(outcome.error(10).contains("HTTP status 500"), "{:?}", outcome.lines);
    // At 0, 0.2, 0.6 and 1.4 s.
    assert!((3..=4).contains(&server.requests().len()), "{}", server.requests().len());
    assert!(outcome.time < Duration::from_secs(8), "{:?}", outcome.time);

    let mut asked = request("http://127.0.0.1:9/secret");
    asked.total_seconds = 1;
    let outcome = run(&asked);
    assert!(outcome.error(10).starts_with("http://127.0.0.1:9: no answer within 1 s"), "{:?}", outcome.lines);
}

#[test]
fn a_server_that_does_not_begin_its_answer_has_its_own_time() {
    let server = Server::http(|_, number, connection| {
        if number == 0 {
            std::thread::sleep(Duration::from_secs(4));
        }
        let _ = connection.write_all(&ok("hello"));
    });
    let mut asked = request(&server.url("/"));
    asked.response_headers_seconds = 1;
    asked.total_seconds = 30;
    let outcome = run(&asked);
    assert_eq!(outcome.body(), b"hello");
    assert!(server.requests().len() == 2 && outcome.notes("takes too long"), "{:?}", outcome.lines);
}

#[test]
fn redirects_drop_headers_and_change_the_method() {
    let target = Server::answering(ok("there"));
    let place = target.url("/x?y");
    for status in [301, 302, 303, 307, 308] {
        let server = Server::answering(redirect(status, &place));
        let mut asked = request(&server.url("/").replace("://", "://user:secret@"));
        asked.headers.push(("Authorization".into(), "Bearer token".into()));
        asked.headers.push(("X-Secret".into(), "secret".into()));
        assert_eq!(run(&asked).body(), b"there", "{status}");
        assert!(server.requests()[0].contains("Bearer token"));
    }
    for head in target.requests() {
        assert!(
            head.starts_with("GET /x?y HTTP/1.1\r\n") && head.contains("Accept-Encoding: identity"),
            "{head}"
        );
        assert!(!head.contains("uthorization") && !head.contains("ecret"), "{head}");
    }
}

#[test]
fn redirects_are_bounded_and_lead_to_http_only() {
    let circle = Server::answering(redirect(302, "/again"));
    assert!(run(&request(&circle.url("/"))).error(11).contains("more than 20 redirects"));
    assert_eq!(circle.requests().len(), 21);
    let relative = Server::http(|head, _, connection| {
        let to_there = head.starts_with("GET /a/b ");
        let answer =
            if to_there { redirect(302, "../c?d") } else { ok(head.split(' ').nth(1).unwrap_or_default()) };
        let _ = connection.write_all(&answer);
    });
    assert_eq!(run(&request(&relative.url("/a/b"))).body(), b"/c?d");
    for (to, code) in
        [("file://h/x", 30), ("ftp://h/", 30), ("http://", 11), ("http://h:0/", 11), ("data:,x", 11)]
    {
        let server = Server::answering(redirect(302, to));
        assert!(run(&request(&server.url("/"))).error(code).contains("redirects to"), "{to}");
    }
}

#[test]
fn https_does_not_lead_to_http_and_credentials_stay() {
    let plain = Server::answering(ok("plain"));
    let authority = Authority::new();
    let config = authority.localhost();
    let place = plain.url("/");
    let secure =
        Server::https(config, move |_, _, connection| drop(connection.write_all(&redirect(302, &place))));
    let mut asked = request(&secure.https_url("localhost", "/"));
    asked.cas.push(authority.pem("ca").into());
    assert!(run(&asked).error(30).contains("redirects to http://"));
    assert!(plain.requests().is_empty());
}

#[test]
fn gzip_in_transit_is_undone_only_after_a_redirect() {
    let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcfK\x05\0\xf1\x86lz\x03\0\0\0";
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len())
            .into_bytes();
    answer.extend_from_slice(packed);
    let target = Server::answering(answer);
    assert_eq!(run(&request(&target.url("/"))).body(), packed);
    let server = Server::answering(redirect(302, &target.url("/")));
    let outcome = run(&request(&server.url("/")));
    assert_eq!((outcome.body(), outcome.size()), (&b"one"[..], None));
    let broken =
        Server::answering("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello");
    let server = Server::answering(redirect(302, &broken.url("/")));
    assert!(run(&request(&server.url("/"))).error(11).contains("gzip"));
}

#[test]
fn tls_of_both_versions_by_name_and_by_address() {
    let authority = Authority::new();
    authority.issue("leaf", Some("ca"), &Issue::default());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = authority.server_with(&["leaf"], &[version]);
        let server = Server::https(config, |_, _, connection| drop(connection.write_all(&ok("hello"))));
        for host in ["localhost", "127.0.0.1"] {
            let mut asked = request(&server.https_url(host, "/"));
            let text = [b"Some text before.\n", &*authority.pem("ca"), b"\n\n and after \n"].concat();
            asked.cas.push(text.into());
            assert_eq!(run(&asked).body(), b"hello", "{version:?} {host}");
        }
    }
}

#[test]
fn certificates_that_are_good() {
    let authority = Authority::new();
    let intermediate =
        Issue { extensions: "basicConstraints=critical,CA:TRUE,pathlen:0", ..Issue::default() };
    authority.issue("middle", Some("ca"), &intermediate);
    authority.issue("below", Some("middle"), &Issue::default());
    let rsa = Issue { key: &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], ..Issue::default() };
    authority.issue("rsa", Some("ca"), &rsa);
    let own = format!("basicConstraints=critical,CA:TRUE\n{LOCALHOST}");
    authority.issue("own-ca", None, &Issue { extensions: &own, ..Issue::default() });
    authority.issue("own", None, &Issue::default());
    for (chain, ca) in
        [(&["below", "middle"][..], "ca"), (&["rsa"], "ca"), (&["own-ca"], "own-ca"), (&["own"], "own")]
    {
        let server = Server::https(authority.server(chain), |_, _, c| drop(c.write_all(&ok("hello"))));
        let mut asked = request(&server.https_url("localhost", "/"));
        asked.cas.push(authority.pem(ca).into());
        assert_eq!(run(&asked).body(), b"hello", "{chain:?}");
    }
}

#[test]
fn the_body_has_a_limit() {
    let server = Server::http(|head, _, connection| {
        let known = head.starts_with("GET /known ");
        let length = if known { "Content-Length: 1000000" } else { "Transfer-Encoding: chunked" };
        let _ = write!(connection, "HTTP/1.1 200 OK\r\n{length}\r\n\r\n");
        while !known && connection.write_all(b"5\r\nhello\r\n").is_ok() {}
    });
    for path in ["/known", "/chunks"] {
        let mut asked = request(&server.url(path));
        asked.limit = 1000;
        let outcome = run(&asked);
        assert!(outcome.error(11).contains("limit of 1000 bytes"), "{path}: {:?}", outcome.lines);
        assert!(outcome.body.len() <= 1000);
    }
}

#[test]
fn calls_and_requests_that_are_wrong() {
    for input in ["", "url 3\nabc\n", "url 1\nx\nend 0\n\nmore"] {
        let outcome = run_with(Command::new(PROGRAM), input.as_bytes());
        assert!(outcome.error(2).contains("request on standard input"), "{input:?}");
    }
    let mut command = Command::new(PROGRAM);
    command.arg("http://h/");
    run_with(command, b"").error(2);
    for (url, code) in
        [("ftp://h/", 23), ("x", 23), ("http://", 30), ("https://h:0/", 30), ("http://a b/", 30)]
    {
        run(&request(url)).error(code);
    }
    let server = Server::answering(ok(""));
    for bad in [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        let mut asked = request(&server.https_url("localhost", "/"));
        asked.cas.push(bad.as_bytes().into());
        assert!(run(&asked).error(30).contains("of the config"), "{bad}");
    }
    for option in ["--help", "--version"] {
        let output = Command::new(PROGRAM).arg(option).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains("glowplug-fetch")
        );
    }
}
