//! Writes the health verdict as one line to `/dev/hvc0`. podman's host records this console, also where it offers the
//! machine no vsock port.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::deadline::Deadline;
use super::health::{self, Health};
use super::text;
use crate::fd;

const CONSOLE: &str = "/dev/hvc0";
/// The last line that was shown, with the uptime in seconds at that time before it.
const STATE: &str = "/run/glowplug/console";
/// The number of seconds after which an unchanged line is shown again.
const HOUR: u64 = 3600;
/// The longest line, in characters.
const LONGEST: usize = 400;
/// How long to wait for a console that takes no more bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

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
    // Without NONBLOCK a console that nobody reads would block this program.
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let console = rustix::fs::open(Path::new(CONSOLE), flags, Mode::empty())?;
    // The line break in front ends a login prompt, which has no line end of its own.
    write_all(console.as_fd(), &format!("\r\n{line}\r\n"), Deadline::after(PATIENCE))
}

fn write_all(console: BorrowedFd<'_>, text: &str, deadline: Deadline) -> Result<(), Errno> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(console, rest) {
            Ok(0) | Err(Errno::AGAIN) => std::thread::sleep(deadline.left()?.min(PAUSE)),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_full_console_is_waited_for_and_not_without_end() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        // This is more than the kernel buffers for a slow reader.
        let text = "line\r\n".repeat(500_000);
        let short = Deadline::after(Duration::from_millis(60));
        assert_eq!(write_all(writer.as_fd(), &text, short), Err(Errno::TIMEDOUT));
        let mut read = String::new();
        std::thread::scope(|scope| {
            let text = &text;
            let written = scope
                .spawn(move || write_all(writer.as_fd(), text, Deadline::after(Duration::from_secs(60))));
            reader.read_to_string(&mut read).unwrap();
            assert_eq!(written.join().unwrap(), Ok(()));
        });
        assert!(read.ends_with(&text));
    }

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
