//! Fetches with this program and with the reference from the same servers, and compares what becomes of each fetch.
//!
//! It needs the reference, which is not part of the project: give its path in `GLOWPLUG_REFERENCE`, and run
//! `cargo test --test stages beside:: -- --ignored --nocapture`. It prints each outcome; `docs/fetch.md` sums them up.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::lab::{Lab, PROGRAM, told};
use crate::server::{Asked, Server, fetch_program, give};

/// "one" as gzip data, and "two".
const ONE: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcfK\x05\0\xf1\x86lz\x03\0\0\0";
const TWO: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03+)\xcf\x07\0f\x8a\xca\x11\x03\0\0\0";
/// The SHA-256 of "one".
const HASH: &str = "sha256-7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";

/// What became of a config.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The stage that failed, if one did.
    failed: Option<&'static str>,
    /// What the file `/file` holds.
    file: Option<Vec<u8>>,
}

impl Outcome {
    fn told(&self) -> String {
        match (self.failed, &self.file) {
            (Some(stage), _) => format!("{stage} fails"),
            (None, Some(bytes)) => format!("`{}`", String::from_utf8_lossy(bytes).escape_debug()),
            (None, None) => "no file".to_owned(),
        }
    }
}

/// Calls the stages `fetch` and `files` of `program`. Returns what became of it, and the reason of a failure.
fn provision(program: &Path, config: &str) -> (Outcome, String) {
    let lab = Lab::new(config);
    for stage in ["fetch", "files"] {
        let mut command = lab.command(program);
        command.args(lab.flags()).args(["-platform", "file", "-stage", stage]);
        let (code, said) = told(&command.output().unwrap());
        if code != 0 {
            let reason = said.lines().rfind(|line| line.starts_with("CRITICAL : Ignition failed: "));
            assert!(lab.text("root/etc/passwd").starts_with("root"), "{said}");
            return (Outcome { failed: Some(stage), file: None }, reason.unwrap_or(&said).to_owned());
        }
    }
    (Outcome { failed: None, file: fs::read(lab.at("root/file")).ok() }, String::new())
}

/// Returns a config with `/file` from `url`. `rest` follows the URL in the resource.
fn file(url: &str, rest: &str) -> String {
    with_ignition("", url, rest)
}

/// The same, with more in the section `ignition`.
fn with_ignition(ignition: &str, url: &str, rest: &str) -> String {
    format!(
        r#"{{"ignition":{{"version":"3.4.0","timeouts":{{"httpTotal":3,"httpResponseHeaders":1}}{ignition}}},
        "storage":{{"files":[{{"path":"/file","contents":{{"source":"{url}"{rest}}}}}]}}}}"#
    )
}

/// Returns a config with `reference`, a resource, as a config that is merged or that replaces this one.
fn config(kind: &str, url: &str, rest: &str) -> String {
    let list = if kind == "merge" { ("[", "]") } else { ("", "") };
    format!(
        r#"{{"ignition":{{"version":"3.4.0","timeouts":{{"httpTotal":3,"httpResponseHeaders":1}},
        "config":{{"{kind}":{}{{"source":"{url}"{rest}}}{}}}}},
        "storage":{{"files":[{{"path":"/file","contents":{{"source":"data:,user"}}}}]}}}}"#,
        list.0, list.1
    )
}

type Answer = Box<dyn Fn(&Asked, &mut TcpStream, usize) + Send + Sync>;

/// One comparison.
struct Case {
    name: String,
    /// The config for a server with this URL.
    config: Box<dyn Fn(&str) -> String>,
    /// The answer to a request, of which this one is the number, from 0.
    answer: Answer,
    /// Why the two programs differ; `None` if they must not.
    reason: Option<&'static str>,
}

fn case(
    name: impl Into<String>,
    config: impl Fn(&str) -> String + 'static,
    answer: impl Fn(&Asked, &mut TcpStream, usize) + Send + Sync + 'static,
) -> Case {
    Case { name: name.into(), config: Box::new(config), answer: Box::new(answer), reason: None }
}

impl Case {
    fn differs(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

fn usual(server: &str) -> String {
    file(&format!("{server}/x"), "")
}

fn send(stream: &mut TcpStream, bytes: &[u8]) {
    // The client may have gone.
    drop(stream.write_all(bytes));
}

/// Answers with exactly these bytes, and closes.
fn raw(name: &str, answer: &'static [u8]) -> Case {
    case(name, usual, move |_, stream, _| send(stream, answer))
}

/// Answers first with one text, and then always with another.
fn then(name: &str, first: &'static [u8], rest: &'static [u8]) -> Case {
    case(name, usual, move |_, stream, number| send(stream, if number == 0 { first } else { rest }))
}

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";

fn statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [200, 201, 203, 204, 206, 301, 304, 400, 401, 403, 404, 410, 429, 500, 503, 599] {
        let name = format!("status {status}");
        let answer = move |_: &Asked, stream: &mut TcpStream, _: usize| {
            let length = if matches!(status, 204 | 304) { "" } else { "Content-Length: 3\r\n" };
            let body = if length.is_empty() { "" } else { "one" };
            send(
                stream,
                format!("HTTP/1.1 {status} X\r\n{length}Connection: close\r\n\r\n{body}").as_bytes(),
            );
        };
        cases.push(case(name, usual, answer));
    }
    let unavailable = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n";
    cases.push(then("503, then 200", unavailable, WHOLE));
    cases.push(then("the connection is closed, then 200", b"", WHOLE));
    cases.push(then("the head is cut, then 200", b"HTTP/1.1 200 OK\r\nConte", WHOLE));
    cases.push(case("no answer within `httpResponseHeaders`, then 200", usual, |_, stream, number| {
        if number == 0 {
            std::thread::sleep(Duration::from_millis(1600));
        }
        send(stream, WHOLE);
    }));
    let nowhere = |_: &str| file("http://127.0.0.1:1/x", "");
    cases.push(case("nobody listens", nowhere, |_, _, _| {}));
    cases
}

fn redirects() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        let answer = move |asked: &Asked, stream: &mut TcpStream, _: usize| {
            if asked.path == "/x" {
                let head = format!("HTTP/1.1 {status} X\r\nLocation: /y?z\r\nContent-Length: 0\r\n\r\n");
                return send(stream, head.as_bytes());
            }
            give(stream, "200 OK", asked.head[0].as_bytes());
        };
        cases.push(case(format!("redirect with {status}"), usual, answer));
    }
    let steps = |most: usize| {
        move |asked: &Asked, stream: &mut TcpStream, _: usize| {
            let number: usize = asked.path.trim_start_matches(['/', 'x']).parse().unwrap_or(0);
            if number >= most {
                return give(stream, "200 OK", b"one");
            }
            let next = number.saturating_add(1);
            send(
                stream,
                format!("HTTP/1.1 302 X\r\nLocation: /{next}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
            );
        }
    };
    cases.push(case("20 redirects", usual, steps(20)));
    cases.push(case("21 redirects", usual, steps(21)).differs("20 are followed"));
    cases.push(case("a circle of redirects", usual, steps(usize::MAX)));
    for target in ["ftp://127.0.0.1/y", "data:,one", "http://[/", ""] {
        let answer = move |_: &Asked, stream: &mut TcpStream, _: usize| {
            send(
                stream,
                format!("HTTP/1.1 302 X\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
            );
        };
        cases.push(case(format!("redirect to `{target}`"), usual, answer));
    }
    cases
}

/// Answers with the fields of the request that are the config's business.
fn echo(asked: &Asked, stream: &mut TcpStream, _: usize) {
    let own = |line: &&String| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        ["x-own", "accept", "accept-encoding", "authorization", "range"].contains(&name.as_str())
    };
    let mut lines: Vec<_> = asked.head.iter().filter(own).cloned().collect();
    lines.sort();
    lines.insert(0, asked.head[0].clone());
    give(stream, "200 OK", lines.join("|").as_bytes());
}

fn requests() -> Vec<Case> {
    let own = |headers: &'static str| {
        move |server: &str| file(&format!("{server}/x"), &format!(r#","httpHeaders":[{headers}]"#))
    };
    let moved = |asked: &Asked, stream: &mut TcpStream, number: usize| {
        if asked.path == "/x" {
            return send(stream, b"HTTP/1.1 302 X\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
        }
        echo(asked, stream, number);
    };
    let x = r#"{"name":"X-Own","value":"a"}"#;
    let user = |server: &str| file(&format!("{}/x", server.replace("//", "//a%40:b@")), "");
    vec![
        case("the request", usual, echo),
        case("an own header", own(x), echo),
        case(
            "an own header in another case, replacing a default",
            own(r#"{"name":"aCCEPT","value":"a"}"#),
            echo,
        ),
        case("a header twice", own(r#"{"name":"X-Own","value":"b"},{"name":"x-own","value":"a"}"#), echo),
        case("a header without a value", own(r#"{"name":"X-Own","value":""}"#), echo),
        case("an own header, and a redirect", own(x), moved)
            .differs("the target of a redirect gets the defaults, and no gzip is asked for"),
        case("an own `Range`", own(r#"{"name":"Range","value":"bytes=1-"}"#), echo),
        case("user and password in the URL", user, echo),
        case("query and fragment", |server| file(&format!("{server}/x?y=%20z#f"), ""), echo),
        case("a path that is not ASCII", |server| file(&format!("{server}/\u{e4} b"), ""), echo),
    ]
}

fn bodies() -> Vec<Case> {
    let resource = |rest: &'static str| move |server: &str| file(&format!("{server}/x"), rest);
    let give =
        |body: &'static [u8]| move |_: &Asked, stream: &mut TcpStream, _: usize| give(stream, "200 OK", body);
    let members: &'static [u8] = Box::leak([ONE, TWO].concat().into_boxed_slice());
    let gzip = r#","compression":"gzip""#;
    let hash: &'static str = format!(r#","verification":{{"hash":"{HASH}"}}"#).leak();
    let both: &'static str = format!("{gzip}{hash}").leak();
    let encoded = move |redirect: bool| {
        move |asked: &Asked, stream: &mut TcpStream, _: usize| {
            if redirect && asked.path == "/x" {
                return send(stream, b"HTTP/1.1 302 X\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", ONE.len());
            send(stream, &[head.as_bytes(), ONE].concat());
        }
    };
    vec![
        case("gzip", resource(gzip), give(ONE)),
        case("gzip with two members", resource(gzip), give(members)),
        case("gzip that is cut", resource(gzip), give(&ONE[..12])),
        case("gzip that is none", resource(gzip), give(b"one")),
        case("the right hash", resource(hash), give(b"one")),
        case("another hash", resource(hash), give(b"two")),
        case("the right hash of gzip data", resource(both), give(ONE)),
        case("`Content-Encoding: gzip`", usual, encoded(false)),
        case("the same after a redirect", usual, encoded(true)),
        case("the same after a redirect, with a hash", resource(hash), encoded(true)),
        raw("an empty body", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        raw("a body of HTTP/1.0, without a length", b"HTTP/1.0 200 OK\r\n\r\none"),
        raw(
            "a body in chunks",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\none\r\n0\r\nA: b\r\n\r\n",
        ),
        raw("an interim answer", b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"),
        then("a body that is cut, then 200", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non", WHOLE)
            .differs(CUT),
        then(
            "chunks that are cut, then 200",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
        )
        .differs(CUT),
        raw("a body that is always cut", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non"),
        raw("the same length twice", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\none")
            .differs(EXACT),
        raw("lines that end in LF alone", b"HTTP/1.1 200 OK\nContent-Length: 3\n\none").differs(EXACT),
        raw("garbage", b"SSH-2.0-x\r\n"),
        case("an empty source", |_| file("", ""), |_, _, _| {}),
        case("`data:`", |_| file("data:,one", ""), |_, _, _| {}),
    ]
}

const EXACT: &str = "an answer must be exact";
const CUT: &str = "a body that is cut is continued";

fn configs() -> Vec<Case> {
    let good = br#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/file","contents":{"source":"data:,one"}}]}}"#;
    let hash: &'static str = format!(r#","verification":{{"hash":"{HASH}"}}"#).leak();
    let mut cases = Vec::new();
    for kind in ["merge", "replace"] {
        let from = |rest: &'static str| move |server: &str| config(kind, &format!("{server}/x"), rest);
        let give = |status: &'static str, body: &'static [u8]| {
            move |_: &Asked, stream: &mut TcpStream, _: usize| give(stream, status, body)
        };
        let empty = |case: Case| case.differs("an empty answer must not drop the user's config");
        cases.extend([
            case(format!("{kind}: a config"), from(""), give("200 OK", good)),
            empty(case(format!("{kind}: 200 without a body"), from(""), give("200 OK", b""))),
            empty(case(format!("{kind}: 204"), from(""), |_, stream, _| {
                send(stream, b"HTTP/1.1 204 X\r\n\r\n");
            })),
            case(format!("{kind}: 404"), from(""), give("404 Not Found", b"")),
            case(format!("{kind}: no JSON"), from(""), give("200 OK", b"one")),
            case(format!("{kind}: another hash"), from(hash), give("200 OK", good)),
            case(
                format!("{kind}: a config of version 9"),
                from(""),
                give("200 OK", br#"{"ignition":{"version":"9.0.0"}}"#),
            ),
        ]);
    }
    cases
}

fn proxies() -> Vec<Case> {
    let by = |url: &'static str, rest: &'static str| {
        move |server: &str| with_ignition(&format!(r#","proxy":{{"httpProxy":"{server}"{rest}}}"#), url, "")
    };
    let refuse = |_: &Asked, stream: &mut TcpStream, _: usize| give(stream, "403 Forbidden", b"");
    let direct = |server: &str| {
        with_ignition(r#","proxy":{"httpProxy":"http://127.0.0.1:1"}"#, &format!("{server}/x"), "")
    };
    vec![
        case("by way of a proxy", by("http://h.invalid/x", ""), echo),
        case("a proxy that refuses", by("http://h.invalid/x", ""), refuse),
        case("`noProxy`", by("http://h.invalid/x", r#","noProxy":["invalid"]"#), echo),
        case("the loopback has no proxy", direct, echo),
    ]
}

/// Serves the files of a folder by https, with a certificate that `openssl req -x509` makes for `localhost`.
struct TlsServer(Child);

impl TlsServer {
    fn start(folder: &Path) -> (Self, u16) {
        let openssl = |arguments: &str| {
            let mut command = Command::new("openssl");
            command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null()).stderr(Stdio::null());
            command
        };
        let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x -keyout key -out ca \
                    -addext subjectAltName=DNS:localhost";
        assert!(openssl(make).status().unwrap().success());
        // A port that is free now.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let serve = format!("s_server -accept 127.0.0.1:{port} -cert ca -key key -WWW");
        let child = openssl(&serve).stdout(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        (Self(child), port)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The cases of https, each with its config.
fn certificates(lab: &Lab) -> (TlsServer, [(&'static str, String); 3]) {
    lab.write("x", "one");
    let (server, port) = TlsServer::start(&lab.base);
    let authority = lab.text("ca").bytes().fold(String::new(), |mut url, byte| {
        let _ = write!(url, "%{byte:02X}");
        url
    });
    let trust =
        format!(r#","security":{{"tls":{{"certificateAuthorities":[{{"source":"data:,{authority}"}}]}}}}"#);
    let url = format!("https://localhost:{port}/x");
    let other = format!("https://127.0.0.1:{port}/x");
    let cases = [
        ("https, with its CA in the config", with_ignition(&trust, &url, "")),
        ("a CA that is not known", file(&url, "")),
        ("a certificate for another name", with_ignition(&trust, &other, "")),
    ];
    (server, cases)
}

#[test]
#[ignore = "needs the reference"]
fn fetches_end_as_the_reference_s_do() {
    fetch_program(PROGRAM);
    let reference =
        std::env::var_os("GLOWPLUG_REFERENCE").expect("GLOWPLUG_REFERENCE is the path of the reference");
    let programs = [Path::new(&reference), Path::new(PROGRAM)];
    let mut wrong = Vec::new();
    let mut row = |name: &str, reason: Option<&str>, ends: [(Outcome, String, usize); 2]| {
        let is_same = ends[0].0 == ends[1].0;
        let told = |end: &(Outcome, String, usize)| match end.2 {
            0 | 1 => end.0.told(),
            tries => format!("{}, {tries} requests", end.0.told()),
        };
        let why = if is_same { "the same" } else { reason.unwrap_or("DIFFERS") };
        println!("| {name} | {} | {} | {why} |", told(&ends[0]), told(&ends[1]));
        for end in ends.iter().filter(|end| !end.1.is_empty()) {
            println!("    {}", end.1);
        }
        if is_same == reason.is_some() {
            wrong.push(name.to_owned());
        }
    };
    let cases = [statuses(), redirects(), requests(), bodies(), configs(), proxies()];
    for Case { name, config, answer, reason } in cases.into_iter().flatten() {
        let answer = Arc::new(answer);
        let ends = programs.map(|program| {
            let count = AtomicUsize::new(0);
            let answer = Arc::clone(&answer);
            let server = Server::new(move |asked, stream| {
                answer(asked, stream, count.fetch_add(1, Ordering::Relaxed));
            });
            let (outcome, said) = provision(program, &config(&server.url("")));
            (outcome, said, server.asked().len())
        });
        row(&name, reason, ends);
    }
    let lab = Lab::new("");
    let (_server, cases) = certificates(&lab);
    for (name, config) in cases {
        let ends = programs.map(|program| {
            let (outcome, said) = provision(program, &config);
            (outcome, said, 0)
        });
        row(name, None, ends);
    }
    assert!(
        wrong.is_empty(),
        "these differ without a reason, or have a reason and do not differ: {wrong:#?}"
    );
}
