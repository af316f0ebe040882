//! Sizes and times against their budgets: `make bench`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use boot_lab::curves;
use boot_lab::error::{Doing, Error, Result};
use boot_lab::flushes::Disk;
use boot_lab::host;
use boot_lab::lab::{self, Lab, Scratch};

const KIB: u64 = 1024;
/// The number of runs, of which the median counts.
const RUNS: usize = 101;
/// The number of runs for what hardly varies.
const FLUSH_RUNS: usize = 5;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let lab = Lab::from_env()?;
    let program = lab::program()?;
    println!("{:<58} {:>12} {:>12}", "what", "measured", "at most");
    size("glowplug, static, stripped", length(&program)?, 880 * KIB);
    for (name, most) in [("glowplug-ready", 140), ("glowplug-agent", 350), ("glowplug-fetch", 1228)] {
        size(&format!("{name}, static, stripped"), length(&program.with_file_name(name))?, most * KIB);
    }
    for (by, image, most) in [("initramfs-tools", "initrd", 520), ("dracut", "initrd-dracut", 600)] {
        let with = length(&lab.part(&format!("{image}.img")))?;
        let without = length(&lab.part(&format!("{image}-without.img")))?;
        let what = format!("growth of the zstd initramfs made by {by}");
        size(&what, with.saturating_sub(without), most * KIB);
    }

    let scratch = Scratch::new()?;
    let config = scratch.join("config.ign");
    fs::write(&config, host::config("6.0-applehv-default.ign")?).doing("write the config")?;
    let first_boots = |root: &Path| first_boots(&lab, &program, root, &config);
    // In memory, the time is that of the program itself. On the disk, it depends on how often the program waits for the disk.
    let memory = Path::new("/dev/shm").join(format!("glowplug-bench-{}", std::process::id()));
    let in_memory = first_boots(&memory);
    fs::remove_dir_all(&memory).doing("remove the root in memory")?;
    time("first boot, root in memory: podman's config", in_memory?, Duration::from_millis(5));
    let root = scratch.join("root");
    time("first boot, root on this disk", first_boots(&root)?, Duration::from_millis(30));
    for (system, most) in [("ext4", 9), ("xfs", 9), ("btrfs", 8)] {
        let disk = Disk::new(scratch.path(), system)?;
        let mut counts = Vec::new();
        for _ in 0..FLUSH_RUNS {
            counts.push(flushes(&lab, &program, &disk, &config)?);
        }
        counts.sort_unstable();
        count(&format!("flushes of the disk's cache, {system}"), counts[FLUSH_RUNS / 2], most);
    }

    let mut later = Vec::new();
    let mut spawn = Vec::new();
    for _ in 0..RUNS {
        later.push(timed(Command::new(&program).args(["run", "--root"]).arg(&root))?);
        spawn.push(timed(&mut Command::new("/bin/true"))?);
    }
    time("later boots: the whole program", median(later), Duration::from_millis(2));
    println!("{:<58} {:>9} us", "  for comparison: /bin/true", median(spawn).as_micros());

    fs::create_dir_all(&memory).doing("make a directory in memory")?;
    let curves = curves::print(&program, &memory);
    fs::remove_dir_all(&memory).doing("remove what was in memory")?;
    curves
}

/// Returns the median time of a first boot's run with podman's config.
fn first_boots(lab: &Lab, program: &Path, root: &Path, config: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        fresh_root(lab, root)?;
        times.push(timed(&mut first_boot(program, root, config))?);
    }
    Ok(median(times))
}

/// Returns how often a first boot's run makes the disk flush its cache.
fn flushes(lab: &Lab, program: &Path, disk: &Disk, config: &Path) -> Result<u64> {
    let root = disk.join("root");
    fresh_root(lab, &root)?;
    let before = disk.flushes()?;
    timed(&mut first_boot(program, &root, config))?;
    Ok(disk.flushes()?.saturating_sub(before))
}

/// Makes a root that is on its disk: the program syncs, and must not have to write what the copying left unwritten.
fn fresh_root(lab: &Lab, root: &Path) -> Result<()> {
    lab.small_root(root)?;
    timed(Command::new("sync").arg("-f").arg(root)).map(drop)
}

/// Returns what the initramfs calls at the first boot, but with a config from a file.
fn first_boot(program: &Path, root: &Path, config: &Path) -> Command {
    let mut run = Command::new(program);
    run.args(["run", "--platform", "file", "--root"]).arg(root).env("IGNITION_CONFIG_FILE", config);
    run.stderr(Stdio::null());
    run
}

fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.status().doing("run the program")?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(Error::new(format!("{command:?}: {status}"))) }
}

fn length(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).doing(&format!("look up {}", path.display()))?.len())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn size(what: &str, bytes: u64, most: u64) {
    println!("{what:<58} {bytes:>10} B {most:>10} B{}", verdict(bytes <= most));
}

fn time(what: &str, took: Duration, most: Duration) {
    println!("{what:<58} {:>9} us {:>9} us{}", took.as_micros(), most.as_micros(), verdict(took <= most));
}

fn count(what: &str, number: u64, most: u64) {
    println!("{what:<58} {number:>12} {most:>12}{}", verdict(number <= most));
}

fn verdict(kept: bool) -> &'static str {
    if kept { "" } else { "  OVER BUDGET" }
}
