//! The name servers that IPv6 routers advertise (RFC 8106). The kernel makes addresses and routes of an advertisement by
//! itself. The name servers it only passes on, to whoever listens at that moment.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recvfrom};

use super::netlink::{ip, is_kernel, messages, open, u16_at, u32_at};

/// `RTNLGRP_ND_USEROPT` as a bit of the mask of groups.
const GROUP: u32 = 1 << 19;
/// `RTM_NEWNDUSEROPT`.
const OPTION: u16 = 68;
/// The length of `struct nduseroptmsg`, which stands before the option.
const HEAD: usize = 16;
/// The type of the option with recursive DNS servers.
const SERVERS: u8 = 25;
/// The most servers that are kept. A resolver asks three at most.
const MOST: usize = 8;

/// Collects the name servers that are advertised from now on.
pub(super) struct Advertised {
    socket: OwnedFd,
    servers: Vec<String>,
}

impl Advertised {
    /// Starts to listen.
    ///
    /// # Errors
    /// errno of socket(2) or bind(2).
    pub(super) fn listen() -> Result<Self, Errno> {
        Ok(Self { socket: open(GROUP)?, servers: Vec::new() })
    }

    /// Returns the addresses of the servers that were advertised so far, in the order of their coming. One that only holds on a
    /// link has the link's number behind it.
    pub(super) fn servers(&mut self) -> &[String] {
        let mut buffer = [0; 8192];
        // ENOBUFS tells of lost messages. Routers repeat theirs.
        loop {
            match recvfrom(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _, from)) if is_kernel(from.clone()) => {
                    for (kind, _, body) in messages(buffer.get(..length).unwrap_or_default()) {
                        if kind == OPTION {
                            take(body, &mut self.servers);
                        }
                    }
                }
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(_) => return &self.servers,
            }
        }
    }
}

/// Adds the servers of one message to `servers`: those that are new and have not expired.
fn take(body: &[u8], servers: &mut Vec<String>) {
    let length = usize::from(u16_at(body, 2).unwrap_or_default());
    let options = body.get(HEAD..).and_then(|options| options.get(..length)).unwrap_or_default();
    // Type, length in units of eight bytes, two reserved bytes, the lifetime in seconds, and the addresses.
    let [SERVERS, units, _, _, lifetime @ ..] = options else { return };
    let end = usize::from(*units).saturating_mul(8);
    if lifetime.get(..4).is_none_or(|lifetime| lifetime == [0; 4]) {
        return;
    }
    let link = u32_at(body, 4).unwrap_or_default();
    let text = |address: IpAddr| match address {
        IpAddr::V6(address) if is_of_link(address) => format!("{address}%{link}"),
        address => address.to_string(),
    };
    for address in options.get(8..end).unwrap_or_default().chunks_exact(16).filter_map(ip).map(text) {
        if servers.len() < MOST && !servers.contains(&address) {
            servers.push(address);
        }
    }
}

/// Returns whether the address only holds on its link (`fe80::/10`).
fn is_of_link(address: Ipv6Addr) -> bool {
    address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(option: &[u8]) -> Vec<u8> {
        let length = u16::try_from(option.len()).unwrap().to_ne_bytes();
        [&[10, 0][..], &length, &7_u32.to_ne_bytes(), &[0; 8], option].concat()
    }

    #[test]
    fn servers_are_taken_once_and_expired_ones_not() {
        let one = "2001:db8::53".parse::<std::net::Ipv6Addr>().unwrap();
        let option = |lifetime: u8| [&[25, 3, 0, 0, 0, 0, 0, lifetime][..], &one.octets()].concat();
        let mut servers = Vec::new();
        take(&message(&option(9)), &mut servers);
        take(&message(&option(9)), &mut servers);
        assert_eq!(servers, ["2001:db8::53"]);
        servers.clear();
        let near = "fe80::1".parse::<std::net::Ipv6Addr>().unwrap();
        take(&message(&[&[25, 3, 0, 0, 0, 0, 0, 9][..], &near.octets()].concat()), &mut servers);
        assert_eq!(servers, ["fe80::1%7"]);
        servers.clear();
        take(&message(&option(0)), &mut servers);
        for end in 0..HEAD + 24 {
            take(&message(&option(9))[..end], &mut servers);
        }
        // A length that is larger than the option, another option, and none.
        take(&message(&[&[25, 255, 0, 0, 0, 0, 0, 9][..], &one.octets()].concat()), &mut servers);
        take(&message(&[31, 3, 0, 0, 0, 0, 0, 9]), &mut servers);
        take(&[], &mut servers);
        assert!(servers.is_empty(), "{servers:?}");
    }
}
