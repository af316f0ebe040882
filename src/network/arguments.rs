//! What the kernel command line says of the network: `ip=`, `nameserver=` and `BOOTIF=`, in the forms of the kernel
//! (Documentation/admin-guide/nfs/nfsroot.rst), of initramfs-tools and of dracut (dracut.cmdline(7)).

use std::net::IpAddr;

use crate::error::{Error, Reason, Result};

/// The most `ip=` arguments.
const MOST: usize = 64;

/// The arguments that concern the network.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Arguments {
    /// What is wanted, one for each `ip=`. Empty: whatever works.
    pub(super) wanted: Vec<Wanted>,
    /// Whether `ip=off` or `ip=none` forbids to configure anything.
    pub(super) is_off: bool,
    /// `nameserver=` and the name servers of `ip=`.
    pub(super) servers: Vec<IpAddr>,
    /// `BOOTIF=`: the hardware address of the interface that the boot loader came by.
    pub(super) boot_mac: Option<Vec<u8>>,
}

/// What one `ip=` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The interface's name; `None` for any.
    pub(super) interface: Option<String>,
    /// The host name that DHCP servers are told.
    pub(super) host: Option<String>,
    /// How the interface gets its address.
    pub(super) how: How,
    /// The largest packet, in bytes.
    pub(super) mtu: Option<u32>,
}

/// How an interface gets its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// By DHCP, or from an IPv6 router where no DHCP server answers.
    Automatic,
    /// From an IPv6 router.
    Router,
    /// As the kernel command line says.
    Static {
        /// The address.
        ip: IpAddr,
        /// The length of the network's part, in bits.
        prefix: u8,
        /// The way to everywhere else.
        gateway: Option<IpAddr>,
    },
    /// Not at all.
    Off,
}

impl Arguments {
    /// Reads the words of the kernel command line.
    ///
    /// # Errors
    /// [`Reason::Usage`] for an argument that cannot be understood. To guess would mean an address that nobody gave.
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        let mut all = Self::default();
        for word in words {
            match word.split_once('=') {
                Some(("ip", value)) if !value.is_empty() => all.add_ip(value)?,
                Some(("nameserver", value)) => all.servers.push(address(value).ok_or_else(|| {
                    not_understood(word, "a name server is an address, as in nameserver=192.0.2.53")
                })?),
                Some(("BOOTIF", value)) => all.boot_mac = mac(value).or(all.boot_mac),
                _ => {}
            }
        }
        for wanted in &mut all.wanted {
            // Boot loaders write ip=::::HOST:BOOTIF beside the argument with the hardware address.
            wanted.interface = wanted.interface.take().filter(|name| name != "BOOTIF");
        }
        Ok(all)
    }

    fn add_ip(&mut self, value: &str) -> Result<()> {
        let fields = fields(value);
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let wrong = |why: &str| not_understood(&format!("ip={value}"), why);
        let word =
            |at: usize| method(field(at)).ok_or_else(|| wrong("the way to get an address is not known"));
        let wanted = match fields.len() {
            1 => {
                let how = word(0)?;
                if how == How::Off {
                    self.is_off = true;
                    return Ok(());
                }
                Wanted { interface: None, host: None, how, mtu: None }
            }
            2..=4 if method(field(1)).is_some() && address(field(0)).is_none() => {
                Wanted { interface: name(field(0)), host: None, how: word(1)?, mtu: field(2).parse().ok() }
            }
            _ => {
                let method = word(6)?;
                let how = match address(field(0)) {
                    None if field(0).is_empty() => method,
                    None => return Err(wrong("its first field is neither an address nor a way to get one")),
                    // With a way to get an address, the address is a wish to the DHCP server.
                    Some(_) if method != How::Off && !field(6).is_empty() => method,
                    Some(ip) => fixed(ip, field(3), field(2)).map_err(wrong)?,
                };
                let mtu = field(7).parse().ok();
                self.servers.extend([7, 8].into_iter().filter_map(|at| address(field(at))));
                Wanted { interface: name(field(5)), host: name(field(4)), how, mtu }
            }
        };
        if self.wanted.len() >= MOST {
            return Err(wrong("there are more than 64 such arguments"));
        }
        self.wanted.push(wanted);
        Ok(())
    }
}

fn not_understood(argument: &str, why: &str) -> Error {
    Error::new(Reason::Usage, format!("the kernel argument {argument} is not understood: {why}"))
        .advise("Correct the kernel command line: glowplug-network(8) lists the forms of ip= that it knows.")
}

/// Splits at colons that are not in the brackets of an IPv6 address.
fn fields(value: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    value
        .split(|character| {
            depth = depth.saturating_add(match character {
                '[' => 1,
                ']' => -1,
                _ => 0,
            });
            character == ':' && depth == 0
        })
        .collect()
}

fn name(field: &str) -> Option<String> {
    (!field.is_empty()).then(|| field.to_owned())
}

/// Reads an address, in brackets or not.
fn address(field: &str) -> Option<IpAddr> {
    let bare = field.strip_prefix('[').and_then(|field| field.strip_suffix(']')).unwrap_or(field);
    bare.parse().ok()
}

/// Reads the word that says how an address comes.
fn method(word: &str) -> Option<How> {
    match word {
        "" | "on" | "any" | "dhcp" | "both" | "bootp" | "rarp" | "single-dhcp" | "either6" => {
            Some(How::Automatic)
        }
        "auto6" | "dhcp6" => Some(How::Router),
        "off" | "none" | "static" => Some(How::Off),
        _ => None,
    }
}

/// Reads the network mask and the gateway of a static address.
fn fixed(ip: IpAddr, mask: &str, gateway: &str) -> std::result::Result<How, &'static str> {
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = match (mask, ip) {
        ("", IpAddr::V6(_)) => 64,
        // As the kernel does: by the class of the address.
        ("", IpAddr::V4(ip)) => match ip.octets().first() {
            Some(0..=127) => 8,
            Some(128..=191) => 16,
            _ => 24,
        },
        (mask, _) => match (mask.parse(), mask.parse::<std::net::Ipv4Addr>()) {
            (Ok(prefix), _) => prefix,
            (_, Ok(mask)) if ip.is_ipv4() => prefix_of(mask.to_bits())?,
            _ => return Err("the network mask is neither a length nor of the form 255.255.255.0"),
        },
    };
    if prefix > longest {
        return Err("the network mask is longer than the address");
    }
    let gateway = match gateway {
        "" => None,
        text => Some(address(text).ok_or("the gateway is not an address")?),
    };
    if gateway.is_some_and(|gateway| gateway.is_ipv4() != ip.is_ipv4()) {
        return Err("the gateway and the address are of different families");
    }
    Ok(How::Static { ip, prefix, gateway })
}

fn prefix_of(mask: u32) -> std::result::Result<u8, &'static str> {
    let ones = mask.leading_ones();
    if ones != mask.count_ones() {
        return Err("the network mask has a gap");
    }
    u8::try_from(ones).map_err(|_| "the network mask is too long")
}

/// Reads a hardware address of six bytes, with or without the type of the hardware before it: `01-52-54-00-12-34-56`.
fn mac(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in text.split(['-', ':']) {
        bytes.push(u8::from_str_radix(part, 16).ok()?);
    }
    if bytes.len() == 7 {
        bytes.remove(0);
    }
    (bytes.len() == 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments> {
        Arguments::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn how(value: &str) -> How {
        parse(&format!("ip={value}")).unwrap().wanted.remove(0).how
    }

    #[test]
    fn words_say_how() {
        for word in
            ["dhcp", "on", "any", "both", "bootp", "rarp", "eth0:dhcp", ":::::eth0:dhcp", "::::host:eth0:"]
        {
            assert_eq!(how(word), How::Automatic, "{word}");
        }
        assert_eq!(how("auto6"), How::Router);
        assert_eq!(how("eth0:dhcp6"), How::Router);
        assert_eq!(how("eth0:off"), How::Off);
        for word in ["off", "none"] {
            let arguments = parse(&format!("ip={word}")).unwrap();
            assert!(arguments.is_off && arguments.wanted.is_empty());
        }
        assert_eq!(parse("ip= quiet ipv6.disable=1 rd.neednet=1").unwrap(), Arguments::default());
    }

    #[test]
    fn the_parts_of_the_long_form() {
        let all =
            parse("ip=::::box:eth1:dhcp:192.0.2.53:192.0.2.54:192.0.2.1 nameserver=2001:db8::53").unwrap();
        let wanted = &all.wanted[0];
        assert_eq!((wanted.interface.as_deref(), wanted.host.as_deref()), (Some("eth1"), Some("box")));
        let servers: Vec<IpAddr> =
            ["192.0.2.53", "192.0.2.54", "2001:db8::53"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(all.servers, servers);
        let with_mtu = parse("ip=eth0:dhcp:1400:52:54:00:12:34:56").unwrap_err();
        assert_eq!(with_mtu.reason(), Reason::Usage);
        assert_eq!(parse("ip=eth0:dhcp:1400").unwrap().wanted[0].mtu, Some(1400));
        let all = parse("ip=::::vm1:BOOTIF ip=eth0:dhcp BOOTIF=01-52-54-00-02-a3-f9").unwrap();
        assert_eq!(all.boot_mac, Some(vec![0x52, 0x54, 0, 2, 0xa3, 0xf9]));
        assert_eq!((all.wanted.len(), &all.wanted[0].interface), (2, &None));
    }

    #[test]
    fn static_addresses() {
        let fixed = |ip: &str, prefix, gateway: Option<&str>| How::Static {
            ip: ip.parse().unwrap(),
            prefix,
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        };
        assert_eq!(
            how("192.0.2.9::192.0.2.1:255.255.255.0:box:eth0:none"),
            fixed("192.0.2.9", 24, Some("192.0.2.1"))
        );
        assert_eq!(
            how("192.0.2.9::192.0.2.1:255.255.255.255::eth0:off"),
            fixed("192.0.2.9", 32, Some("192.0.2.1"))
        );
        assert_eq!(how("10.1.2.3:::::eth0:static"), fixed("10.1.2.3", 8, None));
        assert_eq!(how("192.0.2.9:::25"), fixed("192.0.2.9", 25, None));
        assert_eq!(
            how("[2001:db8::9]::[2001:db8::1]:64:box:eth0:none:[2001:db8::53]"),
            fixed("2001:db8::9", 64, Some("2001:db8::1"))
        );
        assert_eq!(how("192.0.2.9::192.0.2.1:255.255.255.0::eth0:dhcp"), How::Automatic);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for value in [
            "dchp",
            "eth0:dchp",
            "192.0.2.9:::255.0.255.0::eth0:none",
            "192.0.2.9:::33::eth0:none",
            "192.0.2.9::[2001:db8::1]:24::eth0:none",
            "192.0.2.9::x:24::eth0:none",
            "2001:db8::9::2001:db8::1:64:::none",
            "host::::",
            "[",
        ] {
            let error = parse(&format!("ip={value}")).unwrap_err();
            assert_eq!(error.reason(), Reason::Usage, "{value}: {error}");
        }
        assert!(parse("nameserver=dns.example").is_err());
        assert!(parse(&"ip=dhcp ".repeat(65)).is_err());
    }
}
