//! The program `glowplug-fetch`: gives up its privileges, reads a request on standard input, writes the bytes behind its
//! URL to standard output, and says by its exit code why it could not.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use glowplug::error::{Error, Reason, Result};
use glowplug::fd;
use glowplug::fetch_request::{self, FetchRequest};
use glowplug_fetch::{output, sandbox};

const HELP: &str = "\
Fetch one remote file for glowplug, without privileges.

Usage:
  glowplug-fetch < REQUEST | PROGRAM
        write the bytes behind the URL of the request to a pipe
  glowplug-fetch --help | --version

glowplug-fetch(8) describes the request.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell("error", error.text());
            ExitCode::from(error.reason().exit_code())
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    if let Some(argument) = arguments.next() {
        let text = match argument.to_str() {
            Some("--help") => HELP,
            Some("--version") => concat!("glowplug-fetch ", env!("CARGO_PKG_VERSION"), "\n"),
            _ => {
                return Err(Error::new(
                    Reason::Usage,
                    "glowplug-fetch takes no arguments but --help and --version",
                ));
            }
        };
        return fd::print(text).map_err(|errno| Error::system("write to standard output", errno));
    }
    let note = sandbox::enter()?;
    if let Some(note) = note {
        output::tell("note", note);
    }
    let most = fetch_request::MOST as u64;
    let text = fd::read_all(std::io::stdin().as_fd(), most)
        .map_err(|errno| Error::system("read the request on standard input", errno))?;
    glowplug_fetch::fetch(&FetchRequest::read(&text)?)
}
