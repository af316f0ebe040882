//! Tests every point at which a machine can stop. For every case below `tests/cases`, provisioning is stopped, or made to
//! fail, at each call that changes the root. Then provisioning is started again, without a host. Afterwards the root must
//! be as it was before, or as an undisturbed run leaves it. No stamp may stand before the root is complete.
//!
//! `cargo test --features failpoints --test crash [WORD]` tries the cases with WORD in their names. For podman's
//! config, the second start is stopped, or made to fail, too: at some calls, or at every call with `CRASH_ALL=1`.
//!
//! Only root can set owners. `tests/runner` makes an ordinary user root of a user namespace.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    reason = "a test: what it makes lies in a directory of its own; it needs only a part of what it shares"
)]

#[path = "cases/runner/case.rs"]
mod case;
#[path = "cases/runner/disk.rs"]
mod disk;
#[path = "crash/machine.rs"]
mod machine;
#[path = "cases/runner/manifest.rs"]
mod manifest;
#[path = "remote/server.rs"]
mod server;
#[path = "crash/spoiled.rs"]
mod spoiled;
#[path = "cases/runner/start.rs"]
mod start;
#[path = "crash/swapped.rs"]
mod swapped;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};

use case::{Case, Outcome};
use glowplug::error::Reason;
use glowplug::ignition::Stage;
use glowplug::root::Leftovers;
use glowplug::root::failpoints::{self, Injected};
use machine::{Ended, Machine, has_stamp};
use manifest::{Kind, Tree};
use rustix::io::Errno;

/// podman's own config, whose second starts are stopped too.
const PODMAN: &str = "tests/boot/configs/6.0-applehv-default.ign";

fn main() -> ExitCode {
    // The tests mount file systems, so they need a mount namespace. The variables give the stage `fetch` its config.
    let inside = || {
        let mut program = Command::new("unshare");
        program.args(["--mount", "--propagation", "private", "--"]);
        program.env("IGNITION_CONFIG_FILE", Path::new(env!("CARGO_MANIFEST_DIR")).join(PODMAN));
        program.env("IGNITION_KERNEL_CMDLINE_PATH", "/dev/null");
        // This test program is not in the directory of `glowplug-fetch`, so that directory goes into PATH.
        let beside = server::fetch_program(env!("CARGO_BIN_EXE_glowplug")).parent().map(Path::as_os_str);
        let path = std::env::var_os("PATH").unwrap_or_default();
        program.env("PATH", [beside.unwrap_or_default(), &path].join(std::ffi::OsStr::new(":")));
        program
    };
    start::start("crash", inside, run)
}

/// How many attempts of each kind were made.
#[derive(Default)]
struct Count {
    cases: AtomicUsize,
    stops: AtomicUsize,
    losses: AtomicUsize,
    errors: AtomicUsize,
    twice: AtomicUsize,
    mounts: AtomicUsize,
    spoiled: AtomicUsize,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// A series of attempts.
enum Job {
    Case(String),
    /// podman's config: the first start is stopped at this call, the second start at every call.
    Twice(usize),
    /// The stage `files`, stopped at every call and called again.
    Files,
    /// The leftovers of an interrupted run, damaged.
    Spoiled,
    /// A config with files that must be fetched.
    Fetched,
    /// A name at which another process puts something else, at every call.
    Swapped,
}

fn run(filter: &str) -> Result<bool, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = manifest.join("tests/cases");
    let names = case::names(&cases)?.into_iter().filter(|name| name.contains(filter)).collect();
    let machine = Machine::new()?;
    let names = case::possible(&cases, machine.base(), names)?;
    let mut jobs: Vec<Job> = names.into_iter().map(Job::Case).collect();
    let podman = Podman::load(manifest)?;
    if "podman".contains(filter) {
        let (made, _) = machine.undisturbed(&podman.before, &podman.config, None)?;
        jobs.extend((0..made).map(Job::Twice));
        jobs.extend([Job::Files, Job::Spoiled]);
    }
    if "fetched".contains(filter) {
        jobs.push(Job::Fetched);
    }
    if "swapped".contains(filter) {
        jobs.push(Job::Swapped);
    }
    let Podman { before, config } = &podman;
    let count = Count::default();
    let failed = start::in_parallel(&jobs, |job| {
        let (name, tried) = match job {
            Job::Case(name) => (name.clone(), one_case(&machine, &cases, name, &count)),
            Job::Twice(stop) => {
                (format!("podman, stopped at {stop}"), twice(&machine, &podman, *stop, &count))
            }
            Job::Files => ("podman, files".into(), files(&machine, before, &count)),
            Job::Fetched => ("fetched".into(), fetched(&machine, before, &count)),
            Job::Swapped => ("swapped".into(), swapped::check(&count.stops)),
            Job::Spoiled => {
                ("podman, spoiled".into(), spoiled::check(&machine, before, config, &count.spoiled))
            }
        };
        tried.map_err(|what| format!("{name}: {what}"))
    })?;
    let told = |number: AtomicUsize| number.into_inner();
    println!(
        "{} cases: stopped at {} calls, at {} with unsynced contents lost, at {} in a second start; {} calls failed; {} \
         stops with one of two file systems behind; {} spoiled journals and configs refused; {failed} failures",
        told(count.cases),
        told(count.stops),
        told(count.losses),
        told(count.twice),
        told(count.errors),
        told(count.mounts),
        told(count.spoiled),
    );
    Ok(failed == 0)
}

fn one_case(machine: &Machine, cases: &Path, name: &str, count: &Count) -> Result<(), String> {
    let case = Case::load(cases, name)?;
    let config = case.configs()?.pop().ok_or("it has no versions")?;
    let mut before = case.before.clone();
    // Where the stamp stands.
    let directory = &manifest::empty()[Path::new("/")];
    before.entry("/etc".into()).or_insert_with(|| directory.clone());
    let (made, after) = machine.undisturbed(&before, &config, None)?;
    if let Outcome::Tree(tree) = &case.outcome {
        let mut tree = tree.clone();
        tree.entry("/etc".into()).or_insert_with(|| directory.clone());
        if machine::without_stamp(&after) != tree {
            return Err(format!("undisturbed it comes out otherwise:\n{}", manifest::changes(&tree, &after)));
        }
    }
    add(&count.cases);
    let _ = every_call(machine, &before, &config, (made, &after), count)?;
    match second_disk(&before, &after) {
        Some(path) => behind(machine, &before, &config, path, count),
        None => Ok(()),
    }
}

/// Stops and fails at every call. Returns the numbers of calls after which no host is needed any more: after a mere stop, and
/// after one that loses contents.
fn every_call(
    machine: &Machine,
    before: &Tree,
    config: &str,
    (made, after): (usize, &Tree),
    count: &Count,
) -> Result<[usize; 2], String> {
    let mut needed = [0; 4];
    let faults = [
        (Injected::Stop, &count.stops, true),
        (Injected::LoseContents, &count.losses, true),
        (Injected::Once(Errno::IO), &count.errors, false),
        (Injected::Always(Errno::NOSPC), &count.errors, true),
    ];
    for ((fault, tried, spoils), needed) in faults.into_iter().zip(&mut needed) {
        // Once the config is on the disk, no host is needed.
        let mut is_saved = false;
        for call in 0..made {
            let at = |what: String| format!("{fault:?} at call {call} of {made}: {what}");
            let disk = machine.disk(before, None).map_err(at)?;
            let first = disk.start(Some(config), call, fault);
            add(tried);
            disk.check_first(&first, before, after, spoils).map_err(at)?;
            let second = disk.start(None, usize::MAX, fault);
            let is_provisioned = disk.check_last(&second, before, after).map_err(at)?;
            if is_saved && !is_provisioned && matches!(first, Ended::Stopped) && before != after {
                return Err(at("the config was saved before, and is not any more".into()));
            }
            is_saved = is_saved || is_provisioned;
            *needed += usize::from(!is_saved);
        }
    }
    Ok([needed[0], needed[1]])
}

/// Tests a config with remote files. Their server runs at each start, but the host of the config only at the first.
fn fetched(machine: &Machine, before: &Tree, count: &Count) -> Result<(), String> {
    let server = server::Server::new(|asked, stream| server::give(stream, "200 OK", asked.path.as_bytes()));
    let file =
        |name: &str| format!(r#"{{"path":"/srv{name}","contents":{{"source":"{}"}}}}"#, server.url(name));
    let config = format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"files":[{},{},{{"path":"/srv/c"}}]}}}}"#,
        file("/a"),
        file("/b")
    );
    let (made, after) = machine.undisturbed(before, &config, None)?;
    if !matches!(after.get(Path::new("/srv/a")).map(|node| &node.kind), Some(Kind::File(bytes)) if bytes == b"/a")
    {
        return Err("the file is not there".into());
    }
    let [stopped, lost] = every_call(machine, before, &config, (made, &after), count)?;
    // The download that comes next can take long, and the host may serve the config only once.
    if lost != stopped + 1 {
        return Err(format!("written after {stopped} calls, the config is on the disk after {lost}"));
    }
    let all = std::env::var_os("CRASH_ALL").is_some();
    without_server(machine, before, count, if all { 1 } else { 5 })
}

/// Stops a start that fetches files, at every call or every few calls. Both the host and the server of the files are gone at the
/// second start, so that it cannot finish before the commit has begun. At the third start the server is there again.
fn without_server(machine: &Machine, before: &Tree, count: &Count, step: usize) -> Result<(), String> {
    // No other test listens at this address, so the port stays free while the server is gone.
    let mut address = SocketAddr::from(([127, 0, 0, 13], 0));
    let start = |address| {
        server::Server::at(address, |asked, stream| server::give(stream, "200 OK", asked.path.as_bytes()))
    };
    let server = start(address);
    let file =
        |name: &str| format!(r#"{{"path":"/srv{name}","contents":{{"source":"{}"}}}}"#, server.url(name));
    // The second start gives up after one second.
    let config = format!(
        r#"{{"ignition":{{"version":"3.4.0","timeouts":{{"httpTotal":1}}}},"storage":{{"files":[{},{},{{"path":"/srv/c"}}]}}}}"#,
        file("/a"),
        file("/b")
    );
    let (made, after) = machine.undisturbed(before, &config, None)?;
    address = server.end();
    let (mut is_saved, mut unfinished) = (false, 0);
    for (call, fault) in
        (0..made).step_by(step).flat_map(|call| [(call, Injected::Stop), (call, Injected::LoseContents)])
    {
        let at = |what: String| format!("{fault:?} at call {call} of {made}, then without a server: {what}");
        let disk = machine.disk(before, None).map_err(at)?;
        let server = start(address);
        let first = disk.start(Some(&config), call, fault);
        server.end();
        disk.check_first(&first, before, &after, true).map_err(at)?;
        add(&count.stops);
        let second = disk.start(None, usize::MAX, fault);
        match &second {
            Ended::Failed(error) if error.reason() != Reason::NoHost => return Err(at(second.told())),
            _ => disk.check_first(&second, before, &after, true).map_err(at)?,
        }
        let server = start(address);
        let third = disk.start(None, usize::MAX, fault);
        server.end();
        let is_provisioned = disk.check_last(&third, before, &after).map_err(at)?;
        // Unsynced contents may have been those of the saved config.
        if is_saved && !is_provisioned && fault == Injected::Stop {
            return Err(at("the config was saved before, and is not any more".into()));
        }
        is_saved = is_saved || fault == Injected::Stop && is_provisioned;
        unfinished += usize::from(is_provisioned && matches!(second, Ended::Failed(_)));
    }
    if unfinished == 0 { Err("no second start has missed the server".into()) } else { Ok(()) }
}

/// Stops the second start or lets it fail, and starts a third time.
fn twice(machine: &Machine, podman: &Podman, first: usize, count: &Count) -> Result<(), String> {
    let Podman { before, config } = podman;
    let (_, after) = machine.undisturbed(before, config, None)?;
    let disk = machine.disk(before, None)?;
    disk.start(Some(config), first, Injected::Stop);
    let is_saved = matches!(disk.start(None, usize::MAX, Injected::Stop), Ended::Done);
    let all = std::env::var_os("CRASH_ALL").is_some();
    // Only every few calls, because all of them take minutes.
    let faults =
        [(Injected::LoseContents, 5), (Injected::Once(Errno::IO), 16), (Injected::Always(Errno::NOSPC), 16)];
    for (fault, step) in faults {
        let step = if all { 1 } else { step };
        for second in (first % step..).step_by(step) {
            let at = |what: String| format!("then {fault:?} at {second}: {what}");
            let disk = machine.disk(before, None).map_err(at)?;
            disk.start(Some(config), first, Injected::Stop);
            let ended = disk.start(None, second, fault);
            if failpoints::disarm() <= second {
                break;
            }
            add(if fault == Injected::LoseContents { &count.twice } else { &count.errors });
            disk.check_first(&ended, before, &after, true).map_err(at)?;
            let third = disk.start(None, usize::MAX, Injected::Stop);
            if !disk.check_last(&third, before, &after).map_err(at)? && is_saved {
                return Err(at("the config was saved, and is not any more".into()));
            }
        }
    }
    Ok(())
}

/// Stops the stage `files` and calls it again.
fn files(machine: &Machine, before: &Tree, count: &Count) -> Result<(), String> {
    let mut undisturbed = None;
    for call in (0..).map(|call: usize| call.checked_sub(1).unwrap_or(usize::MAX)) {
        let at = |what: &str| format!("stopped at {call}: {what}");
        let disk = machine.disk(before, None)?;
        if disk.stage(Stage::Fetch, usize::MAX, Injected::Stop) != Some(0) {
            return Err("the fetch fails".into());
        }
        let stopped = disk.stage(Stage::Files, call, Injected::Stop).is_none();
        // At the very end, an interrupted stage looks like one that has just begun.
        let at_end = disk.leftovers() == Ok(Leftovers::Staging) && has_stamp(&disk.tree()?);
        if stopped && !at_end && disk.stage(Stage::Files, usize::MAX, Injected::Stop) != Some(0) {
            return Err(at("the stage fails when it is called again"));
        }
        let tree = disk.tree()?;
        match &undisturbed {
            None => undisturbed = Some(tree),
            Some(undisturbed)
                if machine::without_area(&tree) != *undisturbed || !at_end && tree != *undisturbed =>
            {
                return Err(at(&manifest::changes(undisturbed, &tree)));
            }
            Some(_) if !stopped => break,
            Some(_) => add(&count.stops),
        }
    }
    Ok(())
}

/// Returns a directory that could be on a disk of its own: the config changes something in it, and something elsewhere.
fn second_disk<'t>(before: &'t Tree, after: &Tree) -> Option<&'t Path> {
    let changed = |at: &Path| {
        let below = |tree: &Tree| -> Tree {
            let mut tree = tree.clone();
            tree.retain(|path, _| path.starts_with(at) && path != at);
            tree
        };
        below(before) != below(after)
    };
    let tops = before.keys().filter(|path| path.iter().count() == 2 && !path.ends_with("etc"));
    tops.map(std::path::PathBuf::as_path).find(|path| {
        matches!(before[*path].kind, Kind::Dir) && before.get(*path) == after.get(*path) && changed(path)
    })
}

/// Tests with a second disk at `path`. When the machine stops, one of the two disks may lack the changes from any call of the
/// commit on.
fn behind(machine: &Machine, before: &Tree, config: &str, path: &Path, count: &Count) -> Result<(), String> {
    // A name cannot be renamed or linked from one disk to the other.
    let (made, after) = machine.undisturbed(before, config, Some(path))?;
    let disk = machine.disk(before, Some(path))?;
    for call in 0..made {
        for second in [true, false] {
            let name = if second { path } else { Path::new("/") };
            let at = |what: String| format!("{} behind from call {call} on: {what}", name.display());
            disk.reset(before).map_err(at)?;
            disk.start(Some(config), call, Injected::Stop);
            if disk.leftovers() != Ok(Leftovers::BegunCommit) {
                // At an earlier call the program itself would notice that its changes are missing.
                break;
            }
            disk.reset(before).map_err(at)?;
            let first = disk.start(Some(config), call, Injected::Lose(disk.device(second).map_err(at)?));
            add(&count.mounts);
            disk.check_first(&first, before, &after, true).map_err(at)?;
            let last = disk.start(None, usize::MAX, Injected::Stop);
            disk.check_last(&last, before, &after).map_err(at)?;
        }
    }
    Ok(())
}

/// podman's config and the root that it is made for.
struct Podman {
    before: Tree,
    config: String,
}

impl Podman {
    fn load(manifest: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            std::fs::read_to_string(manifest.join(name)).map_err(|error| format!("read {name}: {error}"))
        };
        let mut before = manifest::empty();
        let include = |name: &str| read(&format!("tests/cases/roots/{name}"));
        manifest::apply(&read("tests/cases/roots/debian")?, &mut before, &include)?;
        Ok(Self { before, config: read(PODMAN)? })
    }
}
