//! What a program costs: wall time, processor time, memory.
//!
//! Times come from the clock and from `getrusage` of the ended children, so they include programs that the program runs
//! and waits for. Memory is that of the program alone. It is read from `/proc/PID/status` again and again while the
//! program runs, in separate runs, because the reading takes a processor. `ru_maxrss` is of no use: it begins with the
//! size of the process that started the program.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::error::{Doing, Error, Result};

/// The time of one run, or the median of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Time {
    /// From the start to the end.
    pub wall: Duration,
    /// User and system time on all processors.
    pub processor: Duration,
}

/// The greatest resident memory of one run, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// `VmHWM`: everything.
    pub peak: u64,
    /// The most that belonged to no file.
    pub anonymous: u64,
    /// The most that belonged to files: the program itself and what it maps.
    pub file: u64,
}

/// Runs a program to its end, with its output in the file `log`. If it fails, the error shows the end of the output.
///
/// # Errors
/// When it cannot be run, or fails.
pub fn time(command: &mut Command, log: &Path) -> Result<Time> {
    let output = File::create(log).doing_to("make the log", log)?;
    let errors = output.try_clone().doing_to("make the log", log)?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let before = children()?;
    let start = Instant::now();
    let status = command.status().doing(&format!("run {command:?}"))?;
    let wall = start.elapsed();
    if status.success() {
        return Ok(Time { wall, processor: children()?.saturating_sub(before) });
    }
    let said = fs::read(log).doing_to("read the log", log)?;
    let said = String::from_utf8_lossy(said.get(said.len().saturating_sub(800)..).unwrap_or(&said));
    Err(Error::new(format!("{command:?}: {status}\n{said}")))
}

impl Memory {
    /// Returns the greater value of each field.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            peak: self.peak.max(other.peak),
            anonymous: self.anonymous.max(other.anonymous),
            file: self.file.max(other.file),
        }
    }
}

/// Runs a program to its end and watches its memory. A program that ends within a few milliseconds may be read too early or
/// not at all. So the result is the maximum of several runs.
///
/// # Errors
/// When it cannot be run, or fails.
pub fn memory(command: &mut Command) -> Result<Memory> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing(&format!("start {command:?}"))?;
    let status = Path::new("/proc").join(child.id().to_string()).join("status");
    let mut most = Memory::default();
    loop {
        if let Some(ended) = child.try_wait().doing("wait for the program")? {
            if ended.success() {
                return Ok(most);
            }
            return Err(Error::new(format!("{command:?}: {ended}")));
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let of = |name: &str| line(&text, name);
        most = most.most(Memory {
            peak: of("VmHWM:"),
            anonymous: of("RssAnon:"),
            file: of("RssFile:") + of("RssShmem:"),
        });
    }
}

/// Returns the median of the wall times and that of the processor times.
pub fn median(times: &[Time]) -> Time {
    let middle = |of: fn(&Time) -> Duration| {
        let mut all: Vec<Duration> = times.iter().map(of).collect();
        all.sort();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    Time { wall: middle(|time| time.wall), processor: middle(|time| time.processor) }
}

fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).doing("ask for the time of the children")?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or_default());
    seconds + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or_default())
}

/// Returns the number in KiB in a line of `/proc/PID/status`. A program that has ended has no such line.
fn line(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scratch;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_program_has_a_time_and_a_size() {
        let scratch = Scratch::new().unwrap();
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let time = time(&mut shell(script), &scratch.join("log")).unwrap();
        assert!(time.wall > Duration::ZERO && time.processor > Duration::ZERO, "{time:?}");
        let memory = memory(&mut shell(script)).unwrap();
        assert!(memory.peak >= memory.anonymous && memory.anonymous > 0 && memory.file > 0, "{memory:?}");
    }

    #[test]
    fn a_failure_is_an_error_with_its_words() {
        let scratch = Scratch::new().unwrap();
        let error = time(&mut shell("echo why >&2; exit 3"), &scratch.join("log")).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
        assert!(memory(&mut shell("exit 3")).is_err());
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let at = |ms| Time { wall: Duration::from_millis(ms), processor: Duration::from_millis(10 - ms) };
        let middle = median(&[at(9), at(1), at(3)]);
        assert_eq!(middle.wall, Duration::from_millis(3));
        assert_eq!(middle.processor, Duration::from_millis(7));
    }
}
