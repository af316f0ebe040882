//! Writes the health verdict as one line to `/dev/hvc0`. podman's host records this console, also where it offers the
//! machine no vsock port.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::health::{self, Health};
use super::text;
use crate::{console, fd};

const CONSOLE: &str = "/dev/hvc0";
/// The last line that was shown, with the uptime in seconds at that time before it.
const STATE: &str = "/run/glowplug/console";
/// The number of seconds after which an unchanged line is shown again.
const HOUR: u64 = 3600;
/// The longest line, in characters.
const LONGEST: usize = 400;
/// How long to wait for a console that takes no more bytes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows the line if it has changed, or if an hour has passed since it was shown.
///
/// # Errors
/// The errno of the console, or of the file that keeps the last line.
pub fn show() -> Result<(), Errno> {
    let health = Health::read(health::PATIENT);
    let mut line = format!("glowplug: health: {}", health.line());
    text::cut(&mut line, LONGEST);
    let last = match fd::read_text(STATE) {
        Ok(last) => last,
        Err(Errno::NOENT) => String::new(),
        Err(errno) => return Err(errno),
    };
    if !is_due(&last, &line, health.uptime) {
        return Ok(());
    }
    // A login prompt may stand on the last line of the console, so the line begins with a newline.
    console::write(Path::new(CONSOLE), &format!("\n{line}\n"), PATIENCE)?;
    let text = format!("{} {line}\n", health.uptime);
    fd::replace(Path::new(STATE), Path::new("/run/glowplug/console.new"), &text)
}

fn is_due(last: &str, line: &str, now: u64) -> bool {
    let Some((then, last)) = last.trim_end().split_once(' ') else { return true };
    let then: u64 = then.parse().unwrap_or(0);
    last != line || now.saturating_sub(then) >= HOUR
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
