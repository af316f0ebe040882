//! Disks: a machine whose config grows the root, moves `/var`, and adds a file system, swap, an encrypted volume and a mirror.
//! Another machine has volumes that its TPM and a tang server open.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};
use boot_lab::tang;

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

/// The unit that Butane writes for `with_mount_unit`. A file system on a volume that a tang server opens `needs_network`.
fn mount_unit((device, path, kind): (&str, &str, &str), needs_network: bool) -> String {
    let check = format!("systemd-fsck@{}.service", escaped(device));
    let (options, target) = if needs_network { ("Options=_netdev\n", "remote") } else { ("", "local") };
    unit(
        &format!("{}.mount", escaped(path)),
        &format!(
            "[Unit]\nRequires={check}\nAfter={check}\n\n[Mount]\nWhere={path}\nWhat={device}\nType={kind}\n{options}\n\
             [Install]\nRequiredBy={target}-fs.target"
        ),
    )
}

fn config() -> String {
    let swap = "/dev/disk/by-partlabel/swap";
    let text = format!("[Swap]\nWhat={swap}\n\n[Install]\nRequiredBy=swap.target");
    let mut units = vec![unit(&format!("{}.swap", escaped(swap)), &text)];
    units.extend(MOUNTS.into_iter().map(|mount| mount_unit(mount, false)));
    config_of(STORAGE, &units)
}

/// The config with these parts and a user.
fn config_of(storage: &str, units: &[String]) -> String {
    format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{{storage}}},"systemd":{{"units":[{}]}},
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

    fn options(&self) -> Options {
        Options { disks: self.disks.clone(), ..options(&self.config, &self.initramfs) }
    }

    /// Boots until the host has `Ready`, and looks at the disks.
    fn boot(&self) -> Guest {
        let guest = boot(&self.machine, self.options());
        look(&guest);
        guest
    }
}

/// How a guest with a partition as its root is booted.
fn options(config: &Path, initramfs: &Path) -> Options {
    // systemd's own limit of 90 s is short for a guest on a busy machine.
    let arguments = ["root=/dev/vda1", "systemd.default_device_timeout_sec=300"].map(str::to_owned).into();
    Options { initrd: Some(initramfs.to_owned()), arguments, ..Options::qemu(config.to_owned()) }
}

/// Boots until the host has `Ready`, and checks that the system runs without a failure.
fn boot(machine: &Machine, options: Options) -> Guest {
    boot_unless(machine, options, None).unwrap()
}

/// As [`boot`]. If there is no `Ready`, and the console has the words `excuse`, it returns nothing.
fn boot_unless(machine: &Machine, options: Options, excuse: Option<&str>) -> Option<Guest> {
    let ready = Ready::port(&machine.ready_socket(), After::Record);
    let mut guest = machine.boot(options).unwrap();
    let line = match guest.wait_ready(&ready, 3 * BOOT) {
        Err(_) if excuse.is_some_and(|excuse| guest.console.text().contains(excuse)) => return None,
        line => line.unwrap(),
    };
    assert_eq!(line.text, "Ready", "{}", guest.failed("not Ready"));
    guest.wait_ssh("root", BOOT).unwrap();
    let state = guest.ssh_with("root", "systemctl is-system-running --wait", b"", BOOT).unwrap();
    if String::from_utf8_lossy(&state.stdout).trim() != "running" {
        let failed = "systemctl --failed --no-legend --plain --full; journalctl -b -p 4 --no-pager";
        panic!("{}", guest.ask("root", failed).unwrap());
    }
    Some(guest)
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

/// Checks that all of it is there.
fn look(guest: &Guest) {
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
        let guest = computer.machine.boot(computer.options()).unwrap();
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

/// The file systems on the volumes of the second machine.
const OPENED: [(&str, &str, &str); 2] =
    [("/dev/mapper/tpm", "/srv/tpm", "ext4"), ("/dev/mapper/tang", "/srv/tang", "ext4")];

/// The config of a machine whose TPM opens one volume, and whose tang server, with this thumbprint, opens another one.
fn clevis_config(thumbprint: &str) -> String {
    let url = tang::url();
    let pins = [
        ("tpm", r#"{"tpm2":true}"#.to_owned()),
        ("tang", format!(r#"{{"tang":[{{"url":"{url}","thumbprint":"{thumbprint}"}}]}}"#)),
    ];
    let [mut partitions, mut volumes, mut file_systems, mut files, mut units] = [const { Vec::new() }; 5];
    for ((name, clevis), mount) in pins.into_iter().zip(OPENED) {
        let (device, path, kind) = mount;
        partitions.push(format!(r#"{{"label":"{name}","sizeMiB":64}}"#));
        volumes.push(format!(
            r#"{{"name":"{name}","device":"/dev/disk/by-partlabel/{name}","clevis":{clevis},
                "options":["--pbkdf","pbkdf2","--pbkdf-force-iterations","1000"]}}"#
        ));
        file_systems.push(format!(r#"{{"device":"{device}","format":"{kind}","path":"{path}"}}"#));
        files.push(format!(r#"{{"path":"{path}/from-config","contents":{{"source":"data:,{name}%0A"}}}}"#));
        units.push(mount_unit(mount, name == "tang"));
    }
    let storage = format!(
        r#""disks":[{{"device":"/dev/disk/by-id/virtio-secrets","wipeTable":true,"partitions":[{}]}}],
            "luks":[{}],"filesystems":[{}],"files":[{}]"#,
        partitions.join(","),
        volumes.join(","),
        file_systems.join(","),
        files.join(",")
    );
    config_of(&storage, &units)
}

/// Shows the volumes and their file systems, and that nothing but clevis opens them: of each volume the slot that clevis has is
/// the only one, and no key lies in the root.
const SHOW_OPENED: &str = "set -eu
for name in tpm tang; do
    findmnt --raw --noheadings --output SOURCE,FSTYPE --mountpoint /srv/$name
    cat /srv/$name/from-config
    echo slots $(cryptsetup luksDump /dev/disk/by-partlabel/$name | grep -c ': luks2$')
done
awk '{ print $1, $3 }' /etc/crypttab
[ ! -e /etc/luks ] || ls /etc/luks
";

/// What it shows.
const SHOWN_OPENED: &str = "\
/dev/mapper/tpm ext4
tpm
slots 1
/dev/mapper/tang ext4
tang
slots 1
tpm none
tang none
";

/// Shows what only the first boot makes: the stamp, the files and the headers of the volumes.
const SHOW_MADE: &str = "set -eu
cat /etc/.ignition-result.json /etc/crypttab
stat --format='%n %i %.Y' /etc/crypttab /srv/*/from-config
for name in tpm tang; do cryptsetup luksDump /dev/disk/by-partlabel/$name; done
";

/// What the kernel says if the TPM did not answer in time. It waits only 0.75 s for the answer to a `TPM2_GetCapability`. A
/// busy host may take longer to run swtpm, and then clevis and the first boot fail. The next start does the same work again.
const LATE: &str = "tpm tpm0: Operation Timed out";

/// How often the machine is started if its TPM is late.
const STARTS: u32 = 3;

/// The first boot binds the volumes by clevis. At the second one systemd opens them: nobody types a passphrase.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn disks_that_a_tpm_and_a_tang_server_open() {
    let lab = Lab::from_env().unwrap();
    let machine = Machine::with_disk(&lab, "disks.img").unwrap();
    let keys = tang::Keys::make(machine.folder().join("tang")).unwrap();
    let config = machine.key.put_into(&clevis_config(&keys.thumbprint)).unwrap();
    let config = machine.config_file(&config).unwrap();
    let disks = vec![machine.blank_disk("secrets", 160).unwrap()];
    let mut made = Vec::new();
    for _ in 0..2 {
        // glowplug fetches the server's advertisement. clevis itself is a part of the root.
        let initramfs = lab.part("initrd-network.img");
        let start = |number| {
            let options = options(&config, &initramfs);
            let options = Options { disks: disks.clone(), tpm: true, tang: Some(keys.clone()), ..options };
            let guest = boot_unless(&machine, options, Some(LATE));
            if guest.is_none() {
                println!("start number {number}: the TPM was late");
            }
            guest
        };
        let guest = (1..=STARTS).find_map(start).expect("the TPM was late at each start");
        assert_eq!(guest.ask_within(BOOT, "root", SHOW_OPENED).unwrap(), SHOWN_OPENED);
        made.push(guest.ask_within(BOOT, "root", SHOW_MADE).unwrap());
        guest.shutdown().unwrap();
    }
    assert_eq!(made[0], made[1], "the second boot has changed something");
}
