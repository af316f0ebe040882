//! The failure block: what a person in front of a machine that does not start reads on its consoles.

use std::path::Path;
use std::time::Duration;

use crate::console;
use crate::error::{Error, shorten};
use crate::fd::read_text;

/// The width of the block in characters. It fits a console of 80 columns.
const COLUMNS: usize = 76;
/// The most bytes of a block. A serial line of 115,200 baud shows them within 0.2 s.
const MOST_BYTES: usize = 2048;
/// The most bytes of one failure in a block that shows several.
const MOST_OF_SEVERAL: usize = 300;
/// The most bytes of the advice.
const MOST_ADVICE: usize = 450;

/// How long a console may accept no bytes before it is given up. A serial line without a peer never accepts any.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes `error` to the kernel's log, and as a block to every console of the kernel.
pub(super) fn report(error: &Error) {
    for line in error.lines(true) {
        log::error!("provisioning failed: {line}");
    }
    let block = block(error);
    for line in block.lines() {
        log::debug!("{line}");
    }
    show(&block);
}

/// Writes `text` to every console of the kernel. A console that takes nothing is given up.
pub(super) fn show(text: &str) {
    for name in consoles(&read_text("/proc/consoles").unwrap_or_default()) {
        // A failure is ignored: there may be other consoles, and the kernel's log has everything.
        let _ = console::write(&Path::new("/dev").join(name), text, PATIENCE);
    }
}

/// Tells people at the consoles how far a download is. The log gets it only with `glowplug.debug`, so that no console shows
/// it twice.
pub(super) fn tell(line: &str) {
    log::debug!("{line}");
    let line = format!("glowplug: {}\n", line.replace(char::is_control, " "));
    for name in consoles(&read_text("/proc/consoles").unwrap_or_default()) {
        // A console that accepts no bytes must not hold up the download.
        let _ = console::write(&Path::new("/dev").join(name), &line, Duration::ZERO);
    }
}

/// Returns the device names of the consoles that can be written to. A line of /proc/consoles is `ttyS0 -W- (EC p a) 4:64`.
fn consoles(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let can_write = words.next()?.contains('W');
        (can_write && !name.contains('/')).then_some(name)
    })
}

/// Returns the block: as many failures as fit, and the advice for the first.
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

/// Returns how many bytes `lines` take on a console, where each line ends with a carriage return and a newline.
fn size(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len().saturating_add(2)).sum()
}

/// Breaks `text` at spaces into lines of at most [`COLUMNS`] characters. A word that is longer than a line is broken
/// anywhere. Control characters become spaces.
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

    #[test]
    fn consoles_are_those_that_can_be_written_to() {
        let text = "ttyS0                -W- (EC p a)    4:64\ntty0                 -WU (E  p  )    4:1\n\
                    netcon0              --- (E   p)\n";
        assert_eq!(consoles(text).collect::<Vec<_>>(), ["ttyS0", "tty0"]);
    }
}
