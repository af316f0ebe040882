//! How the boot went and what is wrong: health, boot times, the log of the provisioning, and faults.

use std::time::Duration;

use serde::Serialize;

use super::deadline::Deadline;
use super::health::{self, Health};
use super::journal::{self, JournalLine, Selection};
use super::peer::{Directory, PeerFailure};
use super::restart;
use super::system::FactReader;
use super::systemd::Manager;
use super::text::{self, Lines};
use super::{SCHEMA, json};

/// How long systemd's managers may take. It is longer than for `/health`, because no host waits for the diagnostics.
const PATIENCE: Duration = Duration::from_secs(5);
/// The units whose times show how the boot went. Units that do not exist are left out.
const UNITS: [&str; 9] = [
    "glowplug-ready.service",
    "ssh.service",
    "ssh.socket",
    "podman.socket",
    "systemd-networkd.service",
    "NetworkManager.service",
    "systemd-resolved.service",
    "chrony.service",
    "systemd-timesyncd.service",
];
/// The file of faults that another package has found, one a line. The package `glowplug-podman-machine` writes it.
pub const FAULTS: &str = "/run/glowplug/faults";
/// The most faults that are shown. The other package may repeat text that somebody else wrote, so number and length
/// are bounded.
const MOST_FAULTS: usize = 64;
const LONGEST_FAULT: usize = 400;

/// The answer to `GET /diagnostics`: `docs/schema/diagnostics.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    version: u32,
    health: Health,
    /// Milliseconds from the kernel's start to the start of systemd in the real root; `None` if systemd gave no
    /// answer.
    initramfs: Option<u64>,
    /// Milliseconds from the kernel's start to the end of the boot; `None` while the machine is booting.
    boot: Option<u64>,
    units: Vec<Timed>,
    /// What glowplug logged in the initramfs and in the real root.
    log: Vec<JournalLine>,
    /// What is wrong, in fixed phrases that can be searched for.
    faults: Vec<String>,
}

/// A unit and when it became active.
#[derive(Debug, Serialize)]
struct Timed {
    name: String,
    /// The unit's active state, in systemd's words.
    active: String,
    /// Milliseconds from the kernel's start; `None` for a unit that has not been active.
    since: Option<u64>,
}

impl Diagnostics {
    /// Collects the diagnostics.
    pub fn read() -> Self {
        let mut health = Health::read(health::PATIENT);
        let mut reader = FactReader::default();
        let manager = ask(&health);
        let (initramfs, boot, units) = reader.or_note("systemd", manager);
        let log = journal::lines(&Selection::Glowplug, Deadline::after(journal::PATIENCE));
        let (log, _cut) = reader.or_note("journal", log);
        let mut faults = health.reasons.clone();
        if health.network.is_known && health.network.name_servers.is_empty() {
            faults.push("no name server: names are not found".into());
        }
        if health.network.is_known && !health.network.default_route {
            faults.push("no default route: no DHCP answer from the host".into());
        }
        faults.extend(restart::due(&mut reader));
        let others = reader.text_if_there(FAULTS).unwrap_or_default();
        faults.extend(others.lines().take(MOST_FAULTS).map(|fault| {
            let mut fault = fault.to_owned();
            text::cut(&mut fault, LONGEST_FAULT);
            fault
        }));
        health.errors.append(&mut reader.errors);
        Self { version: SCHEMA, health, initramfs, boot, units, log, faults }
    }

    /// Returns the diagnostics as text for people: lines without control characters.
    pub fn text(&self) -> String {
        let mut lines = Lines::default();
        self.write(&mut lines);
        lines.into_text()
    }

    fn write(&self, lines: &mut Lines) {
        let health = &self.health;
        lines.add(format_args!("health: {}", health.line()));
        if let Some(initramfs) = self.initramfs {
            lines.add(format_args!("kernel and initramfs: {}", Seconds(initramfs)));
        }
        if let Some(boot) = self.boot {
            lines.add(format_args!("all: {}", Seconds(boot)));
        }
        for Timed { name, active, since } in &self.units {
            match since {
                Some(since) => lines.add(format_args!("{name} {active} at {}", Seconds(*since))),
                None => lines.add(format_args!("{name} {active}")),
            }
        }
        for line in &self.log {
            lines.add(format_args!("{}", line.message));
        }
        lines.add(format_args!("ready: {}", json(&health.ready).trim_end()));
        lines.add(format_args!("system: {}", health.system.state));
        for unit in &health.system.failed {
            lines.add(format_args!("failed: {unit}"));
        }
        for podman in &health.podman {
            let (user, socket, service) = (&podman.user, &podman.socket, &podman.service);
            lines.add(format_args!("podman of {user}: socket {socket}, service {service}"));
        }
        self.write_network(lines);
        for error in &health.errors {
            lines.add(format_args!("not known: {error}"));
        }
        for fault in &self.faults {
            lines.add(format_args!("fault: {fault}"));
        }
    }

    fn write_network(&self, lines: &mut Lines) {
        let network = &self.health.network;
        for interface in &network.interfaces {
            lines.add(format_args!("{}: {}", interface.name, interface.addresses.join(" ")));
        }
        lines.add(format_args!("default route: {}", if network.default_route { "yes" } else { "no" }));
        for server in &network.name_servers {
            lines.add(format_args!("dns: {server}"));
        }
    }
}

struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{} s", self.0 / 1000, self.0 % 1000 / 100)
    }
}

type Times = (Option<u64>, Option<u64>, Vec<Timed>);

fn ask(health: &Health) -> Result<Times, PeerFailure> {
    const MICROSECONDS: u64 = 1000;
    let reached = |time: u64| (time > 0).then_some(time / MICROSECONDS);
    let mut manager = Manager::open(&Directory::of(0)?, Deadline::after(PATIENCE))?;
    let initramfs = reached(manager.time("UserspaceTimestampMonotonic")?);
    let boot = reached(manager.time("FinishTimestampMonotonic")?);
    let users: Vec<String> = health
        .podman
        .iter()
        .filter(|podman| podman.uid != 0)
        .map(|podman| format!("user@{}.service", podman.uid))
        .collect();
    let names: Vec<&str> = UNITS.into_iter().chain(users.iter().map(String::as_str)).collect();
    let mut units = Vec::new();
    for unit in manager.units(&names)? {
        if unit.is_there() {
            let since = match manager.active_since(&unit) {
                // The unit has been unloaded since it was listed.
                Err(rustix::io::Errno::NOMSG) => continue,
                since => reached(since?),
            };
            units.push(Timed { name: unit.name, active: unit.active, since });
        }
    }
    Ok((initramfs, boot, units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::podman::{Api, Podman};
    use crate::agent::system::Interface;
    use crate::agent::text::is_hidden;

    /// Names come from many sources, so each part of the text is tried with control characters.
    #[test]
    fn the_text_is_lines_without_control_characters() {
        let evil = || "x\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\nfault: made up".to_owned();
        let mut health = Health::read(health::PROMPT);
        health.reasons.push(evil());
        health.system.state = evil();
        health.system.failed.push(evil());
        health.podman = vec![Podman {
            user: evil(),
            uid: 501,
            socket: evil(),
            service: evil(),
            api: Api::Unknown,
            error: Some(evil()),
        }];
        health.ready.reason = Some(evil());
        health.errors.push(evil());
        health.network.interfaces = vec![Interface { name: evil(), addresses: vec![evil()] }];
        health.network.name_servers = vec![evil()];
        let line = JournalLine { time: 0, priority: 6, identifier: evil(), message: evil() };
        let units = vec![Timed { name: evil(), active: evil(), since: None }];
        let diagnostics = Diagnostics {
            version: SCHEMA,
            health,
            initramfs: None,
            boot: None,
            units,
            log: vec![line],
            faults: vec![evil()],
        };
        let text = diagnostics.text();
        assert!(text.contains("owned") && text.ends_with("fault: made up\n"), "{text}");
        let hidden: Vec<char> = text.chars().filter(|character| is_hidden(*character)).collect();
        assert_eq!(hidden.len(), text.lines().count(), "more than the ends of lines: {text:?}");
        assert!(!text.lines().any(|line| line == "fault: made up"), "{text}");
        assert!(!json(&diagnostics).trim_end().chars().any(is_hidden));
    }
}
