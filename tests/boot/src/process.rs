//! Programs on the host: bounded ones, and ones that live as long as a value.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};

const POLL: Duration = Duration::from_millis(20);

/// Calls `check` until it returns a value. Returns `None` once `limit` has passed.
pub fn wait_for<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = check() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Errors
/// When the program cannot be started, or has not ended within `limit`. It is then killed. An exit code other than 0 is no
/// error here.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(&format!("start {name}"))?;
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    if let Some(mut stdin) = child.stdin.take() {
        // A program may end without reading its input, so a failure to write it is ignored.
        let _ = stdin.write_all(input);
    }
    let Some(status) = wait_for(limit, || child.try_wait().ok().flatten()) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::new(format!("{name} has not ended in {limit:?}")));
    };
    let take =
        |thread: Option<thread::JoinHandle<Vec<u8>>>| thread.and_then(|t| t.join().ok()).unwrap_or_default();
    Ok(Output { status, stdout: take(stdout), stderr: take(stderr) })
}

/// As [`run`], but an exit code other than 0 is an error, which shows what the program printed.
///
/// # Errors
/// Those of [`run`], and a failure of the program.
pub fn run_ok(command: &mut Command, limit: Duration) -> Result<Vec<u8>> {
    let output = run(command, b"", limit)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::new(format!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A process that is killed when this value is dropped. It is also killed when the thread that started it ends, so an
/// interrupted run leaves nothing behind.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
}

impl Running {
    /// Starts `program` with `arguments`; its standard error goes to `log`.
    ///
    /// # Errors
    /// When the log cannot be made or the program not be started.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        let name = program.display().to_string();
        let log = std::fs::File::create(log).doing_to("make the log", log)?;
        let child = Command::new("setpriv")
            .arg("--pdeathsig=KILL")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .doing(&format!("start {name}"))?;
        Ok(Self { name, child })
    }

    /// Returns the process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to the process's standard input.
    ///
    /// # Errors
    /// When the process has ended or closed it.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| Error::new("there is no standard input"))?;
        stdin.write_all(text.as_bytes()).doing(&format!("write to {}", self.name))
    }

    /// Returns the standard output of the process. Only the first call returns it.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends the process a signal.
    ///
    /// # Errors
    /// When there is no such signal.
    pub fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        run_ok(kill.args(["-s", name, &self.child.id().to_string()]), Duration::from_secs(10)).map(drop)
    }

    /// Returns how the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for(limit, || self.ended())
            .ok_or_else(|| Error::new(format!("{} has not ended in {limit:?}", self.name)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
