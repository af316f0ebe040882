//! The tables of `docs/hostile-roots.md`, which list the outcome of each case.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

/// Only one test at a time may write the file, because the tests are threads of one process.
static FILE: Mutex<()> = Mutex::new(());

/// Compares the table below the heading `title` with `rows`. A row has a name, and an outcome for each of `columns`. With
/// `BLESS=1` the table is written instead, for review.
pub fn check(title: &str, columns: &[String], rows: &[(String, Vec<String>)]) {
    let mut text = format!("## {title}\n\n");
    for (number, column) in columns.iter().enumerate() {
        writeln!(text, "{}. {column}", number + 1).unwrap();
    }
    let numbers: Vec<String> = (1..=columns.len()).map(|number| number.to_string()).collect();
    write!(text, "\n| | {} |\n|{}\n", numbers.join(" | "), "---|".repeat(columns.len() + 1)).unwrap();
    for (name, cells) in rows {
        writeln!(text, "| `{name}` | {} |", cells.join(" | ")).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hostile-roots.md");
    let _one = FILE.lock();
    let there = fs::read_to_string(&path).unwrap();
    let start = there.find(&format!("## {title}\n")).expect("the heading is there");
    let end = there[start + 3..].find("\n## ").map_or(there.len(), |next| start + 3 + next + 1);
    let old = there[start..end].trim_end();
    if old == text.trim_end() {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        let rest = there[end..].trim_start();
        let gap = if rest.is_empty() { "" } else { "\n" };
        fs::write(&path, format!("{}{text}{gap}{rest}", &there[..start])).unwrap();
        return;
    }
    let new = text.lines().filter(|line| !old.lines().any(|there| there == *line)).collect::<Vec<_>>();
    panic!("docs/hostile-roots.md says otherwise (BLESS=1 rewrites it):\n{}", new.join("\n"));
}
