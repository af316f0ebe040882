//! The hosts: what each does with a connection.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use boot_lab::hostile::{Behaviour, Peer};
use boot_lab::lab::Scratch;
use boot_lab::process::run_ok;

/// What a good host serves, and what the file that it makes then holds.
pub const GOOD: &str = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/case","contents":{"source":"data:,good"}}]}}"#;
/// Another config. If it were mixed with the good one, the files of both would be there.
const OTHER: &str = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/other","contents":{"source":"data:,other"}},{"path":"/etc/other2","contents":{"source":"data:,other"}}]}}"#;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK_LINE: &str = "HTTP/1.1 200 OK\r\n";
const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);
/// Longer than any case waits.
const LONG: Duration = Duration::from_secs(60);

/// When the host listens.
pub enum Serve {
    /// Never.
    Nobody,
    /// From this time on.
    Late(Duration, Arc<Behaviour>),
    /// From the start.
    Each(Arc<Behaviour>),
}

/// The memory that a run may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The memory of the program and its buffers.
    Program,
    /// In addition to the program's, half of the memory that the machine has to spare.
    Half,
    /// In addition to the program's, the tmpfs of the root.
    Root,
}

/// A host.
pub struct Case {
    /// What the host does, in the words of the table.
    pub host: &'static str,
    /// How many seconds the fetch may take.
    pub timeout: u64,
    /// What it does.
    pub serve: Serve,
    /// How much memory the run may take.
    pub room: Room,
    /// Whether it serves a config with nothing in it.
    pub empty: bool,
}

/// Two configs that are small when they arrive and large when they are unpacked.
struct Bombs {
    file: String,
    merged: String,
}

impl Bombs {
    fn new() -> Self {
        let dir = Scratch::new().unwrap();
        let zeros = dir.join("zeros");
        std::fs::File::create(&zeros).unwrap().set_len(256 << 20).unwrap();
        let pack = "gzip -9c \"$1\" | base64 -w 0";
        let packed =
            run_ok(Command::new("sh").args(["-c", pack, "sh"]).arg(&zeros), Duration::from_secs(120))
                .unwrap();
        let packed = String::from_utf8(packed).unwrap();
        let source = format!(r#""compression":"gzip","source":"data:;base64,{packed}""#);
        let version = r#""version":"3.4.0""#;
        let file = r#""path":"/etc/bomb","contents""#;
        Self {
            file: format!(r#"{{"ignition":{{{version}}},"storage":{{"files":[{{{file}:{{{source}}}}}]}}}}"#),
            merged: format!(r#"{{"ignition":{{{version},"config":{{"merge":[{{{source}}}]}}}}}}"#),
        }
    }
}

/// Returns a host that answers each request with these bytes and closes.
fn says(text: impl Into<Vec<u8>>) -> Serve {
    let bytes = text.into();
    each(move |_, peer| {
        peer.request()?;
        peer.send(&bytes)
    })
}

/// Returns a host that begins its answer with `start` and goes on with `rest` for ever.
fn endless(start: &str, rest: &str) -> Serve {
    let (start, rest) = (start.as_bytes().to_owned(), rest.as_bytes().to_owned());
    each(move |_, peer| {
        peer.request()?;
        peer.send(&start)?;
        peer.send_for_ever(&rest)
    })
}

fn each(behaviour: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Serve {
    Serve::Each(Arc::new(behaviour))
}

/// Returns an answer that says that `config` has this many bytes.
fn told(length: usize, config: &str) -> String {
    format!("{OK}Content-Length: {length}\r\n\r\n{config}")
}

fn whole(config: &str) -> String {
    told(config.len(), config)
}

/// Returns an answer with `config` as one chunk.
fn chunked(config: &str) -> String {
    format!("{CHUNKED}{:x}\r\n{config}\r\n0\r\n\r\n", config.len())
}

fn status(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\nContent-Length: 3\r\nLocation: http://192.0.2.1/\r\n\r\nno\n").into_bytes()
}

/// Returns a host whose run ends before its time is over, and takes only the program's own memory.
fn case(host: &'static str, serve: Serve) -> Case {
    Case { host, timeout: 10, serve, room: Room::Program, empty: false }
}

/// Returns `case` with another time for the fetch.
fn with(timeout: u64, case: Case) -> Case {
    Case { timeout, ..case }
}

/// Returns a host whose run uses up its time without success.
fn in_vain(host: &'static str, serve: Serve) -> Case {
    with(2, case(host, serve))
}

/// Returns a host whose run takes as much memory as a config may take.
fn half(case: Case) -> Case {
    Case { room: Room::Half, ..case }
}

/// Returns the hosts, in the order of the table.
pub fn cases() -> Vec<Case> {
    [absent(), clumsy(), foreign(), wrong_lengths(), without_end(), bombs(), not_configs()]
        .into_iter()
        .flatten()
        .collect()
}

/// Hosts that do not listen, or not yet.
fn absent() -> Vec<Case> {
    vec![
        in_vain("does not listen", Serve::Nobody),
        with(
            20,
            case(
                "begins to listen after 5 s",
                Serve::Late(SECOND * 5, Arc::new(|_, peer| peer.answer(GOOD.as_bytes()))),
            ),
        ),
        in_vain("accepts and closes at once", each(|_, _| Ok(()))),
        with(
            30,
            case(
                "accepts and closes at once, then serves",
                each(|number, peer| if number == 0 { Ok(()) } else { peer.answer(GOOD.as_bytes()) }),
            ),
        ),
        case(
            "reads the request and closes, three times, then serves",
            each(
                |number, peer| {
                    if number < 3 { peer.request().map(drop) } else { peer.answer(GOOD.as_bytes()) }
                },
            ),
        ),
        in_vain("accepts and is silent", each(|_, peer| peer.wait_for_end(LONG))),
        with(
            20,
            case(
                "is silent once, then serves",
                each(|number, peer| match number {
                    0 => peer.wait_for_end(LONG),
                    _ => peer.answer(GOOD.as_bytes()),
                }),
            ),
        ),
    ]
}

/// Hosts that give the right answer in a bad way.
fn clumsy() -> Vec<Case> {
    vec![
        in_vain(
            "sends the right answer, a byte each second",
            each(move |_, peer| peer.trickle(whole(GOOD).as_bytes(), SECOND)),
        ),
        with(
            20,
            case(
                "sends the right answer, a byte each 10 ms",
                each(|_, peer| peer.trickle(whole(GOOD).as_bytes(), Duration::from_millis(10))),
            ),
        ),
        case(
            "keeps the connection open after the answer",
            each(|_, peer| {
                peer.answer(GOOD.as_bytes())?;
                peer.wait_for_end(LONG)
            }),
        ),
        case("answers as HTTP/1.0, without a length", says(format!("HTTP/1.0 200 OK\r\n\r\n{GOOD}"))),
        case(
            "answers before it reads the request",
            each(|_, peer| {
                peer.send(whole(GOOD).as_bytes())?;
                peer.wait_for_end(LONG)
            }),
        ),
    ]
}

/// Hosts that do not speak HTTP, or that answer with another status.
fn foreign() -> Vec<Case> {
    vec![
        case("sends garbage", says(&b"\x00\x01\x02\xff\xfe garbage\r\n\r\n"[..])),
        case("sends another protocol's greeting", says("SSH-2.0-OpenSSH_10.0\r\n\r\n")),
        case("sends garbage without end", endless("\0", "garbage ")),
        case("answers 301", says(status("301 Moved Permanently"))),
        case("answers 404", says(status("404 Not Found"))),
        case("answers 204", says("HTTP/1.1 204 No Content\r\n\r\n")),
        case("answers 999", says(status("999 Beyond"))),
        case("answers 101", says("HTTP/1.1 101 Switching Protocols\r\n\r\n")),
        case("sends an interim answer first", says(format!("{INTERIM}{}", whole(GOOD)))),
        case("sends interim answers without end", endless(INTERIM, INTERIM)),
        case("ends its lines without a carriage return", says(whole(GOOD).replace('\r', ""))),
        in_vain("answers 503", says(status("503 Service Unavailable"))),
        case(
            "answers 500 twice, then serves",
            each(|number, peer| match number {
                0 | 1 => {
                    peer.request()?;
                    peer.send(&status("500 Internal Server Error"))
                }
                _ => peer.answer(GOOD.as_bytes()),
            }),
        ),
    ]
}

/// Hosts that send false lengths.
fn wrong_lengths() -> Vec<Case> {
    vec![
        in_vain("declares a length that is too large", says(told(GOOD.len() + 1, GOOD))),
        case("declares a length that is too small", says(told(GOOD.len() - 1, GOOD))),
        case("declares a length that is no number", says(format!("{OK}Content-Length: many\r\n\r\n{GOOD}"))),
        case("declares two lengths", says(format!("{OK}Content-Length: 5\r\n{}", &whole(GOOD)[OK.len()..]))),
        case(
            "declares a length and sends chunks",
            says(format!("{OK}Content-Length: 5\r\n{}", &chunked(GOOD)[OK_LINE.len()..])),
        ),
        case("sends chunks as HTTP/1.0", says(chunked(GOOD).replace("HTTP/1.1", "HTTP/1.0"))),
        case("declares no chunk size", says(format!("{CHUNKED}\r\n{GOOD}\r\n0\r\n\r\n"))),
        case("declares a chunk size without a digit", says(format!("{CHUNKED};size=0\r\n\r\n"))),
        case("sends its config after the last chunk", says(format!("{CHUNKED}0\r\n{GOOD}\r\n\r\n"))),
        case("sends its config after a length of 0", says(told(0, GOOD))),
        case(
            "declares a length beyond any memory",
            says(format!("{OK}Content-Length: {}\r\n\r\n{{", u64::MAX)),
        ),
        in_vain("closes after the head of HTTP/1.0", says("HTTP/1.0 200 OK\r\n\r\n")),
        case("closes in the midst of HTTP/1.0", says(format!("HTTP/1.0 200 OK\r\n\r\n{}", &GOOD[..60]))),
        in_vain("closes in the midst of the head", says("HTTP/1.1 200 OK\r\nContent-Le")),
        in_vain(
            "closes in the midst of a chunk",
            says(format!("{CHUNKED}{:x}\r\n{}", GOOD.len(), &GOOD[..60])),
        ),
        in_vain("closes before the last chunk", says(format!("{CHUNKED}{:x}\r\n{GOOD}\r\n", GOOD.len()))),
        in_vain("closes after the last chunk's size", says(format!("{CHUNKED}0\r\n"))),
        in_vain(
            "resets the connection in the midst of the body",
            // A connection that is closed with unread bytes is reset.
            each(|_, peer| peer.send(told(GOOD.len(), &GOOD[..60]).as_bytes())),
        ),
        case(
            "cuts one config short, then serves another",
            each(|number, peer| {
                peer.request()?;
                match number {
                    0 => peer.send(told(OTHER.len(), &OTHER[..150]).as_bytes()),
                    _ => peer.send(whole(GOOD).as_bytes()),
                }
            }),
        ),
    ]
}

/// Hosts whose answer never ends.
fn without_end() -> Vec<Case> {
    vec![
        half(with(60, case("sends a body without end", endless("HTTP/1.0 200 OK\r\n\r\n", " ")))),
        half(with(
            60,
            case("sends chunks without end", endless(CHUNKED, &format!("400\r\n{:1024}\r\n", ""))),
        )),
        half(in_vain("sends chunks of one byte without end", endless(CHUNKED, "1\r\n \r\n"))),
        case("sends a header without end", endless(OK, "X-Filler: 0123456789\r\n")),
        case("sends one header line without end", endless("HTTP/1.1 200 OK\r\nX-Filler: ", "0123456789")),
        case("declares a chunk beyond any memory", says(format!("{CHUNKED}fffffffffffffff0\r\n{{"))),
        case("declares a chunk size of many digits", endless(CHUNKED, "0")),
        case("sends a chunk's extension without end", endless(CHUNKED, "5;extension=")),
        case(
            "sends trailers without end",
            endless(&format!("{CHUNKED}{:x}\r\n{GOOD}\r\n0\r\n", GOOD.len()), "X-Filler: 0\r\n"),
        ),
    ]
}

/// Hosts that send decompression bombs.
fn bombs() -> Vec<Case> {
    let bombs = Bombs::new();
    vec![
        case(
            "compresses its answer",
            says(format!("{OK}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{GOOD}", GOOD.len())),
        ),
        Case {
            room: Room::Root,
            ..with(30, case("serves a file of 256 MiB in 256 KiB of gzip", says(whole(&bombs.file))))
        },
        half(with(
            30,
            case("serves a merged config of 256 MiB in 256 KiB of gzip", says(whole(&bombs.merged))),
        )),
    ]
}

/// Hosts that send something other than a config.
fn not_configs() -> Vec<Case> {
    vec![
        Case { empty: true, ..case("serves an empty config", says(whole(""))) },
        case("serves a text that is not JSON", says(whole("#cloud-config\n"))),
        case("serves broken JSON", says(whole(&GOOD[..GOOD.len() - 1]))),
        case("serves invalid UTF-8", says([OK.as_bytes(), b"Content-Length: 4\r\n\r\n{\"\xff\""].concat())),
        case("serves zeros", says(whole(&"\0".repeat(4096)))),
        case("serves a config of a future version", says(whole(r#"{"ignition":{"version":"4.0.0"}}"#))),
        case(
            "serves a config that cannot be applied",
            says(whole(&GOOD.replace("/etc/case", "/etc/passwd/case"))),
        ),
    ]
}
