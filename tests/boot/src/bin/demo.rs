//! Watch one machine being provisioned: `demo [CONFIG]`.
//!
//! Boots the lab's guest with one of podman's configs: that of podman 6.0 on macOS, unless another file is named. Shows the
//! console with glowplug's lines marked, what the host sees, and, by ssh, the result in the guest.

use std::env;
use std::fs;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boot_lab::error::{Doing, Error, Result};
use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::host::{self, Config, Manner};
use boot_lab::key;
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};

const DEFAULT: &str = "6.0-applehv-default.ign";

/// The commands that the config's user runs in the guest.
const QUESTIONS: [&str; 6] = [
    "id",
    "systemctl is-system-running",
    "systemctl --failed --no-legend --plain",
    "systemctl is-enabled podman.socket ready.service",
    "systemctl --no-pager --plain --no-legend list-units ready.service 'glowplug*' 'immutable-root-*' '*.mount'",
    "ls -ld /etc/localtime /etc/podman-machine /home/*/.config /var/lib/systemd/linger/*",
];

fn main() -> ExitCode {
    match demo(env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("demo: {e}");
            ExitCode::FAILURE
        }
    }
}

fn demo(file: Option<&str>) -> Result<()> {
    let lab = Lab::without_dracut()?;
    let config = match file {
        Some(file) => fs::read_to_string(file).doing("read the config")?,
        None => host::config(DEFAULT)?,
    };
    let machine = Machine::new(&lab)?;
    let config = machine.key.put_into(&config)?;
    let (user, uid) = key::user(&config).ok_or_else(|| Error::new("the config has no user with a uid"))?;

    // A config for podman's QEMU is recognised by the device that its ready.service writes to.
    let qemu = config.contains("/dev/vport1p1");
    let mut options = if qemu { Options::qemu(machine.config_file(&config)?) } else { Options::vsock() };
    let colour = stdout().is_terminal();
    let streams = Arc::new(AtomicBool::new(true));
    let on = streams.clone();
    options.on_line = Some(Box::new(move |at, line| {
        if on.load(Ordering::Relaxed) {
            show(at, line, colour);
        }
    }));
    let (served, ready) = if qemu {
        (None, Ready::port(&machine.ready_socket(), After::Stop))
    } else {
        let served = Config::serve(machine.folder(), config.clone().into_bytes(), Manner::Podman)?;
        (Some(served), Ready::vsock(machine.folder(), After::Stop)?)
    };

    let mut guest = machine.boot(options)?;
    let line = guest.wait_ready(&ready, BOOT)?;
    let after = line.at.duration_since(guest.begin).as_secs_f32();
    if line.text != "Ready" || !line.complete {
        return Err(guest.failed(&format!("the host got {:?} instead of Ready", line.text)));
    }
    guest.wait_ssh(&user, BOOT)?;

    // From here on the console is no longer shown, so that it does not break up the rest of the output.
    streams.store(false, Ordering::Relaxed);
    println!("\nhost:");
    match served.as_ref().map(Config::requests) {
        None => println!("  config in fw_cfg"),
        Some(requests) => match requests.first() {
            Some(first) => {
                let asked = first.at.duration_since(guest.begin).as_secs_f32();
                println!("  config asked for after {asked:.1} s ({} requests)", requests.len());
            }
            None => return Err(guest.failed("the config was never asked for")),
        },
    }
    println!("  Ready after {after:.1} s");
    println!("\nguest, as {user} (uid {uid}):");
    for question in QUESTIONS {
        let output = guest.ssh(&user, question)?;
        println!("  $ {question}");
        for text in [&output.stdout, &output.stderr] {
            for line in String::from_utf8_lossy(text).lines() {
                println!("    {line}");
            }
        }
    }
    stop(guest)
}

fn stop(guest: Guest) -> Result<()> {
    let begin = Instant::now();
    guest.shutdown()?;
    println!("\nshut down in {:.1} s", begin.elapsed().as_secs_f32());
    Ok(())
}

/// Prints one line of the console. A line of glowplug's is marked.
fn show(at: Duration, line: &str, colour: bool) {
    let seconds = at.as_secs_f32();
    match (line.contains("glowplug"), colour) {
        (true, true) => println!("\x1b[1;33m{seconds:6.1} > {line}\x1b[0m"),
        (true, false) => println!("{seconds:6.1} > {line}"),
        (false, true) => println!("\x1b[2m{seconds:6.1}   {line}\x1b[0m"),
        (false, false) => println!("{seconds:6.1}   {line}"),
    }
}
