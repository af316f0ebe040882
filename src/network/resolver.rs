//! `/etc/resolv.conf` of the initramfs. What others wrote about the network is read as data: a DHCP server may put
//! anything into it, so nothing of it is evaluated, and only addresses and host names are taken over.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fd;

/// The file itself.
pub(super) const PATH: &str = "/etc/resolv.conf";
/// Where the new file lies until it is whole.
const NEW: &str = "/etc/.resolv.conf.glowplug";
/// The most bytes of a lease. Those of ipconfig have less than 2 KiB.
const LEASE: u64 = 64 << 10;
/// The most leases that are read.
const MOST_LEASES: usize = 64;
/// A resolver asks three servers at most.
const MOST_SERVERS: usize = 3;
/// The most domains that are searched, and the most bytes of one.
const MOST_DOMAINS: usize = 6;
const LONGEST_DOMAIN: usize = 253;

/// Name servers, and domains in which short names are searched.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Resolver {
    /// The addresses of the servers, the first one first.
    pub(super) servers: Vec<String>,
    domains: Vec<String>,
}

impl Resolver {
    /// Adds what the leases of the initramfs say: those of ipconfig, or else those of systemd-networkd.
    pub(super) fn add_leases(&mut self) {
        let of_ipconfig =
            leases("/run", |name| name.starts_with("net-") && name.strip_suffix(".conf").is_some());
        let of_networkd = leases("/run/systemd/netif/leases", |_| true);
        for text in of_ipconfig.iter().chain(&of_networkd) {
            self.add_lease(text);
        }
    }

    /// Adds one lease: lines of `KEY=VALUE`, of which ipconfig quotes the values for a shell.
    fn add_lease(&mut self, text: &str) {
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let words = value.split(|c: char| c.is_ascii_whitespace() || c == '\'' || c == '"');
            let words = words.filter(|word| !word.is_empty());
            match key {
                "IPV4DNS0" | "IPV4DNS1" | "DNS" => self.servers.extend(words.filter_map(server)),
                "DNSDOMAIN" | "DOMAINSEARCH" | "DOMAINNAME" => {
                    for word in words.filter(|word| is_domain(word)).take(MOST_DOMAINS) {
                        if self.domains.len() < MOST_DOMAINS
                            && !self.domains.iter().any(|other| other == word)
                        {
                            self.domains.push(word.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        self.servers.truncate(MOST_SERVERS);
    }

    /// Returns the text of the file; `None` without a server.
    fn text(&self) -> Option<String> {
        let mut text = String::from("# Written by glowplug-network for the time of the initramfs.\n");
        if !self.domains.is_empty() {
            let _ = writeln!(text, "search {}", self.domains.join(" "));
        }
        for server in self.servers.iter().take(MOST_SERVERS) {
            let _ = writeln!(text, "nameserver {server}");
        }
        (!self.servers.is_empty()).then_some(text)
    }

    /// Writes the file if there is a server. A link that leads nowhere is replaced.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if it cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        let Some(text) = self.text() else { return Ok(()) };
        let path = Path::new(PATH);
        fd::replace(path, Path::new(NEW), &text).map_err(|errno| Error::system_at("write", path, errno))
    }
}

/// Returns whether there are name servers already, so that the file is somebody else's. A file that cannot be read
/// counts as one: it is not for this program to overwrite.
pub(super) fn is_there() -> bool {
    match fd::read_file(Path::new(PATH), LEASE) {
        Ok(text) => !text.trim_ascii().is_empty(),
        Err(errno) => errno != Errno::NOENT,
    }
}

/// Returns the texts of the files in `directory` whose names `fits` accepts. Files that cannot be read are left out.
fn leases(directory: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let directory = Path::new(directory);
    let mut names = fd::list(directory).unwrap_or_default();
    names.retain(|name| name.to_str().is_some_and(&fits));
    crate::sort::sort(&mut names, &OsString::cmp);
    names.truncate(MOST_LEASES);
    let read = |name| fd::read_file(&directory.join(name), LEASE).ok();
    names.into_iter().filter_map(read).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

/// Reads the address of a server. ipconfig writes 0.0.0.0 for none.
fn server(word: &str) -> Option<String> {
    let address: IpAddr = word.parse().ok()?;
    (!address.is_unspecified()).then(|| address.to_string())
}

/// Returns whether `word` can be a domain, by its characters and its length.
fn is_domain(word: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !word.starts_with(['-', '.']) && word.len() <= LONGEST_DOMAIN && word.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lease: &str) -> Option<String> {
        let mut resolver = Resolver::default();
        resolver.add_lease(lease);
        let text = resolver.text()?;
        text.split_once('\n').map(|(_, rest)| rest.to_owned())
    }

    #[test]
    fn leases_of_ipconfig_and_networkd() {
        let ipconfig =
            "IPV4DNS0='192.0.2.53'\nIPV4DNS1='0.0.0.0'\nDNSDOMAIN='lan.example'\nDOMAINSEARCH=''\n";
        assert_eq!(text(ipconfig).unwrap(), "search lan.example\nnameserver 192.0.2.53\n");
        let networkd = "# private\nADDRESS=10.0.2.15\nDNS=10.0.2.3 fec0::3\nDOMAINNAME=a.example\n";
        assert_eq!(text(networkd).unwrap(), "search a.example\nnameserver 10.0.2.3\nnameserver fec0::3\n");
        assert_eq!(text("IPV4DNS0='0.0.0.0'\nDNSDOMAIN='x'\n"), None);
    }

    #[test]
    fn a_rogue_lease_is_only_data() {
        let rogue = "HOSTNAME='$(reboot)'\nDNSDOMAIN='a'\\''; reboot; '\\''b.example $(id) -x `id`\n\
                     nameserver 6.6.6.6\nIPV4DNS0='192.0.2.53\nIPV4DNS1=';nameserver 6.6.6.6'\n\
                     options attempts:99\nDNS=a b c ::1%lo 1.2.3.4.5\n\u{0}\u{1b}[2J=x\n";
        let text = text(rogue).unwrap();
        for line in text.lines() {
            let (key, values) = line.split_once(' ').unwrap();
            match key {
                "search" => assert!(values.split(' ').all(is_domain), "{text}"),
                "nameserver" => assert!(values.parse::<IpAddr>().is_ok(), "{text}"),
                _ => panic!("{text}"),
            }
        }
        let long = format!("IPV4DNS0='192.0.2.53'\nDNSDOMAIN='{}'\n", "x".repeat(254));
        assert_eq!(self::text(&long).unwrap(), "nameserver 192.0.2.53\n");
        let many = format!("DNS={}\nDOMAINSEARCH='{}'\n", "192.0.2.1 ".repeat(99), "a b c d e f g h");
        assert_eq!(self::text(&many).unwrap().lines().count(), 1 + MOST_SERVERS);
    }
}
