//! Lines of the journal, by systemd's own program for it: bounded in number, size and time.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SCHEMA;
use super::deadline::Deadline;
use super::request::Refusal;
use crate::error::errno_of;

/// Where systemd is.
const JOURNALCTL: &str = "/usr/bin/journalctl";
/// How long the journal may be searched.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The most lines of one answer.
pub const MOST_LINES: u32 = 1000;
/// As many if the request does not say.
const LINES: u32 = 100;
/// The most bytes of journalctl's output; what comes after is left out.
const LIMIT: usize = 2 << 20;
/// The longest message that is shown whole, in characters.
const LONGEST: usize = 4096;

/// A line of the journal.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Line {
    /// Microseconds since 1970.
    pub time: u64,
    /// 0 (emergency) to 7 (debug), as syslog(3).
    pub priority: u8,
    /// Who says it.
    pub identifier: String,
    /// What.
    pub message: String,
}

/// The answer to `GET /journal`: `docs/schema/journal.json`.
#[derive(Debug, Serialize)]
pub struct Journal {
    version: u32,
    unit: String,
    lines: Vec<Line>,
    /// Whether older lines that were asked for were too much.
    cut: bool,
}

impl Journal {
    /// The last lines of this boot of the unit that `query` names, `unit=NAME[&lines=NUMBER]`.
    ///
    /// # Errors
    /// A query that names no unit, or a journal that cannot be read.
    pub fn read(query: &str) -> Result<Self, Refusal> {
        let (unit, count) = parse(query)?;
        let (unit_option, lines_option) = (format!("--unit={unit}"), format!("--lines={count}"));
        let (lines, cut) = lines(&[&unit_option, &lines_option], Deadline::after(PATIENCE))
            .map_err(|errno| Refusal::broken("read the journal", errno))?;
        Ok(Self { version: SCHEMA, unit, lines, cut })
    }
}

/// The unit and the number of lines that a query names.
pub fn parse(query: &str) -> Result<(String, u32), Refusal> {
    let (mut unit, mut count) = (None, LINES);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("unit", name)) => unit = Some(unescaped(name).filter(|name| is_unit_name(name))),
            Some(("lines", number)) => {
                count = number
                    .parse()
                    .ok()
                    .filter(|count| (1..=MOST_LINES).contains(count))
                    .ok_or_else(|| Refusal::bad(format!("lines is a number from 1 to {MOST_LINES}")))?;
            }
            _ => return Err(Refusal::bad("there are only unit= and lines=")),
        }
    }
    match unit {
        Some(Some(unit)) => Ok((unit, count)),
        Some(None) => Err(Refusal::bad("unit is no name of a unit: one like ssh.service")),
        None => Err(Refusal::bad("unit= is missing: /journal?unit=ssh.service&lines=50")),
    }
}

/// As systemd.unit(5) has it; patterns are none, nor slices: journalctl takes them for all that is in them.
fn is_unit_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let suffix = name.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map_or("", |(_, suffix)| suffix);
    let has_suffix = !suffix.is_empty() && suffix != "slice";
    name.len() < 256 && !name.starts_with('-') && has_suffix && name.bytes().all(is_allowed)
}

/// Percent-encoding undone, RFC 3986, section 2.1.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The last lines of this boot that journalctl gives for `arguments`, oldest first, and whether older ones were left out
/// since they are too much.
///
/// # Errors
/// errno of running it; `ETIMEDOUT` at the deadline, `EIO` if it fails.
pub fn lines(arguments: &[&str], deadline: Deadline) -> Result<(Vec<Line>, bool), Errno> {
    let mut command = Command::new(JOURNALCTL);
    command.args(["--boot", "--quiet", "--no-pager", "--output=json", "--all", "--reverse"]);
    command.arg("--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_COMM").args(arguments);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| errno_of(&error))?;
    let output = read(&mut child, deadline);
    // One that has more to say, or nothing within the time, is ended.
    let _ = child.kill();
    let status = child.wait().map_err(|error| errno_of(&error))?;
    let (output, is_whole) = output?;
    if is_whole && !status.success() {
        return Err(Errno::IO);
    }
    let mut lines: Vec<Line> = output.split(|byte| *byte == b'\n').filter_map(line).collect();
    lines.reverse();
    Ok((lines, !is_whole))
}

/// The child's output, and whether it is all of it.
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

/// A message that is not text is an array of bytes; one that was given twice is an array of such.
fn text(value: Option<Value>) -> String {
    let mut text = match value {
        Some(Value::String(text)) => text,
        // What was given last.
        Some(Value::Array(mut items)) if !items.iter().all(Value::is_number) => return text(items.pop()),
        Some(Value::Array(items)) => {
            let bytes = items.iter().map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok()));
            let bytes: Option<Vec<u8>> = bytes.collect();
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        }
        _ => String::new(),
    };
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// An object of journalctl's; the last one of an output that was cut is none.
fn line(object: &[u8]) -> Option<Line> {
    #[derive(Deserialize)]
    struct Object {
        #[serde(rename = "__REALTIME_TIMESTAMP")]
        time: String,
        #[serde(rename = "PRIORITY")]
        priority: Option<Value>,
        #[serde(rename = "SYSLOG_IDENTIFIER")]
        identifier: Option<Value>,
        #[serde(rename = "_COMM")]
        command: Option<Value>,
        #[serde(rename = "MESSAGE")]
        message: Option<Value>,
    }
    let object: Object = serde_json::from_slice(object).ok()?;
    Some(Line {
        time: object.time.parse().ok()?,
        // What tells none is informational.
        priority: text(object.priority).parse().unwrap_or(6),
        identifier: text(object.identifier.or(object.command)),
        message: text(object.message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        assert_eq!(parse("unit=ssh.service").unwrap(), ("ssh.service".into(), 100));
        assert_eq!(parse("lines=5&unit=user%40501.service").unwrap(), ("user@501.service".into(), 5));
        assert_eq!(parse("unit=dev-disk%5Cx2d.device&").unwrap().0, "dev-disk\\x2d.device");
        for query in [
            "",
            "unit=",
            "unit=ssh",
            "unit=.service",
            "unit=ssh.",
            "unit=system.slice",
            "unit=-M.service",
            "unit=*.service",
            "unit=a%00.service",
            "unit=a%2Fb.service",
            "unit=%zz.service",
            "unit=%+1.service",
            "unit=a%2",
            "unit=ssh.service&lines=0",
            "unit=ssh.service&lines=1001",
            "unit=ssh.service&lines=-1",
            "unit=ssh.service&lines=all",
            "unit=ssh.service&boot=1",
            "unit",
        ] {
            assert_eq!(parse(query).unwrap_err().status, 400, "{query}");
        }
    }

    #[test]
    fn messages_of_every_form() {
        let read = |text: &str| line(text.as_bytes());
        let object = r#"{"__REALTIME_TIMESTAMP":"12","PRIORITY":"3","SYSLOG_IDENTIFIER":"a","MESSAGE":"b"}"#;
        let expected = Line { time: 12, priority: 3, identifier: "a".into(), message: "b".into() };
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
