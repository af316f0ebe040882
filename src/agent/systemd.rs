//! Asks a manager of systemd about itself and its units, by its D-Bus interface (org.freedesktop.systemd1(5)).

use rustix::io::Errno;

use super::dbus::{Connection, Method, Reply, Values, Writer};
use super::deadline::Deadline;
use super::peer::{Directory, PeerFailure};

/// The private socket of a manager, below the runtime directory of its user. It exists from the manager's first
/// moment, and only that user and root can connect.
pub const SOCKET: &str = "systemd/private";
/// The longest message of the system manager, in bytes. A unit takes about 300.
const LONGEST: usize = 4 << 20;
/// The longest message of a user's manager, in bytes. It is asked for two units only, and the user could run any
/// program in its place.
const LONGEST_OF_USER: usize = 16 << 10;

const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A unit's state, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// The name with its suffix.
    pub name: String,
    /// The load state: `loaded`, `not-found`, `masked`, ...
    pub load: String,
    /// The active state: `active`, `inactive`, `failed`, `activating`, ...
    pub active: String,
    object: String,
}

impl UnitState {
    /// Returns whether the active state is one that systemd knows. A program that a user runs in place of the manager
    /// could send a text of any length.
    pub fn is_known(&self) -> bool {
        const STATES: [&str; 8] = [
            "active",
            "reloading",
            "inactive",
            "failed",
            "activating",
            "deactivating",
            "maintenance",
            "refreshing",
        ];
        STATES.contains(&self.active.as_str())
    }

    /// Returns whether the unit has a unit file and is not masked.
    pub fn is_there(&self) -> bool {
        !matches!(self.load.as_str(), "not-found" | "masked")
    }

    #[cfg(test)]
    pub(super) fn of(name: &str, load: &str, active: &str) -> Self {
        let [name, load, active] = [name, load, active].map(str::to_owned);
        Self { name, load, active, object: String::new() }
    }
}

/// A connection to a manager.
pub struct Manager(Connection);

impl Manager {
    /// Connects to the manager of the user who owns this runtime directory. The manager of root is the system
    /// manager.
    ///
    /// # Errors
    /// As for [`Directory::connect`] and [`Connection::open`].
    pub fn open(directory: &Directory, deadline: Deadline) -> Result<Self, PeerFailure> {
        let stream = directory.connect(SOCKET, deadline)?;
        let longest = if directory.is_root() { LONGEST } else { LONGEST_OF_USER };
        Ok(Self(Connection::open(stream, longest)?))
    }

    fn property(&mut self, object: &str, interface: &str, name: &str) -> Result<Reply, Errno> {
        let mut arguments = Writer::default();
        arguments.string(interface)?;
        arguments.string(name)?;
        let get = Method { object, interface: PROPERTIES, name: "Get", signature: "ss" };
        self.0.call(&get, &arguments)
    }

    /// Returns the word that `systemctl is-system-running` prints: `initializing`, `starting`, `running`, `degraded`,
    /// `maintenance` or `stopping`.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn state(&mut self) -> Result<String, Errno> {
        let reply = self.property(OBJECT, MANAGER, "SystemState")?;
        Ok(reply.values().variant("s")?.string()?.to_owned())
    }

    /// Returns a timestamp of the boot in microseconds since the kernel's start; 0 if that point has not been
    /// reached.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn time(&mut self, name: &str) -> Result<u64, Errno> {
        self.property(OBJECT, MANAGER, name)?.values().variant("t")?.u64()
    }

    /// Returns when the unit last became active, as [`Manager::time`] does.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn active_since(&mut self, unit: &UnitState) -> Result<u64, Errno> {
        let interface = "org.freedesktop.systemd1.Unit";
        self.property(&unit.object, interface, "ActiveEnterTimestampMonotonic")?.values().variant("t")?.u64()
    }

    /// Returns the units of these names, also those that do not exist.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn units(&mut self, names: &[&str]) -> Result<Vec<UnitState>, Errno> {
        self.list("ListUnitsByNames", names)
    }

    /// Returns the failed units.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn failed(&mut self) -> Result<Vec<UnitState>, Errno> {
        self.list("ListUnitsFiltered", &["failed"])
    }

    fn list(&mut self, name: &str, words: &[&str]) -> Result<Vec<UnitState>, Errno> {
        let mut arguments = Writer::default();
        arguments.strings(words)?;
        let method = Method { object: OBJECT, interface: MANAGER, name, signature: "as" };
        self.0.call(&method, &arguments)?.values().structures(unit)
    }

    /// Returns the units that have a running job. A job that delays the end of the boot is among them.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn running_jobs(&mut self) -> Result<Vec<String>, Errno> {
        let list = Method { object: OBJECT, interface: MANAGER, name: "ListJobs", signature: "" };
        let jobs = self.0.call(&list, &Writer::default())?.values().structures(job)?;
        Ok(jobs.into_iter().flatten().collect())
    }
}

/// Parses the units in the body of a reply, which may be any bytes.
#[cfg(fuzzing)]
pub fn parse_units(body: &[u8]) -> Result<Vec<UnitState>, Errno> {
    Values::new(body).structures(unit)
}

/// Reads a unit, `(ssssssouso)`: name, description, load, active and sub state, followed unit, object path, and the
/// id, type and object path of its job.
fn unit(values: &mut Values<'_>) -> Result<UnitState, Errno> {
    let (name, _description) = (values.string()?, values.string()?);
    let (load, active, _sub) = (values.string()?, values.string()?, values.string()?);
    let (_followed, object) = (values.string()?, values.string()?);
    let _job = (values.u32()?, values.string()?, values.string()?);
    let [name, load, active, object] = [name, load, active, object].map(str::to_owned);
    Ok(UnitState { name, load, active, object })
}

/// Reads a job, `(usssoo)`: id, unit, type, state, object path, and the unit's object path. Returns the unit if the
/// job runs.
fn job(values: &mut Values<'_>) -> Result<Option<String>, Errno> {
    let (_number, unit, _kind, state) = (values.u32()?, values.string()?, values.string()?, values.string()?);
    let _objects = (values.string()?, values.string()?);
    Ok((state == "running").then(|| unit.to_owned()))
}
