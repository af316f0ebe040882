//! glowplug beside Debian's `ignition` package and `tar -x`: part of `make bench`.
//!
//! Needs root: the reference runs `useradd --root`, and the cold runs empty the page cache.

mod programs;
mod table;
mod work;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use boot_lab::error::{Doing, Result};
use boot_lab::lab::{Lab, Scratch};
use boot_lab::measure::{self, Memory, Time};

use programs::{Program, Programs};
use table::{Row, Table};
use work::Work;

const MIB: usize = 1024 * 1024;
/// Timed runs with an empty page cache, which are slow and vary little.
const COLD_RUNS: usize = 3;

/// Where the roots are and whether the page cache was emptied.
struct Place<'a> {
    name: &'static str,
    folder: &'a Path,
    cold: bool,
    /// Before ext4 takes a new inode, it looks at every inode that was removed in the last minutes. That would take longer
    /// than the programs. So no root on the disk is removed before the end.
    keep: bool,
}

impl Place<'_> {
    /// Returns the path for the next root. The previous root may still be there.
    fn root(&self) -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = if self.keep { COUNT.fetch_add(1, Ordering::Relaxed) } else { 0 };
        self.folder.join(format!("root{number}"))
    }
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-reference: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let scratch = Scratch::new()?;
    let on_disk = Folder::below(&env::temp_dir())?;
    let in_memory = Folder::below(Path::new("/dev/shm"))?;
    let programs = Programs::find(Lab::from_env()?, scratch.path())?;
    table::head();
    validation(&programs, &scratch)?;

    let mut table = Table::default();
    let works = [
        Work::small(scratch.path())?,
        Work::many(scratch.path(), "10,000 files of 1 KiB", 10_000, 1024)?,
        Work::big(scratch.path(), "one file of 100 MiB", 100 * MIB)?,
    ];
    for work in &works {
        let contenders: &[Program] = if work.files.is_empty() {
            &[Program::Reference, Program::Glowplug]
        } else {
            programs.make_archive(work)?;
            &[Program::Reference, Program::Glowplug, Program::Tar, Program::TarSync]
        };
        let places = [
            Place { name: "in memory", folder: &in_memory.0, cold: false, keep: false },
            Place { name: "on disk, warm", folder: &on_disk.0, cold: false, keep: true },
            Place { name: "on disk, cold", folder: &on_disk.0, cold: true, keep: true },
        ];
        for place in &places {
            table::title(work.name, place.name, work.length()?);
            for &program in contenders {
                provision(&programs, program, work, place, &scratch, &mut table)?;
            }
        }
    }
    table.budgets();
    Ok(())
}

/// Measures the stages of one program, one config and one place.
fn provision(
    programs: &Programs,
    program: Program,
    work: &Work,
    place: &Place,
    scratch: &Scratch,
    table: &mut Table,
) -> Result<()> {
    let runs = if place.cold { COLD_RUNS } else { work.runs };
    let mut times: Vec<(&'static str, Vec<Time>)> = Vec::new();
    for _ in 0..runs {
        let root = place.root();
        programs.fresh_root(program, &root)?;
        if place.cold {
            fs::write("/proc/sys/vm/drop_caches", "3").doing("empty the page cache")?;
        }
        for (n, (stage, mut command)) in programs.calls(program, work, &root).into_iter().enumerate() {
            let took = measure::time(&mut command, &scratch.join("log"))?;
            match times.get_mut(n) {
                Some((_, stage)) => stage.push(took),
                None => times.push((stage, vec![took])),
            }
        }
        work.check(&root)?;
    }
    // The place of the root does not change how much memory a program needs, so one place is enough.
    let memory = if place.name == "in memory" {
        resident(programs, program, work, &place.root())?
    } else {
        Vec::new()
    };
    for (n, (stage, times)) in times.iter().enumerate() {
        let row = Row {
            work: work.name,
            place: place.name,
            program,
            stage,
            time: measure::median(times),
            runs,
            memory: memory.get(n).copied(),
        };
        table.add(row);
    }
    Ok(())
}

/// Measures the memory of each stage: the most of a few runs, because a short run is often over before its memory is read.
fn resident(programs: &Programs, program: Program, work: &Work, root: &Path) -> Result<Vec<Memory>> {
    let mut stages: Vec<Memory> = Vec::new();
    for _ in 0..work.runs.div_ceil(3) {
        programs.fresh_root(program, root)?;
        for (n, (_, mut command)) in programs.calls(program, work, root).into_iter().enumerate() {
            let memory = measure::memory(&mut command)?;
            match stages.get_mut(n) {
                Some(most) => *most = most.most(memory),
                None => stages.push(memory),
            }
        }
    }
    Ok(stages)
}

/// Measures the check of a config of 3 MB.
fn validation(programs: &Programs, scratch: &Scratch) -> Result<()> {
    let work = Work::many(scratch.path(), "validate", 10_000, 164)?;
    table::title(work.name, "warm", work.length()?);
    for program in [Program::Reference, Program::Glowplug] {
        if program == Program::Glowplug && !programs.validates {
            println!("  glowplug has no validate");
            continue;
        }
        let mut times = Vec::new();
        let runs = 11;
        for _ in 0..runs {
            times.push(measure::time(&mut programs.validate(program, &work.config), &scratch.join("log"))?);
        }
        let memory = Some(measure::memory(&mut programs.validate(program, &work.config))?);
        let time = measure::median(&times);
        table::print(&Row { work: work.name, place: "warm", program, stage: "validate", time, runs, memory });
    }
    Ok(())
}

/// A folder that every user can reach, because the reference writes ssh keys as their owner. Removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn below(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("glowplug-bench-{}", std::process::id()));
        fs::create_dir(&path).doing_to("make", &path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
