//! The part of rtnetlink(7) that the initramfs needs: list links and addresses, change them, and add a default route. A
//! socket of the kernel's own protocol needs neither `ip` nor a library, which an initramfs may not have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, send, socket_with,
};

/// The kinds of messages, from `linux/rtnetlink.h` and `linux/netlink.h`.
mod kind {
    pub(super) const ERROR: u16 = 2;
    pub(super) const DONE: u16 = 3;
    pub(super) const NEW_LINK: u16 = 16;
    pub(super) const GET_LINK: u16 = 18;
    pub(super) const SET_LINK: u16 = 19;
    pub(super) const NEW_ADDRESS: u16 = 20;
    pub(super) const DELETE_ADDRESS: u16 = 21;
    pub(super) const GET_ADDRESS: u16 = 22;
    pub(super) const NEW_ROUTE: u16 = 24;
}

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE_OR_REPLACE: u16 = 0x500;
const CREATE: u16 = 0x400;

/// `RTEXT_FILTER_SKIP_STATS`: half of the answer about a link is statistics.
const SKIP_STATISTICS: u32 = 1 << 3;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Larger than any batch of answers that the kernel sends.
const BUFFER: usize = 64 << 10;
const HEADER: usize = 16;
/// The error for an answer without a number.
const EIO: i32 = 5;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The number of the interface, which stays when the interface is renamed.
    pub(super) index: u32,
    /// Its present name. Invalid UTF-8 is replaced.
    pub(super) name: String,
    /// Its hardware address; empty if it has none.
    pub(super) mac: Vec<u8>,
    /// The largest packet, in bytes.
    pub(super) mtu: u32,
    /// `IFF_` flags of `linux/if.h`.
    flags: u32,
    /// `ARPHRD_` type of `linux/if_arp.h`.
    hardware: u16,
    /// Whether the link belongs to a bridge or a bond, which then has the addresses.
    has_master: bool,
}

impl Link {
    /// Returns whether the link is switched on.
    pub(super) fn is_up(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Returns whether this is `lo`.
    pub(super) fn is_loopback(&self) -> bool {
        self.flags & 8 != 0
    }

    /// Returns whether the link is switched on and the other end answers: the cable is plugged in.
    pub(super) fn has_carrier(&self) -> bool {
        self.is_up() && self.flags & 0x1_0000 != 0
    }

    /// Returns whether this is a link to an Ethernet that can have addresses of its own. A dummy has no ARP.
    pub(super) fn is_ethernet(&self) -> bool {
        self.hardware == 1 && self.flags & 0x80 == 0 && !self.is_loopback() && !self.has_master
    }
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The number of the interface.
    pub(super) link: u32,
    /// The address itself.
    pub(super) ip: IpAddr,
    /// The length of the network's part, in bits.
    pub(super) prefix: u8,
    /// Whether it reaches beyond the link, and the kernel has finished looking for its duplicate.
    pub(super) is_usable: bool,
}

/// A socket to the kernel's routing tables. Only messages of the kernel itself are read.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens the socket.
    ///
    /// # Errors
    /// errno of socket(2) or bind(2).
    pub(super) fn open() -> Result<Self, Errno> {
        Ok(Self { socket: open(0)?, sequence: 0 })
    }

    /// Returns all links.
    ///
    /// # Errors
    /// errno of the socket or of the kernel's answer.
    pub(super) fn links(&mut self) -> Result<Vec<Link>, Errno> {
        let mut links = Vec::new();
        let attributes: [(u16, &[u8]); 1] = [(29, &SKIP_STATISTICS.to_ne_bytes())];
        self.request(kind::GET_LINK, DUMP, &[0; 16], &attributes, |kind, body| {
            if kind == kind::NEW_LINK {
                links.extend(parse_link(body));
            }
        })?;
        Ok(links)
    }

    /// Returns the addresses of all links.
    ///
    /// # Errors
    /// As for [`Netlink::links`].
    pub(super) fn addresses(&mut self) -> Result<Vec<Address>, Errno> {
        let mut addresses = Vec::new();
        self.request(kind::GET_ADDRESS, DUMP, &[0; 8], &[], |kind, body| {
            if kind == kind::NEW_ADDRESS {
                addresses.extend(parse_address(body));
            }
        })?;
        Ok(addresses)
    }

    /// Switches the link on or off. Off takes its routes and its IPv6 addresses away.
    ///
    /// # Errors
    /// errno of the kernel's answer: `ENODEV` if the link is gone.
    pub(super) fn switch(&mut self, link: u32, on: bool) -> Result<(), Errno> {
        let flags = u32::from(on).to_ne_bytes();
        let body = [&[0; 4], &link.to_ne_bytes()[..], &flags, &1_u32.to_ne_bytes()].concat();
        self.request(kind::SET_LINK, ACKNOWLEDGE, &body, &[], |_, _| ())
    }

    /// Sets the largest packet, in bytes.
    ///
    /// # Errors
    /// As for [`Netlink::switch`].
    pub(super) fn set_mtu(&mut self, link: u32, mtu: u32) -> Result<(), Errno> {
        let body = [&[0; 4], &link.to_ne_bytes()[..], &[0; 8]].concat();
        self.request(kind::SET_LINK, ACKNOWLEDGE, &body, &[(4, &mtu.to_ne_bytes())], |_, _| ())
    }

    /// Gives the link an address. One that is there already is no failure.
    ///
    /// # Errors
    /// As for [`Netlink::switch`].
    pub(super) fn add_address(&mut self, link: u32, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        // IFA_F_NODAD: whoever names an address on the kernel command line knows that it is free.
        self.change_address(kind::NEW_ADDRESS, ACKNOWLEDGE | CREATE_OR_REPLACE, (link, ip, prefix), 2)
    }

    /// Takes an address from the link.
    ///
    /// # Errors
    /// As for [`Netlink::switch`]; `EADDRNOTAVAIL` if it is gone.
    pub(super) fn delete_address(&mut self, address: &Address) -> Result<(), Errno> {
        let of = (address.link, address.ip, address.prefix);
        self.change_address(kind::DELETE_ADDRESS, ACKNOWLEDGE, of, 0)
    }

    fn change_address(
        &mut self,
        kind: u16,
        flags: u16,
        (link, ip, prefix): (u32, IpAddr, u8),
        of: u8,
    ) -> Result<(), Errno> {
        let (family, bytes) = family_and_bytes(ip);
        let body = [&[family, prefix, of, 0][..], &link.to_ne_bytes()].concat();
        self.request(kind, flags, &body, &[(2, &bytes), (1, &bytes)], |_, _| ())
    }

    /// Makes `gateway`, which is on the link, the first way to everywhere else. A way that is there already stays behind it.
    ///
    /// # Errors
    /// As for [`Netlink::switch`].
    pub(super) fn add_default_route(&mut self, link: u32, gateway: IpAddr) -> Result<(), Errno> {
        let (family, bytes) = family_and_bytes(gateway);
        // The main table, a static route, unicast; RTNH_F_ONLINK, since hosters give addresses of one host each, whose
        // gateway is in no network of the link.
        let body = [family, 0, 0, 0, 254, 4, 0, 1];
        let body = [&body[..], &4_u32.to_ne_bytes()].concat();
        let attributes: [(u16, &[u8]); 2] = [(5, &bytes), (4, &link.to_ne_bytes())];
        match self.request(kind::NEW_ROUTE, ACKNOWLEDGE | CREATE, &body, &attributes, |_, _| ()) {
            Err(Errno::EXIST) => Ok(()),
            done => done,
        }
    }

    /// Sends one request and calls `take` with each message of the answer: its kind and its body.
    fn request(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        attributes: &[(u16, &[u8])],
        mut take: impl FnMut(u16, &[u8]),
    ) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = message(kind, flags | REQUEST, self.sequence, body, attributes)?;
        send(&self.socket, &message, SendFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let received = receive(&self.socket, &mut buffer)?;
            for (kind, sequence, body) in messages(received) {
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    kind::DONE => return Ok(()),
                    kind::ERROR => match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
                        Some(0) => return Ok(()),
                        code => return Err(Errno::from_raw_os_error(code.unwrap_or(-EIO).saturating_neg())),
                    },
                    kind => take(kind, body),
                }
            }
        }
    }
}

/// Returns a socket that receives the multicast groups of the mask `groups`.
///
/// # Errors
/// errno of socket(2) or bind(2).
pub(super) fn open(groups: u32) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Waits for one batch of messages of the kernel, and returns it. Other processes may send to the socket, too. Their
/// messages are dropped.
fn receive<'b>(socket: &OwnedFd, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let length = loop {
        let (length, _, from) = retry_on_intr(|| recvfrom(socket, &mut *buffer, RecvFlags::empty()))?;
        if is_kernel(from) {
            break length;
        }
    };
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Returns whether a message came from the kernel, whose port is 0.
pub(super) fn is_kernel(from: Option<rustix::net::SocketAddrAny>) -> bool {
    from.and_then(|from| SocketAddrNetlink::try_from(from).ok()).is_some_and(|from| from.pid() == 0)
}

/// Returns the kind, the sequence number and the body of each message of a batch. A cut message ends the batch.
pub(super) fn messages(mut batch: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(batch, 0)?).ok()?;
        let body = batch.get(HEADER..length)?;
        let found = (u16_at(batch, 4)?, u32_at(batch, 8)?, body);
        batch = batch.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

/// Returns the type and the value of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(4..length)?;
        // The two highest bits are flags.
        let found = (u16_at(bytes, 2)? & 0x3fff, value);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

/// Returns a whole message.
///
/// # Errors
/// `EMSGSIZE` for an attribute that is too long for its length to be told.
fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &[u8],
    attributes: &[(u16, &[u8])],
) -> Result<Vec<u8>, Errno> {
    let mut all =
        [&[0; 4], &kind.to_ne_bytes()[..], &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4]].concat();
    all.extend_from_slice(body);
    for (attribute, value) in attributes {
        let length = u16::try_from(value.len().saturating_add(4)).map_err(|_| Errno::MSGSIZE)?;
        all.extend_from_slice(&length.to_ne_bytes());
        all.extend_from_slice(&attribute.to_ne_bytes());
        all.extend_from_slice(value);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(all.len()).map_err(|_| Errno::MSGSIZE)?;
    if let Some(place) = all.get_mut(..4) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    Ok(all)
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(body, 4)?,
        name: String::new(),
        mac: Vec::new(),
        mtu: 0,
        flags: u32_at(body, 8)?,
        hardware: u16_at(body, 2)?,
        has_master: false,
    };
    for (attribute, value) in attributes(body.get(16..)?) {
        match attribute {
            1 => link.mac = value.to_vec(),
            3 => link.name = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned(),
            4 => link.mtu = u32_at(value, 0)?,
            10 => link.has_master = true,
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(body: &[u8]) -> Option<Address> {
    /// `IFA_F_DADFAILED`, `IFA_F_DEPRECATED` and `IFA_F_TENTATIVE`.
    const NOT_USABLE: u32 = 0x08 | 0x20 | 0x40;
    let [_, prefix, flags, scope, ..] = *body else { return None };
    let (mut flags, mut local, mut peer) = (u32::from(flags), None, None);
    for (attribute, value) in attributes(body.get(8..)?) {
        match attribute {
            1 => peer = ip(value),
            2 => local = ip(value),
            8 => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    // The scope of an address that is for everyone is 0.
    let is_usable = scope == 0 && flags & NOT_USABLE == 0;
    Some(Address { link: u32_at(body, 4)?, ip: local.or(peer)?, prefix, is_usable })
}

/// Returns the address that four or sixteen bytes are.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
    }
}

fn family_and_bytes(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    }
}

/// Returns the two bytes at `at` as a number in the machine's order.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// Returns the four bytes at `at` as a number in the machine's order.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_a_link_with_an_address() {
        let mut netlink = Netlink::open().unwrap();
        let links = netlink.links().unwrap();
        let loopback = links.iter().find(|link| link.is_loopback()).unwrap();
        assert_eq!((loopback.name.as_str(), loopback.is_ethernet()), ("lo", false));
        if loopback.is_up() {
            let addresses = netlink.addresses().unwrap();
            let own = addresses.iter().find(|address| address.ip == IpAddr::from([127, 0, 0, 1])).unwrap();
            assert_eq!((own.link, own.prefix, own.is_usable), (loopback.index, 8, false), "of the host only");
        }
    }

    #[test]
    fn a_link_that_is_not_there_is_an_error() {
        let mut netlink = Netlink::open().unwrap();
        let errno = netlink.switch(u32::MAX >> 1, true).unwrap_err();
        assert!([Errno::NODEV, Errno::PERM].contains(&errno), "{errno}");
    }

    #[test]
    fn messages_are_cut_where_their_lengths_say() {
        let one = message(16, 1, 7, &[9; 6], &[(3, b"eth0\0")]).unwrap();
        assert_eq!(one.len(), 16 + 6 + 10);
        let two = [&one[..], &one[..one.len() - 1]].concat();
        let found: Vec<_> = messages(&two).collect();
        assert_eq!(found.len(), 1, "the second one is cut");
        assert_eq!((found[0].0, found[0].1), (16, 7));
        for end in 0..one.len() {
            assert_eq!(messages(&one[..end]).count(), 0);
        }
        // A length of zero would loop for ever.
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }
}
