//! The network of the initramfs: configs and files from real servers, and what the real root finds of it afterwards.
//!
//! A shell script in the place of the real root's init shows what was provisioned and the state of the network, and
//! switches the machine off. `glowplug-network` itself is tested in more ways by `tests/network`, without a guest.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::lab::Lab;
use boot_lab::network::Network;

const INITRAMFS_TOOLS: &str = "initrd-network.img";
const DRACUT: &str = "initrd-dracut-network.img";

const INIT: &str = r"#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo BEGIN-FILES
cat /etc/over-https /etc/over-http /etc/over-tftp 2>/dev/null
echo END-FILES
echo BEGIN-STATE
ip -o link show | sed 's/ qdisc [a-z_]*//'
ip -o address show
ip route show table all
ip -6 route show table all
cd /run && ls -d net-* glowplug/network 2>/dev/null
hostname
cat /etc/resolv.conf 2>/dev/null
echo END-STATE
echo o >/proc/sysrq-trigger
sleep 60
";

const FILES: [(&str, &str); 3] = [
    ("over-https", "a file over https\n"),
    ("over-tftp", "a file over tftp\n"),
    (
        "merged.ign",
        r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/over-http",
            "contents":{"source":"data:,a%20config%20over%20http%0A"}}]}}"#,
    ),
];
/// What the script shows of the files.
const SERVED: &str = "a file over https\na config over http\na file over tftp\n";

/// `text` as a URL.
fn data_url(text: &str) -> String {
    text.bytes().fold(String::from("data:,"), |mut url, byte| {
        let _ = write!(url, "%{byte:02X}");
        url
    })
}

/// A config that brings the script, and the parts `ignition` and `files` of the JSON.
fn config(ignition: &str, files: &str) -> String {
    let init = data_url(INIT);
    format!(
        r#"{{"ignition":{{"version":"3.4.0"{ignition}}},"storage":{{"files":[
            {{"path":"/usr/local/sbin/show-state","mode":493,"contents":{{"source":"{init}"}}}}{files}]}}}}"#
    )
}

/// The config that needs every server.
fn config_of(network: &Network) -> String {
    let authority = data_url(&network.authority().unwrap());
    config(
        &format!(
            r#","security":{{"tls":{{"certificateAuthorities":[{{"source":"{authority}"}}]}}}},
            "config":{{"merge":[{{"source":"http://169.254.169.254/merged.ign"}}]}}"#
        ),
        r#",{"path":"/etc/over-https","contents":{"source":"https://glow.test/over-https"}},
            {"path":"/etc/over-tftp","contents":{"source":"tftp://192.0.2.1/over-tftp"}}"#,
    )
}

/// How a guest is booted.
struct Boot<'b> {
    initramfs: &'static str,
    services: &'b [&'b str],
    arguments: &'b [&'b str],
    clock: Option<&'static str>,
}

impl Boot<'_> {
    /// Start a guest with the config that `config` makes for its network.
    fn start(&self, config: impl FnOnce(&Network) -> String) -> (Machine, Guest) {
        let lab = Lab::from_env().unwrap();
        let machine = Machine::new(&lab).unwrap();
        let network = Arc::new(Network::start(self.services, &FILES).unwrap());
        let config = machine.config_file(&config(&network)).unwrap();
        let mut arguments = vec!["init=/usr/local/sbin/show-state".to_owned()];
        arguments.extend(self.arguments.iter().copied().map(str::to_owned));
        let options = Options {
            initrd: Some(lab.part(self.initramfs)),
            network: Some(network),
            clock: self.clock,
            ready_port: false,
            arguments,
            ..Options::qemu(config)
        };
        let guest = machine.boot(options).unwrap();
        (machine, guest)
    }

    /// Boot to the script's end. Returns what it shows of the files and of the network.
    fn run(&self, config: impl FnOnce(&Network) -> String) -> (String, String) {
        let (_machine, mut guest) = self.start(config);
        guest.wait_end(BOOT).unwrap();
        let text = guest.console.text();
        let part = |name: &str| {
            let begin = text.split_once(&format!("BEGIN-{name}\n")).map(|(_, rest)| rest);
            let part = begin.and_then(|rest| rest.split_once(&format!("END-{name}"))).map(|(part, _)| part);
            // The kernel's own lines may come between the script's.
            let own = |line: &&str| !line.starts_with('[');
            part.map(|part| part.lines().filter(own).flat_map(|line| [line, "\n"]).collect::<String>())
        };
        let (files, state) = (part("FILES"), part("STATE"));
        (files.unwrap_or_else(|| panic!("{}", guest.failed("no files shown"))), state.unwrap_or_default())
    }

    /// Boot with a config that cannot be fetched, and return the console and how long the failure took.
    fn fail(&self) -> (String, Duration) {
        let begin = Instant::now();
        let (_machine, mut guest) = self.start(config_of);
        guest.wait_console("provisioning failed", BOOT).unwrap();
        let took = begin.elapsed();
        guest.wait_end(BOOT).unwrap();
        (guest.console.text(), took)
    }
}

const USUAL: &[&str] = &["dhcp", "files"];

/// Everything at once, with a clock that is years behind. Afterwards the real root finds the network as it finds it after
/// a boot that needed none.
fn everything(initramfs: &'static str) {
    let boot = Boot { initramfs, services: USUAL, arguments: &[], clock: Some("2001-01-01T00:00:00") };
    let (files, state) = boot.run(config_of);
    assert_eq!(files, SERVED);
    let (files, untouched) = boot.run(|_| config("", ""));
    assert_eq!(files, "");
    assert_eq!(state, untouched, "the network has left something");
    assert!(state.contains(": lo:") && !state.contains("192.0.2."), "{state}");
}

#[test]
fn everything_with_initramfs_tools() {
    everything(INITRAMFS_TOOLS);
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn everything_with_dracut() {
    everything(DRACUT);
}

/// The failure comes by the deadline, not after klibc's own 351 s.
#[test]
fn no_dhcp_server() {
    let boot = Boot {
        initramfs: INITRAMFS_TOOLS,
        services: &["files"],
        arguments: &["glowplug.timeout=20"],
        clock: None,
    };
    let (console, took) = boot.fail();
    for words in ["glowplug: provisioning failed: no-network", "no DHCP server answered on enp0s"] {
        assert!(console.contains(words), "{words}: {console}");
    }
    assert!(took < Duration::from_secs(180), "{took:?}");
}

const STATIC: &[&str] = &["ip=192.0.2.9::192.0.2.1:255.255.255.0::enp0s2:none", "nameserver=192.0.2.1"];

/// dracut sets nothing up here, so `glowplug-network` does, and takes it down again.
#[test]
fn a_static_address_with_dracut() {
    let boot = Boot { initramfs: DRACUT, services: &["files"], arguments: STATIC, clock: None };
    let (files, state) = boot.run(config_of);
    assert_eq!(files, SERVED);
    assert!(!state.contains("192.0.2.9"), "{state}");
}

/// initramfs-tools sets the address up itself, so it is not taken down.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn a_static_address_with_initramfs_tools() {
    let arguments = ["ip=192.0.2.9::192.0.2.1:255.255.255.0::enp0s2:none:192.0.2.1"];
    let boot = Boot { initramfs: INITRAMFS_TOOLS, services: &["files"], arguments: &arguments, clock: None };
    let (files, state) = boot.run(config_of);
    assert_eq!(files, SERVED);
    assert!(state.contains("192.0.2.9"), "{state}");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn no_dhcp_server_with_dracut() {
    let boot =
        Boot { initramfs: DRACUT, services: &["files"], arguments: &["glowplug.timeout=20"], clock: None };
    let (console, _) = boot.fail();
    assert!(console.contains("glowplug: provisioning failed: no-network"), "{console}");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn no_name_server() {
    let services = ["dhcp-no-dns", "files"];
    let boot = Boot {
        initramfs: INITRAMFS_TOOLS,
        services: &services,
        arguments: &["glowplug.timeout=30"],
        clock: None,
    };
    let (console, _) = boot.fail();
    assert!(console.contains("glowplug: provisioning failed: no-host"), "{console}");
    assert!(console.contains("glow.test"), "{console}");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn a_server_that_is_late() {
    for initramfs in [INITRAMFS_TOOLS, DRACUT] {
        let boot = Boot { initramfs, services: &["late", "files"], arguments: &[], clock: None };
        assert_eq!(boot.run(config_of).0, SERVED, "{initramfs}");
    }
}

/// A certificate that has expired by then is refused, with the time that was used.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn a_clock_that_is_years_ahead() {
    for initramfs in [INITRAMFS_TOOLS, DRACUT] {
        let clock = Some("2040-01-01T00:00:00");
        let boot = Boot { initramfs, services: USUAL, arguments: &[], clock };
        let (console, _) = boot.fail();
        for words in ["glowplug: provisioning failed: certificate", "glow.test", "2040-01-01"] {
            assert!(console.contains(words), "{initramfs}: {words}: {console}");
        }
    }
}
