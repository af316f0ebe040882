//! Kernel arguments: the one restart after the first boot's commit, by kexec and by the firmware.

use std::time::Duration;

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::image;
use boot_lab::lab::Lab;
use boot_lab::process::wait_for;
use boot_lab::ready::{After, Ready};

/// The config brings the boot loader's file as well, because the lab's kernel is started by QEMU.
const CONFIG: &str = r#"{"ignition":{"version":"3.3.0"},
    "kernelArguments":{"shouldExist":["lab.added=1 lab.second"],"shouldNotExist":["lab.unwanted"]},
    "passwd":{"users":[{"name":"root","sshAuthorizedKeys":["ssh-ed25519 AAAA root@host"]}]},
    "storage":{"files":[{"path":"/boot/grub/grub.cfg","contents":
        {"source":"data:,linux%20/vmlinuz%20root=/dev/vda%20ro%20lab.unwanted%0Ainitrd%20/initrd.img%0Aboot%0A"}}]}}"#;

const GRUB: &str = "linux /vmlinuz root=/dev/vda ro lab.added=1 lab.second\ninitrd /initrd.img\nboot\n";

/// What the initramfs says on the console before it restarts the machine.
const RESTART: &str = "the config changes the kernel's arguments: +lab.added=1 +lab.second -lab.unwanted";

struct Lonely {
    machine: Machine,
    config: std::path::PathBuf,
}

impl Lonely {
    fn new() -> Self {
        let machine = Machine::new(&Lab::without_dracut().unwrap()).unwrap();
        let config = machine.config_file(&machine.key.put_into(CONFIG).unwrap()).unwrap();
        Self { machine, config }
    }

    fn boot(&self, arguments: &[&str]) -> (Guest, Ready) {
        let ready = Ready::port(&self.machine.ready_socket(), After::Record);
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let options = Options { arguments, ..Options::qemu(self.config.clone()) };
        (self.machine.boot(options).unwrap(), ready)
    }

    /// The file of the boot loader on the disk, while no guest runs.
    fn grub(&self) -> String {
        let path = "/boot/grub/grub.cfg".to_owned();
        let found = image::extract(&self.machine.disk(), std::slice::from_ref(&path)).unwrap();
        String::from_utf8_lossy(&found[&path].node.content).into_owned()
    }
}

/// Waits for the whole system, and returns the command line of its kernel.
fn command_line(guest: &mut Guest, ready: &Ready) -> String {
    let line = guest.wait_ready(ready, 4 * BOOT).unwrap();
    assert_eq!(line.text, "Ready", "{}", guest.failed("not Ready"));
    guest.wait_ssh("root", BOOT).unwrap();
    guest.ask("root", "cat /proc/cmdline").unwrap()
}

/// The second kernel has what the config wants, and what was typed by hand for the first one.
#[test]
fn the_machine_restarts_once_by_kexec() {
    let lonely = Lonely::new();
    let (mut guest, ready) = lonely.boot(&["lab.unwanted", "lab.typed=by-hand"]);
    let line = command_line(&mut guest, &ready);
    let words: Vec<&str> = line.split_whitespace().filter(|word| word.starts_with("lab.")).collect();
    assert_eq!(words, ["lab.typed=by-hand", "lab.added=1", "lab.second"], "{line}");
    let console = guest.console.text();
    for words in [RESTART, "restarting once by kexec, with /boot/vmlinuz-"] {
        assert!(console.contains(words), "{}", guest.failed(words));
    }
    assert!(!console.contains("no kexec"), "{}", guest.failed("kexec failed"));
    // The second kernel finds the stamp: its boot is not the one that provisioned.
    let same = "grep -c $(cat /proc/sys/kernel/random/boot_id) /etc/.ignition-result.json || true";
    assert_eq!(guest.ask("root", same).unwrap().trim(), "0");
    guest.shutdown().unwrap();
    assert_eq!(lonely.grub(), GRUB);
}

/// Where kexec is forbidden, the firmware restarts the machine. QEMU ends instead, as podman's machines do. The next start finds
/// the stamp. QEMU gives the kernel none of the arguments, and the machine starts nevertheless, without another restart.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn the_machine_restarts_once_without_kexec() {
    let lonely = Lonely::new();
    let (mut guest, _ready) = lonely.boot(&["lab.unwanted", "sysctl.kernel.kexec_load_disabled=1"]);
    let ended = wait_for(2 * BOOT, || guest.over().map(str::to_owned));
    assert_eq!(ended.as_deref(), Some("QEMU has ended"), "{}", guest.failed("no restart"));
    let console = guest.console.text();
    for words in [RESTART, "no kexec (load the kernel /boot/vmlinuz-", "It is provisioned: start it again"] {
        assert!(console.contains(words), "{}", guest.failed(words));
    }
    drop(guest);
    assert_eq!(lonely.grub(), GRUB);

    let (mut guest, ready) = lonely.boot(&["lab.unwanted"]);
    let line = command_line(&mut guest, &ready);
    assert!(line.contains("lab.unwanted") && !line.contains("lab.added"), "{line}");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!guest.console.text().contains("changes the kernel's arguments"), "{}", guest.failed("a loop"));
    guest.shutdown().unwrap();
}
