//! Directory trees as text, and changes of them. `README.md` beside the cases tells how they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Dir,
    File(Vec<u8>),
    Link(PathBuf),
    /// Another name of the file at the given path, which sorts before this one.
    Hard(PathBuf),
    Fifo,
    Socket,
    /// A character device: major and minor number.
    Char(u32, u32),
}

/// What stands at a path, with owner and mode. Links have the mode 0777. A further name of a file has no owner here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Everything below a root, and the root itself as `/`.
pub type Tree = BTreeMap<PathBuf, Node>;

/// Returns a tree that has only its root.
pub fn empty() -> Tree {
    Tree::from([(PathBuf::from("/"), Node { kind: Kind::Dir, mode: 0o755, uid: 0, gid: 0 })])
}

/// Carries out the lines of `text` on `tree`. `include` finds the text of a shared manifest.
pub fn apply(
    text: &str,
    tree: &mut Tree,
    include: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut block = Vec::new();
        while let Some((line, _)) = lines.next_if(|(line, _)| line.starts_with(['|', '+', '-', ' '])) {
            block.push(line);
        }
        let done = match line.strip_prefix("include ") {
            Some(name) if block.is_empty() => include(name).and_then(|text| apply(&text, tree, include)),
            _ => statement(line, &block, tree, &mut seen),
        };
        done.map_err(|what| format!("line {number}, {line:?}: {what}"))?;
    }
    check(tree)
}

/// Checks that every entry is in a directory, and that the file of every other name exists.
fn check(tree: &Tree) -> Result<(), String> {
    for (path, node) in tree {
        if let Some(parent) = path.parent() {
            if tree.get(parent).is_none_or(|parent| parent.kind != Kind::Dir) {
                return Err(format!("{} has no directory above it", path.display()));
            }
        }
        if let Kind::Hard(first) = &node.kind {
            if first >= path || !matches!(tree.get(first), Some(node) if matches!(node.kind, Kind::File(_))) {
                return Err(format!("{} is no name of a file before {}", first.display(), path.display()));
            }
        }
    }
    Ok(())
}

fn statement(
    line: &str,
    block: &[&str],
    tree: &mut Tree,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<(), String> {
    let mut words = Words(line);
    let verb = words.text()?;
    let links = matches!(verb.as_str(), "link" | "hard");
    let mode = match verb.as_str() {
        "dir" | "file" | "fifo" | "socket" | "char" => words.mode()?,
        "link" => 0o777,
        "hard" | "gone" | "edit" => 0,
        _ => return Err("no such statement".into()),
    };
    let (uid, gid) = if matches!(verb.as_str(), "hard" | "gone" | "edit") { (0, 0) } else { words.pair()? };
    let path = words.path()?;
    if links && words.text()? != "->" {
        return Err("-> is missing".into());
    }
    // A path may be named twice only if the first line removes it and the second makes something else of it.
    let again = if verb == "gone" { seen.contains(&path) } else { !seen.insert(path.clone()) };
    if again || !path.is_absolute() {
        return Err("the path is relative, or stands here twice".into());
    }
    let kind = match verb.as_str() {
        "dir" => Kind::Dir,
        "file" => Kind::File(contents(&mut words, block)?),
        "link" => Kind::Link(words.path()?),
        "hard" => Kind::Hard(words.path()?),
        "fifo" => Kind::Fifo,
        "socket" => Kind::Socket,
        "char" => words.pair().map(|(major, minor)| Kind::Char(major, minor))?,
        "gone" => {
            let there = tree.len();
            tree.retain(|at, _| !at.starts_with(&path));
            return if tree.len() < there { words.end(block) } else { Err("it is not there".into()) };
        }
        _ => {
            let Some(Node { kind: Kind::File(bytes), .. }) = tree.get_mut(&path) else {
                return Err("there is no such file".into());
            };
            *bytes = edited(bytes, block)?;
            return words.end(&[]);
        }
    };
    words.end(if verb == "file" { &[] } else { block })?;
    let node = Node { kind, mode, uid, gid };
    if tree.get(&path) == Some(&node) {
        return Err("this is no change".into());
    }
    tree.insert(path, node);
    Ok(())
}

fn contents(words: &mut Words<'_>, block: &[&str]) -> Result<Vec<u8>, String> {
    if let Some(text) = words.next()? {
        return if block.is_empty() { Ok(text) } else { Err("contents stand in two places".into()) };
    }
    let mut text = String::new();
    for line in block {
        let rest = line.strip_prefix("| ").or_else(|| line.strip_prefix('|').filter(|rest| rest.is_empty()));
        text += rest.ok_or("a line of contents begins with \"| \"")?;
        text.push('\n');
    }
    Ok(text.into_bytes())
}

/// Returns the text with the lines of `block` added (`+ `), removed (`- `) or kept (two blanks).
fn edited(bytes: &[u8], block: &[&str]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines: Vec<&str> = text.lines().collect();
    if block.is_empty() || (!text.is_empty() && !text.ends_with('\n')) {
        return Err("nothing to edit, or the last line has no end".into());
    }
    let mut place = None;
    for change in block {
        let (sign, line) =
            change.split_at_checked(2).ok_or("a change begins with \"+ \", \"- \" or two blanks")?;
        if sign == "+ " {
            let at = place.unwrap_or(lines.len());
            lines.insert(at, line);
            place = Some(at + 1);
            continue;
        }
        let start = place.unwrap_or(0);
        let found = lines.iter().skip(start).position(|there| *there == line);
        let at = start + found.ok_or_else(|| format!("{line:?} does not come next"))?;
        match sign {
            "- " => drop(lines.remove(at)),
            "  " => {}
            _ => return Err("a change begins with \"+ \", \"- \" or two blanks".into()),
        }
        place = Some(if sign == "- " { at } else { at + 1 });
    }
    Ok(lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes())
}

/// The words of a line: between blanks, or between quotes with escapes.
struct Words<'l>(&'l str);

impl Words<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let rest = self.0.trim_start_matches(' ');
        if rest.is_empty() {
            return Ok(None);
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, length) = unquoted(quoted)?;
            self.0 = &quoted[length..];
            return Ok(Some(word));
        }
        let (word, rest) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        self.0 = rest;
        Ok(Some(word.into()))
    }

    fn text(&mut self) -> Result<String, String> {
        let word = self.next()?.ok_or("a word is missing")?;
        String::from_utf8(word).map_err(|_| "a word is not text".into())
    }

    fn path(&mut self) -> Result<PathBuf, String> {
        Ok(OsString::from_vec(self.next()?.ok_or("a path is missing")?).into())
    }

    fn mode(&mut self) -> Result<u32, String> {
        let word = self.text()?;
        let mode = u32::from_str_radix(&word, 8).ok().filter(|mode| word.len() == 4 && *mode <= 0o7777);
        mode.ok_or_else(|| "a mode is four octal digits".into())
    }

    /// Reads two numbers with a colon between them.
    fn pair(&mut self) -> Result<(u32, u32), String> {
        let word = self.text()?;
        // Only the form in which numbers are printed is accepted: no sign, and no leading zero.
        let number = |text: &str| text.parse().ok().filter(|number: &u32| number.to_string() == text);
        let parts = word.split_once(':').and_then(|(one, other)| Some((number(one)?, number(other)?)));
        parts.ok_or_else(|| "two numbers with a colon between are missing".into())
    }

    fn end(&mut self, block: &[&str]) -> Result<(), String> {
        match (self.next()?, block) {
            (None, []) => Ok(()),
            _ => Err("something follows that does not belong here".into()),
        }
    }
}

/// Returns the text up to the closing quote, and how long it is with that quote.
fn unquoted(text: &str) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        let byte = *text.as_bytes().get(at).ok_or("a quote is not closed")?;
        at += 1;
        match byte {
            b'"' => return Ok((bytes, at)),
            b'\\' => {
                let escape = text.as_bytes().get(at).copied();
                at += 1;
                bytes.push(match escape {
                    Some(b'n') => b'\n',
                    Some(b't') => b'\t',
                    Some(quoted @ (b'"' | b'\\')) => quoted,
                    Some(b'x') => {
                        let digits = text.get(at..at + 2).ok_or("two digits follow \\x")?;
                        at += 2;
                        u8::from_str_radix(digits, 16).map_err(|_| "two digits follow \\x")?
                    }
                    _ => return Err("an escape is one of \\n \\t \\\" \\\\ \\xHH".into()),
                });
            }
            byte => bytes.push(byte),
        }
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'\n' => text += "\\n",
            b'\t' => text += "\\t",
            b'"' => text += "\\\"",
            b'\\' => text += "\\\\",
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text + "\""
}

fn word(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !bytes.is_empty() && bytes.iter().all(plain) { path.display().to_string() } else { quoted(bytes) }
}

/// Returns the lines that put `node` at `path`.
pub fn lines(path: &Path, node: &Node) -> String {
    let at = word(path);
    let Node { mode, uid, gid, .. } = node;
    match &node.kind {
        Kind::Dir => format!("dir {mode:04o} {uid}:{gid} {at}\n"),
        Kind::Link(target) => format!("link {uid}:{gid} {at} -> {}\n", word(target)),
        Kind::Hard(first) => format!("hard {at} -> {}\n", word(first)),
        Kind::Fifo => format!("fifo {mode:04o} {uid}:{gid} {at}\n"),
        Kind::Socket => format!("socket {mode:04o} {uid}:{gid} {at}\n"),
        Kind::Char(major, minor) => format!("char {mode:04o} {uid}:{gid} {at} {major}:{minor}\n"),
        Kind::File(bytes) => {
            let head = format!("file {mode:04o} {uid}:{gid} {at}");
            let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
            match std::str::from_utf8(bytes) {
                Ok("") => head + "\n",
                Ok(text) if text.ends_with('\n') && bytes.iter().all(plain) && !text.contains(" \n") => {
                    let line =
                        |line: &str| if line.is_empty() { "|\n".into() } else { format!("| {line}\n") };
                    head + "\n" + &text.lines().map(line).collect::<String>()
                }
                _ => format!("{head} {}\n", quoted(bytes)),
            }
        }
    }
}

/// Returns the manifest that turns `before` into `after`.
pub fn changes(before: &Tree, after: &Tree) -> String {
    let mut text = String::new();
    let mut gone: Option<&Path> = None;
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        if gone.is_none_or(|gone| !path.starts_with(gone)) {
            text += &format!("gone {}\n", word(path));
            gone = Some(path);
        }
    }
    for (path, node) in after.iter().filter(|(path, node)| before.get(*path) != Some(node)) {
        let edit = before.get(path).and_then(|old| edit(path, old, node));
        text += &edit.unwrap_or_else(|| lines(path, node));
    }
    text
}

/// Returns the lines of the manifest for one changed part of a file, if the rest of the file is the same.
fn edit(path: &Path, old: &Node, new: &Node) -> Option<String> {
    let (Kind::File(one), Kind::File(other)) = (&old.kind, &new.kind) else { return None };
    if (old.mode, old.uid, old.gid) != (new.mode, new.uid, new.gid) {
        return None;
    }
    let (one, other) = (std::str::from_utf8(one).ok()?, std::str::from_utf8(other).ok()?);
    if !one.ends_with('\n') || !other.ends_with('\n') || other.contains(|c: char| c.is_control() && c != '\n')
    {
        return None;
    }
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[same..], &other[same..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    let (taken, added) = (&one[..one.len() - end], &other[..other.len() - end]);
    let appended = taken.is_empty() && end == 0;
    if same < 2 || (taken.is_empty() && !appended) {
        return None;
    }
    let mut text = format!("edit {}\n", word(path));
    text.extend(taken.iter().map(|line| format!("- {line}\n")));
    text.extend(added.iter().map(|line| format!("+ {line}\n")));
    Some(text)
}
