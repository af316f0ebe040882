//! Runs each host of the table in one boot. Time and memory must be bounded, a failure must have its reason, and the root
//! must be as before or as the config wants it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use boot_lab::guest::{Machine, Options};
use boot_lab::host::PORT;
use boot_lab::hostile::Host;
use boot_lab::lab::Lab;
use boot_lab::shell::Shell;

use super::cases::{Case, Room, Serve, cases};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hostile-hosts.md");
const HEAD: &str = include_str!("head.md");

/// The time for everything but the fetch: typing, and the slow emulated machine.
const SLACK: Duration = Duration::from_secs(15);
/// The memory of the program with its buffers, and of the kernel on its behalf.
const PROGRAM: u64 = 4 << 20;
/// The size of the root's tmpfs.
const ROOT: u64 = 16 << 20;
/// The memory of the guest. It is small, so that a host has soon sent half of it.
const MEMORY: u32 = 256;

const CHANGED: &str = "./etc/.ignition-result.json\n./etc/case\ngood";

/// The result of a run.
struct Run {
    /// The result in the words of the table.
    outcome: String,
    provisioned: bool,
    took: f32,
    peak: u64,
    available: u64,
    changed: String,
}

impl Case {
    fn start(&self, machine: &Machine) -> Option<Host> {
        let folder = machine.folder();
        match &self.serve {
            Serve::Nobody => None,
            Serve::Late(time, behaviour) => Some(Host::start_late(folder, PORT, *time, behaviour.clone())),
            Serve::Each(behaviour) => Some(Host::start(folder, PORT, behaviour.clone()).unwrap()),
        }
    }

    fn run(&self, machine: &Machine, shell: &mut Shell) -> Run {
        let host = self.start(machine);
        let limit = Duration::from_secs(self.timeout) + SLACK * 2;
        let commands = format!("new_root && provision {} && changed", self.timeout);
        let printed = shell.run_ok(&commands, limit).unwrap();
        drop(host);
        let (before, result) = printed.rsplit_once("result: ").unwrap_or_else(|| panic!("{printed}"));
        let (numbers, changed) = result.split_once('\n').unwrap();
        let mut numbers = numbers.split_whitespace();
        let mut number = || numbers.next().unwrap();
        let available = number().parse::<u64>().unwrap() * 1024;
        let peak = number().parse().unwrap();
        let (start, end): (f32, f32) = (number().parse().unwrap(), number().parse().unwrap());
        let code = number();
        // The block on the console begins in the same way.
        let said = before.lines().rev().find_map(|line| line.strip_prefix("glowplug: ")?.split_once(": "));
        let outcome = match (code, said) {
            ("0", _) => "provisioned".to_owned(),
            (code, Some((reason, _))) => format!("`{reason}`, {code}"),
            (code, None) => format!("no reason, {code}"),
        };
        let provisioned = code == "0";
        println!("{}: {outcome}, {:.2} s, {} KiB\n{before}", self.host, end - start, peak / 1024);
        Run { outcome, provisioned, took: end - start, peak, available, changed: changed.trim().to_owned() }
    }

    /// Returns what is wrong with the run, apart from the result in the table.
    fn judge(&self, run: &Run) -> Vec<String> {
        let mut wrong = Vec::new();
        let longest = Duration::from_secs(self.timeout) + SLACK;
        if run.took > longest.as_secs_f32() {
            wrong.push(format!("it took {} s", run.took));
        }
        let most = PROGRAM
            + match self.room {
                Room::Program => 0,
                Room::Half => run.available / 2,
                Room::Root => ROOT,
            };
        if run.peak > most {
            wrong.push(format!("it took {} bytes of {most}", run.peak));
        }
        let expected = match (run.provisioned, self.empty) {
            (false, _) => "",
            (true, true) => "./etc/.ignition-result.json",
            (true, false) => CHANGED,
        };
        if run.changed != expected {
            wrong.push(format!("in the root has changed: {}", run.changed));
        }
        wrong
    }

    fn row(&self, run: &Run) -> String {
        let room = match self.room {
            Room::Program => "4 MiB",
            Room::Half => "half of what is left, and 4 MiB",
            Room::Root => "the root's 16 MiB, and 4 MiB",
        };
        format!("| {} | {} | {} s | {room} |\n", self.host, run.outcome, self.timeout)
    }
}

#[test]
fn hosts_that_do_anything() {
    let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
    let mut shell = Shell::boot(&machine, Options { memory: MEMORY, ..Options::vsock() }).unwrap();
    shell.run_ok(include_str!("../../../hosts-in-guest"), SLACK).unwrap();
    let mut table = HEAD.to_owned();
    let mut wrong = String::new();
    let begin = Instant::now();
    let cases = cases();
    for case in &cases {
        let run = case.run(&machine, &mut shell);
        table.push_str(&case.row(&run));
        for what in case.judge(&run) {
            let _ = writeln!(wrong, "a host that {}: {what}", case.host);
        }
    }
    println!("{} hosts in {:.0} s", cases.len(), begin.elapsed().as_secs_f32());
    assert!(wrong.is_empty(), "{wrong}");
    if std::env::var_os("BLESS").is_some() {
        fs::write(TABLE, table).unwrap();
        return;
    }
    let known = fs::read_to_string(Path::new(TABLE)).unwrap();
    let differ = table.lines().filter(|line| !known.lines().any(|other| other == *line));
    let differ: Vec<&str> = differ.collect();
    assert!(known == table, "not as in {TABLE} (BLESS=1 writes it):\n{}", differ.join("\n"));
}
