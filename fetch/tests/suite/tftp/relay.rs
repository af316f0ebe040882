//! A network that loses and doubles packets.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Relays the packets of one client at a time between it and `server`. `fate` says for each packet, in both directions
/// and in turn, how often it arrives. Returns the port that clients ask.
pub fn relay(server: SocketAddr, fate: [usize; 13]) -> u16 {
    let front = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = front.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        // A client that asks again gets another transfer, as from a real server.
        while let Ok((count, client)) = front.recv_from(&mut buffer) {
            let request = buffer[..count].to_vec();
            std::thread::spawn(move || transfer(client, server, &request, fate));
        }
    });
    port
}

/// Relays one transfer until nothing has come for a while.
fn transfer(client: SocketAddr, server: SocketAddr, request: &[u8], fate: [usize; 13]) {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    far.send_to(request, server).unwrap();
    let (mut peer, mut number, mut idle) = (server, 0, 0);
    let mut buffer = [0; 2000];
    let mut arrives = || {
        number += 1;
        fate[number % fate.len()]
    };
    while idle < 10_000 {
        idle += 1;
        if let Ok((count, from)) = far.recv_from(&mut buffer) {
            (peer, idle) = (from, 0);
            for _ in 0..arrives() {
                let _ = near.send_to(&buffer[..count], client);
            }
        }
        if let Ok((count, _)) = near.recv_from(&mut buffer) {
            idle = 0;
            for _ in 0..arrives() {
                let _ = far.send_to(&buffer[..count], peer);
            }
        }
    }
}
