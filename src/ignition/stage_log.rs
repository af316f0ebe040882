//! The log of the reference's programs: `INFO     : text` on standard output, or syslog records with the identifier
//! `ignition`, which other programs look for.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::error::io_words;
use crate::fd;
use crate::kmsg_logger::NOTICE;

/// The socket of syslog(3).
const SYSLOG: &str = "/dev/log";
/// The socket for journal entries with fields (systemd's "Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";
/// How long a log may take nothing before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The levels of the reference, with their numbers in syslog(3).
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

/// The most bytes of a record that are sent to syslog. A longer datagram might be refused, which would end the use of syslog.
const RECORD: usize = 8 << 10;

struct Logger {
    /// The socket to syslog; `None` for standard output.
    syslog: Mutex<Option<UnixDatagram>>,
    /// The stage that is at work, for the prefix of each record; empty for none.
    stage: Mutex<&'static str>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Installs this log. It goes to syslog, unless `to_stdout` or if syslog cannot be reached.
pub fn install(to_stdout: bool) {
    let opened = if to_stdout { Ok(None) } else { open_syslog().map(Some) };
    let (syslog, refused) = match opened {
        Ok(syslog) => (syslog, None),
        Err(error) => (None, Some(error)),
    };
    let logger = LOGGER.get_or_init(|| Logger { syslog: Mutex::new(syslog), stage: Mutex::new("") });
    // This fails only in a second call, which leaves the first logger in place.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    if let Some(error) = refused {
        logger.write(SyslogLevel::Error, &format!("unable to open syslog: {SYSLOG}: {}", io_words(&error)));
    }
}

/// Puts the stage's name before every record from now on. An empty name ends that.
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
        // A failure is ignored, because there is no other log to report it to.
        let _ = fd::print(&format!("{:<9}: {text}\n", severity.word()));
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

/// Adds an entry with fields to the journal, if there is one. `fields` are names and values.
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

/// Returns a socket that is not connected. Each record names its target, so records also arrive after a restart of the log.
fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Returns `text` with spaces for its control characters.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
