//! The log: records to `/dev/kmsg` in the initramfs, to standard error elsewhere.
//!
//! Facts of `/dev/kmsg` (kernel `Documentation/ABI/testing/dev-kmsg`, and measured): a descriptor is rate
//! limited to ten records, so each record gets its own; a record over 1,024 bytes is refused; without a final
//! newline it is held back; an inner newline would start a record without a priority.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use heapless::String;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Room for the text of one record beside its prefix.
const RECORD: usize = 960;

/// The target of what the report on a config says.
pub const REPORT: &str = "report";
/// The target of records of the level "notice", which the `log` crate does not have.
pub const NOTICE: &str = "notice";

struct Kmsg;
struct Stderr;

/// Logs to `/dev/kmsg` as facility daemon, or to standard error where that cannot be opened.
pub fn to_kmsg(level: LevelFilter) {
    install(if open_kmsg().is_ok() { &Kmsg } else { &Stderr }, level);
}

/// Logs to standard error.
pub fn to_stderr(level: LevelFilter) {
    install(&Stderr, level);
}

fn install(logger: &'static dyn Log, level: LevelFilter) {
    // The one failure is a second call, which leaves the first logger in place.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
fn open_kmsg() -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).open("/dev/kmsg")
}

/// Text cut at the end of the buffer and free of control characters.
struct RecordText(String<RECORD>);

impl fmt::Write for RecordText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = if character.is_control() { ' ' } else { character };
            // What does not fit is not formatted either: a name can be megabytes long.
            self.0.push(character).map_err(|()| fmt::Error)?;
        }
        Ok(())
    }
}

fn record_text(record: &Record<'_>) -> RecordText {
    let mut text = RecordText(String::new());
    // An error means that the text is full, or that what was written until then is all that there is.
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
        // Nothing is left to tell it to if the log itself cannot be written.
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
            // A finding begins with the word itself.
            _ if record.target() == REPORT => "",
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        let _ = writeln!(std::io::stderr(), "glowplug: {level}{}", record_text(record).0);
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
