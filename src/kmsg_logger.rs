//! The log: `/dev/kmsg` in the initramfs, standard error elsewhere.
//!
//! Facts about `/dev/kmsg`, from the kernel's `Documentation/ABI/testing/dev-kmsg` and from measurements:
//!
//! - A descriptor is limited to ten records, so each record gets a descriptor of its own.
//! - A record of more than 1,024 bytes is refused.
//! - A record without a final newline is held back.
//! - A newline inside a record would start another one, without a priority.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use heapless::String;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::fd;

/// The most bytes of the text of a record. The rest of 1,024 is for its prefix.
const RECORD: usize = 960;

/// The target of records with a finding of the report on a config.
pub const REPORT: &str = "report";
/// The target of records of the level "notice", which the `log` crate does not have.
pub const NOTICE: &str = "notice";

struct Kmsg;
struct Stderr;

/// Logs to `/dev/kmsg` with the facility daemon, or to standard error if that cannot be opened.
pub fn to_kmsg(level: LevelFilter) {
    install(if open_kmsg().is_ok() { &Kmsg } else { &Stderr }, level);
}

/// Logs to standard error.
pub fn to_stderr(level: LevelFilter) {
    install(&Stderr, level);
}

fn install(logger: &'static dyn Log, level: LevelFilter) {
    // This fails only in a second call, which leaves the first logger in place.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
fn open_kmsg() -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).open("/dev/kmsg")
}

/// The text of a record. It is cut at the end of the buffer, and has spaces for control characters.
struct RecordText(String<RECORD>);

impl fmt::Write for RecordText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = if character.is_control() { ' ' } else { character };
            // The error ends the formatting of a message that does not fit: a name can be megabytes long.
            self.0.push(character).map_err(|()| fmt::Error)?;
        }
        Ok(())
    }
}

/// Returns the text of `record`.
fn record_text(record: &Record<'_>) -> RecordText {
    let mut text = RecordText(String::new());
    // An error is no failure: the text is full, or a value could not be formatted, and what has been written is shown.
    let _ = text.write_fmt(*record.args());
    text
}

impl Log for Kmsg {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Facility daemon (3) times eight plus the severity of syslog(3).
        let priority = match record.level() {
            Level::Error => 27,
            Level::Warn => 28,
            Level::Info => 30,
            Level::Debug | Level::Trace => 31,
        };
        let mut text: String<1024> = String::new();
        let _ = writeln!(text, "<{priority}>glowplug: {}", record_text(record).0);
        // A failure is ignored, because there is no other log to report it to.
        if let Ok(mut kmsg) = open_kmsg() {
            let _ = kmsg.write_all(text.as_bytes());
        }
    }

    fn flush(&self) {}
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            // A finding begins with its severity already.
            _ if record.target() == REPORT => "",
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        fd::print_error(&["glowplug: ", level, &record_text(record).0].concat());
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_one_bounded_line() {
        let long = "x".repeat(5000);
        let text = record_text(&Record::builder().args(format_args!("a\nb\u{1b}[0m{long}")).build()).0;
        assert!(text.starts_with("a b [0mx"), "{text}");
        assert!(text.len() <= RECORD);
        assert!(!text.contains('\n'));
    }

    /// A message of megabytes costs no more than the part that is shown.
    #[test]
    fn what_does_not_fit_is_not_formatted() {
        struct Long(std::cell::Cell<usize>);
        impl fmt::Display for Long {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for _ in 0..1_000_000 {
                    self.0.set(self.0.get() + 1);
                    f.write_str("xx")?;
                }
                Ok(())
            }
        }
        let long = Long(std::cell::Cell::new(0));
        let length = record_text(&Record::builder().args(format_args!("{long}")).build()).0.len();
        assert_eq!((length, long.0.get()), (RECORD, RECORD / 2 + 1));
    }
}
