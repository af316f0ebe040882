//! GRUB's `grub.cfg`: the commands that start a kernel.
//!
//! The file is a script. Only its words are read, nothing is evaluated. In a file that `grub-mkconfig` has written, comments
//! say which script a command is from. Commands of other scripts than those for Linux are left alone, as `update-grub` would
//! leave them: they start other systems.

use std::ops::Range;

use super::wanted::{Edit, apply};
use super::{BootFiles, Wanted};
use crate::error::Result;

/// The comments of `grub-mkconfig` around the commands of one of its scripts, and the word in the names of those for Linux.
const BEGIN: &[u8] = b"### BEGIN /etc/grub.d/";
const END: &[u8] = b"### END /etc/grub.d/";
const LINUX: &[u8] = b"linux";

/// What is in a `grub.cfg`.
#[derive(Debug, Default)]
pub(super) struct GrubConfig {
    /// The text with the wanted words; `None` if it has them already.
    pub edited: Option<Vec<u8>>,
    /// How many commands start a kernel.
    pub kernels: usize,
    /// What the first of them starts.
    pub first: Option<BootFiles>,
    /// Whether the file makes another entry than the first the default.
    pub has_other_default: bool,
}

/// Reads the `text` of a `grub.cfg` and edits each command that starts a kernel, those for recovery too.
///
/// # Errors
/// Those of [`Wanted::edit`].
pub(super) fn read(text: &[u8], wanted: &Wanted<'_>) -> Result<GrubConfig> {
    let mut lexer = Lexer { text, at: 0, is_foreign: false };
    let mut found = GrubConfig::default();
    let mut edits: Vec<Edit> = Vec::new();
    while let Some(words) = lexer.command() {
        let word =
            |index: usize| words.get(index).and_then(|word| text.get(word.clone())).unwrap_or_default();
        let first = (0..words.len()).find(|index| !matches!(word(*index), b"then" | b"else" | b"do"));
        let first = first.unwrap_or(0);
        let argument = word(first.saturating_add(1));
        match word(first) {
            b"linux" | b"linuxefi" | b"linux16" if !lexer.is_foreign && !argument.is_empty() => {
                found.kernels = found.kernels.saturating_add(1);
                if found.kernels == 1 {
                    found.first = Some(BootFiles { kernel: unquoted(argument), initrd: None });
                }
                let list = words.get(first.saturating_add(2)..).unwrap_or_default();
                let before = words.get(first.saturating_add(1)).map_or(0, |word| word.end);
                wanted.edit(text, before, list, &mut edits)?;
            }
            b"initrd" | b"initrdefi" | b"initrd16" if found.kernels == 1 => {
                let last = words.len().saturating_sub(1);
                if let Some(first) = found.first.as_mut().filter(|_| last > first) {
                    first.initrd = Some(unquoted(word(last)));
                }
            }
            b"set" => {
                if let Some(value) = argument.strip_prefix(b"default=") {
                    let value = unquoted(value);
                    found.has_other_default |= value != "0" && !value.starts_with('$');
                }
            }
            _ => {}
        }
    }
    found.edited = apply(text, &edits);
    Ok(found)
}

/// Returns a word without its quotes.
fn unquoted(word: &[u8]) -> String {
    String::from_utf8_lossy(word).replace(['"', '\'', '\\'], "")
}

/// Splits a script into commands, and these into words. Ends at a quote that nothing ends, as GRUB does.
struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    /// Whether a script that is not for Linux has written what comes now.
    is_foreign: bool,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at.saturating_add(ahead)).copied()
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.text.len());
    }

    /// Returns the words of the next command; `None` at the end of the text.
    fn command(&mut self) -> Option<Vec<Range<usize>>> {
        let mut words = Vec::new();
        loop {
            match self.peek(0) {
                None => return (!words.is_empty()).then_some(words),
                Some(b' ' | b'\t' | b'\r') => self.skip(1),
                // The line goes on.
                Some(b'\\') if self.peek(1) == Some(b'\n') => self.skip(2),
                Some(b'#') => self.comment(),
                Some(byte) if ends_command(byte) => {
                    self.skip(1);
                    if !words.is_empty() {
                        return Some(words);
                    }
                }
                Some(_) => words.push(self.word()?),
            }
        }
    }

    fn comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.starts_with(BEGIN) {
            self.is_foreign = !line.windows(LINUX.len()).any(|part| part == LINUX);
        } else if line.starts_with(END) {
            self.is_foreign = false;
        }
        self.skip(line.len());
    }

    /// Returns the word that begins here; `None` if its quotes are not closed.
    fn word(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        // What ends the quoted part, or the `${name}`, that the word is in.
        let mut quote = None;
        while let Some(byte) = self.peek(0) {
            match (quote, byte) {
                (None | Some(b'"'), b'\\') => {
                    self.peek(1)?;
                    self.skip(1);
                }
                (Some(end), _) if end == byte => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'$') if self.peek(1) == Some(b'{') => {
                    quote = Some(b'}');
                    self.skip(1);
                }
                (None, b' ' | b'\t' | b'\r') => break,
                (None, _) if ends_command(byte) => break,
                _ => {}
            }
            self.skip(1);
        }
        quote.is_none().then_some(start..self.at)
    }
}

/// Returns whether `byte` ends a command outside of quotes. Braces stand around the commands of an entry.
fn ends_command(byte: u8) -> bool {
    matches!(byte, b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'{' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of the test root, in the shape that `grub-mkconfig` writes: two kernels, entries for recovery, another system.
    fn debian() -> String {
        let manifest = include_str!("../../tests/cases/roots/grub");
        let (_, text) = manifest.split_once("/boot/grub/grub.cfg\n").unwrap();
        text.lines().flat_map(|line| [line.get(2..).unwrap_or_default(), "\n"]).collect()
    }

    fn edit(text: &str, wanted: &str) -> GrubConfig {
        read(text.as_bytes(), &Wanted::parse(wanted)).unwrap()
    }

    fn edited(text: &str, wanted: &str) -> String {
        String::from_utf8(edit(text, wanted).edited.unwrap()).unwrap()
    }

    /// The lines of `text` that are not in `other`.
    fn changed<'t>(text: &'t str, other: &str) -> Vec<&'t str> {
        text.lines()
            .zip(other.lines())
            .filter(|(one, other)| one != other)
            .map(|(one, _)| one.trim())
            .collect()
    }

    #[test]
    fn every_entry_for_linux_is_edited_and_no_other() {
        let debian = debian();
        let text = edited(&debian, "+a=1 +b -quiet");
        let kernel = |version: &str, rest: &str| {
            format!("linux\t/boot/vmlinuz-{version} root=UUID=0a3b1c2d-8e0f-4a57-9b1e-1f2e3d4c5b6a ro {rest}")
        };
        let [new, old] = ["6.12.48+deb13-amd64", "6.12.43+deb13-amd64"];
        assert_eq!(
            changed(&text, &debian),
            [
                kernel(new, "console=ttyS0 a=1 b"),
                kernel(new, "console=ttyS0 a=1 b"),
                kernel(new, "single console=ttyS0 a=1 b"),
                kernel(old, "console=ttyS0 a=1 b"),
                kernel(old, "single console=ttyS0 a=1 b"),
            ]
        );
        assert_eq!(text.lines().count(), debian.lines().count());
        assert!(edit(&text, "+a=1 +b -quiet").edited.is_none(), "a second time it is so already");
    }

    #[test]
    fn the_first_entry_tells_kernel_and_initramfs() {
        let found = edit(&debian(), "");
        let first = found.first.unwrap();
        assert_eq!(first.kernel, "/boot/vmlinuz-6.12.48+deb13-amd64");
        assert_eq!(first.initrd.as_deref(), Some("/boot/initrd.img-6.12.48+deb13-amd64"));
        assert_eq!((found.kernels, found.has_other_default), (5, false));
        let other = debian().replace("set default=\"0\"", "set default=\"gnulinux-advanced>x\"");
        assert!(edit(&other, "").has_other_default);
        let found = edit("linux /k\ninitrd /microcode.img \"/i\"\nlinux /l\ninitrd /j", "").first.unwrap();
        assert_eq!(found, BootFiles { kernel: "/k".into(), initrd: Some("/i".into()) });
    }

    #[test]
    fn hand_written_files_are_edited_in_place() {
        for (before, after) in [
            (
                "linux /vmlinuz root=UUID=x ro console=tty0\ninitrd /initrd.img\nboot\n",
                "linux /vmlinuz root=UUID=x ro console=tty0 a\ninitrd /initrd.img\nboot\n",
            ),
            ("linux /vmlinuz", "linux /vmlinuz a"),
            ("linux /k ro # quiet\n", "linux /k ro a # quiet\n"),
            ("linux /k quiet", "linux /k a"),
            ("linux /k 'quiet' ro", "linux /k ro a"),
            (
                "menuentry \"x; linux /k\" { linux /k quiet; initrd /i; }",
                "menuentry \"x; linux /k\" { linux /k a; initrd /i; }",
            ),
            ("linux /k ro \\\n  quiet \\\n  nosmt\n", "linux /k ro \\\n  nosmt a\n"),
            ("linux $k ro ${quiet x} quiet\n", "linux $k ro ${quiet x} a\n"),
            (
                "if [ $x = 1 ]; then linux /k ro\nelse linux /l quiet\nfi",
                "if [ $x = 1 ]; then linux /k ro a\nelse linux /l a\nfi",
            ),
            ("linux /k x=\"a quiet\" y=a\\ quiet\r\n", "linux /k x=\"a quiet\" y=a\\ quiet a\r\n"),
            ("linuxefi /k --  quiet", "linuxefi /k a --  quiet"),
        ] {
            assert_eq!(edited(before, "+a -quiet"), after, "{before}");
        }
        for text in
            ["", "linux", "echo linux /k", "chainloader /k", "linux_x /k", "# linux /k", "\"linux /k", "\\"]
        {
            let found = edit(text, "+a");
            assert_eq!((found.kernels, found.edited), (0, None), "{text}");
        }
    }

    /// Whatever the text is, the edited one needs no further edit, and without edits the text stays.
    #[test]
    fn any_text_is_edited_once() {
        let parts = ["linux", " /k", " quiet", " a", "\n", "\\", "'", "\"", "${", "}", ";", "#", " --", "\t"];
        let mut state: u64 = 1;
        for _ in 0..20_000 {
            let mut text = String::from("linux /k ");
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(parts[(state >> 33) as usize % parts.len()]);
            }
            if let Some(once) = edit(&text, "+b -quiet").edited {
                let once = String::from_utf8(once).unwrap();
                let again = edit(&once, "+b -quiet");
                assert_eq!(again.edited, None, "{text:?} became {once:?}");
                assert!(edit(&text, "").edited.is_none());
            }
        }
    }
}
