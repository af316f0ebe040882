//! Facts from the kernel and from files of the running system: memory, disk, network and accounts.

use std::path::Path;

use rustix::fs::statvfs;
use rustix::io::Errno;
use serde::Serialize;

use super::peer::{Directory, PeerFailure};
use super::systemd::SOCKET;
use crate::sort::sort;
use crate::{fd, sys};

/// Reads facts, and collects the failures for the answer.
#[derive(Debug, Default)]
pub struct FactReader {
    /// What could not be read, and why.
    pub errors: Vec<String>,
}

impl FactReader {
    /// Returns the value of `read`. On a failure, notes it under the name `what` and returns the default.
    pub fn or_note<T: Default>(&mut self, what: &str, read: Result<T, impl Into<PeerFailure>>) -> T {
        read.unwrap_or_else(|failure| {
            self.errors.push(format!("{what}: {}", failure.into().words()));
            T::default()
        })
    }

    /// Returns the text of a file. A file that cannot be read is noted and counts as empty.
    pub fn text(&mut self, path: &str) -> String {
        let text = fd::read_text(path);
        self.or_note(path, text)
    }

    /// Returns the text of a file, `None` if the file does not exist.
    pub fn text_if_there(&mut self, path: &str) -> Option<String> {
        match fd::read_text(path) {
            Err(Errno::NOENT) => None,
            read => Some(self.or_note(path, read)),
        }
    }
}

/// The size of a resource that can run out, in bytes.
#[derive(Debug, Default, Serialize, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// The whole size.
    pub total: u64,
    /// What is still available.
    pub available: u64,
}

impl Amount {
    /// Whether less than one part in `parts` is left.
    pub fn is_less_than_one_in(self, parts: u64) -> bool {
        self.available.saturating_mul(parts) < self.total
    }
}

/// Returns memory and swap, by `/proc/meminfo`.
pub fn memory(reader: &mut FactReader) -> (Amount, Amount) {
    let text = reader.text("/proc/meminfo");
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kibibytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kibibytes.unwrap_or(0).saturating_mul(1024)
    };
    (
        Amount { total: bytes("MemTotal"), available: bytes("MemAvailable") },
        Amount { total: bytes("SwapTotal"), available: bytes("SwapFree") },
    )
}

/// Returns the size of the file system of `/`.
pub fn disk(reader: &mut FactReader) -> Amount {
    let stat = reader.or_note("/", statvfs("/").map(Some));
    stat.map_or_else(Amount::default, |stat| Amount {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        available: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// Returns the seconds since the kernel's start.
pub fn uptime() -> u64 {
    u64::try_from(rustix::system::sysinfo().uptime).unwrap_or(0)
}

/// A network interface.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name for it.
    pub name: String,
    /// Its IPv4 and IPv6 addresses.
    pub addresses: Vec<String>,
}

/// The network connection of this machine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The interfaces that have an address, without the loopback.
    pub interfaces: Vec<Interface>,
    /// Whether there is a default route.
    pub default_route: bool,
    /// The addresses of the DNS servers.
    pub name_servers: Vec<String>,
    /// Whether all of this could be read.
    #[serde(skip)]
    pub is_known: bool,
}

/// Prefixes of the names of interfaces that container engines create.
const OF_CONTAINERS: [&str; 5] = ["podman", "docker", "br-", "cni-", "veth"];

fn is_of_containers(interface: &str) -> bool {
    OF_CONTAINERS.iter().any(|prefix| interface.starts_with(prefix))
}

/// The most interfaces in the answer, because each container adds one.
const MOST_INTERFACES: usize = 32;
/// The most addresses of one interface, and the most DNS servers.
const MOST_ADDRESSES: usize = 32;

/// Groups addresses by their interfaces: the machine's own first, then those of containers, both in the kernel's order.
/// What is beyond [`MOST_INTERFACES`] and [`MOST_ADDRESSES`] is left out.
fn interfaces(addresses: Vec<(String, String)>) -> Vec<Interface> {
    let (of_containers, own): (Vec<_>, Vec<_>) =
        addresses.into_iter().filter(|(name, _)| name != "lo").partition(|(name, _)| is_of_containers(name));
    let mut interfaces: Vec<Interface> = Vec::new();
    for (name, address) in own.into_iter().chain(of_containers) {
        match interfaces.iter_mut().find(|interface| interface.name == name) {
            Some(interface) => {
                if interface.addresses.len() < MOST_ADDRESSES {
                    interface.addresses.push(address);
                }
            }
            None => {
                if interfaces.len() < MOST_INTERFACES {
                    interfaces.push(Interface { name, addresses: vec![address] });
                }
            }
        }
    }
    interfaces
}

impl Network {
    /// Reads the state of the network.
    pub fn read(reader: &mut FactReader) -> Self {
        let errors = reader.errors.len();
        let addresses = reader.or_note("network addresses", sys::network_addresses());
        let addresses = addresses.into_iter().map(|(name, address)| (name, address.to_string())).collect();
        let routes = reader.text_if_there("/proc/net/route").unwrap_or_default();
        let routes6 = reader.text_if_there("/proc/net/ipv6_route").unwrap_or_default();
        // systemd-resolved's own file names the real servers, while `/etc/resolv.conf` names only resolved itself.
        // The directory belongs to the user systemd-resolve, so it is opened as that of a user.
        let resolved = Directory::open(Path::new("/run/systemd/resolve"), 0)
            .and_then(|directory| directory.text("resolv.conf"));
        let resolv = match resolved {
            Err(PeerFailure::Errno(Errno::NOENT)) => {
                reader.text_if_there("/etc/resolv.conf").unwrap_or_default()
            }
            resolved => reader.or_note("/run/systemd/resolve/resolv.conf", resolved),
        };
        let servers = resolv.lines().filter_map(|line| line.strip_prefix("nameserver"));
        Self {
            interfaces: interfaces(addresses),
            default_route: has_default_route(&routes, &routes6),
            name_servers: servers.take(MOST_ADDRESSES).map(|server| server.trim().to_owned()).collect(),
            is_known: reader.errors.len() == errors,
        }
    }

    /// Returns whether there is an address that others can reach: neither link-local nor self-assigned.
    pub fn has_address(&self) -> bool {
        let is_own = |interface: &&Interface| !is_of_containers(&interface.name);
        let addresses = self.interfaces.iter().filter(is_own).flat_map(|interface| &interface.addresses);
        let is_local = |address: &String| address.starts_with("fe80:") || address.starts_with("169.254.");
        addresses.into_iter().any(|address| !is_local(address))
    }
}

/// Looks for a default route in the kernel's tables. In IPv4's table the second column is the destination. In IPv6's
/// the first two columns are the destination and its prefix length, and the last one is the interface.
fn has_default_route(ipv4: &str, ipv6: &str) -> bool {
    let mut ipv4 = ipv4.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    let is_default6 = |line: &str| {
        let mut words = line.split_whitespace();
        let (destination, length) = (words.next().unwrap_or_default(), words.next());
        destination.bytes().all(|byte| byte == b'0') && length == Some("00") && words.last() != Some("lo")
    };
    ipv4.any(|destination| destination == "00000000") || ipv6.lines().any(is_default6)
}

/// An account, without its password.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
    /// The groups, the primary one first.
    pub groups: Vec<String>,
}

/// A group, with its gid or the name of a member as the key.
#[derive(Clone, Copy, Default)]
struct GroupKey<'t> {
    key: &'t str,
    name: &'t str,
    number: &'t str,
}

/// Groups sorted by key, so that a lookup does not scan all of them.
#[derive(Default)]
struct Groups<'t>(Vec<GroupKey<'t>>);

impl<'t> Groups<'t> {
    fn sort(&mut self) {
        sort(&mut self.0, &|one, other| one.key.cmp(other.key));
    }

    /// Returns the groups with this key, in the order of the file.
    fn of(&self, key: &str) -> &[GroupKey<'t>] {
        let begin = self.0.partition_point(|group| group.key < key);
        let rest = self.0.get(begin..).unwrap_or_default();
        rest.get(..rest.partition_point(|group| group.key == key)).unwrap_or_default()
    }
}

/// Parses passwd(5) and group(5), and returns the accounts with a login shell.
pub fn accounts(passwd: &str, group: &str) -> Vec<Account> {
    // Both files may have tens of thousands of lines, so each is read only once.
    let (mut of_number, mut of_member) = (Groups::default(), Groups::default());
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, members] = fields[..] else { continue };
        of_number.0.push(GroupKey { key: number, name, number });
        of_member.0.extend(members.split(',').map(|key| GroupKey { key, name, number }));
    }
    of_number.sort();
    of_member.sort();
    let mut accounts = Vec::new();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { continue };
        let Ok(uid) = uid.parse() else { continue };
        if shell.ends_with("/nologin") || shell.ends_with("/false") || shell.ends_with("/sync") {
            continue;
        }
        let others = of_member.of(name).iter().filter(|group| group.number != gid);
        let groups = of_number.of(gid).iter().chain(others).map(|group| group.name.to_owned());
        let mut groups: Vec<String> = groups.collect();
        // A user may be listed twice as a member.
        groups.dedup();
        let [name, home, shell] = [name, home, shell].map(str::to_owned);
        accounts.push(Account { name, uid, home, shell, groups });
    }
    accounts
}

/// Returns the ids of the users other than root whose manager runs, in ascending order and at most eight.
pub fn users_at_work(reader: &mut FactReader) -> Vec<u32> {
    /// A machine for containers has one such user.
    const MOST: usize = 8;
    let names = match fd::list(Path::new("/run/user")) {
        Err(Errno::NOENT) => Vec::new(),
        names => reader.or_note("/run/user", names),
    };
    let mut users: Vec<u32> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    users.sort_unstable();
    // The directory exists before the manager listens. Other failures are reported when the manager is asked.
    let is_there = |uid: u32| {
        let found = Directory::of(uid).and_then(|directory| directory.find(SOCKET));
        !matches!(found, Err(PeerFailure::Errno(Errno::NOENT)))
    };
    users.into_iter().filter(|uid| *uid != 0 && is_there(*uid)).take(MOST).collect()
}

/// Returns the name of a user; the uid in digits if `passwd` does not list it.
pub fn user_name(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(number.as_str()));
    line.and_then(|line| line.split(':').next()).unwrap_or(&number).to_owned()
}

/// Returns the host name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_of_both_kinds() {
        let header = "Iface\tDestination\tGateway\tFlags\n";
        let line = |destination| format!("{header}eth0\t{destination}\t0100A8C0\t0003\n");
        assert!(has_default_route(&line("00000000"), ""));
        assert!(!has_default_route(&line("0000A8C0"), ""));
        let zeros = "0".repeat(32);
        let ipv6 = |length, interface| {
            format!("{zeros} {length} {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 {interface}\n")
        };
        assert!(has_default_route("", &ipv6("00", "eth0")));
        // The kernel keeps this route on the loopback for unreachable destinations.
        assert!(!has_default_route("", &ipv6("00", "lo")));
        assert!(!has_default_route("", &ipv6("40", "eth0")));
        assert!(!has_default_route("", ""));
    }

    #[test]
    fn accounts_that_somebody_can_log_in_to() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nbroken\n\
            core:x:501:1000:,,,:/home/core:/bin/bash\n";
        let group = "root:x:0:\nsudo:x:27:core\ncore:x:1000:\nbroken:x\n";
        let accounts = accounts(passwd, group);
        assert_eq!(accounts.len(), 2);
        assert_eq!((accounts[1].name.as_str(), accounts[1].uid), ("core", 501));
        assert_eq!(accounts[1].groups, ["core", "sudo"]);
        assert_eq!(user_name(passwd, 501), "core");
        assert_eq!(user_name(passwd, 7), "7");
    }

    #[test]
    fn tens_of_thousands_of_accounts_and_groups_take_no_time() {
        let lines = |line: fn(usize) -> String| (0..20_000).map(line).collect::<String>();
        let passwd = lines(|number| format!("u{number}:x:{number}:{number}::/:/bin/sh\n"));
        let group = lines(|number| format!("g{number}:x:{number}:u{}\n", number + 1));
        // Not the time that passes: other programs may have the processor.
        let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec;
        let begin = used();
        let accounts = accounts(&passwd, &group);
        assert_eq!(
            (accounts.len(), &accounts[7].groups[..]),
            (20_000, &["g7".to_owned(), "g6".to_owned()][..])
        );
        assert!(used() - begin < 5, "{} s", used() - begin);
    }

    #[test]
    fn interfaces_of_containers_neither_hide_the_own_ones_nor_make_the_answer_long() {
        let addresses = |number: usize| [(format!("veth{number}"), "fe80::1".to_owned())];
        let own = ["192.168.127.2", "fe80::2"].map(|address| ("eth0".to_owned(), address.to_owned()));
        let many = (0..2000).map(|number| ("eth1".to_owned(), format!("10.0.0.{number}")));
        let all = (0..5000).flat_map(addresses).chain(own).chain(many).collect();
        let interfaces = interfaces(all);
        assert_eq!(interfaces.len(), MOST_INTERFACES);
        assert_eq!((interfaces[0].name.as_str(), interfaces[0].addresses.len()), ("eth0", 2));
        assert_eq!((interfaces[1].name.as_str(), interfaces[1].addresses.len()), ("eth1", MOST_ADDRESSES));
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut reader = FactReader::default();
        let (memory, _) = memory(&mut reader);
        let disk = disk(&mut reader);
        let network = Network::read(&mut reader);
        assert!(memory.total > memory.available && memory.available > 0 && disk.total >= disk.available);
        assert!(network.interfaces.iter().all(|interface| interface.name != "lo"));
        assert_eq!(reader.errors, <[String; 0]>::default());
    }
}
