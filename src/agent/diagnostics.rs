//! How the boot went, and what is wrong: health, with times, the log of the provisioning, and faults.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::deadline::Deadline;
use super::health::{self, Health};
use super::journal::{self, Line};
use super::system::Reader;
use super::systemd::{self, Manager};
use super::{SCHEMA, json};

/// Nobody waits for this as for `/health`.
const PATIENCE: Duration = Duration::from_secs(5);
/// The units whose times tell how the boot went, where they are there.
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
/// Faults that another package has found, one a line; podman machine's layer leaves them here.
pub const FAULTS: &str = "/run/glowplug/faults";

/// The answer to `GET /diagnostics`: `docs/schema/diagnostics.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    version: u32,
    health: Health,
    /// Milliseconds from the kernel's start to systemd's in the root; none if systemd could not be asked.
    initramfs: Option<u64>,
    /// Milliseconds from the kernel's start to the end of the boot; none before it.
    boot: Option<u64>,
    units: Vec<Timed>,
    /// What glowplug told in the initramfs and after.
    log: Vec<Line>,
    /// What is wrong, in words that can be searched for.
    faults: Vec<String>,
}

/// A unit, and when it became active.
#[derive(Debug, Serialize)]
struct Timed {
    name: String,
    /// In systemd's words.
    active: String,
    /// Milliseconds from the kernel's start; none for a unit that has not been active.
    since: Option<u64>,
}

impl Diagnostics {
    /// Finds it out.
    pub fn read() -> Self {
        let mut health = Health::read(health::PATIENT);
        let mut reader = Reader::default();
        let manager = ask(&health);
        let (initramfs, boot, units) = reader.or_note("systemd", manager);
        let selection = ["--identifier=glowplug", "--lines=200"];
        let log = journal::lines(&selection, Deadline::after(journal::PATIENCE));
        let (log, _cut) = reader.or_note("journal", log);
        let mut faults = health.reasons.clone();
        if health.network.is_known && health.network.name_servers.is_empty() {
            faults.push("no name server: names are not found".into());
        }
        if health.network.is_known && !health.network.default_route {
            faults.push("no default route: no DHCP answer from the host".into());
        }
        let others = reader.text_if_there(FAULTS).unwrap_or_default();
        faults.extend(others.lines().map(str::to_owned));
        health.errors.append(&mut reader.errors);
        Self { version: SCHEMA, health, initramfs, boot, units, log, faults }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Nothing fails to be written into a string.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let health = &self.health;
        writeln!(text, "health: {}", health.line())?;
        if let Some(initramfs) = self.initramfs {
            writeln!(text, "kernel and initramfs: {}", Seconds(initramfs))?;
        }
        if let Some(boot) = self.boot {
            writeln!(text, "all: {}", Seconds(boot))?;
        }
        for Timed { name, active, since } in &self.units {
            write!(text, "{name} {active}")?;
            match since {
                Some(since) => writeln!(text, " at {}", Seconds(*since))?,
                None => writeln!(text)?,
            }
        }
        for line in &self.log {
            writeln!(text, "{}", line.message)?;
        }
        write!(text, "ready: {}", json(&health.ready))?;
        writeln!(text, "system: {}", health.system.state)?;
        for unit in &health.system.failed {
            writeln!(text, "failed: {unit}")?;
        }
        for podman in &health.podman {
            writeln!(
                text,
                "podman of {}: socket {}, service {}",
                podman.user, podman.socket, podman.service
            )?;
        }
        for interface in &health.network.interfaces {
            writeln!(text, "{}: {}", interface.name, interface.addresses.join(" "))?;
        }
        writeln!(text, "default route: {}", if health.network.default_route { "yes" } else { "no" })?;
        for server in &health.network.name_servers {
            writeln!(text, "dns: {server}")?;
        }
        for error in &health.errors {
            writeln!(text, "not known: {error}")?;
        }
        for fault in &self.faults {
            writeln!(text, "fault: {fault}")?;
        }
        Ok(())
    }
}

struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{} s", self.0 / 1000, self.0 % 1000 / 100)
    }
}

type Times = (Option<u64>, Option<u64>, Vec<Timed>);

fn ask(health: &Health) -> Result<Times, rustix::io::Errno> {
    const MICROSECONDS: u64 = 1000;
    let reached = |time: u64| (time > 0).then_some(time / MICROSECONDS);
    let mut manager = Manager::open(Path::new(systemd::SYSTEM), Deadline::after(PATIENCE))?;
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
                // It has gone meanwhile.
                Err(rustix::io::Errno::NOMSG) => continue,
                since => reached(since?),
            };
            units.push(Timed { name: unit.name, active: unit.active, since });
        }
    }
    Ok((initramfs, boot, units))
}
