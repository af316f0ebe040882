//! Conversations over a socket pair. The other end plays the kernel.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::thread;

use super::message::tests::{delete, set};
use super::message::{SIZE, register};
use super::*;

const LONG: Duration = Duration::from_secs(60);
/// The patience of fetches that end at the deadline. Even a busy machine can exchange all messages before it.
const SHORT: Duration = Duration::from_secs(3);

/// Plays the kernel: takes the registration, completes the handshake, then sends each request and reads its answer.
/// Returns the statuses of the answers.
fn kernel(socket: &UnixDatagram, requests: &[KvpMessage]) -> Vec<u32> {
    socket.set_read_timeout(Some(LONG)).unwrap();
    let mut message = [0; SIZE];
    assert_eq!(socket.recv(&mut message).unwrap(), SIZE);
    assert_eq!(message, register());
    let mut greeting = register();
    greeting[4..7].copy_from_slice(b"3.1");
    socket.send(&greeting).unwrap();
    let mut statuses = Vec::new();
    for request in requests {
        socket.send(request).unwrap();
        assert_eq!(socket.recv(&mut message).unwrap(), SIZE);
        assert_eq!(message[4..], request[4..]);
        statuses.push(u32::from_ne_bytes(message[..4].try_into().unwrap()));
    }
    statuses
}

/// Sends `requests` to the program. Returns the result of the fetch and the status of each answer.
fn fetch(requests: Vec<KvpMessage>, patience: Duration) -> (Result<Vec<u8>>, Vec<u32>) {
    let (device, socket) = UnixDatagram::pair().unwrap();
    let kernel = thread::spawn(move || {
        let statuses = kernel(&socket, &requests);
        // The kernel's end stays open until the program has closed its end.
        (statuses, socket)
    });
    let mut device = File::from(OwnedFd::from(device));
    let config = converse(&mut device, Deadline::after(patience), 1 << 20);
    let (statuses, _socket) = kernel.join().unwrap();
    (config, statuses)
}

fn part(number: u32, value: &str) -> KvpMessage {
    set(0, format!("ignition.config.{number}").as_bytes(), value.as_bytes())
}

/// Returns a request that has an operation and no content.
fn bare(operation: u8) -> KvpMessage {
    let mut message = [0; SIZE];
    message[0] = operation;
    message
}

#[test]
fn a_config_in_parts_among_other_requests() {
    let long = "x".repeat(990);
    let requests = vec![
        bare(3),
        set(0, b"HostName", b"secret"),
        part(1, "tail"),
        set(2, b"ignition.config.0", b"of another pool"),
        part(0, "gone"),
        delete(b"ignition.config.0"),
        delete(b"ignition.config.7"),
        part(0, &long),
        bare(4),
    ];
    let (config, statuses) = fetch(requests, LONG);
    assert_eq!(config.unwrap(), format!("{long}tail").into_bytes());
    let no_more = 0x8007_0103;
    assert_eq!(statuses, [no_more, 0, 0, 0, 0, 0, no_more, 0, no_more]);
}

#[test]
fn a_config_in_one_key() {
    let (config, _) = fetch(vec![set(0, b"ignition.config", b"{\xc3\xa4}")], LONG);
    assert_eq!(config.unwrap(), "{ä}".as_bytes());
}

#[test]
fn a_host_without_a_config() {
    let (config, _) = fetch(vec![set(0, b"HostName", b"secret")], SHORT);
    let error = config.unwrap_err();
    assert_eq!(error.reason(), Reason::NoHost);
    assert!(!error.text().contains("secret"), "{error}");
}

#[test]
fn a_host_that_leaves_a_part_out() {
    let (config, _) = fetch(vec![part(0, "a"), part(1, "b"), part(2, "c"), part(4, "e")], SHORT);
    let error = config.unwrap_err();
    assert_eq!(error.reason(), Reason::BadAnswer);
    assert!(error.text().contains("ignition.config.3"), "{error}");
}

#[test]
fn malformed_messages_end_the_conversation() {
    let talk = |message: Vec<u8>| {
        let (device, socket) = UnixDatagram::pair().unwrap();
        socket.send(&message).unwrap();
        let mut device = File::from(OwnedFd::from(device));
        converse(&mut device, Deadline::after(LONG), 1 << 20).unwrap_err().reason()
    };
    assert_eq!(talk(vec![1; 100]), Reason::System);
    // All sizes in this message are far larger than their space.
    let mut oversized = vec![0xff; SIZE];
    oversized[..2].copy_from_slice(&[1, 0]);
    assert_eq!(talk(oversized), Reason::BadAnswer);
}

#[test]
fn a_kernel_that_hangs_up_is_an_error() {
    let (device, socket) = UnixDatagram::pair().unwrap();
    drop(socket);
    let mut device = File::from(OwnedFd::from(device));
    let error = converse(&mut device, Deadline::after(LONG), 1 << 20).unwrap_err();
    assert_eq!(error.reason(), Reason::System);
}
