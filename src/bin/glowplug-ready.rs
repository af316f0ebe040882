//! Runs in the real root and tells the host, once a boot, that the machine is ready.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use glowplug::ready::{self, Outcome};

const HELP: &str = "\
Tell the host that this machine is provisioned and ready.

Usage:
  glowplug-ready [SECONDS]
        send the signal, trying for so long (default 60)
  glowplug-ready --help | --version
";

/// How long to try if the arguments do not say.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (first, second) = (arguments.next(), arguments.next());
    let patience = match (first.as_deref().map(|first| first.to_str()), second) {
        (None, None) => DEFAULT_PATIENCE,
        (Some(Some("--help" | "-h")), None) => return tell(HELP, 0),
        (Some(Some("--version" | "-V")), None) => {
            return tell(concat!("glowplug-ready ", env!("CARGO_PKG_VERSION"), "\n"), 0);
        }
        (Some(Some(seconds)), None) => match seconds.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => return tell(HELP, 2),
        },
        _ => return tell(HELP, 2),
    };
    // The journal shows standard error. If it is closed, the exit code still tells the outcome.
    let mut stderr = std::io::stderr();
    match ready::signal(patience) {
        Ok(Outcome::Sent(tries)) => {
            let _ = writeln!(stderr, "glowplug-ready: the host has been told after {tries} tries");
            ExitCode::SUCCESS
        }
        Ok(Outcome::SentBefore) => {
            let _ = writeln!(stderr, "glowplug-ready: the host has been told before in this boot");
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            let _ = writeln!(stderr, "glowplug-ready: {}: {refusal}", refusal.word());
            ExitCode::from(refusal.exit_code())
        }
    }
}

fn tell(text: &str, code: u8) -> ExitCode {
    let written = if code == 0 {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::io::stderr().write_all(text.as_bytes())
    };
    if written.is_err() { ExitCode::FAILURE } else { ExitCode::from(code) }
}
