//! What a systemd manager says of itself and its units, by its D-Bus interface (org.freedesktop.systemd1(5)).

use std::path::Path;

use rustix::io::Errno;

use super::dbus::{Connection, Method, Reply, Values, Writer};
use super::deadline::Deadline;

/// The system manager's private socket: there from its first moment, for root alone.
pub const SYSTEM: &str = "/run/systemd/private";

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
    /// Connects to the manager on the private socket at `path`.
    ///
    /// # Errors
    /// As for [`Connection::open`].
    pub fn open(path: &Path, deadline: Deadline) -> Result<Self, Errno> {
        Connection::open(path, deadline).map(Self)
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
