//! The health of the machine: facts, and the verdict that follows from them.

use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::Serialize;

use super::deadline::Deadline;
use super::peer::{Directory, PeerFailure};
use super::podman::{self, Api, Podman};
use super::system::{self, Amount, FactReader, Network};
use super::systemd::{Manager, UnitState};
use super::text;
use super::{Provisioning, SCHEMA, Signal};
use crate::error::{errno_of, io_words};

/// How long a manager of systemd may take to answer. A busy manager is slow but not hung.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long podman's API may take when the host waits for the answer: the whole of `/health` has 300 ms.
pub const PROMPT: Duration = Duration::from_millis(200);
/// How long podman's API may take when no host waits. An API that has just been started is slow.
pub const PATIENT: Duration = Duration::from_secs(5);
/// Less than 1/50 of memory or disk left is too little.
const LITTLE: u64 = 50;
/// The most running jobs that are named, enough to see why a boot does not end.
const MOST_JOBS: usize = 8;
/// The most failed units that are named. Users can make any number of units fail.
const MOST_FAILED: usize = 32;
const READY: &str = "glowplug-ready.service";
const SSH: [&str; 2] = ["ssh.service", "ssh.socket"];
const EMERGENCY: [&str; 2] = ["emergency.target", "rescue.target"];

/// The verdict on the machine, from good to bad.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum HealthVerdict {
    /// Nothing is wrong.
    Ok,
    /// The machine is booting, and nothing has gone wrong yet.
    Starting,
    /// The machine is usable, but something does not work.
    Degraded,
    /// The host cannot use the machine.
    Failed,
}

impl HealthVerdict {
    /// Returns the word for the JSON and for the console.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Starting => "starting",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }

    /// Returns the exit code of `glowplug-agent health`, listed in `glowplug-agent(8)`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Starting => 3,
            Self::Degraded => 4,
            Self::Failed => 5,
        }
    }
}

/// The state of the whole system, as systemd reports it.
#[derive(Debug, Default, Serialize)]
pub struct System {
    /// The word that `systemctl is-system-running` prints; empty if systemd gave no answer.
    pub state: String,
    /// The units that have failed, at most 32.
    pub failed: Vec<String>,
    /// Whether more units than these have failed.
    #[serde(skip)]
    pub more_failed: bool,
    /// The units with a running job, at most 8.
    pub jobs: Vec<String>,
    /// Whether the machine is in emergency or rescue mode, or about to enter it.
    pub emergency: bool,
    /// Why systemd gave no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of sshd's units. sshd runs as a service or behind a socket.
#[derive(Debug, Default, Serialize)]
pub struct Ssh {
    /// The active state of `ssh.service`; `not-found` if there is no such unit.
    pub service: String,
    /// The active state of `ssh.socket`; `not-found` if there is no such unit.
    pub socket: String,
}

/// The answer to `GET /health`: `docs/schema/health.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The version of the schema.
    pub version: u32,
    /// The verdict.
    pub verdict: HealthVerdict,
    /// Why the verdict is not `ok`, the gravest reason first.
    pub reasons: Vec<String>,
    /// The state of systemd.
    pub system: System,
    /// What the stamp says.
    pub provisioning: Provisioning,
    /// The record of the ready signal.
    pub ready: Signal,
    /// The state of sshd.
    pub ssh: Ssh,
    /// podman's API for root and for each user whose manager runs.
    pub podman: Vec<Podman>,
    /// Addresses, default route and name servers.
    pub network: Network,
    /// Seconds since the kernel's start.
    pub uptime: u64,
    /// Memory, in bytes.
    pub memory: Amount,
    /// The file system of `/`, in bytes.
    pub disk: Amount,
    /// What could not be read, and why.
    pub errors: Vec<String>,
    /// How long this answer took, in milliseconds.
    pub took: u64,
}

impl Health {
    /// Collects the facts and judges them. podman's API may take `patience`.
    pub fn read(patience: Duration) -> Self {
        let begin = Instant::now();
        let mut reader = FactReader::default();
        let users = system::users_at_work(&mut reader);
        let passwd = reader.text("/etc/passwd");
        // Each question is asked in a thread of its own, because each may hang.
        let deadline = Deadline::after(PATIENCE);
        let ask_podman = |uid| podman::ask(system::user_name(&passwd, uid), uid, deadline, patience);
        let mut health = thread::scope(|scope| {
            // Starting a thread fails on a machine that is out of memory or tasks.
            let systemd = thread::Builder::new().spawn_scoped(scope, || ask_systemd(deadline));
            let askers: Vec<_> = [0]
                .into_iter()
                .chain(users)
                .map(|uid| thread::Builder::new().spawn_scoped(scope, move || ask_podman(uid)))
                .collect();
            // What cannot hang is read here while the threads wait.
            let mut health = Self::of_kernel_and_files(&mut reader);
            let joined = systemd.map_err(|error| errno_of(&error));
            let joined = joined.map_err(PeerFailure::from);
            match joined.and_then(|systemd| systemd.join().unwrap_or(Err(Errno::IO.into()))) {
                Ok((system, units)) => (health.system, health.ssh) = (system, Ssh::of(&units)),
                Err(failure) => health.system.error = Some(failure.words()),
            }
            for asker in askers {
                match asker {
                    Ok(asker) => health.podman.extend(asker.join().ok().flatten()),
                    Err(error) => health.errors.push(format!("ask for podman: {}", io_words(&error))),
                }
            }
            health
        });
        health.errors.append(&mut reader.errors);
        health.conclude(health.judge());
        health.took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        health
    }

    fn of_kernel_and_files(reader: &mut FactReader) -> Self {
        let (memory, _swap) = system::memory(reader);
        Self {
            version: SCHEMA,
            verdict: HealthVerdict::Ok,
            reasons: Vec::new(),
            system: System::default(),
            provisioning: Provisioning::read(),
            ready: Signal::read(),
            ssh: Ssh::default(),
            podman: Vec::new(),
            network: Network::read(reader),
            uptime: system::uptime(),
            memory,
            disk: system::disk(reader),
            errors: Vec::new(),
            took: 0,
        }
    }

    fn conclude(&mut self, mut reasons: Vec<(HealthVerdict, String)>) {
        reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        self.verdict = reasons.first().map_or(HealthVerdict::Ok, |(verdict, _)| *verdict);
        self.reasons = reasons.into_iter().map(|(_, reason)| reason).collect();
    }

    /// Returns the verdict as one line without control characters: `ok`, or the verdict and its reasons.
    pub fn line(&self) -> String {
        let word = self.verdict.word();
        if self.reasons.is_empty() {
            word.to_owned()
        } else {
            text::shown(&format!("{word}: {}", self.reasons.join("; ")))
        }
    }

    /// Returns whether the boot is over. What is missing then will not appear by itself.
    fn is_up(&self) -> bool {
        matches!(self.system.state.as_str(), "running" | "degraded")
    }

    /// Returns what is wrong and how bad each reason is. No reason contains a number that changes by itself, because
    /// the console shows a line for each change.
    fn judge(&self) -> Vec<(HealthVerdict, String)> {
        let mut reasons = Vec::new();
        self.judge_system(&mut reasons);
        self.judge_provisioning(&mut reasons);
        self.judge_podman(&mut reasons);
        let mut too_little = |what: &str, amount: Amount| {
            if amount.is_less_than_one_in(LITTLE) {
                let percent = 100 / LITTLE;
                reasons.push((HealthVerdict::Degraded, format!("less than {percent} % of {what} is left")));
            }
        };
        too_little("the memory", self.memory);
        too_little("the disk", self.disk);
        if self.is_up() && self.network.is_known && !self.network.has_address() {
            reasons.push((HealthVerdict::Degraded, "the network has no address".to_owned()));
        }
        reasons
    }

    fn judge_system(&self, reasons: &mut Vec<(HealthVerdict, String)>) {
        if let Some(error) = &self.system.error {
            reasons.push((HealthVerdict::Degraded, format!("systemd does not answer: {error}")));
            return;
        }
        match self.system.state.as_str() {
            // systemd's own state says `maintenance` only when no job is left, so the units are checked as well.
            _ if self.system.emergency => {
                reasons
                    .push((HealthVerdict::Failed, "the machine is in emergency or rescue mode".to_owned()));
            }
            "initializing" | "starting" => {
                let jobs = self.system.jobs.join(", ");
                let what = if jobs.is_empty() { "booting".into() } else { format!("waiting for {jobs}") };
                reasons.push((HealthVerdict::Starting, what));
            }
            "stopping" => reasons.push((HealthVerdict::Degraded, "the machine is shutting down".to_owned())),
            _ => {}
        }
        for unit in &self.system.failed {
            reasons.push((HealthVerdict::Degraded, format!("unit {unit} has failed")));
        }
        if self.system.more_failed {
            reasons.push((HealthVerdict::Degraded, "more units have failed: systemctl --failed".to_owned()));
        }
        let ssh = &self.ssh;
        let is_there = ssh.service != "not-found" || ssh.socket != "not-found";
        if is_there && self.is_up() && !is_running(&ssh.service) && !is_running(&ssh.socket) {
            reasons.push((HealthVerdict::Failed, "ssh is not running: the host cannot log in".to_owned()));
        }
    }

    fn judge_provisioning(&self, reasons: &mut Vec<(HealthVerdict, String)>) {
        if let Some(error) = &self.provisioning.error {
            let verdict =
                if self.provisioning.is_missing { HealthVerdict::Degraded } else { HealthVerdict::Failed };
            reasons.push((verdict, error.clone()));
            // Without a valid stamp no ready signal is sent. The missing signal is not a second fault.
            return;
        }
        match &self.ready {
            Signal { sent: true, .. } => {}
            Signal { reason: Some(reason), .. } if reason == "trying" => {
                reasons.push((
                    HealthVerdict::Starting,
                    "the host has not taken the ready signal yet".to_owned(),
                ));
            }
            Signal { reason: Some(reason), .. } if reason == "no-host" => {
                let what = "the host did not take the ready signal: after a reboot from inside the machine, it waits for none";
                reasons.push((HealthVerdict::Degraded, what.to_owned()));
            }
            Signal { reason: Some(reason), .. } => {
                reasons.push((HealthVerdict::Failed, format!("the ready signal was not sent: {reason}")));
            }
            Signal { reason: None, .. } if self.is_up() => {
                let what = "the ready signal was not sent: glowplug-ready.service did not run".to_owned();
                reasons.push((HealthVerdict::Degraded, what));
            }
            Signal { reason: None, .. } => {}
        }
    }

    fn judge_podman(&self, reasons: &mut Vec<(HealthVerdict, String)>) {
        for podman in &self.podman {
            let (user, error) = (&podman.user, podman.error.as_deref().unwrap_or_default());
            let what = match podman.api {
                Api::Answers | Api::OnDemand => continue,
                // On Debian the socket is off unless an administrator turns it on.
                Api::Off if podman.socket != "failed" => continue,
                // The failure of systemd is a reason already.
                Api::Unknown if podman.uid == 0 && self.system.error.is_some() => continue,
                // The manager of a user starts late in the boot.
                Api::Unknown if !self.is_up() => continue,
                Api::Silent => format!("podman of {user} does not answer: {error}"),
                Api::Off => format!("podman of {user} has no API: podman.socket has failed"),
                Api::Unknown => format!("the state of podman of {user} is unknown: {error}"),
            };
            reasons.push((HealthVerdict::Degraded, what));
        }
    }
}

impl Ssh {
    fn of(units: &[UnitState]) -> Self {
        let state = |name: &str| {
            let unit = units.iter().find(|unit| unit.name == name && unit.is_there());
            unit.map_or_else(|| "not-found".to_owned(), |unit| unit.active.clone())
        };
        let [service, socket] = SSH.map(state);
        Self { service, socket }
    }
}

/// Returns whether an active state of systemd means that the unit runs or is starting.
fn is_running(state: &str) -> bool {
    matches!(state, "active" | "activating" | "reloading")
}

fn ask_systemd(deadline: Deadline) -> Result<(System, Vec<UnitState>), PeerFailure> {
    let mut manager = Manager::open(&Directory::of(0)?, deadline)?;
    let state = manager.state()?;
    let mut failed: Vec<String> = manager.failed()?.into_iter().map(|unit| unit.name).collect();
    let more_failed = failed.len() > MOST_FAILED;
    failed.sort_unstable();
    failed.truncate(MOST_FAILED);
    let mut jobs = manager.running_jobs()?;
    // The ready signal has a reason of its own, which says more than the job does.
    jobs.retain(|unit| unit != READY);
    jobs.sort_unstable();
    jobs.truncate(MOST_JOBS);
    let units = manager.units(&[SSH, EMERGENCY].concat())?;
    let is_emergency = |unit: &UnitState| EMERGENCY.contains(&unit.name.as_str()) && is_running(&unit.active);
    let emergency = state == "maintenance" || units.iter().any(is_emergency);
    Ok((System { state, failed, more_failed, jobs, emergency, error: None }, units))
}

#[cfg(test)]
mod tests;
