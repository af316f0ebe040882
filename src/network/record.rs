//! What `up` has changed, so that `down` takes back that and nothing else. The record is written before each change. So
//! an `up` that was killed can be taken back, too.

use std::fmt::Write as _;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fd;

/// The file.
const PATH: &str = "/run/glowplug/network";
/// Where a new record lies until it is whole.
const NEW: &str = "/run/glowplug/network.new";
/// The most bytes of the record. A link takes less than 64 bytes.
const LIMIT: u64 = 1 << 20;

/// The changes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The links that were switched on.
    pub(super) links: Vec<Switched>,
    /// Whether `lo` was switched on.
    pub(super) has_loopback: bool,
    /// Whether `/etc/resolv.conf` was written.
    pub(super) has_resolver: bool,
    /// The host name before a DHCP server gave another one.
    pub(super) host: Option<String>,
}

/// A link that was switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Switched {
    /// The number of the interface.
    pub(super) index: u32,
    /// Its largest packet before, in bytes. A DHCP server can change that.
    pub(super) mtu: u32,
    /// Its name.
    pub(super) name: String,
}

impl Record {
    /// Reads the record; without one nothing was changed.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if it cannot be read.
    pub(super) fn read() -> Result<Self> {
        let path = Path::new(PATH);
        match fd::read_file(path, LIMIT) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(Errno::NOENT) => Ok(Self::default()),
            Err(errno) => Err(Error::system_at("read", path, errno)),
        }
    }

    fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            let mut next = || words.next().unwrap_or_default();
            match next() {
                "link" => {
                    if let (Ok(index), Ok(mtu)) = (next().parse(), next().parse()) {
                        record.links.push(Switched { index, mtu, name: next().to_owned() });
                    }
                }
                "loopback" => record.has_loopback = true,
                "resolver" => record.has_resolver = true,
                "host" => record.host = Some(next().to_owned()),
                _ => {}
            }
        }
        record
    }

    /// Writes the record.
    ///
    /// # Errors
    /// As for [`Record::read`].
    pub(super) fn write(&self) -> Result<()> {
        let mut text = String::new();
        for Switched { index, mtu, name } in &self.links {
            let _ = writeln!(text, "link {index} {mtu} {name}");
        }
        for (word, is_changed) in [("loopback", self.has_loopback), ("resolver", self.has_resolver)] {
            if is_changed {
                let _ = writeln!(text, "{word}");
            }
        }
        if let Some(host) = &self.host {
            let _ = writeln!(text, "host {host}");
        }
        let path = Path::new(PATH);
        fd::replace(path, Path::new(NEW), &text).map_err(|errno| Error::system_at("write", path, errno))
    }

    /// Removes the record.
    ///
    /// # Errors
    /// As for [`Record::read`].
    pub(super) fn remove() -> Result<()> {
        remove(PATH)
    }
}

/// Removes a file of the initramfs. One that is not there is no failure.
///
/// # Errors
/// [`Reason::System`](crate::error::Reason::System) if it cannot be removed.
#[allow(clippy::disallowed_methods, reason = "files of the initramfs, not of the root")]
pub(super) fn remove(path: &str) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::system_at("remove", Path::new(path), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let text = "link 2 1500 enp0s2\nlink 3 9000 a-name\nloopback\nresolver\nhost (none)\n";
        let record = Record::parse(text);
        assert_eq!(record.links[1], Switched { index: 3, mtu: 9000, name: "a-name".to_owned() });
        assert!(record.has_loopback && record.has_resolver);
        assert_eq!(record.host.as_deref(), Some("(none)"));
        assert_eq!(Record::parse("link x y\nlink\n\n?\n"), Record::default());
    }
}
