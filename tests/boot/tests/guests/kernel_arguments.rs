//! Kernel arguments: the one restart after the first boot's commit, by kexec and by the firmware.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use boot_lab::firmware::Firmware;
use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::image;
use boot_lab::lab::Lab;
use boot_lab::process::{run, run_ok, wait_for};
use boot_lab::ready::{After, Ready};

/// The config, with `FILES` in the place of its files.
const CONFIG: &str = r#"{"ignition":{"version":"3.3.0"},
    "kernelArguments":{"shouldExist":["lab.added=1 lab.second"],"shouldNotExist":["lab.unwanted"]},
    "passwd":{"users":[{"name":"root","sshAuthorizedKeys":["ssh-ed25519 AAAA root@host"]}]},
    "storage":{"files":[FILES]}}"#;

/// The file of a boot loader, which a config brings where the root has none, because QEMU starts the lab's kernel.
const GRUB_FILE: &str = r#"{"path":"/boot/grub/grub.cfg","contents":
    {"source":"data:,linux%20/vmlinuz%20root=/dev/vda%20ro%20lab.unwanted%0Ainitrd%20/initrd.img%0Aboot%0A"}}"#;

const GRUB: &str = "linux /vmlinuz root=/dev/vda ro lab.added=1 lab.second\ninitrd /initrd.img\nboot\n";

/// What the initramfs says on the console before it restarts the machine.
const RESTART: &str = "the config changes the kernel's arguments: +lab.added=1 +lab.second -lab.unwanted";

/// Writes the config with these files for `machine`, and returns its path.
fn config(machine: &Machine, files: &str) -> PathBuf {
    let text = machine.key.put_into(&CONFIG.replace("FILES", files)).unwrap();
    machine.config_file(&text).unwrap()
}

struct Lonely {
    machine: Machine,
    config: PathBuf,
}

impl Lonely {
    fn new() -> Self {
        let machine = Machine::new(&Lab::without_dracut().unwrap()).unwrap();
        let config = config(&machine, GRUB_FILE);
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

/// Returns the arguments of these tests on a command line.
fn words_of_lab(line: &str) -> Vec<&str> {
    line.split_whitespace().filter(|word| word.starts_with("lab.")).collect()
}

/// The second kernel has what the config wants, and what was typed by hand for the first one.
#[test]
fn the_machine_restarts_once_by_kexec() {
    let lonely = Lonely::new();
    let (mut guest, ready) = lonely.boot(&["lab.unwanted", "lab.typed=by-hand"]);
    let line = command_line(&mut guest, &ready);
    assert_eq!(words_of_lab(&line), ["lab.typed=by-hand", "lab.added=1", "lab.second"], "{line}");
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

const LIMIT: Duration = Duration::from_secs(60);

/// The size of a second partition, in MiB.
const SECOND: u64 = 128;

/// A machine whose boot loader has a file system of its own, on the second partition of the disk.
struct Separate {
    machine: Machine,
    config: PathBuf,
    lab: Lab,
    /// Where the second partition begins on the disk, in MiB.
    second_at: u64,
}

impl Separate {
    /// Makes the second partition, of the type that sfdisk knows by `kind`. The root's `/etc/fstab` gets the line `fstab`.
    fn new(kind: &str, fstab: &str) -> Self {
        let lab = Lab::from_env().unwrap();
        let machine = Machine::with_disk(&lab, "disks.img").unwrap();
        let disk = File::options().write(true).open(machine.disk()).unwrap();
        // A MiB before the root is for the table, and one behind it for the copy of the table.
        let root = (disk.metadata().unwrap().len() >> 20) - 2;
        disk.set_len((root + SECOND + 2) << 20).unwrap();
        let table = format!(
            "label: gpt\nstart=1MiB, size={root}MiB, name=root\nsize={SECOND}MiB, type={kind}, name=second\n"
        );
        let mut sfdisk = Command::new("sfdisk");
        let made = run(sfdisk.args(["--quiet", "--wipe=never"]).arg(machine.disk()), table.as_bytes(), LIMIT);
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = config(&machine, "");
        let separate = Self { machine, config, lab, second_at: root + 1 };
        let lines = separate.machine.folder().join("fstab");
        fs::write(&lines, format!("/dev/vda1 / ext4 defaults 0 1\n{fstab}\n")).unwrap();
        separate.change_root(&["rm /etc/fstab".to_owned(), format!("write {} /etc/fstab", lines.display())]);
        separate
    }

    /// Changes the root by commands of debugfs.
    fn change_root(&self, commands: &[String]) {
        image::change(&self.file_system_at(1), commands).unwrap();
    }

    /// Returns the file system that begins at `mebibytes` on the disk, for the programs of ext4.
    fn file_system_at(&self, mebibytes: u64) -> PathBuf {
        PathBuf::from(format!("{}?offset={}", self.machine.disk().display(), mebibytes << 20))
    }

    /// Returns the path of the initramfs that finds a root on a partition.
    fn initramfs(&self) -> PathBuf {
        self.lab.part("initrd-disks.img")
    }

    /// Runs a program of mtools on the second partition.
    fn mtools(&self, program: &str, arguments: &[&str]) -> String {
        let partition = format!("{}@@{}M", self.machine.disk().display(), self.second_at);
        let mut command = Command::new(program);
        let out = run_ok(command.arg("-i").arg(partition).args(arguments), LIMIT).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Starts a guest and what waits for its `Ready`.
    fn boot(&self, options: Options) -> (Guest, Ready) {
        let ready = Ready::port(&self.machine.ready_socket(), After::Record);
        (self.machine.boot(options).unwrap(), ready)
    }
}

/// systemd's own limit of 90 s is short for a guest on a busy machine.
const DEVICE_LIMIT: &str = "systemd.default_device_timeout_sec=300";

/// The lines of the entry of systemd-boot before its options.
const ENTRY: &str = "title Debian\nlinux /debian/vmlinuz\ninitrd /debian/initrd.img\n";

/// Returns the options of the entry before those of the tests. The kernel forbids kexec, so that the firmware restarts the
/// machine.
fn entry_options() -> String {
    format!("root=/dev/vda1 ro console=ttyS0 panic=-1 sysctl.kernel.kexec_load_disabled=1 {DEVICE_LIMIT}")
}

/// The whole way through the firmware: systemd-boot starts the kernel with an entry on the EFI system partition, glowplug
/// changes the entry, and systemd-boot starts the kernel with the changed one.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn systemd_boot_starts_with_the_new_arguments() {
    let separate = Separate::new("uefi", "LABEL=ESP /efi vfat umask=0077 0 1");
    separate.change_root(&["mkdir /efi".to_owned()]);
    let path = |path: PathBuf| path.display().to_string();
    let entry = path(separate.machine.folder().join("debian.conf"));
    let options = entry_options();
    fs::write(&entry, format!("{ENTRY}options {options} lab.unwanted\n")).unwrap();
    // The old options become a comment.
    let changed =
        format!("{ENTRY}#ptions {options} lab.unwanted\noptions {options} lab.added=1 lab.second\n");
    separate.mtools("mformat", &["-T", &(SECOND * 2048).to_string(), "-v", "ESP", "::"]);
    separate.mtools("mmd", &["::/EFI", "::/EFI/BOOT", "::/debian", "::/loader", "::/loader/entries"]);
    for (from, to) in [
        ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "::/EFI/BOOT/BOOTX64.EFI"),
        (&path(separate.lab.part("vmlinuz")), "::/debian/vmlinuz"),
        (&path(separate.initramfs()), "::/debian/initrd.img"),
        (&entry, "::/loader/entries/debian.conf"),
    ] {
        separate.mtools("mcopy", &[from, to]);
    }
    let options = || Options { firmware: Some(Firmware::Uefi), ..Options::qemu(separate.config.clone()) };

    let (mut guest, _ready) = separate.boot(options());
    guest.wait_console("reboot: machine restart", 3 * BOOT).unwrap();
    let console = guest.console.text();
    for words in [RESTART, "no kexec (load the kernel /boot/vmlinuz-"] {
        assert!(console.contains(words), "{}", guest.failed(words));
    }
    // QEMU 7.2 was seen to stand still here instead of ending. The next guest starts by the firmware in any case.
    if guest.wait_end(LIMIT).is_err() {
        println!("QEMU has not ended at the restart");
    }
    drop(guest);
    assert_eq!(separate.mtools("mtype", &["::/loader/entries/debian.conf"]), changed);

    let (mut guest, ready) = separate.boot(options());
    let line = command_line(&mut guest, &ready);
    assert_eq!(words_of_lab(&line), ["lab.added=1", "lab.second"], "{line}");
    let loader = "tr -d '\\0' </sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    let loader = guest.ask("root", loader).unwrap();
    assert!(loader.contains("systemd-boot"), "{loader}");
    assert_eq!(guest.ask("root", "cat /efi/loader/entries/debian.conf").unwrap(), changed);
    assert!(!guest.console.text().contains("changes the kernel's arguments"), "{}", guest.failed("a loop"));
    guest.shutdown().unwrap();
}

/// The root itself has no kernel. QEMU starts the first one, and kexec the one on the file system of `/boot`.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn the_kernel_is_on_a_boot_of_its_own() {
    let separate = Separate::new("linux", "LABEL=boot /boot ext4 defaults 0 2");
    let own = separate.machine.folder().join("boot");
    fs::create_dir_all(own.join("grub")).unwrap();
    let names = names_in(&separate.lab.part("root/boot"));
    let only = |prefix: &str| {
        let found: Vec<&String> = names.iter().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(found.len(), 1, "{names:?}");
        found[0].clone()
    };
    let (kernel, initrd) = (only("vmlinuz-"), only("initrd.img-"));
    fs::copy(separate.lab.part("vmlinuz"), own.join(&kernel)).unwrap();
    fs::copy(separate.initramfs(), own.join(&initrd)).unwrap();
    let grub =
        |arguments: &str| format!("linux /{kernel} root=/dev/vda1 ro {arguments}\ninitrd /{initrd}\nboot\n");
    fs::write(own.join("grub/grub.cfg"), grub("lab.unwanted")).unwrap();
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-L", "boot", "-E"]);
    make.arg(format!("offset={},nodiscard", separate.second_at << 20)).arg("-d").arg(&own);
    run_ok(make.arg(separate.machine.disk()).arg(format!("{SECOND}M")), LIMIT).unwrap();
    let removed: Vec<String> = names.iter().map(|name| format!("rm /boot/{name}")).collect();
    separate.change_root(&removed);

    let arguments = ["root=/dev/vda1", DEVICE_LIMIT, "lab.unwanted"].map(str::to_owned).into();
    let initrd = Some(separate.initramfs());
    let options = Options { arguments, initrd, ..Options::qemu(separate.config.clone()) };
    let (mut guest, ready) = separate.boot(options);
    let line = command_line(&mut guest, &ready);
    let console = guest.console.text();
    for words in [RESTART, &format!("restarting once by kexec, with /boot/{kernel}")] {
        assert!(console.contains(words), "{}", guest.failed(words));
    }
    assert_eq!(words_of_lab(&line), ["lab.added=1", "lab.second"], "{line}");
    let changed = grub("lab.added=1 lab.second");
    assert_eq!(guest.ask("root", "cat /boot/grub/grub.cfg").unwrap(), changed);
    guest.shutdown().unwrap();
    let path = "/grub/grub.cfg".to_owned();
    let found =
        image::extract(&separate.file_system_at(separate.second_at), std::slice::from_ref(&path)).unwrap();
    assert_eq!(String::from_utf8_lossy(&found[&path].node.content), changed);
}

/// Returns the names of the files in a directory of the host.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
