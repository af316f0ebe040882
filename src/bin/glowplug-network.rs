//! Brings the network of the initramfs up, and down again.

use std::process::ExitCode;
use std::time::Duration;

use glowplug::error::Result;
use glowplug::{fd, kmsg_logger, network};
use log::LevelFilter;

const HELP: &str = "\
Bring the network of the initramfs up, and down again.

Usage:
  glowplug-network up [--timeout SECONDS]
        wait until there is an address, at most so long (default 60)
  glowplug-network down
        take back what up has changed
  glowplug-network --help | --version

glowplug-network(8) tells of kernel arguments and exit codes.
";

/// The time if the arguments do not say, and the most that they can say, in seconds.
const DEFAULT: u64 = 60;
const MOST: u64 = 86_400;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let seconds = |text: &str| text.parse().ok().filter(|seconds| *seconds <= MOST);
    match arguments.as_deref() {
        Some(["up"]) => end(up(DEFAULT)),
        Some(["up", "--timeout", text]) => match seconds(text) {
            Some(seconds) => end(up(seconds)),
            None => wrong(),
        },
        Some(["down"]) => end(network::down()),
        Some(["--help" | "-h"]) => show(HELP),
        Some(["--version" | "-V"]) => show(concat!("glowplug-network ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => wrong(),
    }
}

fn up(seconds: u64) -> Result<()> {
    kmsg_logger::to_kmsg(LevelFilter::Info);
    network::up(Duration::from_secs(seconds))
}

/// One line on standard error tells a failure. Nothing else is printed.
fn end(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fd::print_error(error.text());
            ExitCode::from(error.reason().exit_code())
        }
    }
}

fn wrong() -> ExitCode {
    fd::print_error(HELP.trim_end());
    ExitCode::from(2)
}

fn show(text: &str) -> ExitCode {
    fd::print(text).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
