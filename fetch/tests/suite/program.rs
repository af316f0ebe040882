//! Runs the program with a request, and tells what came of it.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use glowplug::fetch_request::FetchRequest;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_glowplug-fetch");

/// What a run of the program led to.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub body: Vec<u8>,
    /// The lines on standard error.
    pub lines: Vec<String>,
    pub time: Duration,
}

impl Outcome {
    /// Returns the body of a success.
    pub fn body(&self) -> &[u8] {
        assert_eq!(self.code, Some(0), "{:?}", self.lines);
        &self.body
    }

    /// Returns the text of the error line, which must be the last one, and checks the exit code.
    pub fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{:?}", self.lines);
        let last = self.lines.last().and_then(|line| line.strip_prefix("error "));
        last.unwrap_or_else(|| panic!("no error line last: {:?}", self.lines))
    }

    /// Returns the number of the line `size`.
    pub fn size(&self) -> Option<u64> {
        self.lines.iter().find_map(|line| line.strip_prefix("size ")).map(|size| size.parse().unwrap())
    }

    /// Returns whether a note contains `word`.
    pub fn notes(&self, word: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with("note ") && line.contains(word))
    }
}

/// Returns a request for `url`, which may take ten seconds.
pub fn request(url: &str) -> FetchRequest<'static> {
    FetchRequest { total_seconds: 10, ..FetchRequest::new(url.to_owned()) }
}

/// Runs the program to its end.
pub fn run(request: &FetchRequest<'_>) -> Outcome {
    run_with(Command::new(PROGRAM), &request.write().unwrap())
}

/// Runs a command that starts the program with `input` as its standard input.
pub fn run_with(mut command: Command, input: &[u8]) -> Outcome {
    let begin = Instant::now();
    let mut child = start(&mut command, input);
    let mut stderr = child.stderr.take().unwrap();
    let lines = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    });
    let mut body = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut body).unwrap();
    let code = child.wait().unwrap().code();
    let outcome = Outcome { code, body, lines: lines.join().unwrap(), time: begin.elapsed() };
    for line in &outcome.lines {
        assert!(
            line.split(' ').next().is_some_and(|kind| ["size", "note", "error"].contains(&kind)),
            "{line}"
        );
        for secret in ["secret", "token"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
    outcome
}

/// Starts a command and writes `input` to it.
pub fn start(command: &mut Command, input: &[u8]) -> Child {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // A program that refuses its request may not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child
}
