//! The start of the tests that run over all cases, and their use of all processors.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Noon of day 20000 of the epoch: the day on which the cases change passwords.
const TODAY: (&str, &str) = ("SOURCE_DATE_EPOCH", "1728043200");

/// Runs the test `name` by `run`, on a certain day, in the program that `inside` starts for the test's own arguments.
pub fn start(
    name: &str,
    inside: impl FnOnce() -> Command,
    run: fn(&str) -> Result<bool, String>,
) -> ExitCode {
    if std::env::var(TODAY.0).as_deref() != Ok(TODAY.1) {
        let mut program = inside();
        let error = program.args(std::env::args_os()).env(TODAY.0, TODAY.1).exec();
        println!("{name}: run {}: {error}", program.get_program().to_string_lossy());
        return ExitCode::FAILURE;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    match run(&filter) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            println!("{name}: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Does all of `jobs`, prints each failure, and returns the number of failures.
pub fn in_parallel<J: Sync>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<(), String> + Sync,
) -> Result<usize, String> {
    if jobs.is_empty() {
        return Err("nothing has this word in its name".into());
    }
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let (Err(what), Ok(mut failures)) = (work(job), failures.lock()) {
                failures.push(what);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    let mut failures = failures.into_inner().map_err(|error| error.to_string())?;
    failures.sort();
    for failure in &failures {
        println!("FAILED {failure}\n");
    }
    Ok(failures.len())
}
