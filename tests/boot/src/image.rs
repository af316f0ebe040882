//! The guest's disk while no guest runs, read and changed without mounting it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::lab::Scratch;
use crate::process::{run, run_ok};
use crate::tree::{Kind, Node};

const LIMIT: Duration = Duration::from_secs(120);

/// A path of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What a config can decide about the path.
    pub node: Node,
    /// Its inode. Another inode means that the path was made anew.
    pub inode: u64,
    /// When the content changed: seconds and fractions, as the file system stores them.
    pub mtime: String,
}

/// Reads `paths` from the ext4 image at `image`. A path that does not exist is not in the result. If the guest has left a
/// journal to replay, that is done first.
///
/// # Errors
/// When the image is damaged or debugfs says something unknown.
pub fn extract(image: &Path, paths: &[String]) -> Result<BTreeMap<String, Entry>> {
    check(image)?;
    let dir = Scratch::new()?;
    let stats = debugfs(image, "", &dir, paths.iter().map(|path| format!("stat \"{path}\"")))?;
    let mut entries = BTreeMap::new();
    let mut dumps = Vec::new();
    for (path, text) in paths.iter().zip(stats) {
        if text.contains("File not found by ext2_lookup") {
            continue;
        }
        let (entry, complete) =
            parse(&text).ok_or_else(|| Error::new(format!("debugfs says of {path}: {text}")))?;
        if !complete {
            dumps.push((path, dir.join(&format!("dump-{}", dumps.len()))));
        }
        entries.insert(path.clone(), entry);
    }
    let commands = dumps.iter().map(|(path, to)| format!("dump \"{path}\" {}", to.display()));
    debugfs(image, "", &dir, commands)?;
    for (path, to) in dumps {
        if let Some(entry) = entries.get_mut(path) {
            entry.node.content = fs::read(&to).doing_to("read what debugfs took out as", &to)?;
        }
    }
    Ok(entries)
}

/// Changes the ext4 image at `image` by commands of debugfs that say nothing when they succeed, and `write`.
///
/// # Errors
/// When the image is damaged or a command fails.
pub fn change(image: &Path, commands: &[String]) -> Result<()> {
    check(image)?;
    let dir = Scratch::new()?;
    let answers = debugfs(image, "-w", &dir, commands.iter().cloned())?;
    for (command, answer) in commands.iter().zip(answers) {
        let answer = answer.trim();
        if !answer.is_empty() && !answer.starts_with("Allocated inode: ") {
            return Err(Error::new(format!("debugfs says of `{command}`: {answer}")));
        }
    }
    Ok(())
}

/// Replays the journal and looks for damage.
fn check(image: &Path) -> Result<()> {
    let output = run(Command::new("e2fsck").arg("-p").arg(image), b"", LIMIT)?;
    if output.status.code().is_some_and(|code| code < 2) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Err(Error::new(format!("e2fsck of {}: {}: {text}", image.display(), output.status)))
}

/// Runs commands of debugfs, which gets `option` if it is not empty. Returns what each command has printed.
fn debugfs(
    image: &Path,
    option: &str,
    dir: &Scratch,
    commands: impl Iterator<Item = String>,
) -> Result<Vec<String>> {
    const MARK: &str = "debugfs: ";
    let mut script = String::new();
    for command in commands {
        // debugfs has no escape for a quote or a newline in a name.
        if command.matches('"').count() > 2 || command.contains('\n') {
            return Err(Error::new(format!("a path that debugfs cannot be asked for: {command}")));
        }
        let _ = writeln!(script, "{command}");
    }
    if script.is_empty() {
        return Ok(Vec::new());
    }
    let file: PathBuf = dir.join("debugfs.commands");
    fs::write(&file, &script).doing_to("write", &file)?;
    let shell = "exec debugfs $1 -f \"$2\" \"$3\" 2>&1";
    let mut command = Command::new("sh");
    let out = run_ok(command.args(["-c", shell, "sh", option]).arg(&file).arg(image), LIMIT)?;
    let text = String::from_utf8_lossy(&out);
    let mut answers = Vec::new();
    let mut lines = text.lines().peekable();
    for command in script.lines() {
        let echo = format!("{MARK}{command}");
        if !lines.by_ref().any(|line| line == echo) {
            return Err(Error::new(format!("debugfs did not get to `{command}`: {text}")));
        }
        let mut answer = String::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with(MARK)) {
            let _ = writeln!(answer, "{line}");
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// Parses the output of debugfs' `stat`. Also returns whether the content is already in that output.
fn parse(text: &str) -> Option<(Entry, bool)> {
    let after = |name: &str| text.split_once(name).map(|(_, rest)| rest.trim_start());
    let word = |name: &str| after(name)?.split_whitespace().next();
    let kind = match word("Type:")? {
        "directory" => Kind::Directory,
        "regular" => Kind::File,
        "symlink" => Kind::Link,
        _ => Kind::Other,
    };
    let target = after("Fast link dest: \"").and_then(|rest| rest.split_once("\"\n"));
    let content = target.map(|(target, _)| target.as_bytes().to_vec()).unwrap_or_default();
    let empty = word("Size:")? == "0";
    let complete = match kind {
        Kind::File => empty,
        Kind::Link => target.is_some(),
        Kind::Directory | Kind::Other => true,
    };
    let node = Node {
        kind,
        mode: u32::from_str_radix(word("Mode:")?, 8).ok()? & 0o7777,
        uid: word("User:")?.parse().ok()?,
        gid: word("Group:")?.parse().ok()?,
        content,
    };
    let entry = Entry { node, inode: word("Inode:")?.parse().ok()?, mtime: word("mtime:")?.to_owned() };
    Some((entry, complete))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn an_image_has_what_was_put_into_it() {
        let dir = Scratch::new().unwrap();
        let tree = dir.join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("a file"), "content\n").unwrap();
        fs::set_permissions(tree.join("a file"), fs::Permissions::from_mode(0o4744)).unwrap();
        fs::write(tree.join(r"mnt-x\x20y.mount"), "").unwrap();
        symlink("../short", tree.join("short")).unwrap();
        symlink("long/".repeat(40), tree.join("long")).unwrap();
        let image = dir.join("image");
        let make = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-d"])
            .args([tree.as_path(), image.as_path()])
            .arg("8M")
            .status();
        assert!(make.unwrap().success());

        let paths: Vec<String> =
            ["/a file", r"/mnt-x\x20y.mount", "/short", "/long", "/none", "/"].map(str::to_owned).into();
        let found = extract(&image, &paths).unwrap();
        assert_eq!(found.len(), 5, "{found:?}");
        for (path, entry) in found.iter().filter(|(path, _)| *path != "/") {
            assert_eq!(Some(&entry.node), tree::read(&tree.join(&path[1..])).unwrap().as_ref(), "{path}");
        }
        assert_eq!(found["/"].node.kind, Kind::Directory);
    }
}
