//! The log of the stages as the reference writes it: `INFO     : text` on standard output, or records of the
//! identifier `ignition` in the system's log, which other programs look for there.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::error::io_words;
use crate::kmsg_logger::NOTICE;

/// Where syslog(3) listens.
const SYSLOG: &str = "/dev/log";
/// Where journald takes entries with fields (systemd's "Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";
/// A log that takes no more is given up after so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The reference's levels that are used here, with their numbers in syslog(3).
#[derive(Clone, Copy)]
enum SyslogLevel {
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl SyslogLevel {
    fn word(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// As many bytes of a record reach syslog: what a datagram does not hold would end it.
const RECORD: usize = 8 << 10;

struct Logger {
    /// `None` for standard output.
    syslog: Mutex<Option<UnixDatagram>>,
    /// The stage that has begun its work.
    stage: Mutex<&'static str>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Logs to standard output, or to syslog and only where that cannot be reached to standard output.
pub fn install(to_stdout: bool) {
    let opened = if to_stdout { Ok(None) } else { open_syslog().map(Some) };
    let (syslog, refused) = match opened {
        Ok(syslog) => (syslog, None),
        Err(error) => (None, Some(error)),
    };
    let logger = LOGGER.get_or_init(|| Logger { syslog: Mutex::new(syslog), stage: Mutex::new("") });
    // The one failure is a second call, which leaves the first logger in place.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    if let Some(error) = refused {
        logger.write(SyslogLevel::Error, &format!("unable to open syslog: {SYSLOG}: {}", io_words(&error)));
    }
}

/// Every record is from now on preceded by the stage's name; an empty one ends that.
pub fn set_stage(name: &'static str) {
    if let Some(logger) = LOGGER.get() {
        *logger.stage.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }
}

fn open_syslog() -> io::Result<UnixDatagram> {
    UnixDatagram::unbound()?.connect(SYSLOG)?;
    socket()
}

impl Logger {
    fn write(&self, severity: SyslogLevel, text: &str) {
        let mut syslog = self.syslog.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = &*syslog {
            // Facility daemon (3) times eight.
            let priority = (severity as u8) | (3 << 3);
            let end = (0..=RECORD.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let text = text.get(..end).unwrap_or_default();
            let record = format!("<{priority}>ignition[{}]: {text}", std::process::id());
            if socket.send_to(record.as_bytes(), SYSLOG).is_ok() {
                return;
            }
            *syslog = None;
        }
        // Nothing is left to tell it to if this cannot be written either.
        let _ = writeln!(io::stdout(), "{:<9}: {text}", severity.word());
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let severity = match record.level() {
            Level::Error => SyslogLevel::Critical,
            Level::Warn => SyslogLevel::Warning,
            Level::Info if record.target() == NOTICE => SyslogLevel::Notice,
            Level::Info => SyslogLevel::Info,
            Level::Debug | Level::Trace => SyslogLevel::Debug,
        };
        let mut text = String::new();
        let stage = *self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if !stage.is_empty() {
            text.push_str(stage);
            text.push_str(": ");
        }
        // Writing into a string cannot fail.
        let _ = text.write_fmt(*record.args());
        self.write(severity, &one_line(&text));
    }

    fn flush(&self) {}
}

/// An entry with fields in the journal, where there is one.
pub fn journal(message: &str, fields: &[(&str, &str)]) {
    let mut entry = format!("MESSAGE={}\nPRIORITY=6\nSYSLOG_IDENTIFIER=ignition\n", one_line(message));
    for (name, value) in fields {
        // Writing into a string cannot fail.
        let _ = writeln!(entry, "{name}={}", one_line(value));
    }
    match socket().and_then(|socket| socket.send_to(entry.as_bytes(), JOURNAL)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::info!("failed to log systemd journal entry: {}", io_words(&error));
        }
        _ => {}
    }
}

/// A socket that is not connected: each record finds its way anew, also after the log was started again.
fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Control characters become spaces.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
