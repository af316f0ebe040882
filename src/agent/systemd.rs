//! What a systemd manager says of itself and its units, by its D-Bus interface (org.freedesktop.systemd1(5)).

use rustix::io::Errno;

use super::dbus::{Connection, Method, Reply, Values, Writer};
use super::deadline::Deadline;
use super::peer::{Directory, Failure};

/// The private socket of a manager, below the runtime directory of its user: there from the manager's first moment, and
/// for nobody but its user and root.
pub const SOCKET: &str = "systemd/private";
/// More than any answer of the system manager; a unit takes some 300 bytes.
const LONGEST: usize = 4 << 20;
/// The same for the manager of a user, who can put what he likes in its place. He is asked for two units.
const LONGEST_OF_USER: usize = 16 << 10;

const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A unit's state, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// With its suffix.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, ...
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, ...
    pub active: String,
    object: String,
}

impl Unit {
    /// Whether the state is one of systemd's, and not something that a user put in the place of his manager has made
    /// up: that could have any length.
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

    /// Whether systemd knows a file of this name that may be used.
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
    /// Connects to the manager of the user whose runtime directory this is; root's is the system manager.
    ///
    /// # Errors
    /// As for [`Directory::connect`] and [`Connection::open`].
    pub fn open(directory: &Directory, deadline: Deadline) -> Result<Self, Failure> {
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

    /// `initializing`, `starting`, `running`, `degraded`, `maintenance` or `stopping`, as `systemctl
    /// is-system-running` says.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn state(&mut self) -> Result<String, Errno> {
        let reply = self.property(OBJECT, MANAGER, "SystemState")?;
        Ok(reply.values().variant("s")?.string()?.to_owned())
    }

    /// A point in time of the boot, in microseconds since the kernel's start; zero for one not reached.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn time(&mut self, name: &str) -> Result<u64, Errno> {
        self.property(OBJECT, MANAGER, name)?.values().variant("t")?.u64()
    }

    /// When the unit became active last, as [`Manager::time`].
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn active_since(&mut self, unit: &Unit) -> Result<u64, Errno> {
        let interface = "org.freedesktop.systemd1.Unit";
        self.property(&unit.object, interface, "ActiveEnterTimestampMonotonic")?.values().variant("t")?.u64()
    }

    /// The units of these names, also those that are not there.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn units(&mut self, names: &[&str]) -> Result<Vec<Unit>, Errno> {
        self.list("ListUnitsByNames", names)
    }

    /// The units that have failed.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn failed(&mut self) -> Result<Vec<Unit>, Errno> {
        self.list("ListUnitsFiltered", &["failed"])
    }

    fn list(&mut self, name: &str, words: &[&str]) -> Result<Vec<Unit>, Errno> {
        let mut arguments = Writer::default();
        arguments.strings(words)?;
        let method = Method { object: OBJECT, interface: MANAGER, name, signature: "as" };
        self.0.call(&method, &arguments)?.values().structures(unit)
    }

    /// The units that something is being done to now: whatever keeps a boot from its end is among them.
    ///
    /// # Errors
    /// As for [`Connection::call`].
    pub fn running_jobs(&mut self) -> Result<Vec<String>, Errno> {
        let list = Method { object: OBJECT, interface: MANAGER, name: "ListJobs", signature: "" };
        let jobs = self.0.call(&list, &Writer::default())?.values().structures(job)?;
        Ok(jobs.into_iter().flatten().collect())
    }
}

/// The units in the body of an answer, which may be any bytes.
#[cfg(fuzzing)]
pub fn parse_units(body: &[u8]) -> Result<Vec<Unit>, Errno> {
    Values::new(body).structures(unit)
}

/// `(ssssssouso)`: name, description, load, active, sub, followed, object, job's number, kind and object.
fn unit(values: &mut Values<'_>) -> Result<Unit, Errno> {
    let (name, _description) = (values.string()?, values.string()?);
    let (load, active, _sub) = (values.string()?, values.string()?, values.string()?);
    let (_followed, object) = (values.string()?, values.string()?);
    let _job = (values.u32()?, values.string()?, values.string()?);
    let [name, load, active, object] = [name, load, active, object].map(str::to_owned);
    Ok(Unit { name, load, active, object })
}

/// `(usssoo)`: number, unit, kind, state, object, unit's object.
fn job(values: &mut Values<'_>) -> Result<Option<String>, Errno> {
    let (_number, unit, _kind, state) = (values.u32()?, values.string()?, values.string()?, values.string()?);
    let _objects = (values.string()?, values.string()?);
    Ok((state == "running").then(|| unit.to_owned()))
}
