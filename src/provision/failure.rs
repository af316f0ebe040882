//! What the person in front of a machine that does not start gets to read.

use std::fs::File;
use std::io::{ErrorKind, Write as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Error, shorten};

/// The block fits a console of 80 columns with room to spare.
const COLUMNS: usize = 76;
/// The most bytes of a block, so that a slow serial line shows it at once: 0.2 s at 115,200 baud.
const MOST_BYTES: usize = 2048;
/// The most bytes of one failure in a block that has several to tell.
const MOST_OF_SEVERAL: usize = 300;
/// The most bytes of an advice.
const MOST_ADVICE: usize = 450;

/// How long a console may take nothing: a serial line is slow, one without a peer stands still.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Tells `error` in the kernel's log, and as one block on every console of the kernel.
pub(super) fn report(error: &Error) {
    for line in error.lines(true) {
        log::error!("provisioning failed: {line}");
    }
    let block = block(error);
    for line in block.lines() {
        log::debug!("{line}");
    }
    for console in consoles(&crate::fd::read_text("/proc/consoles").unwrap_or_default()) {
        // A console that cannot be written to is one of several, and the kernel's log has it all.
        if let Ok(device) = open_console(console) {
            write(&device, block.replace('\n', "\r\n").as_bytes());
        }
    }
}

/// Writes `bytes` as fast as `device` takes them, and gives up on one that takes none for a while.
fn write(mut device: &File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match device.write(bytes) {
            Ok(count) if count > 0 => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(&device, PollFlags::OUT)], Some(&PATIENCE)) {
                    Ok(1..) => {}
                    _ => return,
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a device of the running system, not a path of the root")]
fn open_console(name: &str) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A serial line without a peer must not hold up the boot.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    std::fs::OpenOptions::new().write(true).custom_flags(flags).open(format!("/dev/{name}"))
}

/// The device names of the consoles that can be written to: `ttyS0 -W- (EC p a) 4:64`.
fn consoles(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let can_write = words.next()?.contains('W');
        (can_write && !name.contains('/')).then_some(name)
    })
}

/// Returns the block: the failures as far as they fit, and what to do about the first.
fn block(error: &Error) -> String {
    let rule = "=".repeat(COLUMNS);
    let mut lines = vec![String::new(), rule.clone()];
    lines.extend(wrap(&format!("glowplug: provisioning failed: {}", error.reason().word())));
    let mut end = wrap(&format!("What to do:   {}", shorten(error.advice().to_owned(), MOST_ADVICE)));
    end.extend(wrap("More:         dmesg shows the log; glowplug(8) explains each reason."));
    end.push(rule);

    let mut left = error.all().count().saturating_add(error.untold());
    let most = if left > 1 { MOST_OF_SEVERAL } else { usize::MAX };
    let room = MOST_BYTES.saturating_sub(size(&end)).saturating_sub(COLUMNS);
    let mut label = "What failed:  ";
    for error in error.all() {
        let failure = wrap(&format!("{label}{}", shorten(error.text().to_owned(), most)));
        if size(&lines).saturating_add(size(&failure)) > room {
            break;
        }
        lines.extend(failure);
        left = left.saturating_sub(1);
        label = "- ";
    }
    if left > 0 {
        lines.push(format!("- and {left} more"));
    }
    lines.extend(end);
    lines.join("\n") + "\n"
}

/// How many bytes `lines` take on a console, where each ends with a carriage return and a newline.
fn size(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len().saturating_add(2)).sum()
}

/// Breaks `text` at spaces, words that are too long anywhere; control characters become spaces.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut width: usize = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && length <= COLUMNS && width.saturating_add(length).saturating_add(1) > COLUMNS {
            lines.push(std::mem::take(&mut line));
            width = 0;
        } else if !line.is_empty() || width > 0 {
            line.push(' ');
            width = width.saturating_add(1);
        }
        for character in word.chars() {
            if width == COLUMNS {
                lines.push(std::mem::take(&mut line));
                width = 0;
            }
            line.push(if character.is_control() { ' ' } else { character });
            width = width.saturating_add(1);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Problems, Reason};

    #[test]
    fn the_block_keeps_to_its_columns() {
        let long = format!("{} and words {}\nsecond line", "x".repeat(200), "ä ".repeat(100));
        for reason in [Reason::NoHost, Reason::Conflict, Reason::RootIo] {
            let block = block(&Error::new(reason, long.clone()));
            assert!(block.lines().all(|line| line.chars().count() <= COLUMNS), "{block}");
            assert!(block.contains(reason.word()), "{block}");
        }
    }

    #[test]
    fn the_block_is_bounded_whatever_the_names_are() {
        for name in ["x".repeat(20 << 20), "\u{1f6a7}".repeat(5 << 20), "a ".repeat(1 << 20)] {
            let error = Error::new(Reason::Account, format!("user {name:?}: there is no group"))
                .at(&"$.passwd.users.0")
                .advise("Add the group. ".repeat(1000));
            let block = block(&error);
            assert!(block.replace('\n', "\r\n").len() <= MOST_BYTES, "{}", block.len());
            assert!(block.contains("What failed:  $.passwd.users.0: user"), "{block}");
            assert!(block.contains("there is no group"), "{block}");
            assert!(block.contains("What to do:   Add the group."), "{block}");
        }
    }

    #[test]
    fn the_block_tells_all_failures_that_fit() {
        let mut problems = Problems::default();
        for index in 0..3 {
            problems.add(Error::new(
                Reason::Conflict,
                format!("$.storage.files.{index}: a file exists there already"),
            ));
        }
        let text = block(&problems.finish().unwrap_err());
        let expected = "What failed:  $.storage.files.0: a file exists there already\n\
                        - $.storage.files.1: a file exists there already\n\
                        - $.storage.files.2: a file exists there already\nWhat to do:";
        assert!(text.contains(expected), "{text}");

        let mut problems = Problems::default();
        for number in 0..1000 {
            problems.add(Error::new(Reason::Conflict, format!("/{number}/{} in-the-way", "x".repeat(500))));
        }
        let text = block(&problems.finish().unwrap_err());
        assert!(text.replace('\n', "\r\n").len() <= MOST_BYTES, "{}", text.len());
        let told = text.matches("in-the-way").count();
        assert!(told > 2 && text.contains(&format!("- and {} more\nWhat to do:", 1000 - told)), "{text}");
    }

    /// A full line takes the rest when somebody reads it, and one that nobody reads is given up.
    #[test]
    fn a_slow_console_gets_the_whole_block() {
        use std::io::Read as _;
        use std::os::fd::OwnedFd;
        for is_read in [true, false] {
            let (writer, mut reader) = std::os::unix::net::UnixStream::pair().unwrap();
            writer.set_nonblocking(true).unwrap();
            let bytes = vec![b'x'; 1_000_000];
            let length = bytes.len();
            let writer = std::thread::spawn(move || write(&File::from(OwnedFd::from(writer)), &bytes));
            let mut got = Vec::new();
            if is_read {
                std::thread::sleep(std::time::Duration::from_millis(300));
                reader.read_to_end(&mut got).unwrap();
                assert_eq!(got.len(), length);
            }
            writer.join().unwrap();
        }
    }

    #[test]
    fn consoles_are_those_that_can_be_written_to() {
        let text = "ttyS0                -W- (EC p a)    4:64\ntty0                 -WU (E  p  )    4:1\n\
                    netcon0              --- (E   p)\n";
        assert_eq!(consoles(text).collect::<Vec<_>>(), ["ttyS0", "tty0"]);
    }
}
