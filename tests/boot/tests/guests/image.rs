//! Boots the disk images that `image/build` makes, with the firmware that podman's hypervisors have.

use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use boot_lab::firmware::Firmware;
use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::host::{self, Config, Manner};
use boot_lab::image;
use boot_lab::key;
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};

/// The size to which podman would enlarge the disk.
const DISK: u64 = 8 << 30;

/// Where the root begins on the disk: `root_at` in `image/build`.
const ROOT_AT: u64 = 34 << 20;

/// How long the test waits after `Ready` to see that nothing more comes.
const QUIET: Duration = Duration::from_secs(10);

/// Returns a machine with a copy of the image, as large as podman makes it, and its config.
fn machine(arch: &str, config: &str) -> (Machine, String) {
    let machine = Machine::with_disk(&Lab::of_images().unwrap(), &format!("debian-{arch}.raw")).unwrap();
    File::options().write(true).open(machine.disk()).unwrap().set_len(DISK).unwrap();
    let config = host::without_shares(&host::config(config).unwrap()).unwrap();
    let config = machine.key.put_into(&config).unwrap();
    (machine, config)
}

/// Checks that nothing in the image belongs to one machine, or keeps podman's config from being applied.
fn look_into(machine: &Machine) {
    let root = PathBuf::from(format!("{}?offset={ROOT_AT}", machine.disk().display()));
    let absent = [
        "/etc/.ignition-result.json",
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/ssh/ssh_host_ecdsa_key",
        "/etc/ssh/ssh_host_ed25519_key",
        "/var/lib/dbus/machine-id",
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
    ];
    let paths: Vec<String> = ["/etc/machine-id", "/boot/grub/grub.cfg", "/etc/localtime"]
        .iter()
        .chain(&absent)
        .map(ToString::to_string)
        .collect();
    let found = image::extract(&root, &paths).unwrap();
    assert_eq!(found["/etc/machine-id"].node.content, b"", "the machine-id");
    let grub = String::from_utf8_lossy(&found["/boot/grub/grub.cfg"].node.content).into_owned();
    assert!(grub.contains("console=hvc0"), "{grub}");
    assert_eq!(found.len(), 3, "{found:?}");
}

/// Checks that the running machine is complete, and has made what each machine makes for itself.
fn look(guest: &mut Guest, config: &str, uefi: bool) {
    let (user, uid) = key::user(config).expect("a user with a uid");
    guest.wait_ssh(&user, BOOT).unwrap();
    assert_eq!(guest.ask(&user, "id -u").unwrap().trim(), uid.to_string());

    let state = guest.ssh_with("root", "systemctl is-system-running --wait", b"", BOOT).unwrap();
    let failed = guest
        .ask("root", "systemctl --failed --no-legend --plain --full; journalctl -b -p 3 --no-pager")
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&state.stdout).trim(), "running", "{failed}");

    let firmware = guest.ask("root", "test -d /sys/firmware/efi && echo uefi || echo bios").unwrap();
    assert_eq!(firmware.trim() == "uefi", uefi, "{firmware}");
    let size = guest.ask("root", "df --output=size --block-size=1M / | tail -n 1").unwrap();
    let size: u64 = size.trim().parse().unwrap();
    assert!(size > (DISK >> 20) * 9 / 10, "the root has {size} MiB of {}", DISK >> 20);

    let id = guest.ask("root", "cat /etc/machine-id").unwrap();
    assert!(id.trim().len() == 32 && id.trim().bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let keys = guest.ask("root", "ls /etc/ssh").unwrap();
    assert!(keys.contains("ssh_host_ed25519_key"), "{keys}");

    let socket = guest.ask("root", "systemctl is-active podman.socket").unwrap();
    assert_eq!(socket.trim(), "active", "podman.socket");
    let emulated = guest.ask("root", "ls /proc/sys/fs/binfmt_misc").unwrap();
    assert!(emulated.contains("qemu-s390x"), "{emulated}");
    let programs =
        guest.ask("root", "cd /usr/bin && echo curl git nano vi xz | xargs -n 1 readlink -e").unwrap();
    assert_eq!(programs.lines().count(), 5, "programs that Fedora's image has as well: {programs}");
}

/// Checks that the host gets one complete line, and nothing after it.
fn expect_ready(guest: &mut Guest, ready: &Ready) {
    let line = guest.wait_ready(ready, 3 * BOOT).unwrap();
    assert_eq!((line.text.as_str(), line.complete), ("Ready", true), "{}", guest.failed("not Ready"));
    thread::sleep(QUIET);
    assert_eq!(ready.lines().len(), 1, "more than one ready signal");
}

/// Boots as vfkit and krunkit do, with the config by vsock.
fn vsock(arch: &str, firmware: Firmware, config: &str) {
    let (machine, config) = machine(arch, config);
    look_into(&machine);
    let _served = Config::serve(machine.folder(), config.clone().into_bytes(), Manner::Podman).unwrap();
    let ready = Ready::vsock(machine.folder(), After::Record).unwrap();
    let mut guest = machine.boot(Options { firmware: Some(firmware), ..Options::vsock() }).unwrap();
    expect_ready(&mut guest, &ready);
    look(&mut guest, &config, firmware != Firmware::Bios);
    guest.shutdown().unwrap();
}

/// Boots as podman starts QEMU on amd64, without UEFI and with the config in `fw_cfg`.
fn fw_cfg(config: &str) {
    let (machine, config) = machine("amd64", config);
    let file = machine.config_file(&config).unwrap();
    let ready = Ready::port(&machine.ready_socket(), After::Record);
    let mut guest = machine.boot(Options { firmware: Some(Firmware::Bios), ..Options::qemu(file) }).unwrap();
    expect_ready(&mut guest, &ready);
    look(&mut guest, &config, false);
    guest.shutdown().unwrap();
}

#[test]
fn amd64_by_uefi_with_vsock_6_0() {
    vsock("amd64", Firmware::Uefi, "6.0-applehv-default.ign");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn amd64_by_bios_with_vsock_5_8() {
    vsock("amd64", Firmware::Bios, "5.8.3-libkrun-rootful.ign");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn amd64_by_bios_with_fw_cfg_6_0() {
    fw_cfg("6.0-qemu-default.ign");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn amd64_by_bios_with_fw_cfg_5_4() {
    fw_cfg("5.4.2-qemu-timezone.ign");
}

/// Only the start differs from that of UEFI: what follows after the initramfs is the same.
#[test]
fn amd64_by_bios_with_fw_cfg_5_4_is_provisioned() {
    let (machine, config) = machine("amd64", "5.4.2-qemu-timezone.ign");
    let file = machine.config_file(&config).unwrap();
    let options = Options { firmware: Some(Firmware::Bios), ..Options::qemu(file) };
    let guest = machine.boot(options).unwrap();
    guest.wait_console("glowplug: provisioned in", BOOT).unwrap();
}

#[test]
#[ignore = "make image-test ARCH=arm64 runs it"]
fn arm64_by_uefi_with_vsock() {
    vsock("arm64", Firmware::UefiArm64, "6.0-applehv-default.ign");
}
