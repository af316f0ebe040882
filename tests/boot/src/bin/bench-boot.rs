//! Where the time of a first boot goes, as the image for podman starts under QEMU: part of `make bench`.
//!
//! The guest's clock counts instructions, one as a nanosecond, because the time that QEMU needs for them varies. Only where the
//! guest waits for the host, that time counts as well.

use std::process::ExitCode;
use std::time::Duration;

use boot_lab::error::Result;
use boot_lab::firmware::Firmware;
use boot_lab::guest::{Machine, Options};
use boot_lab::host;
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};

/// How long one boot may take: counting makes QEMU slower.
const BOOT: Duration = Duration::from_secs(900);
/// Each command, and what it tells.
const QUESTIONS: [(&str, &str); 4] = [
    ("the phases", "systemctl is-system-running --wait; systemd-analyze time"),
    ("glowplug in the initramfs", "dmesg | grep -e 'glowplug' -e 'Run /init'"),
    ("the longest services", "systemd-analyze blame --no-pager | head -n 25"),
    ("what the ready signal waited for", "systemd-analyze critical-chain --no-pager ready.service"),
];

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-boot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let machine = Machine::with_disk(&Lab::of_images()?, "debian-amd64.raw")?;
    let config = host::without_shares(&host::config("6.0-qemu-default.ign")?)?;
    let config = machine.config_file(&machine.key.put_into(&config)?)?;
    let ready = Ready::port(&machine.ready_socket(), After::Record);
    let options =
        Options { firmware: Some(Firmware::Bios), counts_instructions: true, ..Options::qemu(config) };
    let mut guest = machine.boot(options)?;
    guest.wait_ready(&ready, BOOT)?;
    guest.wait_ssh("root", BOOT)?;
    for (title, question) in QUESTIONS {
        let answer = guest.ssh_with("root", question, b"", BOOT)?;
        println!("-- {title}\n{}", String::from_utf8_lossy(&answer.stdout));
    }
    guest.shutdown()
}
