//! The options of the program, in the form of Go's flags, because podman's unit has this form: `-name`, `-name value` or
//! `-name=value`, with one dash or two. A switch takes a value only after `=`.

use super::address::Address;

/// The most that an MTU can be: with the header and a VLAN tag a frame has at most 65,535 bytes.
const MOST_MTU: u16 = u16::MAX - super::FRAME_AROUND_PACKET;
/// The least MTU of IPv4.
const LEAST_MTU: u16 = 68;
/// The longest name of a network interface, in bytes.
const LONGEST_NAME: usize = 15;

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the host's network is.
    pub url: Address,
    /// The name of the tap device.
    pub interface: String,
    /// Whether the tap device exists already and is set up by somebody else.
    pub is_preexisting: bool,
    /// The address of a tap device that the program makes.
    pub mac: [u8; 6],
    /// The longest packet that a frame can carry.
    pub mtu: u16,
    /// The program ends at once if an interface with one of these names exists.
    pub unless: Vec<String>,
    /// Whether each frame is logged.
    pub debug: bool,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// To carry frames.
    Run(Options),
    /// To show the usage.
    Help,
    /// To show the version.
    Version,
}

/// Parses the arguments after the program's name. An error is a sentence for people.
///
/// # Errors
/// The option that is not known, has no value, or has a wrong one.
pub fn parse(arguments: &[&str]) -> Result<Call, String> {
    let url = Address::parse("vsock://2:1024/connect").ok_or("the default URL is wrong")?;
    let mut options = Options {
        url,
        interface: "tap0".to_owned(),
        is_preexisting: false,
        mac: [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee],
        mtu: 4000,
        unless: ["eth0", "ens3", "enp0s1"].map(str::to_owned).to_vec(),
        debug: false,
    };
    let mut rest = arguments.iter().copied();
    while let Some(argument) = rest.next() {
        let Some(option) = argument.strip_prefix('-').filter(|_| argument != "--" && argument != "-") else {
            return Err(format!("{argument:?} is not an option"));
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match name {
            "preexisting" => options.is_preexisting = switch(name, value)?,
            "debug" => options.debug = switch(name, value)?,
            "h" | "help" if value.is_none() => return Ok(Call::Help),
            "version" if value.is_none() => return Ok(Call::Version),
            "url" | "iface" | "mac" | "mtu" | "stop-if-exist" => {
                let value = value.or_else(|| rest.next());
                options.set(name, value.ok_or_else(|| format!("the option -{name} has no value"))?)?;
            }
            _ => return Err(format!("the option {:?} is not known", format!("-{name}"))),
        }
    }
    Ok(Call::Run(options))
}

impl Options {
    /// Sets an option that has a value.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("-{name} {value:?}: {what}");
        match name {
            "url" => {
                let url = Address::parse(value);
                self.url = url.ok_or_else(|| wrong("must be vsock://CID:PORT/PATH or unix:///SOCKET"))?;
            }
            "iface" => {
                let name = interface(value);
                self.interface = name.ok_or_else(|| wrong("is not the name of an interface"))?;
            }
            "mac" => {
                let mac = mac(value);
                self.mac =
                    mac.ok_or_else(|| wrong("must be the address of one interface, as 5a:94:ef:e4:0c:ee"))?;
            }
            "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (LEAST_MTU..=MOST_MTU).contains(mtu));
                self.mtu = mtu.ok_or_else(|| wrong(&format!("must be {LEAST_MTU} to {MOST_MTU}")))?;
            }
            _ => {
                let names: Option<Vec<String>> =
                    value.split(',').filter(|name| !name.is_empty()).map(interface).collect();
                self.unless =
                    names.ok_or_else(|| wrong("must be names of interfaces, with commas between them"))?;
            }
        }
        Ok(())
    }
}

/// Returns the value of a switch, which is on without a value. Go's flags take these words.
fn switch(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(format!("-{name}={value:?}: must be true or false")),
    }
}

/// Returns `name` if the kernel could have an interface of this name.
fn interface(name: &str) -> Option<String> {
    let is_fit = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':' && byte != b'%';
    let is_name =
        (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_fit) && name != "." && name != "..";
    is_name.then(|| name.to_owned())
}

/// Parses the address of one interface: not that of a group, and not zero.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part =
            parts.next().filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    let [first, ..] = mac;
    (parts.next().is_none() && first & 1 == 0 && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Options {
        match parse(arguments) {
            Ok(Call::Run(options)) => options,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    #[test]
    fn podmans_call() {
        let options = run(&["-preexisting", "-iface", "vsock0", "-url", "vsock://2:40002/connect"]);
        assert_eq!((options.is_preexisting, options.interface.as_str()), (true, "vsock0"));
        assert_eq!(options.url.to_string(), "vsock 2:40002");
    }

    #[test]
    fn the_defaults_are_gvforwarders() {
        let options = run(&[]);
        assert_eq!(
            (
                options.url.to_string().as_str(),
                options.interface.as_str(),
                options.is_preexisting,
                options.debug
            ),
            ("vsock 2:1024", "tap0", false, false)
        );
        assert_eq!((options.mac, options.mtu), ([0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee], 4000));
        assert_eq!(options.unless, ["eth0", "ens3", "enp0s1"]);
    }

    #[test]
    fn every_form_of_go() {
        let options = run(&[
            "--preexisting=false",
            "--iface=a",
            "-mac=02-00-00-00-00-01",
            "--mtu",
            "1500",
            "-debug=1",
            "-stop-if-exist",
            "",
            "-url=unix:///run/x=y",
        ]);
        assert_eq!((options.is_preexisting, options.interface.as_str(), options.debug), (false, "a", true));
        assert_eq!((options.mac, options.mtu), ([2, 0, 0, 0, 0, 1], 1500));
        assert_eq!((options.unless.len(), options.url.to_string().as_str()), (0, "socket /run/x=y"));
        // The last one counts.
        assert!(!run(&["-debug", "-debug=F"]).debug);
        assert_eq!(run(&["-stop-if-exist=eth1,,eth2"]).unless, ["eth1", "eth2"]);
        for (arguments, call) in
            [(["-h"], Call::Help), (["--help"], Call::Help), (["-version"], Call::Version)]
        {
            assert_eq!(parse(&arguments), Ok(call));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, named) in [
            (&["-tap"][..], "the option \"-tap\" is not known"),
            (&["--url-x=1"], "the option \"-url-x\" is not known"),
            (&["---url", "x"], "the option \"--url\" is not known"),
            (&["-help=1"], "the option \"-help\" is not known"),
            (&["-iface"], "the option -iface has no value"),
            (&["vsock0"], "\"vsock0\" is not an option"),
            (&["-preexisting", "true"], "\"true\" is not an option"),
            (&["--", "-debug"], "\"--\" is not an option"),
            (&["-preexisting=yes"], "-preexisting=\"yes\""),
            (&["-url", "tcp://127.0.0.1:1"], "-url \"tcp://127.0.0.1:1\""),
            (&["-iface", "a/b"], "-iface \"a/b\""),
            (&["-iface", "1234567890123456"], "-iface"),
            (&["-iface", "tap%d"], "-iface"),
            (&["-iface", ""], "-iface"),
            (&["-mac", "01:00:00:00:00:01"], "-mac"),
            (&["-mac", "00:00:00:00:00:00"], "-mac"),
            (&["-mac", "2:0:0:0:0:1"], "-mac"),
            (&["-mac", "02:00:00:00:00:01:02"], "-mac"),
            (&["-mtu", "67"], "-mtu"),
            (&["-mtu", "65518"], "-mtu"),
            (&["-mtu", "1e3"], "-mtu"),
            (&["-stop-if-exist", "eth0, ens3"], "-stop-if-exist"),
        ] {
            let text = parse(arguments).unwrap_err();
            assert!(text.contains(named), "{arguments:?}: {text}");
        }
    }
}
