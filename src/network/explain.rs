//! Says why there is no network, in the terms of the one who has to repair it.

use super::arguments::How;
use super::netlink::Link;
use super::seen::{FOR_LINKS, Seen};
use crate::error::{Error, Reason};

/// The most interfaces that are named.
const MOST_NAMES: usize = 4;

/// Returns the error for a network that did not come up within `seconds`. `service` manages the links, if it is not
/// this program. `early` is the exit code of an ipconfig that failed at once, for the number of a link.
pub(super) fn explain(
    seen: &Seen<'_>,
    service: Option<&str>,
    seconds: u64,
    early: impl Fn(u32) -> Option<i32>,
) -> Error {
    let new = |text: String| Error::new(Reason::NoNetwork, text);
    if let Some(service) = service {
        return new(format!(
            "{service}, which manages the network of this initramfs, got no address within {seconds} s"
        ));
    }
    let is_off = |how: &How| *how == How::Off;
    let wanted = || seen.wanted.iter().filter(|wanted| !is_off(&wanted.how));
    let links: Vec<&Link> = wanted().flat_map(|wanted| seen.links_of(wanted)).collect();
    let drivers = "Check that the initramfs has the driver of the network interface, and the kernel arguments ip= and BOOTIF= \
                   its name and hardware address. Then start again.";
    if links.is_empty() {
        let seconds = seconds.min(FOR_LINKS.as_secs());
        return match wanted().find_map(|wanted| wanted.interface.as_deref()) {
            Some(name) => new(format!(
                "the network interface {name} of the kernel argument ip= did not appear within {seconds} s"
            )),
            None => new(format!("no network interface appeared within {seconds} s")),
        }
        .advise(drivers);
    }
    let connected: Vec<&Link> = links.iter().copied().filter(|link| link.has_carrier()).collect();
    if connected.is_empty() {
        let names = names(&links);
        return new(format!(
            "no signal on {names} within {seconds} s: the cable is unplugged, or the other end is off"
        ));
    }
    let names = names(&connected);
    if let Some(code) = connected.iter().find_map(|link| early(link.index)) {
        return new(format!("ipconfig failed on {names} with the exit code {code}"))
            .advise("Check that the initramfs has the kernel module af_packet. Then start again.");
    }
    if wanted().all(|wanted| wanted.how == How::Router) {
        return new(format!("no IPv6 router gave an address on {names} within {seconds} s"));
    }
    new(format!("no DHCP server answered on {names} within {seconds} s, and no IPv6 router either"))
}

fn names(links: &[&Link]) -> String {
    let mut text = links.iter().take(MOST_NAMES).map(|link| &*link.name).collect::<Vec<_>>().join(", ");
    if let more @ 1.. = links.len().saturating_sub(MOST_NAMES) {
        text = format!("{text} and {more} more");
    }
    text
}
