//! The words that a config asks for, and how they change a list of words.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::config::KernelArguments;
use crate::error::{Error, Reason, Result};
use crate::sort::order;

/// The most bytes of a command line. The kernels of x86 and arm64 cut off what is longer (`COMMAND_LINE_SIZE` is 2048, with
/// the NUL at the end).
const MOST_BYTES: usize = 2047;
/// The word after which the kernel passes everything on to init.
const END: &[u8] = b"--";
/// The characters that GRUB, U-Boot or the shell would read as syntax. A blank separates words.
const SYNTAX: &str = "\"'\\$`;&|<>{}#";

/// What a config asks of the kernel command line, as words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The words that shall be there, then those that shall not, each once.
    words: Vec<&'a str>,
    /// How many of them shall be there.
    added: usize,
    /// The numbers of `words` in the order of their bytes.
    sorted: Vec<usize>,
}

/// A change of a text: the bytes `at` are replaced by `text`.
pub(super) struct Edit {
    at: Range<usize>,
    text: String,
}

impl<'a> Wanted<'a> {
    /// Splits the items of the lists at blanks.
    ///
    /// # Errors
    /// [`Reason::Unsupported`] for a character that the files of a boot loader cannot carry. [`Reason::ConfigInvalid`] for a
    /// word that is in both lists, and for more than 2,047 bytes.
    pub fn new(arguments: &'a KernelArguments<'_>) -> Result<Self> {
        let mut wanted = Self::default();
        let mut size: usize = 0;
        for (key, list) in
            [("shouldExist", &arguments.should_exist), ("shouldNotExist", &arguments.should_not_exist)]
        {
            for (index, item) in list.iter().enumerate() {
                let failed = |reason, what: String| {
                    Err(Error::new(reason, format!("{what}, at $.kernelArguments.{key}.{index}")))
                };
                size = size.saturating_add(item.len()).saturating_add(1);
                if size > MOST_BYTES {
                    let what = format!("kernel arguments of more than {MOST_BYTES} bytes in all");
                    return failed(Reason::ConfigInvalid, what);
                }
                if let Some(bad) = item.chars().find(|c| !matches!(c, ' '..='~') || SYNTAX.contains(*c)) {
                    let what = format!("a kernel argument with the character {bad:?} is not supported");
                    return failed(Reason::Unsupported, what);
                }
                for word in item.split(' ').filter(|word| !word.is_empty()) {
                    if word.as_bytes() == END {
                        return failed(
                            Reason::Unsupported,
                            "the kernel argument \"--\" is not supported".into(),
                        );
                    }
                    match wanted.words.iter().position(|known| *known == word) {
                        Some(known) if known < wanted.added && key == "shouldNotExist" => {
                            let what = "a kernel argument that is in both lists".to_owned();
                            return failed(Reason::ConfigInvalid, what);
                        }
                        Some(_) => {}
                        None => wanted.words.push(word),
                    }
                }
            }
            if key == "shouldExist" {
                wanted.added = wanted.words.len();
            }
        }
        wanted.sort();
        Ok(wanted)
    }

    /// Reads what [`Wanted`] was written as: `+a +b -c`. Words without a sign are passed over.
    pub fn parse(text: &'a str) -> Self {
        let with = |sign| text.split(' ').filter_map(move |word| word.strip_prefix(sign));
        let mut words: Vec<&str> = with('+').collect();
        let added = words.len();
        words.extend(with('-'));
        let mut wanted = Self { words, added, sorted: Vec::new() };
        wanted.sort();
        wanted
    }

    fn sort(&mut self) {
        self.sorted = order(self.words.len(), &|one, other| self.words.get(one).cmp(&self.words.get(other)));
    }

    /// Returns whether the config asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Returns the words that shall be there.
    pub fn added(&self) -> &[&'a str] {
        self.words.get(..self.added).unwrap_or_default()
    }

    /// Returns the words that shall not be there.
    pub fn removed(&self) -> &[&'a str] {
        self.words.get(self.added..).unwrap_or_default()
    }

    /// Returns the part of this that the kernel command line `line` does not fulfil.
    #[must_use]
    pub fn missing_in(&self, line: &[u8]) -> Self {
        let found = self.find(line, &words(line, 0..line.len()));
        let mut missing = Self::default();
        for (number, (word, found)) in self.words.iter().zip(found).enumerate() {
            if found != (number < self.added) {
                missing.words.push(word);
                missing.added = missing.added.saturating_add(usize::from(number < self.added));
            }
        }
        missing.sort();
        missing
    }

    /// Returns the kernel command line `line` as the config wants it; `None` if it is so already.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] if it becomes too long for the kernel.
    pub fn edit_line(&self, line: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut edits = Vec::new();
        self.edit(line, 0, &words(line, 0..line.len()), &mut edits)?;
        Ok(apply(line, &edits))
    }

    /// Adds the edits of the list of `words` in `text`: missing words come at its end, unwanted ones go. `before` is where
    /// that ends what stands before the list.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] if the list becomes too long for the kernel.
    pub(super) fn edit(
        &self,
        text: &[u8],
        before: usize,
        words: &[Range<usize>],
        edits: &mut Vec<Edit>,
    ) -> Result<()> {
        let mut end = before;
        for word in own(text, words) {
            if self
                .number(text.get(word.clone()).unwrap_or_default())
                .is_some_and(|number| number >= self.added)
            {
                edits.push(Edit { at: end..word.end, text: String::new() });
            }
            end = word.end;
        }
        let found = self.find(text, words);
        let missing = self.added().iter().zip(found).filter(|(_, found)| !found);
        let mut missing: String = missing.flat_map(|(word, _)| [" ", word]).collect();
        let last = words.last().map_or(before, |word| word.end);
        if missing.len().saturating_add(last.saturating_sub(before)) > MOST_BYTES {
            let what = format!("the kernel command line becomes longer than {MOST_BYTES} bytes");
            return Err(Error::new(Reason::ConfigInvalid, what));
        }
        if !missing.is_empty() {
            if words.iter().any(|word| word.start == end) {
                // The line begins with the word `--`.
                missing.push(' ');
            }
            edits.push(Edit { at: end..end, text: missing });
        }
        Ok(())
    }

    /// Returns for each of the wanted words whether it is among `words` of `text`.
    fn find(&self, text: &[u8], words: &[Range<usize>]) -> Vec<bool> {
        let mut found = vec![false; self.words.len()];
        for word in own(text, words) {
            let number = self.number(text.get(word.clone()).unwrap_or_default());
            if let Some(found) = number.and_then(|number| found.get_mut(number)) {
                *found = true;
            }
        }
        found
    }

    /// Returns the number of the word that stands in a file as `raw`, perhaps between quotes.
    fn number(&self, raw: &[u8]) -> Option<usize> {
        let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\');
        let raw = if raw.iter().any(is_quote) {
            Cow::Owned(raw.iter().copied().filter(|byte| !is_quote(byte)).collect())
        } else {
            Cow::Borrowed(raw)
        };
        let word = |number: &usize| self.words.get(*number).map_or(&b""[..], |word| word.as_bytes());
        let at = self.sorted.binary_search_by(|number| word(number).cmp(&raw)).ok()?;
        self.sorted.get(at).copied()
    }
}

/// `+a +b -c`
impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, word) in self.words.iter().enumerate() {
            let sign = if number < self.added { '+' } else { '-' };
            write!(f, "{}{sign}{word}", if number > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// Returns the words that are the kernel's own: those before the word `--`.
fn own<'w>(text: &'w [u8], words: &'w [Range<usize>]) -> impl Iterator<Item = &'w Range<usize>> {
    words.iter().take_while(|word| text.get((*word).clone()) != Some(END))
}

/// Returns the words of the part `within` of `text`. As for the kernel, white space between double quotes does not end a word.
pub(super) fn words(text: &[u8], within: Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut is_quoted = false;
    for at in within.clone() {
        let Some(byte) = text.get(at) else { break };
        is_quoted ^= *byte == b'"';
        if byte.is_ascii_whitespace() && !is_quoted {
            words.extend(start.take().map(|start| start..at));
        } else {
            start = start.or(Some(at));
        }
    }
    words.extend(start.map(|start| start..within.end));
    words
}

/// Returns `text` with the `edits`, which come in its order; `None` without any.
pub(super) fn apply(text: &[u8], edits: &[Edit]) -> Option<Vec<u8>> {
    let mut edited = Vec::with_capacity(text.len());
    let mut from = 0;
    for Edit { at, text: new } in edits {
        edited.extend_from_slice(text.get(from..at.start).unwrap_or_default());
        edited.extend_from_slice(new.as_bytes());
        from = at.end;
    }
    edited.extend_from_slice(text.get(from..).unwrap_or_default());
    (!edits.is_empty()).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists<'a>(add: &[&'a str], remove: &[&'a str]) -> KernelArguments<'a> {
        let list = |words: &[&'a str]| words.iter().map(|word| Cow::Borrowed(*word)).collect();
        KernelArguments { should_exist: list(add), should_not_exist: list(remove) }
    }

    fn edited(line: &str, add: &[&str], remove: &[&str]) -> Option<String> {
        let lists = lists(add, remove);
        let line = Wanted::new(&lists).unwrap().edit_line(line.as_bytes()).unwrap()?;
        Some(String::from_utf8(line).unwrap())
    }

    #[test]
    fn missing_words_come_at_the_end_and_unwanted_ones_go() {
        let edit = |line: &str| edited(line, &["a=1", "hugepagesz=1G hugepages=2"], &["quiet", "nosmt"]);
        assert_eq!(edit("root=/dev/vda quiet ro").unwrap(), "root=/dev/vda ro a=1 hugepagesz=1G hugepages=2");
        assert_eq!(edit("quiet  nosmt\tquiet a=1\n").unwrap(), " a=1 hugepagesz=1G hugepages=2\n");
        assert_eq!(edit("hugepages=2 a=1 hugepagesz=1G").as_deref(), None);
        assert_eq!(edit("").unwrap(), " a=1 hugepagesz=1G hugepages=2");
        let whole = "quiet=1 a=12 xquiet a=1 hugepages=2 hugepagesz=1G";
        assert_eq!(edit(whole), None, "words are compared whole");
    }

    #[test]
    fn what_is_for_init_stays() {
        assert_eq!(edited("ro quiet -- quiet x", &["a"], &["quiet"]).unwrap(), "ro a -- quiet x");
        assert_eq!(edited("-- a", &["a"], &["quiet"]).unwrap(), " a -- a");
    }

    #[test]
    fn quotes_of_the_kernel_are_respected() {
        let line = "dyndbg=\"file quiet +p\" \"quiet\" ro";
        assert_eq!(edited(line, &[], &["quiet"]).unwrap(), "dyndbg=\"file quiet +p\" ro");
    }

    #[test]
    fn what_a_command_line_lacks_is_told_and_read_again() {
        let lists = lists(&["a", "b c"], &["quiet", "d"]);
        let wanted = Wanted::new(&lists).unwrap();
        assert_eq!(wanted.to_string(), "+a +b +c -quiet -d");
        assert_eq!(Wanted::parse(&wanted.to_string()), wanted);
        let missing = wanted.missing_in(b"BOOT_IMAGE=/x b quiet");
        assert_eq!(missing.to_string(), "+a +c -quiet");
        assert_eq!((missing.added(), missing.removed()), (&["a", "c"][..], &["quiet"][..]));
        assert!(wanted.missing_in(b"c b a\n").is_empty());
        assert!(Wanted::parse("").is_empty());
    }

    #[test]
    fn words_that_no_loader_can_carry_are_refused_by_name() {
        for (item, words) in [
            ("memmap=64M$1G", "'$'"),
            ("a=\"b c\"", "'\"'"),
            ("a\nb", "'\\n'"),
            ("a\u{e9}", "'\u{e9}'"),
            ("a\0", "'\\0'"),
            ("--", "\"--\""),
        ] {
            let lists = lists(&["x", item], &[]);
            let error = Wanted::new(&lists).unwrap_err();
            assert_eq!(error.reason(), Reason::Unsupported);
            assert!(error.text().contains(words), "{error}");
            assert!(error.text().ends_with("at $.kernelArguments.shouldExist.1"), "{error}");
        }
        let every: String = (' '..='~').filter(|c| !SYNTAX.contains(*c)).collect();
        assert!(Wanted::new(&lists(&[&every], &[])).is_ok());
    }

    #[test]
    fn lists_and_lines_are_bounded() {
        let long = "x".repeat(MOST_BYTES);
        let error = Wanted::new(&lists(&[&long], &[])).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigInvalid);
        let one = lists(&["a=1"], &[]);
        let wanted = Wanted::new(&one).unwrap();
        assert!(wanted.edit_line(long.get(4..).unwrap().as_bytes()).is_ok());
        assert!(wanted.edit_line(long.get(3..).unwrap().as_bytes()).is_err());
    }

    #[test]
    fn a_word_counts_once_and_cannot_be_in_both_lists() {
        assert_eq!(Wanted::new(&lists(&["a b", "b"], &["c", "c d"])).unwrap().to_string(), "+a +b -c -d");
        let error = Wanted::new(&lists(&["a b"], &["c", "b"])).unwrap_err();
        assert_eq!(
            error.text(),
            "a kernel argument that is in both lists, at $.kernelArguments.shouldNotExist.1"
        );
    }
}
