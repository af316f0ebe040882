//! Writing to a console of the running system, which may be slow or stand still.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::deadline::Deadline;

/// How long to wait before the next try when the console takes nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes `text` to the console at `path`, each newline as a carriage return and a newline.
///
/// # Errors
/// errno of open(2) or write(2); `ETIMEDOUT` if the console takes nothing for as long as `patience`.
#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
pub fn write(path: &Path, text: &str, patience: Duration) -> Result<(), Errno> {
    // Without NONBLOCK, a serial line without a peer would hold up the program.
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let console = rustix::fs::open(path, flags, Mode::empty())?;
    write_all(console.as_fd(), text.replace('\n', "\r\n").as_bytes(), patience)
}

fn write_all(console: BorrowedFd<'_>, mut bytes: &[u8], patience: Duration) -> Result<(), Errno> {
    let mut deadline = Deadline::after(patience);
    while !bytes.is_empty() {
        match rustix::io::write(console, bytes) {
            // The console is full, or another program is writing to it.
            Ok(0) | Err(Errno::AGAIN) => std::thread::sleep(deadline.left()?.min(PAUSE)),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                deadline = Deadline::after(patience);
            }
            Err(Errno::INTR) => {}
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

    /// A console that is full takes the rest once somebody reads it. One that nobody reads is given up.
    #[test]
    fn a_full_console_is_waited_for_and_not_without_end() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        // More than the kernel keeps for a reader that is late.
        let text = "line\r\n".repeat(500_000);
        let short = Duration::from_millis(60);
        assert_eq!(write_all(writer.as_fd(), text.as_bytes(), short), Err(Errno::TIMEDOUT));
        let mut read = String::new();
        std::thread::scope(|scope| {
            let bytes = text.as_bytes();
            let written = scope.spawn(move || write_all(writer.as_fd(), bytes, Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(100));
            reader.read_to_string(&mut read).unwrap();
            assert_eq!(written.join().unwrap(), Ok(()));
        });
        assert!(read.ends_with(&text));
    }

    #[test]
    fn lines_end_with_a_carriage_return() {
        let path = std::env::temp_dir().join(format!("glowplug-console-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        write(&path, "\none\ntwo\n", Duration::ZERO).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\r\none\r\ntwo\r\n");
        std::fs::remove_file(&path).unwrap();
    }
}
