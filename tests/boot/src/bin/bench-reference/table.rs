//! The measurements as lines for people, and the budgets.

use std::time::Duration;

use boot_lab::measure::{Memory, Time};

use crate::programs::Program;

const MIB: u64 = 1024;
/// Memory beyond the mapped config, in KiB.
const ANONYMOUS: u64 = 8 * MIB;
/// The budget for the time, as a multiple of the time of `tar -x`.
const TAR_TIMES: u32 = 2;

/// One line of the table.
pub struct Row {
    /// The config.
    pub work: &'static str,
    /// Where the root was.
    pub place: &'static str,
    /// The program.
    pub program: Program,
    /// Its stage, if it has some.
    pub stage: &'static str,
    /// The medians.
    pub time: Time,
    /// The number of runs.
    pub runs: usize,
    /// The greatest memory of all runs, if it was measured.
    pub memory: Option<Memory>,
}

/// The rows that budgets and sums are made of.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// Prints the names of the columns, and how they were measured.
pub fn head() {
    println!("Debian's ignition, glowplug and tar; medians. processor: user and system, children too.");
    println!(
        "peak, anon, file: the most resident MiB of the program alone, /proc read all the time in runs that are not timed."
    );
    println!("in memory: root on tmpfs, page cache warm; on disk, cold: page cache emptied before each run.");
}

/// Prints the name of a group and the names of its columns.
pub fn title(work: &str, place: &str, length: u64) {
    let mb = length / 1_000_000;
    let kb = length / 1000 % 1000;
    println!("\n{work}, {place} (config of {mb}.{kb:03} MB)");
    println!(
        "  {:<14}{:<10}{:>12}{:>14}{:>9}{:>9}{:>9}{:>6}",
        "program", "stage", "wall ms", "processor ms", "peak", "anon", "file", "runs"
    );
}

/// Prints one row.
pub fn print(row: &Row) {
    let memory = match row.memory {
        Some(Memory { peak, anonymous, file }) => [mib(peak), mib(anonymous), mib(file)],
        None => [String::new(), String::new(), String::new()],
    };
    let [peak, anonymous, file] = memory;
    println!(
        "  {:<14}{:<10}{:>12}{:>14}{peak:>9}{anonymous:>9}{file:>9}{:>6}",
        row.program.name(),
        row.stage,
        ms(row.time.wall),
        ms(row.time.processor),
        row.runs
    );
}

impl Table {
    /// Prints a row and keep it.
    pub fn add(&mut self, row: Row) {
        print(&row);
        self.rows.push(row);
    }

    /// Prints each budget and what was measured for it.
    pub fn budgets(&self) {
        println!("\n{:<58} {:>12} {:>12}", "budget", "measured", "at most");
        let many = "10,000 files of 1 KiB";
        for place in ["in memory", "on disk, warm", "on disk, cold"] {
            let (Some(own), Some(tar)) =
                (self.total(many, place, Program::Glowplug), self.total(many, place, Program::Tar))
            else {
                continue;
            };
            let most = tar * TAR_TIMES;
            let what = format!("{many}, {place}: {TAR_TIMES} times tar -x");
            budget(&what, &format!("{} ms", ms(own)), &format!("{} ms", ms(most)), own <= most);
        }
        for row in self.rows.iter().filter(|row| row.program == Program::Glowplug) {
            if let Some(memory) = row.memory {
                let what = format!("anonymous memory: {}, {}", row.work, row.stage);
                let kept = memory.anonymous <= ANONYMOUS;
                let [measured, most] = [memory.anonymous, ANONYMOUS].map(|kib| format!("{} MiB", mib(kib)));
                budget(&what, &measured, &most, kept);
            }
        }
    }

    /// Returns the wall time of all stages.
    fn total(&self, work: &str, place: &str, program: Program) -> Option<Duration> {
        let rows =
            self.rows.iter().filter(|row| row.work == work && row.place == place && row.program == program);
        rows.map(|row| row.time.wall).reduce(|sum, wall| sum + wall)
    }
}

fn budget(what: &str, measured: &str, most: &str, kept: bool) {
    println!("{what:<58} {measured:>12} {most:>12}  {}", if kept { "pass" } else { "OVER" });
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// Returns a number of KiB as MiB with one decimal.
fn mib(kib: u64) -> String {
    format!("{}.{}", kib / MIB, kib % MIB * 10 / MIB)
}
