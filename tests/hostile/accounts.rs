//! Broken account files. Lines that the program does not understand stay as they are. A file that cannot be read is an
//! error, not an empty file.

use std::fs;
use std::os::unix::fs::symlink;

use crate::roots::{CONFIG, outcome, root};
use crate::sandbox::Sandbox;
use crate::table;

const FILES: [&str; 6] = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];
/// The names whose lines the config changes or removes.
const CHANGED: [&str; 5] = ["core", "ann", "games", "web", "sudo"];

/// Returns the new contents of a file that holds the given bytes.
type Spoil = fn(&[u8]) -> Vec<u8>;

const CASES: [(&str, Spoil); 12] = [
    ("as it is", <[u8]>::to_vec),
    ("empty", |_| Vec::new()),
    ("one newline", |_| b"\n".to_vec()),
    ("without the last newline", |old| old[..old.len() - 1].to_vec()),
    ("with CRLF", |old| String::from_utf8_lossy(old).replace('\n', "\r\n").into_bytes()),
    ("with broken lines", |old| {
        let broken = b"\n:\n# a comment\nfew:x\nmany:x:1:1:::::::::::\n:x:7:7:::\nbad:x:-1:99999999999:::\n\xff\xfe:x:8:\n+::::::\n";
        [old, broken].concat()
    }),
    ("broken lines first", |old| [b"\n\n::::\n root:x:0:\n".as_slice(), old].concat()),
    ("with NUL bytes", |old| [old, b"n\0l:x:5000:5000:\0::\n\0\0\0\n".as_slice()].concat()),
    ("a name that stands twice and is not in the config", |old| {
        [old, b"twice:x:3000:3000::/:/bin/sh\ntwice:x:3001:3001::/:/bin/sh\n".as_slice()].concat()
    }),
    ("a name that stands twice and is in the config", |old| {
        let ann = old.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(b"ann:"));
        [old, &ann.flatten().copied().collect::<Vec<u8>>()].concat()
    }),
    ("a line of 1 MiB", |old| [old, b"long:x:3000:3000:".as_slice(), &[b'a'; 1 << 20], b"\n"].concat()),
    ("17 MiB", |old| [old, &vec![0; 17 << 20]].concat()),
];

/// Returns the lines of all other names.
fn lines_of_others(bytes: &[u8]) -> Vec<&[u8]> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let others = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        !line.is_empty() && !CHANGED.iter().any(|changed| changed.as_bytes() == name)
    };
    whole.split(|byte| *byte == b'\n').filter(others).collect()
}

#[test]
fn spoiled_account_files() {
    let sandbox = Sandbox::with_devices();
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    for file in FILES {
        let mut cells = Vec::new();
        for (name, spoil) in CASES {
            sandbox.make_root(&root());
            let path = sandbox.at("etc").join(file);
            let spoiled = spoil(&fs::read(&path).unwrap());
            fs::write(&path, &spoiled).unwrap();
            cells.push(match outcome(&sandbox, CONFIG) {
                Err(what) => {
                    problems.push(format!("{file} {name}: {what}"));
                    "-".to_owned()
                }
                Ok((word, _)) => {
                    let after = fs::read(&path).unwrap();
                    let mut left = lines_of_others(&after).into_iter();
                    let lost =
                        lines_of_others(&spoiled).into_iter().find(|line| !left.any(|kept| kept == *line));
                    if let Some(line) = lost {
                        problems.push(format!("{file} {name}: lost {}", line.escape_ascii()));
                    }
                    word
                }
            });
        }
        rows.push((format!("/etc/{file}"), cells));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let names = CASES.map(|(name, _)| name.to_owned());
    table::check("Account files", &names, &rows);
}

/// If links stand in place of the account files, the files behind them inside the root are changed. The links stay.
#[test]
fn account_files_behind_links() {
    let sandbox = Sandbox::with_devices();
    for (number, file) in FILES.iter().enumerate() {
        sandbox.make_root(&root());
        let (path, real) = (sandbox.at("etc").join(file), sandbox.at("srv").join(file));
        fs::rename(&path, &real).unwrap();
        // In the running system, nothing is at the path of the target.
        let target = if number % 2 == 0 { format!("/srv/{file}") } else { format!("../../../srv/{file}") };
        symlink(&target, &path).unwrap();
        let old = fs::read(&real).unwrap();
        let (word, done) = outcome(&sandbox, CONFIG).unwrap();
        assert_eq!(word, "done", "{done:?}");
        assert_eq!(fs::read_link(&path).unwrap().to_str(), Some(target.as_str()));
        let new = fs::read(&real).unwrap();
        assert!(new != old && String::from_utf8_lossy(&new).contains("core"), "{file}");
    }
}
