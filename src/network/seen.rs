//! What one look at the kernel shows: the links with their addresses, and which of them an `ip=` argument is about.

use std::time::Duration;

use super::arguments::{How, Wanted};
use super::netlink::{Address, Link};

/// How long to wait for a network interface to appear. Drivers take a few seconds.
pub(super) const FOR_LINKS: Duration = Duration::from_secs(30);
/// The most links that are switched on. More are left alone.
const MOST_LINKS: usize = 64;

/// What a look at the kernel has shown.
pub(super) struct Seen<'w> {
    /// Sorted by number.
    pub(super) links: Vec<Link>,
    /// The addresses of all links.
    pub(super) addresses: Vec<Address>,
    /// What the kernel command line wants.
    pub(super) wanted: &'w [Wanted],
    /// The hardware address of the link that the machine was started from, if the firmware told it.
    pub(super) boot_mac: Option<&'w [u8]>,
}

impl Seen<'_> {
    /// Returns the links that `wanted` is about, at most 64. `None` is any link.
    pub(super) fn links_of<'s>(&'s self, wanted: &'s Wanted) -> impl Iterator<Item = &'s Link> {
        let is_off = |link: &Link| {
            self.wanted
                .iter()
                .any(|other| other.how == How::Off && other.interface.as_ref() == Some(&link.name))
        };
        let fits = move |link: &&Link| match (&wanted.interface, self.boot_mac) {
            (Some(name), _) => *name == link.name && !link.is_loopback(),
            (None, Some(mac)) => link.is_ethernet() && link.mac == mac,
            (None, None) => link.is_ethernet() && !is_off(link),
        };
        self.links.iter().filter(fits).take(MOST_LINKS)
    }

    /// Returns the link that has the address.
    pub(super) fn link_of(&self, address: &Address) -> Option<&Link> {
        let found = self.links.binary_search_by_key(&address.link, |link| link.index).ok()?;
        self.links.get(found)
    }

    /// Returns the usable addresses that fulfil `wanted`, wherever they come from.
    pub(super) fn addresses_of<'s>(&'s self, wanted: &'s Wanted) -> impl Iterator<Item = &'s Address> {
        self.addresses.iter().filter(move |address| {
            let of_family = match wanted.how {
                How::Automatic => true,
                How::Router => address.ip.is_ipv6(),
                How::Static { ip, .. } => address.ip == ip,
                How::Off => false,
            };
            let is_named = |link: &&Link| wanted.interface.as_ref().is_none_or(|name| *name == link.name);
            let is_on = |link: &Link| link.is_up() && !link.is_loopback();
            address.is_usable && of_family && self.link_of(address).filter(is_named).is_some_and(is_on)
        })
    }
}
