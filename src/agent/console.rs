//! The verdict as a line on `/dev/hvc0`: the console that podman's host keeps, where it has no vsock port for us.

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::health::{self, Health};
use crate::fd;

const CONSOLE: &str = "/dev/hvc0";
/// The last line, after the second of the boot in which it was shown.
const STATE: &str = "/run/glowplug/console";
/// A line that does not change is shown again after so many seconds.
const HOUR: u64 = 3600;
/// The longest line, in characters.
const LONGEST: usize = 400;

/// Shows the line if it has changed, or an hour has passed.
///
/// # Errors
/// errno of the console or of the file that keeps the last line.
pub fn show() -> Result<(), Errno> {
    let health = Health::read(health::PATIENT);
    let mut line: String = format!("glowplug: health: {}", health.line())
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
    }
    let last = match fd::read_text(STATE) {
        Ok(last) => last,
        Err(Errno::NOENT) => String::new(),
        Err(errno) => return Err(errno),
    };
    if !is_due(&last, &line, health.uptime) {
        return Ok(());
    }
    write(&line)?;
    let text = format!("{} {line}\n", health.uptime);
    fd::replace(Path::new(STATE), Path::new("/run/glowplug/console.new"), &text)
}

fn is_due(last: &str, line: &str, now: u64) -> bool {
    let Some((then, last)) = last.trim_end().split_once(' ') else { return true };
    let then: u64 = then.parse().unwrap_or(0);
    last != line || now.saturating_sub(then) >= HOUR
}

#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
fn write(line: &str) -> Result<(), Errno> {
    // A console that nobody reads must not hold this up.
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let console = rustix::fs::open(Path::new(CONSOLE), flags, Mode::empty())?;
    let line = format!("{line}\r\n");
    match rustix::io::write(&console, line.as_bytes())? {
        count if count == line.len() => Ok(()),
        _ => Err(Errno::AGAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_when_it_changes_and_hourly() {
        assert!(is_due("", "ok", 5));
        assert!(is_due("broken", "ok", 5));
        assert!(!is_due("5 ok\n", "ok", 5));
        assert!(!is_due("5 ok\n", "ok", 3604));
        assert!(is_due("5 ok\n", "ok", 3605));
        assert!(is_due("5 ok\n", "failed: it is", 6));
        assert!(is_due("5 failed: it is\n", "failed: it was", 6));
    }
}
