//! Sizes and times against their budgets: `make bench`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use boot_lab::curves;
use boot_lab::error::{Doing, Error, Result};
use boot_lab::host;
use boot_lab::lab::{self, Lab, Scratch};

const KIB: u64 = 1024;
/// The number of runs, of which the median counts.
const RUNS: usize = 101;

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
    size("glowplug, static, stripped", length(&program)?, 700 * KIB);
    for (name, most) in [("glowplug-ready", 140), ("glowplug-agent", 350), ("glowplug-fetch", 1228)] {
        size(&format!("{name}, static, stripped"), length(&program.with_file_name(name))?, most * KIB);
    }
    for (by, image, most) in [("initramfs-tools", "initrd", 300), ("dracut", "initrd-dracut", 400)] {
        let with = length(&lab.part(&format!("{image}.img")))?;
        let without = length(&lab.part(&format!("{image}-without.img")))?;
        let what = format!("growth of the zstd initramfs made by {by}");
        size(&what, with.saturating_sub(without), most * KIB);
    }

    let scratch = Scratch::new()?;
    let config = scratch.join("config.ign");
    fs::write(&config, host::config("6.0-applehv-default.ign")?).doing("write the config")?;
    // In memory, the time is that of the program itself. On the disk, it depends on how often the program waits for the disk.
    let memory = Path::new("/dev/shm").join(format!("glowplug-bench-{}", std::process::id()));
    let in_memory = first_boots(&lab, &program, &memory, &config);
    fs::remove_dir_all(&memory).doing("remove the root in memory")?;
    time("first boot, root in memory: podman's config", in_memory?, Duration::from_millis(5));
    let root = scratch.join("root");
    time(
        "first boot, root on this disk",
        first_boots(&lab, &program, &root, &config)?,
        Duration::from_millis(30),
    );

    timed(Command::new(&program).args(["adopt", "--root"]).arg(&root).stdout(Stdio::null()))?;
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

/// Returns the median time of applying podman's config to a fresh root.
fn first_boots(lab: &Lab, program: &Path, root: &Path, config: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        lab.small_root(root)?;
        // The program syncs, and must not have to write what the copying left unwritten.
        timed(Command::new("sync").arg("-f").arg(root))?;
        let mut apply = Command::new(program);
        apply.args(["apply", "--root"]).arg(root).arg(config).stderr(Stdio::null());
        times.push(timed(&mut apply)?);
    }
    Ok(median(times))
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

fn verdict(kept: bool) -> &'static str {
    if kept { "" } else { "  OVER BUDGET" }
}
