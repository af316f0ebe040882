//! Reports the state of the machine: to the host over vsock, to a person, or on the console.

use std::io::Write as _;
use std::process::ExitCode;

use glowplug::agent::diagnostics::Diagnostics;
use glowplug::agent::health::{self, Health};
use glowplug::agent::inspect::Inspection;
use glowplug::agent::listen::Listener;
use glowplug::agent::{console, json, serve};
use glowplug::error::errno_words;
use glowplug::sys;

const HELP: &str = "\
Tell how this machine is. Needs root.

Usage:
  glowplug-agent health [--json]
        the verdict and its reasons; 0 ok, 3 starting, 4 degraded, 5 failed
  glowplug-agent inspect
        configuration, resources and packages, as JSON
  glowplug-agent diagnostics [--json]
        how the boot went, and what is wrong
  glowplug-agent console
        the verdict on /dev/hvc0, if it has changed or is an hour old
  glowplug-agent listen
        answer the clients of the vsock socket on standard input
  glowplug-agent serve
        answer the host on the vsock connection on standard input
  glowplug-agent --help | --version

glowplug-agent(8) tells what the host can ask for, and how.
";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let words = arguments.unwrap_or_default();
    match words[..] {
        ["--help" | "-h"] => return tell(HELP, 0),
        ["--version" | "-V"] => {
            return tell(concat!("glowplug-agent ", env!("CARGO_PKG_VERSION"), "\n"), 0);
        }
        _ => {}
    }
    if !rustix::process::geteuid().is_root() {
        return complain("only root may ask for this: run sudo glowplug-agent ...", 1);
    }
    // Every command but `console` only reads.
    if words != ["console"] {
        match sys::forbid_changes() {
            Ok(true) => {}
            Ok(false) => drop(complain(
                "this kernel has no Landlock, so it cannot forbid this program to change files",
                0,
            )),
            Err(errno) => return complain(&format!("forbid changes to files: {}", errno_words(errno)), 1),
        }
    }
    match words[..] {
        ["health"] => {
            let health = Health::read(health::PATIENT);
            tell(&format!("{}\n", health.line()), health.verdict.exit_code())
        }
        ["health", "--json"] => {
            let health = Health::read(health::PATIENT);
            tell(&json(&health), health.verdict.exit_code())
        }
        ["inspect"] => tell(&Inspection::read(), 0),
        ["diagnostics"] => tell(&Diagnostics::read().text(), 0),
        ["diagnostics", "--json"] => tell(&json(&Diagnostics::read()), 0),
        ["console"] => match console::show() {
            Ok(()) => ExitCode::SUCCESS,
            Err(errno) => complain(&format!("show the verdict: {}", errno_words(errno)), 1),
        },
        ["listen"] => {
            let program = std::env::args_os().next().unwrap_or_default();
            let listener = Listener::new(program.into());
            let heard = serve::standard_input().map_err(errno_words);
            let heard = heard.and_then(|socket| listener.run(&socket));
            heard.map_or_else(|what| complain(&what, 1), |()| ExitCode::SUCCESS)
        }
        ["serve"] => {
            let served = serve::standard_input().map_err(errno_words).and_then(serve::serve);
            served.map_or_else(|what| complain(&what, 1), |()| ExitCode::SUCCESS)
        }
        _ => complain(HELP, 2),
    }
}

/// Prints `text` to standard output. Returns `code`, or 1 if printing fails.
fn tell(text: &str, code: u8) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(what: &str, code: u8) -> ExitCode {
    // Standard error may be closed. The exit code still shows the failure. All processes that answer write into the same
    // journal, so the line is written by one call: otherwise it would be mixed with theirs.
    let _ = std::io::stderr().write_all(format!("glowplug-agent: {}\n", what.trim_end()).as_bytes());
    ExitCode::from(code)
}
