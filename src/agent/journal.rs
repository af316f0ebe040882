//! Reads lines of the journal by running journalctl. Number, size and time are bounded.
//!
//! Any user can write to the journal under any identifier. Only journald itself sets the fields whose names begin
//! with `_` (systemd.journal-fields(7)), so these fields decide to whom a line belongs.

mod query;

use std::borrow::Cow;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

use super::SCHEMA;
use super::deadline::Deadline;
use super::peer::{Directory, PeerFailure};
use super::request::HttpRefusal;
use super::systemd::{Manager, UnitState};
use super::text;
use crate::error::errno_of;
use crate::json::{JsonKind, JsonReader, fields};
#[cfg(fuzzing)]
pub use query::parse;
use query::{SWITCHES, allowed};

/// The path of journalctl.
const JOURNALCTL: &str = "/usr/bin/journalctl";
/// How long journalctl may search.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long systemd may take to answer whether a unit exists.
const MANAGER_PATIENCE: Duration = Duration::from_secs(1);
/// The most bytes that are read of journalctl's output. The rest is left out.
const LIMIT: usize = 2 << 20;
/// The longest message that is shown in full, in characters.
const LONGEST: usize = 4096;

/// The unit that runs glowplug in an initramfs of dracut. In other initramfs glowplug writes to the kernel's log.
const UNIT: &str = "glowplug.service";

/// The fields of a line that are read. journalctl prints the time in any case.
const FIELDS: [&str; 9] = [
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_TRANSPORT",
    "_UID",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_OWNER_UID",
    "__REALTIME_TIMESTAMP",
];

/// The lines to read.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// What glowplug logged in this boot: the last 200 lines.
    Glowplug,
    /// The last lines of a unit.
    Unit {
        /// The unit's name.
        name: &'a str,
        /// The number of lines.
        count: u32,
        /// Whether lines are included of processes that belong to the session or manager of a user.
        of_users: bool,
    },
}

/// A line of the journal.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct JournalLine {
    /// Microseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The priority of syslog(3): 0 (emergency) to 7 (debug).
    pub priority: u8,
    /// The identifier that the writer gave itself.
    pub identifier: String,
    /// The message.
    pub message: String,
}

/// The answer to `GET /journal`: `docs/schema/journal.json`.
#[derive(Debug, Serialize)]
pub struct Journal {
    version: u32,
    unit: String,
    lines: Vec<JournalLine>,
    /// Whether older lines that were asked for are left out, because they were too many bytes.
    cut: bool,
}

impl Journal {
    /// Returns the last lines of this boot of the unit that `query` names, `unit=NAME[&lines=NUMBER]`.
    ///
    /// # Errors
    /// A refusal if the image has not turned the journal on, if the query names no unit, if there is no such unit, or if
    /// the journal cannot be read.
    pub fn read(query: &str) -> Result<Self, HttpRefusal> {
        let (unit, count, of_users) = allowed(Path::new(SWITCHES), query)?;
        let selection = Selection::Unit { name: &unit, count, of_users };
        let (lines, cut) = lines(&selection, Deadline::after(PATIENCE))
            .map_err(|errno| HttpRefusal::broken("read the journal", errno))?;
        // A unit without a file may have run in this boot, so only a unit without lines is looked for.
        if lines.is_empty() && is_missing(&state_of(&unit)) {
            let what = format!("there is no unit {unit}, and it has no lines in this boot");
            return Err(HttpRefusal { status: 404, what });
        }
        Ok(Self { version: SCHEMA, unit, lines, cut })
    }
}

/// Asks systemd for the unit.
fn state_of(unit: &str) -> Result<Vec<UnitState>, PeerFailure> {
    Ok(Manager::open(&Directory::of(0)?, Deadline::after(MANAGER_PATIENCE))?.units(&[unit])?)
}

/// Returns whether systemd says that it has no such unit. If systemd does not answer, nobody knows.
fn is_missing(answer: &Result<Vec<UnitState>, PeerFailure>) -> bool {
    answer.as_ref().is_ok_and(|units| units.iter().all(|unit| unit.load == "not-found"))
}

impl Selection<'_> {
    /// Returns the arguments that make journalctl print these lines.
    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Glowplug => [
                "--lines=200",
                "_TRANSPORT=kernel",
                "SYSLOG_IDENTIFIER=glowplug",
                "+",
                "_UID=0",
                "_SYSTEMD_UNIT=glowplug.service",
                "SYSLOG_IDENTIFIER=glowplug",
            ]
            .map(str::to_owned)
            .into(),
            Self::Unit { name, count, .. } => vec![format!("--unit={name}"), format!("--lines={count}")],
        }
    }

    /// Returns whether a line belongs to the selection, by the fields that only journald can set.
    fn has(&self, origin: &LineOrigin) -> bool {
        match self {
            Self::Glowplug => origin.transport == "kernel" || origin.uid == "0" && origin.unit == UNIT,
            Self::Unit { of_users, .. } => *of_users || origin.owner.is_empty(),
        }
    }
}

/// Returns the last lines of this boot that belong to `selection`, oldest first, and whether older lines were left
/// out because they were too many bytes.
///
/// # Errors
/// The errno of running journalctl; `ETIMEDOUT` at the deadline, `EIO` if journalctl fails.
pub fn lines(selection: &Selection<'_>, deadline: Deadline) -> Result<(Vec<JournalLine>, bool), Errno> {
    let mut command = Command::new(JOURNALCTL);
    command.args(["--boot", "--quiet", "--no-pager", "--output=json", "--all", "--reverse"]);
    command.arg(format!("--output-fields={}", FIELDS.join(","))).args(selection.arguments());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| errno_of(&error))?;
    let output = read(&mut child, deadline);
    // journalctl may still have output to write, or may have written nothing in time.
    let _ = child.kill();
    let status = child.wait().map_err(|error| errno_of(&error))?;
    let (output, is_whole) = output?;
    if is_whole && !status.success() {
        return Err(Errno::IO);
    }
    Ok((selected(&output, selection), !is_whole))
}

/// Returns the lines in journalctl's output that belong to `selection`, oldest first. The output has the newest line
/// first.
fn selected(output: &[u8], selection: &Selection<'_>) -> Vec<JournalLine> {
    let lines = output.split(|byte| *byte == b'\n').filter_map(line);
    let mut lines: Vec<JournalLine> =
        lines.filter(|(origin, _)| selection.has(origin)).map(|(_, line)| line).collect();
    lines.reverse();
    lines
}

/// Returns glowplug's own lines in the output of journalctl, which may be any bytes.
#[cfg(fuzzing)]
pub fn parse_lines(output: &[u8]) -> Vec<JournalLine> {
    selected(output, &Selection::Glowplug)
}

/// Returns the child's output, and whether the output is complete.
fn read(child: &mut Child, deadline: Deadline) -> Result<(Vec<u8>, bool), Errno> {
    let mut pipe = child.stdout.take().ok_or(Errno::PIPE)?;
    let (mut output, mut buffer) = (Vec::new(), vec![0; 32 << 10]);
    while output.len() < LIMIT {
        let left = Timespec::try_from(deadline.left()?).map_err(|_| Errno::TIMEDOUT)?;
        if poll(&mut [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)], Some(&left))? == 0 {
            return Err(Errno::TIMEDOUT);
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok((output, true)),
            Ok(count) => output.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) => return Err(errno_of(&error)),
        }
    }
    Ok((output, false))
}

/// Where a line comes from, by journald's own fields. A missing field is empty.
#[derive(Debug)]
struct LineOrigin {
    transport: String,
    uid: String,
    unit: String,
    /// The uid of the user whose session or manager the process belongs to.
    owner: String,
}

/// Reads the text of a field. A value that is not text is an array of bytes. A field that was given more than once is an
/// array of values, of which the last is taken. Arrays in the array of such a value are none of journald's.
fn field_text(reader: &mut JsonReader<'_>, depth: u8) -> Option<String> {
    match reader.peek().ok()? {
        JsonKind::String => return reader.string().ok().map(Cow::into_owned),
        JsonKind::Array if depth < 2 => {}
        _ => {
            reader.skip().ok()?;
            return Some(String::new());
        }
    }
    reader.enter().ok()?;
    let (mut bytes, mut last, mut is_first) = (Vec::new(), None, true);
    while reader.next_item(is_first).ok()? {
        is_first = false;
        if reader.peek().ok()? == JsonKind::Number {
            // No text has the byte 255, so it is shown as a replacement character.
            bytes.push(reader.number().ok()?.parse().unwrap_or(255));
        } else {
            last = Some(field_text(reader, depth.saturating_add(1))?);
        }
    }
    Some(last.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Parses an object of journalctl's output. `None` for a malformed one, such as the last one of output that was cut.
fn line(object: &[u8]) -> Option<(LineOrigin, JournalLine)> {
    let mut texts = FIELDS.map(|_| String::new());
    let mut reader = JsonReader::new(object);
    fields::object(&mut reader, &mut |reader, key| {
        let at = FIELDS.iter().position(|field| *field == key);
        let Some(place) = at.and_then(|at| texts.get_mut(at)) else { return reader.skip().ok() };
        *place = field_text(reader, 0)?;
        text::cut(place, LONGEST);
        Some(())
    })?;
    reader.end().ok()?;
    let [message, priority, identifier, command, transport, uid, unit, owner, time] = texts;
    let origin = LineOrigin { transport, uid, unit, owner };
    let line = JournalLine {
        time: time.parse().ok()?,
        // A line without a priority is informational (6).
        priority: priority.parse().unwrap_or(6),
        identifier: if identifier.is_empty() { command } else { identifier },
        message,
    };
    Some((origin, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As journalctl prints them, the newest first.
    const LINES_OF_ALL: &str = r#"{"__REALTIME_TIMESTAMP":"5","MESSAGE":"by hand","SYSLOG_IDENTIFIER":"glowplug","_TRANSPORT":"syslog","_UID":"501","_SYSTEMD_UNIT":"user@501.service","_SYSTEMD_OWNER_UID":"501"}
{"__REALTIME_TIMESTAMP":"4","MESSAGE":"a container of root","SYSLOG_IDENTIFIER":"glowplug","_TRANSPORT":"journal","_UID":"0","_SYSTEMD_UNIT":"libpod-conmon-1.scope"}
{"__REALTIME_TIMESTAMP":"3","MESSAGE":"no root","SYSLOG_IDENTIFIER":"glowplug","_TRANSPORT":"stdout","_UID":"33","_SYSTEMD_UNIT":"glowplug.service"}
{"__REALTIME_TIMESTAMP":"2","MESSAGE":"with dracut","SYSLOG_IDENTIFIER":"glowplug","_TRANSPORT":"stdout","_UID":"0","_SYSTEMD_UNIT":"glowplug.service"}
{"__REALTIME_TIMESTAMP":"1","MESSAGE":"in the kernel's log","SYSLOG_IDENTIFIER":"glowplug","_TRANSPORT":"kernel"}
"#;

    #[test]
    fn whose_a_line_is_only_journald_says() {
        let messages = |selection: Selection<'_>| -> Vec<String> {
            selected(LINES_OF_ALL.as_bytes(), &selection).into_iter().map(|line| line.message).collect()
        };
        assert_eq!(messages(Selection::Glowplug), ["in the kernel's log", "with dracut"]);
        let unit = |of_users| Selection::Unit { name: "a.service", count: 1, of_users };
        assert_eq!(messages(unit(true)).len(), 5);
        assert_eq!(messages(unit(false)).len(), 4);
        assert!(!messages(unit(false)).contains(&"by hand".to_owned()));
    }

    #[test]
    fn only_systemd_says_that_a_unit_is_missing() {
        let unit = |load| Ok(vec![UnitState::of("a.service", load, "inactive")]);
        assert!(is_missing(&unit("not-found")));
        for load in ["loaded", "masked", "bad-setting", "error"] {
            assert!(!is_missing(&unit(load)), "{load}");
        }
        assert!(!is_missing(&Err(PeerFailure::from(Errno::TIMEDOUT))));
    }

    #[test]
    fn messages_of_every_form() {
        let read = |text: &str| line(text.as_bytes()).map(|(_, line)| line);
        let object = r#"{"__REALTIME_TIMESTAMP":"12","PRIORITY":"3","SYSLOG_IDENTIFIER":"a","MESSAGE":"b"}"#;
        let expected = JournalLine { time: 12, priority: 3, identifier: "a".into(), message: "b".into() };
        assert_eq!(read(object), Some(expected));
        let bytes = r#"{"__REALTIME_TIMESTAMP":"1","_COMM":"c","MESSAGE":[104,105,255]}"#;
        let found = read(bytes).unwrap();
        assert_eq!(
            (found.message.as_str(), found.identifier.as_str(), found.priority),
            ("hi\u{fffd}", "c", 6)
        );
        let twice = r#"{"__REALTIME_TIMESTAMP":"1","PRIORITY":["4","3"],"MESSAGE":["a",[98]]}"#;
        let found = read(twice).unwrap();
        assert_eq!((found.message.as_str(), found.priority), ("b", 3));
        assert_eq!(read(r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":null}"#).unwrap().message, "");
        let long = format!(r#"{{"__REALTIME_TIMESTAMP":"1","MESSAGE":"{}"}}"#, "é".repeat(LONGEST + 9));
        assert_eq!(read(&long).unwrap().message.chars().count(), LONGEST + 1);
        assert_eq!(read(r#"{"__REALTIME_TIMESTAMP":"1","MESS"#), None);
        assert_eq!(read(""), None);
    }
}
