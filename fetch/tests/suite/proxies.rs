//! Requests by way of a proxy. The names that are asked for cannot be resolved here, so only the proxy can reach them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::certificates::{Authority, Issue};
use crate::program::{request, run};
use crate::server::{Server, ok};

/// A proxy that connects each client to `target`, whatever it asked for. Returns its address and the requests.
pub fn tunnel_to(target: std::net::SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn({
        let heads = Arc::clone(&heads);
        move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                heads.lock().unwrap().push(String::from_utf8(head).unwrap());
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                let mut server = TcpStream::connect(target).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                let _ = std::io::copy(&mut server, &mut client);
                let _ = client.shutdown(Shutdown::Both);
            }
        }
    });
    (address, heads)
}

#[test]
fn http_goes_in_absolute_form() {
    let proxy = Server::answering(ok("by proxy"));
    let mut asked = request("http://user:pw@files.invalid:8080/a?b");
    asked.http_proxy = Some(format!("http://me:pass@{}", proxy.address).into());
    asked.https_proxy = Some("http://127.0.0.1:1".into());
    assert_eq!(run(&asked).body(), b"by proxy");
    let head = proxy.requests()[0].clone();
    for line in [
        "GET http://files.invalid:8080/a?b HTTP/1.1\r\n",
        "\r\nHost: files.invalid:8080\r\n",
        "\r\nAuthorization: Basic dXNlcjpwdw==\r\n",
        "\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    // The server itself is asked for what the rules exempt, and for the loopback always.
    let server = Server::answering(ok("direct"));
    asked.url = server.url("/").into();
    assert_eq!(run(&asked).body(), b"direct");
    asked.url = "http://files.invalid/".into();
    asked.no_proxy = vec![".invalid".into()];
    asked.total_seconds = 1;
    assert!(run(&asked).error(10).contains("resolve the name"));
}

#[test]
fn https_goes_through_a_tunnel() {
    let authority = Authority::new();
    authority.issue(
        "leaf",
        Some("ca"),
        &Issue { extensions: "subjectAltName=DNS:files.invalid", ..Issue::default() },
    );
    let server = Server::https(authority.server(&["leaf"]), |_, _, c| drop(c.write_all(&ok("hello"))));
    let (proxy, heads) = tunnel_to(server.address);
    let mut asked = request("https://files.invalid/x");
    asked.cas.push(authority.pem("ca").into());
    asked.https_proxy = Some(format!("me:pass@{proxy}").into());
    assert_eq!(run(&asked).body(), b"hello");
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("CONNECT files.invalid:443 HTTP/1.1\r\nHost: files.invalid:443\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"), "{head}");
    // The server learns nothing of the proxy's password.
    assert!(!server.requests()[0].contains("Proxy-"));
}

#[test]
fn a_proxy_that_speaks_tls() {
    let authority = Authority::new();
    let proxy = Server::https(authority.localhost(), |_, _, c| drop(c.write_all(&ok("by proxy"))));
    let mut asked = request("http://files.invalid/x");
    asked.cas.push(authority.pem("ca").into());
    asked.http_proxy = Some(proxy.https_url("localhost", "").into());
    assert_eq!(run(&asked).body(), b"by proxy");
}

#[test]
fn a_proxy_that_refuses() {
    for (answer, code) in [
        ("HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n", 30),
        ("HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", 30),
        ("HTTP/1.1 200 X\r\n\r\ntoo soon", 11),
        ("garbage\r\n\r\n", 11),
        ("HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n", 10),
    ] {
        let proxy = Server::answering(answer);
        let mut asked = request("https://files.invalid/secret");
        asked.https_proxy = Some(format!("http://me:secret@{}", proxy.address).into());
        asked.total_seconds = 1;
        let outcome = run(&asked);
        let error = outcome.error(code);
        assert!(error.contains(&format!("the proxy http://{}", proxy.address)), "{error}");
    }
}
