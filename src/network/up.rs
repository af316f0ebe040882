//! Brings the network up: looks at the links again and again until one has an address, or the time is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, stat};
use rustix::io::Errno;

use super::advertised::Advertised;
use super::arguments::{Arguments, How, Wanted};
use super::explain::explain;
use super::ipconfig::{self, Ipconfig};
use super::netlink::{Address, Link, Netlink};
use super::record::{Record, Switched};
use super::resolver::{self, Resolver};
use super::seen::{FOR_LINKS, Seen};
use super::{check_initramfs, down, host_name, open};
use crate::deadline::Deadline;
use crate::error::{Error, Reason, Result};
use crate::platform::cmdline::{self, CommandLine};

/// How long an IPv6 address waits for an IPv4 one: many networks have routers for both, and servers only for IPv4.
const FOR_IPV4: Duration = Duration::from_secs(5);
/// The same as long as no name server is known: without one, hardly a URL can be reached.
const FOR_NAME_SERVER: Duration = Duration::from_secs(20);
/// How long the first address waits for those of the other `ip=` arguments.
const FOR_OTHERS: Duration = Duration::from_secs(10);
/// How often to look.
const PAUSE: Duration = Duration::from_millis(100);
/// The least time between two starts of ipconfig for one link.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);
/// Services of an initramfs that manage its links by themselves, with a directory that each of them makes.
const SERVICES: [(&str, &str); 2] =
    [("systemd-networkd", "/run/systemd/netif/links"), ("NetworkManager", "/run/NetworkManager")];

/// Brings the network up, so that a link has an address that reaches beyond the link, and `/etc/resolv.conf` a name server,
/// if one is known. A network that is there already is left as it is. A second call finds what the first one did.
///
/// # Errors
/// [`Reason::NoNetwork`] if there is no address within `patience`; what was changed is then taken back. [`Reason::Usage`] for
/// kernel arguments that cannot be understood, [`Reason::Unsupported`] outside of an initramfs or without ipconfig,
/// [`Reason::System`] for a call that failed.
pub fn up(patience: Duration) -> Result<()> {
    check_initramfs()?;
    let line = CommandLine::text()?;
    let arguments = match Arguments::parse(&cmdline::words(&String::from_utf8_lossy(&line))) {
        // A service that manages the links knows more forms of `ip=`. Its network is only used.
        Err(_) if service().is_some() => Arguments::default(),
        arguments => arguments?,
    };
    let result = Work::new(arguments, patience).and_then(|mut work| work.run());
    if result.is_err() {
        // What went wrong first is what matters.
        let _ = down();
    }
    result
}

/// What happens to one link.
#[derive(Debug, Default)]
pub(super) struct Try {
    ipconfig: Option<Ipconfig>,
    started: Option<Instant>,
    /// The exit code of an ipconfig that ended before a server could have been asked twice.
    pub(super) early: Option<i32>,
}

struct Work {
    netlink: Netlink,
    advertised: Advertised,
    arguments: Arguments,
    record: Record,
    deadline: Deadline,
    began: Instant,
    /// By the number of the link.
    tries: BTreeMap<u32, Try>,
    first_ipv6: Option<Instant>,
    first_address: Option<Instant>,
    program: Option<ipconfig::Program>,
}

impl Work {
    fn new(mut arguments: Arguments, patience: Duration) -> Result<Self> {
        if arguments.wanted.iter().all(|wanted| wanted.how == How::Off) {
            arguments.wanted.push(Wanted { interface: None, host: None, how: How::Automatic, mtu: None });
        }
        Ok(Self {
            netlink: open()?,
            advertised: Advertised::listen()
                .map_err(|errno| Error::system("listen to the kernel's routing", errno))?,
            arguments,
            record: Record::read()?,
            deadline: Deadline::after(patience),
            began: Instant::now(),
            tries: BTreeMap::new(),
            first_ipv6: None,
            first_address: None,
            program: None,
        })
    }

    fn run(&mut self) -> Result<()> {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        // The loop changes `self`, but neither of these.
        let arguments = self.arguments.clone();
        let (wanted, boot_mac) = (&arguments.wanted[..], arguments.boot_mac.as_deref());
        loop {
            let look = self.netlink.links().and_then(|links| Ok((links, self.netlink.addresses()?)));
            let (mut links, addresses) =
                look.map_err(|errno| Error::system("list the network interfaces", errno))?;
            crate::sort::sort(&mut links, &|one: &Link, other: &Link| one.index.cmp(&other.index));
            let seen = Seen { links, addresses, wanted, boot_mac };
            self.switch_loopback_on(&seen)?;
            if self.is_done(&seen) {
                return self.finish(&seen);
            }
            let service = service();
            if arguments.is_off && service.is_none() {
                let text = "the kernel argument ip=off forbids to configure the network";
                return Err(Error::new(Reason::NoNetwork, text).advise(
                    "Remove the argument, or whatever needs the network from the config, then start again.",
                ));
            }
            let has_links = wanted.iter().any(|wanted| seen.links_of(wanted).next().is_some());
            let is_late = !has_links && self.began.elapsed() >= FOR_LINKS;
            if self.deadline.remaining().is_zero() || is_late {
                let seconds = self.began.elapsed().as_secs();
                return Err(explain(&seen, service, seconds, |link| {
                    self.tries.get(&link).and_then(|one| one.early)
                }));
            }
            if service.is_none() {
                for wanted in wanted.iter().filter(|wanted| wanted.how != How::Off) {
                    for link in seen.links_of(wanted) {
                        if self.is_foreign(link, &seen) {
                            continue;
                        }
                        self.work_on(link, wanted, &seen)?;
                        // A static address without an interface is that of the first one with a signal.
                        let is_static = matches!(wanted.how, How::Static { .. });
                        if is_static && wanted.interface.is_none() && link.has_carrier() {
                            break;
                        }
                    }
                }
            }
            std::thread::sleep(PAUSE.min(self.deadline.remaining()));
        }
    }

    /// Returns whether somebody else has brought the link up. Such a network is used, and nothing of it may be taken down at
    /// the end.
    fn is_foreign(&self, link: &Link, seen: &Seen<'_>) -> bool {
        !self.record.links.iter().any(|known| known.index == link.index)
            && seen.addresses.iter().any(|address| address.link == link.index && address.is_usable)
    }

    /// Returns whether the addresses are enough.
    fn is_done(&mut self, seen: &Seen<'_>) -> bool {
        let now = Instant::now();
        let is_ipv6 = |address: &Address| address.is_usable && address.ip.is_ipv6();
        if self.first_ipv6.is_none() && seen.addresses.iter().any(is_ipv6) {
            self.first_ipv6 = Some(now);
        }
        let knows_names = !self.arguments.servers.is_empty()
            || !self.advertised.servers().is_empty()
            || resolver::is_there();
        let patience = if knows_names { FOR_IPV4 } else { FOR_NAME_SERVER };
        let is_patient = self.first_ipv6.is_some_and(|first| now.duration_since(first) < patience);
        let is_fulfilled = |wanted: &Wanted| {
            seen.addresses_of(wanted)
                .any(|address| address.ip.is_ipv4() || !is_patient || wanted.how != How::Automatic)
        };
        let (mut every, mut some) = (true, false);
        for one in seen.wanted.iter().filter(|wanted| wanted.how != How::Off).map(is_fulfilled) {
            (every, some) = (every && one, some || one);
        }
        if some && self.first_address.is_none() {
            self.first_address = Some(now);
        }
        every || some && self.first_address.is_some_and(|first| now.duration_since(first) >= FOR_OTHERS)
    }

    fn switch_loopback_on(&mut self, seen: &Seen<'_>) -> Result<()> {
        let Some(link) = seen.links.iter().find(|link| link.is_loopback() && !link.is_up()) else {
            return Ok(());
        };
        self.record.has_loopback = true;
        self.record.write()?;
        self.netlink.switch(link.index, true).map_err(|errno| Error::system("switch lo on", errno))
    }

    /// Does for one link what can be done now.
    fn work_on(&mut self, link: &Link, wanted: &Wanted, seen: &Seen<'_>) -> Result<()> {
        self.begin(link)?;
        if !link.has_carrier() {
            return Ok(());
        }
        let act = |errno| Error::system(&format!("configure the interface {}", link.name), errno);
        if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu != link.mtu) {
            self.netlink.set_mtu(link.index, mtu).map_err(act)?;
        }
        match wanted.how {
            How::Static { ip, prefix, gateway } => {
                if seen.addresses_of(wanted).next().is_none() {
                    self.netlink.add_address(link.index, ip, prefix).map_err(act)?;
                    gateway
                        .map_or(Ok(()), |gateway| self.netlink.add_default_route(link.index, gateway))
                        .map_err(act)?;
                }
            }
            How::Automatic => {
                let has = |address: &Address| {
                    address.link == link.index && address.is_usable && address.ip.is_ipv4()
                };
                if !seen.addresses.iter().any(has) {
                    self.ask(link, wanted)?;
                }
            }
            How::Router | How::Off => {}
        }
        Ok(())
    }

    /// Switches a link on, the first time that it is seen.
    fn begin(&mut self, link: &Link) -> Result<()> {
        if self.tries.contains_key(&link.index) {
            return Ok(());
        }
        if !self.record.links.iter().any(|known| known.index == link.index) {
            self.record.links.push(Switched { index: link.index, mtu: link.mtu, name: link.name.clone() });
            self.record.host.get_or_insert_with(host_name);
            self.record.write()?;
        }
        self.tries.insert(link.index, Try::default());
        match self.netlink.switch(link.index, true) {
            // It is gone already, or its driver refuses. Other links may do.
            Err(Errno::NODEV) | Ok(()) => Ok(()),
            Err(errno @ (Errno::PERM | Errno::ACCESS)) => {
                Err(Error::system(&format!("switch the interface {} on", link.name), errno))
            }
            Err(errno) => {
                log::warn!("network: switch {} on: {errno}", link.name);
                Ok(())
            }
        }
    }

    /// Has an ipconfig ask for an address of the link, and starts another one when it has ended without.
    fn ask(&mut self, link: &Link, wanted: &Wanted) -> Result<()> {
        let program = match &self.program {
            Some(program) => program,
            None => self.program.insert(ipconfig::Program::find()?),
        };
        let Some(one) = self.tries.get_mut(&link.index) else { return Ok(()) };
        let elapsed = one.started.map_or(Duration::MAX, |started| started.elapsed());
        if let Some(running) = &mut one.ipconfig {
            let Some(code) = running.ended() else { return Ok(()) };
            one.ipconfig = None;
            one.early = Some(code).filter(|code| *code != 0 && elapsed < BETWEEN_STARTS.saturating_mul(2));
        }
        if elapsed >= BETWEEN_STARTS {
            one.started = Some(Instant::now());
            one.ipconfig = Some(program.start(&link.name, wanted.host.as_deref())?);
        }
        Ok(())
    }

    /// Writes the name servers, if nobody else did.
    fn finish(&mut self, seen: &Seen<'_>) -> Result<()> {
        for address in seen.addresses.iter().filter(|address| address.is_usable) {
            if let Some(link) = seen.link_of(address) {
                log::info!("network: {} has the address {}", link.name, address.ip);
            }
        }
        // An ipconfig sets the address first, and then writes the name servers.
        let wait = Deadline::after(BETWEEN_STARTS);
        for (link, one) in &mut self.tries {
            let has_address =
                seen.addresses.iter().any(|address| address.link == *link && address.ip.is_ipv4());
            while let Some(running) = one.ipconfig.as_mut().filter(|_| has_address) {
                if running.ended().is_some() || wait.remaining().is_zero() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            one.ipconfig = None;
        }
        if resolver::is_there() {
            return Ok(());
        }
        let mut resolver = Resolver::default();
        resolver.servers = self.arguments.servers.iter().map(ToString::to_string).collect();
        resolver.add_leases();
        resolver.servers.extend_from_slice(self.advertised.servers());
        self.record.has_resolver = true;
        self.record.write()?;
        resolver.write()
    }
}

/// Returns the service that manages the links of this initramfs.
fn service() -> Option<&'static str> {
    SERVICES.iter().find(|(_, path)| stat(*path).is_ok()).map(|(name, _)| *name)
}
