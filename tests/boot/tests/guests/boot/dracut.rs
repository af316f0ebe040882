//! The boots of `boot.rs` with an initramfs that dracut made, once with systemd in it and once without.

use std::time::Duration;

use boot_lab::guest::Options;
use boot_lab::host::Manner;

use super::{
    Provisioning, STAMP, expect_ready, first_and_second_boot, look_at_failure, look_at_mounts, qemu,
};

const SYSTEMD: &str = "initrd-dracut.img";
const NO_SYSTEMD: &str = "initrd-dracut-no-systemd.img";

#[test]
#[ignore = "by hand: `make boot-more`"]
fn a_first_and_a_second_boot() {
    first_and_second_boot(&Provisioning::new("6.0-applehv-default.ign").with(SYSTEMD));
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn qemu_6_0() {
    qemu(&Provisioning::new("6.0-qemu-default.ign").with(SYSTEMD));
}

/// Without a host, the machine stays in the shell of the initramfs. Leaving the shell tries again, and now there is a host. The
/// next boot asks nobody.
fn failure_and_second_try(initramfs: &'static str, question: Option<&str>, prompt: &str) {
    let provisioning = Provisioning::new("5.4.2-applehv-default.ign").with(initramfs);
    let applied = provisioning.applied();
    let ready = provisioning.listen();
    let arguments = ["glowplug.timeout=15", "SYSTEMD_SULOGIN_FORCE=1"].map(str::to_owned).into();
    let mut guest = provisioning.start(Options { arguments, rescue: true, ..Options::vsock() });
    guest.wait_console(question.unwrap_or(prompt), Duration::from_secs(180)).unwrap();
    // sulogin(8) discards everything that was typed before it reads.
    let answered = (0..20).any(|_| {
        guest.type_text("\n").unwrap();
        guest.console.wait(prompt, Duration::from_secs(5))
    });
    assert!(answered, "{}", guest.failed("no shell"));
    look_at_failure(&guest);
    for words in ["glowplug has not provisioned this machine", "ignition.firstboot=0"] {
        assert!(guest.console.text().contains(words), "{}", guest.failed(words));
    }
    let look = format!("[ -e /sysroot{STAMP} ] || [ ! -d /sysroot/etc ] || echo no-$((6 * 7))-stamp\n");
    guest.type_text(&look).unwrap();
    guest.wait_console("no-42-stamp", Duration::from_secs(30)).unwrap();
    assert!(ready.lines().is_empty(), "a ready signal from a machine that failed");

    let served = provisioning.serve(Manner::Podman);
    guest.type_text("exit\n").unwrap();
    expect_ready(&mut guest, &ready);
    assert!(!served.requests().is_empty(), "ready without the config");
    provisioning.look(&mut guest);
    look_at_mounts(&guest);
    guest.shutdown().unwrap();
    provisioning.compare(&applied);

    drop((ready, served));
    provisioning.boot(&provisioning.listen());
}

#[test]
fn no_host_ends_in_the_emergency_shell() {
    failure_and_second_try(SYSTEMD, Some("for system maintenance"), "\n# ");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn no_host_ends_in_the_shell_of_an_initramfs_without_systemd() {
    failure_and_second_try(NO_SYSTEMD, None, "glowplug:/#");
}
