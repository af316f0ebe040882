//! Where the host's network is: the URL of the option `-url`.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::sys;

/// The longest path of a request, in bytes.
const LONGEST_PATH: usize = 1024;
/// The path that is asked for over a unix socket, whose URL has no place for a path of a request.
const CONNECT: &str = "/connect";

/// An address of the host, and the path of the request that makes a network of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    place: Place,
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// `vsock://CID:PORT/PATH`
    Vsock { cid: u32, port: u32 },
    /// `unix:///SOCKET`
    Unix(String),
}

impl Address {
    /// Parses a URL. Returns `None` for one of another form.
    pub fn parse(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("unix://") {
            let is_path = path.starts_with('/') && SocketAddrUnix::new(path).is_ok();
            return is_path.then(|| Self { place: Place::Unix(path.to_owned()), path: CONNECT.to_owned() });
        }
        let rest = url.strip_prefix("vsock://")?;
        let (host, path) = rest.split_at_checked(rest.find('/')?)?;
        let (cid, port) = host.split_once(':')?;
        let is_shown = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if path.len() > LONGEST_PATH || !path.bytes().all(is_shown) {
            return None;
        }
        Some(Self { place: Place::Vsock { cid: number(cid)?, port: number(port)? }, path: path.to_owned() })
    }

    /// Connects. A host that does not answer is given up after `patience`.
    ///
    /// # Errors
    /// errno of socket(2) or connect(2).
    pub fn connect(&self, patience: Duration) -> Result<OwnedFd, Errno> {
        match &self.place {
            Place::Vsock { cid, port } => sys::connect_by_vsock(*cid, *port, patience),
            Place::Unix(path) => {
                let socket =
                    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
                connect(&socket, &SocketAddrUnix::new(path.as_str())?)?;
                Ok(socket)
            }
        }
    }

    /// Returns the request that asks the host for frames. The host sends no answer to it, only frames.
    pub fn request(&self) -> String {
        format!("POST {} HTTP/1.1\r\nHost: host\r\nContent-Length: 0\r\n\r\n", self.path)
    }
}

/// Shows the address without the path of the request, which does not belong into a log.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Vsock { cid, port } => write!(f, "vsock {cid}:{port}"),
            Place::Unix(path) => write!(f, "socket {path}"),
        }
    }
}

/// Parses digits, and nothing but digits.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_url() {
        let address = Address::parse("vsock://2:1024/connect").unwrap();
        assert_eq!(address.place, Place::Vsock { cid: 2, port: 1024 });
        assert_eq!(address.to_string(), "vsock 2:1024");
        assert_eq!(address.request(), "POST /connect HTTP/1.1\r\nHost: host\r\nContent-Length: 0\r\n\r\n");
        let largest = Address::parse("vsock://4294967295:4294967295/").unwrap();
        assert_eq!(
            (largest.to_string(), largest.path),
            ("vsock 4294967295:4294967295".to_owned(), "/".to_owned())
        );
    }

    #[test]
    fn a_unix_socket() {
        let address = Address::parse("unix:///run/gvproxy").unwrap();
        assert_eq!(
            (address.to_string(), address.path.as_str()),
            ("socket /run/gvproxy".to_owned(), "/connect")
        );
        assert_eq!(address.connect(Duration::ZERO).map(drop), Err(Errno::NOENT));
    }

    #[test]
    fn other_urls_are_refused() {
        let long = format!("vsock://2:1024/{}", "x".repeat(LONGEST_PATH));
        let long_socket = format!("unix:///{}", "x".repeat(108));
        for url in [
            "",
            "vsock:",
            "vsock://",
            "vsock://2",
            "vsock://2:1024",
            "vsock://2/connect",
            "vsock://:1024/connect",
            "vsock://2:/connect",
            "vsock://+2:1024/c",
            "vsock://2:4294967296/c",
            "vsock://-1:1024/c",
            "vsock://2:1024/a b",
            "vsock://2:1024/a\r\nHost: x",
            "vsock://2:1024/\u{e9}",
            "vsock://2:1024/a#b",
            "tcp://127.0.0.1:1024/connect",
            "http://host/connect",
            "unix://socket",
            "unix:/socket",
            "stdio:///bin/sh",
            &long,
            &long_socket,
        ] {
            assert_eq!(Address::parse(url), None, "{url}");
        }
    }
}
