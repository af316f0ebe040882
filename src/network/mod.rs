//! The network of the initramfs: up when a config needs it, and down again before the real root starts.
//!
//! A network that is there already, by the kernel argument `ip=` or by a service of the initramfs, is used as it is and
//! stays. Otherwise links are switched on here. `ipconfig` asks DHCP servers, the kernel listens to IPv6 routers by
//! itself, and static addresses are set from the kernel command line. `record` keeps what was changed.

mod advertised;
mod arguments;
mod explain;
mod ipconfig;
mod netlink;
mod record;
mod resolver;
mod seen;
mod up;

use rustix::io::Errno;
use rustix::system::{sethostname, uname};

use crate::error::{Error, Reason, Result};
use crate::initramfs;
use netlink::Netlink;
use record::Record;

pub use up::up;

/// Takes back what [`up()`] has changed: the links that it switched on, with their addresses and routes, what ipconfig wrote
/// about them, the host name and `/etc/resolv.conf`. Without a record there is nothing to do. It goes on after a failure.
///
/// # Errors
/// [`Reason::System`] for the first change that could not be taken back. The record then stays for another call.
pub fn down() -> Result<()> {
    let record = Record::read()?;
    if record == Record::default() {
        return Record::remove();
    }
    let mut netlink = open()?;
    let mut first = Ok(());
    for link in &record.links {
        first = first.and(take_down(&mut netlink, link));
        first = first.and(record::remove(&lease_of(&link.name)));
    }
    if record.has_loopback {
        let links = netlink.links().map_err(|errno| Error::system("list the network interfaces", errno))?;
        if let Some(lo) = links.into_iter().find(netlink::Link::is_loopback) {
            let lo = record::Switched { index: lo.index, mtu: lo.mtu, name: lo.name };
            first = first.and(take_down(&mut netlink, &lo));
        }
    }
    if record.has_resolver {
        first = first.and(record::remove(resolver::PATH));
    }
    if let Some(host) = record.host.as_deref().filter(|host| *host != host_name()) {
        let set = sethostname(host.as_bytes());
        first = first.and(set.map_err(|errno| Error::system("set the host name back", errno)));
    }
    first?;
    Record::remove()
}

/// Switches a link off and takes its addresses. A link that is gone has nothing left to take.
fn take_down(netlink: &mut Netlink, link: &record::Switched) -> Result<()> {
    let mut take = || {
        netlink.switch(link.index, false)?;
        for address in netlink.addresses()?.iter().filter(|address| address.link == link.index) {
            match netlink.delete_address(address) {
                Ok(()) | Err(Errno::ADDRNOTAVAIL) => {}
                Err(errno) => return Err(errno),
            }
        }
        netlink.set_mtu(link.index, link.mtu)
    };
    match take() {
        Ok(()) | Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(Error::system(&format!("switch the interface {} off", link.name), errno)),
    }
}

/// Returns the path of what ipconfig writes about a link.
fn lease_of(name: &str) -> String {
    format!("/run/net-{name}.conf")
}

fn host_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

fn open() -> Result<Netlink> {
    Netlink::open().map_err(|errno| Error::system("open a socket to the kernel's routing", errno))
}

/// Refuses to run outside of an initramfs: the network of a running system is not this program's.
fn check_initramfs() -> Result<()> {
    if initramfs::is_here()? {
        return Ok(());
    }
    let text = "this is not an initramfs: the root file system is not in memory";
    Err(Error::new(Reason::Unsupported, text)
        .advise("Nothing needs to be done: a running system has its own network."))
}
