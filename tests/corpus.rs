//! Compares our reports with a corpus of the reference's reports.
//!
//! `GLOWPLUG_CORPUS` names the corpus, a file with one JSON object a line. `config` is the text of a config, `err` and
//! `fatal` say whether the reference refused it, and `entries` are the lines of its report, in any order.
#![allow(clippy::unwrap_used, reason = "a failed assumption is the test's own message")]

use std::collections::BTreeMap;

use glowplug::config::{Report, parse};
use serde_json::Value;

#[test]
#[ignore = "needs a corpus, named by GLOWPLUG_CORPUS"]
fn the_corpus_gets_the_reference_s_verdicts() {
    let path = std::env::var_os("GLOWPLUG_CORPUS").unwrap();
    let corpus = std::fs::read_to_string(path).unwrap();
    let mut failed = Vec::new();
    for line in corpus.lines() {
        let record: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        let text = record["config"].as_str().unwrap();
        let mut report = Report::default();
        let refused = parse(text.as_bytes(), &mut report).is_err();
        let mut lines: Vec<String> = report.to_string().lines().map(str::to_owned).collect();
        lines.sort_unstable();
        let entries = record["entries"].as_array().unwrap().iter();
        let mut wanted: Vec<String> = entries.map(|entry| entry.as_str().unwrap().to_owned()).collect();
        wanted.sort_unstable();
        let was_refused =
            record["fatal"] == true || record["err"].as_str().is_some_and(|error| !error.is_empty());
        if (refused, &lines) != (was_refused, &wanted) {
            failed.push(format!("{text}\n  wanted {was_refused} {wanted:?}\n  found  {refused} {lines:?}"));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), corpus.lines().count(), failed.join("\n"));
    println!("{} configs, 0 failed", corpus.lines().count());
}
