//! Disks: a machine whose config grows the root, moves `/var`, and adds a file system, swap, an encrypted volume and a mirror.

use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};

/// What the config makes of disks and files. The options of the encrypted volume spare the test the minute that a guest without
/// KVM needs for cryptsetup's own defaults.
const STORAGE: &str = r#"
    "disks":[
        {"device":"/dev/vda","partitions":[{"number":1,"sizeMiB":0,"resize":true}]},
        {"device":"/dev/disk/by-id/virtio-one","wipeTable":true,"partitions":[
            {"number":1,"label":"var","sizeMiB":600},
            {"number":2,"label":"data","sizeMiB":320},
            {"number":3,"label":"swap","sizeMiB":64},
            {"number":4,"label":"secret","sizeMiB":64},
            {"number":5,"label":"mirror-a"}]},
        {"device":"/dev/vdc","partitions":[{"label":"mirror-b"}]}],
    "raid":[{"name":"mirror","level":"raid1",
        "devices":["/dev/disk/by-partlabel/mirror-a","/dev/disk/by-partlabel/mirror-b"]}],
    "luks":[{"name":"secret","device":"/dev/disk/by-partlabel/secret",
        "options":["--pbkdf","pbkdf2","--pbkdf-force-iterations","1000"]}],
    "filesystems":[
        {"device":"/dev/disk/by-partlabel/var","format":"ext4","path":"/var","wipeFilesystem":true},
        {"device":"/dev/disk/by-partlabel/data","format":"xfs","path":"/srv/data"},
        {"device":"/dev/disk/by-partlabel/swap","format":"swap"},
        {"device":"/dev/mapper/secret","format":"ext4","path":"/srv/secret"},
        {"device":"/dev/md/mirror","format":"ext4","path":"/srv/mirror"}],
    "files":[
        {"path":"/var/from-config","contents":{"source":"data:,var%0A"}},
        {"path":"/srv/data/from-config","contents":{"source":"data:,data%0A"}},
        {"path":"/srv/secret/from-config","contents":{"source":"data:,secret%0A"}},
        {"path":"/srv/mirror/from-config","contents":{"source":"data:,mirror%0A"}}]"#;

/// The mounts: the device as the units name it, the directory and the type.
const MOUNTS: [(&str, &str, &str); 4] = [
    ("/dev/disk/by-partlabel/var", "/var", "ext4"),
    ("/dev/disk/by-partlabel/data", "/srv/data", "xfs"),
    ("/dev/mapper/secret", "/srv/secret", "ext4"),
    ("/dev/md/mirror", "/srv/mirror", "ext4"),
];

/// The size of the machine's first disk. The root in the lab's image is smaller.
const DISK: u64 = 3 << 30;

/// What the kernel says of a disk that is larger than its partition table.
const ENLARGED: &str = "GPT:Alternate GPT header not at the end of the disk.";

/// Escapes a path as in the name of a unit.
fn escaped(path: &str) -> String {
    path.trim_start_matches('/').replace('-', r"\x2d").replace('/', "-")
}

/// A unit of the config, as JSON.
fn unit(name: &str, text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('\n', r"\n");
    format!(r#"{{"name":"{}","enabled":true,"contents":"{text}"}}"#, name.replace('\\', r"\\"))
}

/// The unit that Butane writes for `with_mount_unit`.
fn mount_unit((device, path, kind): (&str, &str, &str)) -> String {
    let check = format!("systemd-fsck@{}.service", escaped(device));
    unit(
        &format!("{}.mount", escaped(path)),
        &format!(
            "[Unit]\nRequires={check}\nAfter={check}\n\n[Mount]\nWhere={path}\nWhat={device}\nType={kind}\n\n\
             [Install]\nRequiredBy=local-fs.target"
        ),
    )
}

fn config() -> String {
    let swap = "/dev/disk/by-partlabel/swap";
    let text = format!("[Swap]\nWhat={swap}\n\n[Install]\nRequiredBy=swap.target");
    let mut units = vec![unit(&format!("{}.swap", escaped(swap)), &text)];
    units.extend(MOUNTS.into_iter().map(mount_unit));
    format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{{STORAGE}}},"systemd":{{"units":[{}]}},
        "passwd":{{"users":[{{"name":"root","sshAuthorizedKeys":["ssh-ed25519 AAAA root@host"]}}]}}}}"#,
        units.join(",")
    )
}

/// A machine with its disks, and the config for them.
struct Computer {
    machine: Machine,
    config: PathBuf,
    disks: Vec<PathBuf>,
    initramfs: PathBuf,
}

impl Computer {
    fn new(initramfs: &str) -> Self {
        let lab = Lab::from_env().unwrap();
        let machine = Machine::with_disk(&lab, "disks.img").unwrap();
        File::options().write(true).open(machine.disk()).unwrap().set_len(DISK).unwrap();
        let disks = [("one", 1200), ("two", 64)];
        let disks = disks.map(|(name, size)| machine.blank_disk(name, size).unwrap()).into();
        let config = machine.config_file(&machine.key.put_into(&config()).unwrap()).unwrap();
        Self { machine, config, disks, initramfs: lab.part(initramfs) }
    }

    fn start(&self) -> Guest {
        self.machine
            .boot(Options {
                initrd: Some(self.initramfs.clone()),
                disks: self.disks.clone(),
                // systemd's own limit of 90 s is short for a guest on a busy machine.
                arguments: ["root=/dev/vda1", "systemd.default_device_timeout_sec=300"]
                    .map(str::to_owned)
                    .into(),
                ..Options::qemu(self.config.clone())
            })
            .unwrap()
    }

    /// Boots until the host has `Ready`, and looks at the disks.
    fn boot(&self) -> Guest {
        let ready = Ready::port(&self.machine.ready_socket(), After::Record);
        let mut guest = self.start();
        let line = guest.wait_ready(&ready, 3 * BOOT).unwrap();
        assert_eq!(line.text, "Ready", "{}", guest.failed("not Ready"));
        guest.wait_ssh("root", BOOT).unwrap();
        look(&guest);
        guest
    }
}

/// Shows what is there. dpkg has its database on the new `/var`, and can write it.
const SHOW: &str = r"set -eu
mounted() {
    source=$(findmnt --noheadings --output SOURCE --mountpoint $2)
    [ $(readlink -f $1) = $(readlink -f $source) ] || echo $2 is $source
    echo $2 $(findmnt --noheadings --output FSTYPE --mountpoint $2) $(cat $2/from-config)
}
package=$(mktemp -d)
mkdir $package/DEBIAN
printf '%s\n' 'Package: lab' 'Version: 1' 'Architecture: all' 'Maintainer: lab <lab@lab>' 'Description: lab' \
    >$package/DEBIAN/control
dpkg-deb --build $package /tmp/lab.deb >/dev/null
dpkg --install /tmp/lab.deb | grep Setting
dpkg --audit
dpkg --purge lab | grep Removing
echo swap $(swapon --noheadings --show=NAME)
echo secret $(cryptsetup status secret | grep type:)
cd /sys/block/$(basename $(readlink -f /dev/md/mirror))/md
echo mirror $(cat level raid_disks degraded)
[ $(df --output=size --block-size=1M / | tail -n 1) -gt 2800 ] || df /
ls -d /.glowplug /var/.glowplug /srv/*/.glowplug 2>/dev/null || true
";

/// What it shows.
const SHOWN: &str = "\
Setting up lab (1) ...
Removing lab (1) ...
swap /dev/vdb3
secret type: LUKS2
mirror raid1 2 0
/var ext4 var
/srv/data xfs data
/srv/secret ext4 secret
/srv/mirror ext4 mirror
";

/// Checks that all of it is there, and that the system runs without a failure.
fn look(guest: &Guest) {
    let state = guest.ssh_with("root", "systemctl is-system-running --wait", b"", BOOT).unwrap();
    if String::from_utf8_lossy(&state.stdout).trim() != "running" {
        let failed = "systemctl --failed --no-legend --plain --full; journalctl -b -p 4 --no-pager";
        panic!("{}", guest.ask("root", failed).unwrap());
    }
    let mut show = SHOW.to_owned();
    for (device, path, _) in MOUNTS {
        let _ = writeln!(show, "mounted {device} {path}");
    }
    assert_eq!(guest.ask_within(BOOT, "root", &show).unwrap(), SHOWN);
}

/// Checks that no partition was gone for a moment while programs worked on it: a udevd that runs lets the kernel read the table
/// anew, and the kernel says so.
fn expect_steady_partitions(guest: &Guest) {
    let text = guest.console.text();
    let (_, after) = text.split_once("glowplug: partition /dev/vda").unwrap();
    let (during, _) = after.split_once("glowplug: provisioned in").unwrap();
    for disk in ["vdb", "vdc"] {
        assert!(!during.contains(&format!(" {disk}: {disk}1")), "{during}");
    }
}

/// The first boot provisions. The second one finds everything in its place, and changes nothing.
fn boots_twice(initramfs: &str) {
    let stamp = "cat /etc/.ignition-result.json";
    let computer = Computer::new(initramfs);
    let guest = computer.boot();
    let first = guest.ask("root", stamp).unwrap();
    assert!(guest.console.text().contains(ENLARGED), "the disk is as large as the image");
    expect_steady_partitions(&guest);
    guest.shutdown().unwrap();
    let guest = computer.boot();
    assert_eq!(guest.ask("root", stamp).unwrap(), first);
    assert!(!guest.console.text().contains(ENLARGED), "{}", guest.failed("the backup table is elsewhere"));
    guest.shutdown().unwrap();
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn disks_with_initramfs_tools() {
    boots_twice("initrd-disks.img");
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn disks_with_dracut() {
    boots_twice("initrd-dracut-disks.img");
}

/// The power goes several times while the disks are made, each time a little later. The last boot finishes all of it.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn disks_after_power_cuts() {
    const CUTS: u32 = 4;
    let computer = Computer::new("initrd-disks.img");
    for number in 0..CUTS {
        let guest = computer.start();
        guest.wait_console(" with the config ", BOOT).unwrap();
        std::thread::sleep(Duration::from_secs(2) * number + Duration::from_millis(700));
        let provisioned = guest.console.text().contains("glowplug: provisioned in");
        println!("power cut number {number}: provisioned: {provisioned}");
        drop(guest);
        if provisioned {
            break;
        }
    }
    computer.boot().shutdown().unwrap();
}
