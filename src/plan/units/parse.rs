//! Reads unit files as systemd does: lines, sections, assignments, words.

/// The result of reading. An error names what systemd would refuse too.
pub(super) type Read = std::result::Result<(), &'static str>;
/// The most bytes of a line, continued or not, as in systemd.
const LINE_LIMIT: usize = 1 << 20;
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Calls `assign` with the key and value of each assignment in `[Install]`.
pub(super) fn install_section(mut bytes: &[u8], assign: &mut dyn FnMut(&str, &str) -> Read) -> Read {
    let mut inside = false;
    let mut marked = false;
    let mut continued: Option<Vec<u8>> = None;
    while let Some(mut line) = next_line(&mut bytes) {
        if line.len() >= LINE_LIMIT {
            return Err("a line of its file is too long");
        }
        // A comment does not end a continued line.
        if matches!(line.trim_ascii_start().first(), Some(b'#' | b';')) {
            continue;
        }
        if let (false, Some(rest)) = (marked, line.strip_prefix(MARK)) {
            marked = true;
            line = rest;
        }
        let escaped = line.iter().fold(false, |escaped, byte| !escaped && *byte == b'\\');
        if !escaped && continued.is_none() {
            logical_line(line, &mut inside, assign)?;
            continue;
        }
        let mut whole = continued.take().unwrap_or_default();
        if whole.len().saturating_add(line.len()) > LINE_LIMIT {
            return Err("a continued line of its file is too long");
        }
        whole.extend_from_slice(line);
        if escaped {
            whole.pop();
            whole.push(b' ');
            continued = Some(whole);
        } else {
            logical_line(&whole, &mut inside, assign)?;
        }
    }
    match continued {
        Some(whole) => logical_line(&whole, &mut inside, assign),
        None => Ok(()),
    }
}

fn logical_line(line: &[u8], inside: &mut bool, assign: &mut dyn FnMut(&str, &str) -> Read) -> Read {
    let Ok(line) = std::str::from_utf8(line) else { return Err("its file is not UTF-8") };
    let line = line.trim_matches(SPACE);
    if let Some(header) = line.strip_prefix('[') {
        let header = header.strip_suffix(']').ok_or("its file has a malformed section header")?;
        *inside = header == "Install";
    } else if let (true, Some((key, value))) = (*inside, line.split_once('=')) {
        assign(key.trim_matches(SPACE), value.trim_matches(SPACE))?;
    }
    Ok(())
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Takes the next line off `bytes`. It ends at a line feed, a carriage return, both, or a NUL.
fn next_line<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    if bytes.is_empty() {
        return None;
    }
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
    let (line, mut rest) = bytes.split_at(bytes.iter().position(is_end).unwrap_or(bytes.len()));
    let mut seen = None;
    while let Some((byte, after)) = rest.split_first() {
        if !is_end(byte) || seen == Some(0) || seen == Some(*byte) {
            break;
        }
        rest = after;
        if seen.is_some() {
            break;
        }
        seen = Some(*byte);
    }
    *bytes = rest;
    Some(line)
}

/// Splits a list into words. Quotes group words, and backslashes are kept. `None` if a quote is not closed.
pub(super) fn words(value: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in value.chars() {
        if quote == Some(c) {
            quote = None;
        } else if quote.is_some() {
            word.get_or_insert_default().push(c);
        } else if c == '"' || c == '\'' {
            quote = Some(c);
            word.get_or_insert_default();
        } else if SPACE.contains(&c) {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Splits the value of `Also=` into words. Quotes have no meaning, and a backslash keeps the next character. `None`
/// if it ends in a backslash.
pub(super) fn bare_words(value: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            word.get_or_insert_default().push(chars.next()?);
        } else if SPACE.contains(&c) {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<String>, &'static str> {
        let mut seen = Vec::new();
        install_section(text, &mut |key, value| {
            seen.push(format!("{key}={value}"));
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn assignments() {
        let text = b"\xef\xbb\xbf[Unit]\nA=1\n[Install]\r\n # c\n B = x\\\n#c\n;c\n y \\\\\nC=\nnonsense\n[X]\nD=1\n[Install]\nE=\\";
        assert_eq!(read(text).unwrap(), ["B=x  y \\\\", "C=", "E="]);
        assert_eq!(read(b"[Install]\0A=1\0\0B=2\r\rC=a\\\n\nD=1").unwrap(), ["A=1", "B=2", "C=a", "D=1"]);
        assert!(read(b"[Install\nA=1").is_err());
        assert!(read(b"[Install]\nA=\xff").is_err());
        assert_eq!(read(b"[Install]\n#\xff\nA=1").unwrap(), ["A=1"]);
    }

    #[test]
    fn long_lines() {
        let line =
            |length: usize| [b"[Install]\nA=".to_vec(), vec![b'x'; length], b"\nB=1\n".to_vec()].concat();
        assert_eq!(read(&line(LINE_LIMIT - 3)).unwrap().len(), 2);
        assert!(read(&line(LINE_LIMIT - 2)).is_err());
    }

    #[test]
    fn lists() {
        assert_eq!(words(" a\t'b c'd \"\" e\\x20f ").unwrap(), ["a", "b cd", "", "e\\x20f"]);
        assert_eq!(words("a 'b"), None);
        assert_eq!(bare_words("a 'b  c\\x20d").unwrap(), ["a", "'b", "cx20d"]);
        assert_eq!(bare_words("a\\"), None);
    }
}
