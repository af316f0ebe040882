//! Carries the frames of a tap device to the host's gvproxy over vsock, in the place of gvforwarder.

use std::process::ExitCode;

use glowplug::fd;
use glowplug::vsock_net::{self, Call};

const HELP: &str = "\
Carry the frames of a tap device to the host's gvproxy over vsock.

Usage: glowplug-vsock-net [OPTION...]

  -url URL              vsock://CID:PORT/PATH or unix:///SOCKET
                        (default vsock://2:1024/connect)
  -iface NAME           the tap device (default tap0)
  -preexisting          the tap device exists, and somebody else sets it up
  -mac ADDRESS          of a tap device that is made (default 5a:94:ef:e4:0c:ee)
  -mtu BYTES            the longest packet of a frame (default 4000)
  -stop-if-exist NAMES  end if one of these interfaces exists
                        (default eth0,ens3,enp0s1)
  -debug                log each frame
  -help | -version

glowplug-vsock-net(8) tells more.
";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let call = match arguments {
        Some(arguments) => vsock_net::parse(&arguments),
        None => Err("an argument is not UTF-8".to_owned()),
    };
    match call {
        Ok(Call::Run(options)) => match vsock_net::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                fd::print_error(&format!("{}. {}", error.text(), error.advice()));
                ExitCode::from(error.reason().exit_code())
            }
        },
        Ok(Call::Help) => show(HELP),
        Ok(Call::Version) => show(concat!("glowplug-vsock-net ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(what) => {
            fd::print_error(&format!("{what}. glowplug-vsock-net -help shows the options."));
            ExitCode::from(2)
        }
    }
}

fn show(text: &str) -> ExitCode {
    fd::print(text).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
