//! Servers that misbehave. Each run must end in its time, and with a reason.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::program::{Outcome, request, run};

/// A transfer as a server sees it: a socket with a port of its own, and the client.
struct Transfer {
    socket: UdpSocket,
    client: SocketAddr,
    /// The request as text.
    request: String,
}

impl Transfer {
    fn send(&self, packet: &[u8]) {
        let _ = self.socket.send_to(packet, self.client);
    }

    fn data(&self, block: u16, bytes: &[u8]) {
        self.send(&data(block, bytes));
    }

    /// Agrees to options. Commas stand for zero bytes.
    fn agree(&self, options: &str) {
        self.send(&["\0\x06", options].concat().replace(',', "\0").into_bytes());
    }

    /// Returns the next packet of the client; `None` if there is none within half a second.
    fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 600];
        self.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        self.socket.recv_from(&mut buffer).ok().map(|(count, _)| buffer[..count].to_vec())
    }

    /// Waits for the acknowledgement of a block.
    fn wait_for(&self, block: u16) {
        let [high, low] = block.to_be_bytes();
        while self.receive().is_some_and(|packet| packet != [0, 4, high, low]) {}
    }
}

fn data(block: u16, bytes: &[u8]) -> Vec<u8> {
    [&[0, 3], &block.to_be_bytes(), bytes].concat()
}

/// Starts a server that does `serve` with each request. Returns the URL of its file.
fn server(serve: impl Fn(&Transfer) + Send + Sync + 'static) -> String {
    let front = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("tftp://{}/secret", front.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        let mut buffer = [0; 600];
        while let Ok((count, client)) = front.recv_from(&mut buffer) {
            let request = String::from_utf8(buffer[..count].to_vec()).unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(&Transfer { socket, client, request }));
        }
    });
    url
}

/// Runs the program for at most three seconds.
fn fetch(url: &str) -> Outcome {
    let mut asked = request(url);
    asked.total_seconds = 3;
    asked.limit = 1 << 20;
    let outcome = run(&asked);
    assert!(outcome.time < Duration::from_secs(5), "{:?}", outcome.time);
    outcome
}

/// A server that misbehaves: its name, what it does, the exit code that it leads to, and a word of the message.
type Case = (&'static str, fn(&Transfer), i32, &'static str);

const SERVERS: &[Case] = &[
    ("is silent", |_| (), 10, "did not answer in time"),
    ("sends garbage", |t| t.send(b"garbage"), 11, "something other than TFTP"),
    ("sends nothing in a packet", |t| t.send(b""), 11, "something other than TFTP"),
    ("sends a block that is too long", |t| t.data(1, &[0; 513]), 11, "too long"),
    ("wants longer blocks", |t| t.agree("blksize,1409,"), 11, "another block size"),
    ("wants blocks without end", |t| t.agree("blksize,65464,"), 11, "another block size"),
    ("wants longer windows", |t| t.agree("windowsize,17,"), 11, "another window"),
    ("wants no windows", |t| t.agree("windowsize,0,"), 11, "another window"),
    ("wants an option of its own", |t| t.agree("timeout,255,"), 11, "not asked for"),
    ("sends a broken option", |t| t.agree("blksize"), 11, "malformed"),
    ("tells a size over the limit", |t| t.agree("tsize,1048577,"), 11, "limit of 1048576 bytes"),
    ("sends less than it told", |t| lengths(t, 2, b"x"), 11, "not the size"),
    ("sends more than it told", |t| lengths(t, 2, b"xxx"), 11, "not the size"),
    ("stops in the middle", |t| t.data(1, &[0; 512]), 11, "stopped in the middle"),
    ("refuses in the middle", refuse_later, 30, "TFTP error 0"),
    ("refuses with the path", |t| t.send(b"\0\x05\0\x02secret\0"), 30, "forbids access"),
    ("refuses with an unknown number", |t| t.send(b"\0\x05\xff\xff"), 30, "TFTP error 65535"),
    ("sends a file without end", endless, 11, "limit of 1048576 bytes"),
    ("repeats the first block without end", repeat, 11, "stopped in the middle"),
    ("begins with the second block", |t| t.data(2, &[0; 512]), 10, "did not answer in time"),
    ("refuses options that were not asked for", |t| t.send(b"\0\x05\0\x08\0"), 30, "TFTP error 8"),
];

fn lengths(transfer: &Transfer, told: usize, bytes: &[u8]) {
    transfer.agree(&format!("tsize,{told},"));
    transfer.wait_for(0);
    transfer.data(1, bytes);
}

fn refuse_later(transfer: &Transfer) {
    transfer.data(1, &[0; 512]);
    transfer.wait_for(1);
    transfer.send(b"\0\x05\0\0secret\0");
}

fn endless(transfer: &Transfer) {
    for block in (0..=u16::MAX).cycle().skip(1) {
        transfer.data(block, &[0; 512]);
        match transfer.receive() {
            Some(packet) if packet.starts_with(b"\0\x04") => {}
            _ => return,
        }
    }
}

fn repeat(transfer: &Transfer) {
    for _ in 0..500 {
        transfer.data(1, &[0; 512]);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn servers_that_misbehave() {
    let runs: Vec<_> = SERVERS
        .iter()
        .map(|(name, serve, code, word)| {
            std::thread::spawn(move || {
                let outcome = fetch(&server(serve));
                let error = outcome.error(*code);
                assert!(error.contains(word), "{name}: {error}");
            })
        })
        .collect();
    for run in runs {
        run.join().unwrap();
    }
}

#[test]
fn a_server_is_told_why_its_options_are_refused() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let url = server({
        let told = Arc::clone(&told);
        move |transfer| {
            transfer.agree("blksize,65464,");
            told.lock().unwrap().extend(transfer.receive());
        }
    });
    fetch(&url).error(11);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(told.lock().unwrap()[0][..4], *b"\0\x05\0\x08");
}

#[test]
fn options_that_are_refused_are_left_out() {
    for code in [0, 4, 8] {
        let url = server(move |transfer| {
            if transfer.request.contains("blksize") {
                return transfer.send(&[0, 5, 0, code]);
            }
            assert_eq!(transfer.request, "\0\x01/secret\0octet\0");
            transfer.data(1, b"plain");
        });
        assert_eq!(fetch(&url).body(), b"plain");
    }
}

#[test]
fn a_server_that_doubles_everything_is_acknowledged_once() {
    let acknowledged = Arc::new(Mutex::new(0));
    let url = server({
        let acknowledged = Arc::clone(&acknowledged);
        move |transfer| {
            for block in 1..=20 {
                let bytes: &[u8] = if block == 20 { b"end" } else { &[0; 512] };
                transfer.data(block, bytes);
                transfer.data(block, bytes);
                transfer.wait_for(block);
                *acknowledged.lock().unwrap() += 1;
            }
            // What is left are acknowledgements too many.
            while transfer.receive().is_some() {
                *acknowledged.lock().unwrap() += 1;
            }
        }
    });
    assert_eq!(fetch(&url).body().len(), 19 * 512 + 3);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(*acknowledged.lock().unwrap(), 20);
}

#[test]
fn datagrams_of_others_are_ignored() {
    let url = server(|transfer| {
        transfer.data(1, &[b'a'; 512]);
        transfer.wait_for(1);
        for other in ["127.0.0.1:0", "127.0.0.2:0"] {
            let other = UdpSocket::bind(other).unwrap();
            for packet in [&data(2, b"forged")[..], b"\0\x05\0\x01\0", b"garbage"] {
                other.send_to(packet, transfer.client).unwrap();
            }
        }
        transfer.data(2, b"right");
    });
    assert!(fetch(&url).body().ends_with(b"aright"));
    // Another address cannot even begin the transfer.
    let url = server(|transfer| {
        let other = UdpSocket::bind("127.0.0.2:0").unwrap();
        other.send_to(&data(1, b"forged"), transfer.client).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        transfer.data(1, b"right");
    });
    assert_eq!(fetch(&url).body(), b"right");
}
