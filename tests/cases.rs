//! Configs applied to directory trees: every case below `tests/cases`, with every spec version that it names.
//!
//! `cargo test --test cases [WORD]` runs the cases with WORD in their names. With `BLESS=1`, each case that expects
//! something else gets today's result written into it, for review.
//!
//! Only root can set owners. `tests/runner` makes an ordinary user root of a user namespace.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test: what it makes lies in a directory of its own, and what it says goes to its reader"
)]

#[path = "cases/runner/case.rs"]
mod case;
#[path = "cases/runner/disk.rs"]
mod disk;
#[path = "cases/runner/manifest.rs"]
mod manifest;
#[path = "cases/runner/start.rs"]
mod start;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};

use case::{Case, Outcome};
use glowplug::error::Reason;
use glowplug::provision;
use glowplug::root::Root;
use glowplug::source::NoTransport;
use manifest::Tree;

fn main() -> ExitCode {
    // The umask must not matter, because the program sets each mode itself.
    let inside = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 0077 && exec \"$@\"", "sh"]);
        shell.env_remove("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT");
        shell
    };
    start::start("cases", inside, run)
}

fn run(filter: &str) -> Result<bool, String> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let names: Vec<String> = case::names(&cases)?.into_iter().filter(|name| name.contains(filter)).collect();
    let bless = std::env::var_os("BLESS").is_some();
    let (work, replays) = (Work::new()?, AtomicUsize::new(0));
    let names = case::possible(&cases, &work.base, names)?;
    let failed = start::in_parallel(&names, |name| {
        let replayed = Case::load(&cases, name).and_then(|case| replay(&case, &work, bless));
        let count = replayed.map_err(|what| format!("{name}: {what}"))?;
        replays.fetch_add(count, Ordering::Relaxed);
        Ok(())
    })?;
    println!("{} cases, {} replays, {failed} failed", names.len(), replays.into_inner());
    Ok(failed == 0)
}

/// Where the roots are made. Every replay ends with a sync, which costs nothing on a tmpfs.
struct Work {
    base: PathBuf,
    count: AtomicUsize,
}

impl Work {
    fn new() -> Result<Self, String> {
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let base = parent.join(format!("glowplug-cases-{}", std::process::id()));
        fs::create_dir(&base).map_err(|error| format!("make {}: {error}", base.display()))?;
        Ok(Self { base, count: AtomicUsize::new(0) })
    }

    /// Makes the root of a replay with `outside` beside it, lets `act` change it, and reads both back.
    fn with<T>(&self, before: &Tree, act: impl Fn(&Path) -> T) -> Result<(T, Tree), String> {
        let place = self.base.join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        let (root, outside) = (place.join("root"), place.join("outside"));
        disk::write(&root, before)?;
        fs::create_dir(&outside).map_err(|error| error.to_string())?;
        let result = act(&root);
        let after = disk::read(&root)?;
        if disk::read(&outside)?.len() != 1 || disk::read(&place)?.len() != after.len() + 2 {
            return Err("something was written outside of the root".into());
        }
        fs::remove_dir_all(&place).map_err(|error| error.to_string())?;
        Ok((result, after))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // The failures have been printed already. A directory that stays behind does no harm.
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// Applies the config with the library for each version, and with the program for the last one. Returns how often.
fn replay(case: &Case, work: &Work, bless: bool) -> Result<usize, String> {
    let configs = case.configs()?;
    let last = configs.last().ok_or("it has no versions")?;
    if bless {
        rewrite(case, work, last)?;
        return Ok(1);
    }
    let mut count = 0;
    for config in &configs {
        let found = apply(case, &case.before, work, config)?;
        compare(case, &found).map_err(|what| format!("{}\n{what}", version_of(config)))?;
        count += 1;
    }
    if let Outcome::Error { fetch: true, text, .. } = &case.outcome {
        let found = apply_to_nothing(case, work, last, text)?;
        compare(case, &found).map_err(|what| format!("on an empty root\n{what}"))?;
        count += 1;
    }
    run_program(case, work, last).map_err(|what| format!("glowplug apply\n{what}"))?;
    Ok(count + 1)
}

fn version_of(config: &str) -> &str {
    let found = case::VERSIONS.iter().find(|version| config.contains(&format!("\"{version}\"")));
    found.copied().unwrap_or("no known version")
}

fn apply(case: &Case, before: &Tree, work: &Work, config: &str) -> Result<Outcome, String> {
    let (done, after) = work.with(before, |root| {
        Root::open(root).and_then(|root| provision::apply(&root, config.as_bytes(), &NoTransport))
    })?;
    match done {
        Ok(()) => Ok(Outcome::Tree(after)),
        Err(error) if after == *before => {
            let fetch = !matches!(case.outcome, Outcome::Error { fetch: false, .. });
            let (reason, lines) = (error.reason().word(), error.lines(true).join("\n"));
            let text = lines.strip_prefix(&format!("{reason}: ")).unwrap_or(&lines).to_owned();
            Ok(Outcome::Error { fetch, reason: reason.into(), text })
        }
        Err(error) => {
            Err(format!("{error}\nand the root has changed:\n{}", manifest::changes(before, &after)))
        }
    }
}

/// Applies the config to an empty root. A failure that depends on the config alone is the same there. After `text`, further
/// failures may follow for what the empty root lacks. They are left out.
fn apply_to_nothing(case: &Case, work: &Work, config: &str, text: &str) -> Result<Outcome, String> {
    Ok(match apply(case, &manifest::empty(), work, config)? {
        Outcome::Error { fetch, reason, text: found } if found.starts_with(&format!("{text}\n")) => {
            Outcome::Error { fetch, reason, text: text.to_owned() }
        }
        found => found,
    })
}

fn compare(case: &Case, found: &Outcome) -> Result<(), String> {
    if case.outcome == *found {
        return Ok(());
    }
    match (&case.outcome, found) {
        (Outcome::Tree(expected), Outcome::Tree(found)) => {
            let missing = manifest::changes(found, expected);
            Err(format!(
                "expected what was not found:\n{missing}found instead:\n{}",
                manifest::changes(expected, found)
            ))
        }
        _ => Err(format!("expected {}found {}", told(case, &case.outcome), told(case, found))),
    }
}

/// Returns the outcome in the form of the case's file `expected` or `error`.
fn told(case: &Case, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Tree(tree) => format!("the changes\n{}", manifest::changes(&case.before, tree)),
        Outcome::Error { fetch, reason, text } => {
            format!("the error\n{} {reason}\n{text}\n", if *fetch { "fetch" } else { "files" })
        }
        Outcome::Unknown => "neither expected nor error\n".into(),
    }
}

/// Checks that the program does what the library does, and that it prints what the case expects.
fn run_program(case: &Case, work: &Work, config: &str) -> Result<(), String> {
    let ((code, said), after) = program(&case.before, work, config)?;
    let (expected_tree, expected_code, error) = match &case.outcome {
        Outcome::Tree(tree) => (tree, 0, String::new()),
        Outcome::Error { reason, text, .. } => {
            let said = format!("{reason}: {text}\n").replace('\n', "\nglowplug: ");
            let said = said.strip_suffix("glowplug: ").unwrap_or(&said);
            (&case.before, exit_code(reason)?, format!("glowplug: {said}"))
        }
        Outcome::Unknown => return Err("it has neither expected nor error".into()),
    };
    let warnings: String = case.warnings.iter().flat_map(|line| [WARNING, line, "\n"]).collect();
    if said != warnings.clone() + &error || code != Some(expected_code) {
        return Err(format!(
            "expected exit code {expected_code} and\n{warnings}{error}found {code:?} and\n{said}"
        ));
    }
    if after != *expected_tree {
        return Err(format!(
            "expected the same tree, but found\n{}",
            manifest::changes(expected_tree, &after)
        ));
    }
    Ok(())
}

const WARNING: &str = "glowplug: ";

/// Returns exit code, standard error and the root of `glowplug apply`.
fn program(before: &Tree, work: &Work, config: &str) -> Result<((Option<i32>, String), Tree), String> {
    let file = work.base.join(format!("{}.ign", work.count.fetch_add(1, Ordering::Relaxed)));
    fs::write(&file, config).map_err(|error| error.to_string())?;
    let (output, after) = work.with(before, |root| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_glowplug"));
        program.args(["apply", "--root"]).args([root, &file]).output()
    })?;
    let output = output.map_err(|error| format!("run it: {error}"))?;
    Ok(((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), after))
}

fn exit_code(word: &str) -> Result<i32, String> {
    let found = Reason::ALL.iter().find(|reason| reason.word() == word);
    found.map(|reason| reason.exit_code().into()).ok_or_else(|| format!("there is no reason {word}"))
}

/// Writes the result of applying `config` into the case.
fn rewrite(case: &Case, work: &Work, config: &str) -> Result<(), String> {
    let ((_, said), _) = program(&case.before, work, config)?;
    let mut found = apply(case, &case.before, work, config)?;
    if let (Outcome::Error { reason, text, .. }, Outcome::Unknown) = (&found, &case.outcome) {
        let fetch = apply_to_nothing(case, work, config, text)? == found;
        found = Outcome::Error { fetch, reason: reason.clone(), text: text.clone() };
    }
    // The failures come last.
    let failures = match &found {
        Outcome::Error { text, .. } => text.lines().count(),
        _ => 0,
    };
    let logged = said.lines().filter_map(|line| line.strip_prefix(WARNING));
    let count = said.lines().count().saturating_sub(failures);
    let warnings: String = logged.take(count).flat_map(|line| [line, "\n"]).collect();
    let (expected, error) = match &found {
        Outcome::Tree(tree) => (Some(manifest::changes(&case.before, tree)), None),
        _ => (None, told(case, &found).strip_prefix("the error\n").map(str::to_owned)),
    };
    let same = case.outcome == found;
    for (name, text, same) in [
        ("expected", expected, same),
        ("error", error, same),
        ("warnings", Some(warnings.clone()).filter(|text| !text.is_empty()), said_same(case, &warnings)),
    ] {
        let path = case.dir.join(name);
        match text {
            _ if same => {}
            Some(text) => {
                fs::write(&path, text).map_err(|error| format!("write {name}: {error}"))?;
                println!("wrote {}/{name}, review it", case.name);
            }
            None if path.is_file() => {
                fs::remove_file(&path).map_err(|error| format!("remove {name}: {error}"))?;
            }
            None => {}
        }
    }
    Ok(())
}

fn said_same(case: &Case, warnings: &str) -> bool {
    case.warnings.iter().map(String::as_str).eq(warnings.lines())
}
