//! Real boots with podman's own configs, and with hosts that do not behave.
//!
//! `make boot` prepares the lab and sets `GLOWPLUG_LAB` and `GLOWPLUG_BIN`. Each test has a guest of its own, so run them
//! with `--test-threads=2`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::host::{self, Config, Manner};
use boot_lab::image::{self, Entry};
use boot_lab::key;
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Line, Ready};
use boot_lab::tree::{self, Kind, Node};

mod dracut;

/// The stamp of a provisioned machine.
const STAMP: &str = "/etc/.ignition-result.json";

/// Paths that may differ between an offline apply and a boot, and why.
const DIFFERENT: [(&str, &str); 2] = [
    (STAMP, "names the boot and the platform"),
    ("/etc/machine-id", "each boot of an image without one fills it in"),
];

/// Units that may have failed, and why.
const EXPLAINED: [(&str, &str); 4] = [
    ("immutable-root-off.service", "podman orders it after nothing: the root may still be read-only"),
    ("immutable-root-on.service", "as the other: 5.x orders it after remote-fs.target alone"),
    ("envset-fwcfg.service", "writes to folders that Debian does not have"),
    ("playbook.service", "the lab has no ansible"),
];

/// How long the test waits after `Ready` to see that nothing more comes.
const QUIET: Duration = Duration::from_secs(10);

/// A machine with its config, and the host's ready listener.
struct Provisioning {
    machine: Machine,
    config: String,
    user: String,
    uid: u32,
    /// The part of the lab that it boots with.
    initramfs: &'static str,
}

impl Provisioning {
    /// Returns a machine with the sample config of this name.
    fn new(name: &str) -> Self {
        Self::of(&host::config(name).unwrap())
    }

    fn of(config: &str) -> Self {
        let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
        let config = machine.key.put_into(config).unwrap();
        let (user, uid) = key::user(&config).expect("a user with a uid");
        Self { machine, config, user, uid, initramfs: "initrd.img" }
    }

    fn with(self, initramfs: &'static str) -> Self {
        Self { initramfs, ..self }
    }

    fn start(&self, options: Options) -> Guest {
        let initrd = Some(Lab::from_env().unwrap().part(self.initramfs));
        self.machine.boot(Options { initrd, ..options }).unwrap()
    }

    fn serve(&self, manner: Manner) -> Config {
        Config::serve(self.machine.folder(), self.config.clone().into_bytes(), manner).unwrap()
    }

    fn listen(&self) -> Ready {
        Ready::vsock(self.machine.folder(), After::Record).unwrap()
    }

    /// Boots with vsock until the host has `Ready`, and checks that it comes only once.
    fn boot(&self, ready: &Ready) -> Guest {
        let mut guest = self.start(Options::vsock());
        expect_ready(&mut guest, ready);
        guest
    }

    /// Applies the config offline, and returns each path that this changes, as it is afterwards.
    fn applied(&self) -> BTreeMap<String, Option<Node>> {
        let config = self.machine.config_file(&self.config).unwrap();
        let mut applied = tree::applied(&Lab::from_env().unwrap(), &config).unwrap();
        applied.retain(|path, _| {
            !DIFFERENT.iter().any(|(known, _)| path == known || path.starts_with(&format!("{known}/")))
        });
        applied
    }

    fn extract(&self, paths: impl IntoIterator<Item = String>) -> BTreeMap<String, Entry> {
        let paths: Vec<String> = paths.into_iter().collect();
        image::extract(&self.machine.disk(), &paths).unwrap()
    }

    /// Checks that the disk has at every path of `applied` what the offline apply has made. Also checks that something is at
    /// every path that the config names, because otherwise the two could agree on nothing.
    fn compare(&self, applied: &BTreeMap<String, Option<Node>>) {
        let named = named(&self.config);
        assert!(named.contains("/etc/systemd/system/ready.service"), "{named:?}");
        let there = self.extract(named.iter().cloned());
        let missing: Vec<_> = named.iter().filter(|path| !there.contains_key(*path)).collect();
        assert!(missing.is_empty(), "the config names what the guest does not have: {missing:?}");
        let found = self.extract(applied.keys().cloned());
        let mut differences = String::new();
        for (path, expected) in applied {
            let got = found.get(path).map(|entry| &entry.node);
            if got != expected.as_ref() {
                let _ = writeln!(differences, "{path}\n  apply: {expected:?}\n  guest: {got:?}");
            }
        }
        assert!(differences.is_empty(), "the guest differs from an offline apply:\n{differences}");
    }

    /// Checks that the running system is as the config wants it.
    fn look(&self, guest: &mut Guest) {
        guest.wait_ssh("root", BOOT).unwrap();
        guest.wait_ssh(&self.user, BOOT).unwrap();
        let id = guest.ask(&self.user, "id").unwrap();
        assert!(id.starts_with(&format!("uid={}({})", self.uid, self.user)), "{id}");
        let root = guest.ask("root", "id -u").unwrap();
        assert_eq!(root.trim(), "0");

        let ready = guest.ask("root", "systemctl is-enabled ready.service || true").unwrap();
        assert_eq!(ready.trim(), "enabled", "the config's ready.service");
        // After this, every unit of the boot has started or failed.
        let state = guest.ssh_with("root", "systemctl is-system-running --wait", b"", BOOT).unwrap();
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        assert!(["running", "degraded"].contains(&state.as_str()), "the system is {state}");
        // ready.service waits for the package's unit. A failure of ready.service must not isolate emergency.target.
        let properties = "OnFailureJobMode,ActiveState,SubState";
        let show = guest.ask("root", &format!("systemctl show -p {properties} ready.service")).unwrap();
        let show: BTreeSet<&str> = show.lines().collect();
        let expected = ["OnFailureJobMode=fail", "ActiveState=active", "SubState=exited"].into();
        assert_eq!(show, expected, "ready.service");
        let emergency = guest.ask("root", "systemctl is-active emergency.target || true").unwrap();
        assert_eq!(emergency.trim(), "inactive");
        let failed = guest.ask("root", "systemctl --failed --no-legend --plain --full").unwrap();
        for line in failed.lines() {
            let unit = line.split_whitespace().next().unwrap_or_default();
            let explained = EXPLAINED.iter().any(|(known, _)| *known == unit) || is_share(guest, unit);
            let why = || guest.ask("root", &format!("systemctl status --full '{unit}' || true")).unwrap();
            assert!(explained, "{unit} has failed:\n{}", why());
        }
    }
}

/// Checks that the initramfs left the root read-only, as it found it. Later systemd remounts the root as fstab says.
fn look_at_mounts(guest: &Guest) {
    let mounts = guest.ask("root", "dmesg | grep -o 're-mounted .*'").unwrap();
    let modes: Vec<&str> =
        mounts.lines().filter_map(|line| line.trim_end_matches('.').rsplit(' ').next()).collect();
    assert_eq!(modes, ["r/w", "ro", "r/w"], "{mounts}");
}

/// Returns the paths of a config's nodes and of the units that it brings. They are read from the text as podman writes it,
/// so they do not depend on the program under test.
fn named(config: &str) -> BTreeSet<String> {
    let values = |before: &str| -> Vec<String> {
        config.split(before).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let units = values("\",\"enabled\":true,\"name\":\"");
    let units = units.into_iter().map(|unit| format!("/etc/systemd/system/{unit}"));
    values("\"path\":\"").into_iter().chain(units).collect()
}

/// Returns whether the unit mounts a share of the host. The lab offers no shares, so such a unit may fail.
fn is_share(guest: &Guest, unit: &str) -> bool {
    let Some((_, "mount")) = unit.rsplit_once('.') else { return false };
    guest.ask("root", &format!("systemctl cat '{unit}'")).unwrap().contains("Type=virtiofs")
}

/// Checks that the host gets one complete line, and nothing after it.
fn expect_ready(guest: &mut Guest, ready: &Ready) {
    let line = guest.wait_ready(ready, BOOT).unwrap();
    assert_eq!((line.text.as_str(), line.complete), ("Ready", true), "{}", guest.failed("not Ready"));
    thread::sleep(QUIET);
    assert_eq!(texts(&ready.lines()), ["Ready"], "more than one ready signal");
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

/// Runs a first boot with the config served over vsock, as applehv and libkrun do.
fn vsock(name: &str, manner: Manner) {
    let provisioning = Provisioning::new(name);
    let applied = provisioning.applied();
    let begin = Instant::now();
    let (served, ready) = (provisioning.serve(manner), provisioning.listen());
    let mut guest = provisioning.boot(&ready);
    assert!(!served.requests().is_empty(), "ready without the config");
    match manner {
        Manner::Late(time) => {
            let asked = served.requests()[0].at.duration_since(begin);
            assert!(asked >= time, "asked after {asked:?}");
        }
        Manner::HangsUp(times) => assert!(served.accepted() > times),
        _ => {}
    }
    provisioning.look(&mut guest);
    look_at_mounts(&guest);
    guest.shutdown().unwrap();
    provisioning.compare(&applied);
}

/// Runs a first boot with the config in `fw_cfg` and the ready port, as podman uses QEMU.
fn qemu(provisioning: &Provisioning) {
    let applied = provisioning.applied();
    let config: PathBuf = provisioning.machine.config_file(&provisioning.config).unwrap();
    let ready = Ready::port(&provisioning.machine.ready_socket(), After::Record);
    let mut guest = provisioning.start(Options::qemu(config));
    expect_ready(&mut guest, &ready);
    provisioning.look(&mut guest);
    look_at_mounts(&guest);
    guest.shutdown().unwrap();
    provisioning.compare(&applied);
}

/// The package sends the ready signal itself, so a config need not bring a unit for it.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn a_config_without_ready_service_is_ready_too() {
    let config = r#"{"ignition":{"version":"3.0.0"},"passwd":{"users":[
        {"name":"ann","uid":1000,"groups":["sudo"],"sshAuthorizedKeys":["ssh-ed25519 AAAA ann@host"]}]}}"#;
    let provisioning = Provisioning::of(config);
    let (_served, ready) = (provisioning.serve(Manner::Podman), provisioning.listen());
    let mut guest = provisioning.boot(&ready);
    guest.wait_ssh("ann", BOOT).unwrap();
    let groups = guest.ask("ann", "id -Gn").unwrap();
    assert_eq!(groups.trim(), "ann sudo");
    let record = guest.ask("ann", "sudo cat /run/glowplug/ready.json").unwrap();
    assert_eq!(record.trim(), r#"{"sent":true,"to":"vsock 2:1025","tries":1}"#);
    let again = guest.ask("ann", "sudo glowplug-ready 2>&1").unwrap();
    assert_eq!(again.trim(), "glowplug-ready: the host has been told before in this boot");
    let state = guest.ssh_with("ann", "systemctl is-system-running --wait", b"", BOOT).unwrap();
    assert_eq!(String::from_utf8_lossy(&state.stdout).trim(), "running");
    assert_eq!(texts(&ready.lines()), ["Ready"]);
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn applehv_5_4_on_a_host_that_is_late() {
    vsock("5.4.2-applehv-default.ign", Manner::Late(Duration::from_secs(30)));
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn applehv_5_8_with_playbook() {
    vsock("5.8.3-applehv-playbook.ign", Manner::Podman);
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn libkrun_5_8_rootful_on_a_host_that_hangs_up_first() {
    vsock("5.8.3-libkrun-rootful.ign", Manner::HangsUp(3));
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn qemu_5_4_with_timezone() {
    qemu(&Provisioning::new("5.4.2-qemu-timezone.ign"));
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn qemu_6_0() {
    qemu(&Provisioning::new("6.0-qemu-default.ign"));
}

/// podman serves the config only until a start has succeeded. So later boots have nobody to ask, and must change nothing.
#[test]
fn a_second_boot_asks_nobody_and_changes_nothing() {
    first_and_second_boot(&Provisioning::new("6.0-libkrun-rootful.ign"));
}

fn first_and_second_boot(provisioning: &Provisioning) {
    let applied = provisioning.applied();
    let mut paths: Vec<String> = applied.keys().cloned().collect();
    paths.push(STAMP.to_owned());
    let mut states = Vec::new();
    for first in [true, false] {
        let served = first.then(|| provisioning.serve(Manner::Podman));
        let ready = provisioning.listen();
        let mut guest = provisioning.boot(&ready);
        provisioning.look(&mut guest);
        if first {
            look_at_mounts(&guest);
        }
        guest.shutdown().unwrap();
        if first {
            provisioning.compare(&applied);
        }
        assert!(served.is_none_or(|served| !served.requests().is_empty()));
        states.push(provisioning.extract(paths.iter().cloned()));
    }
    assert!(states[0].contains_key(STAMP), "no stamp");
    let [before, after] = &mut states[..] else { unreachable!() };
    // A directory's time changes with the names in it, and a login may add names.
    for entry in before.values_mut().chain(after.values_mut()) {
        if entry.node.kind == Kind::Directory {
            entry.mtime.clear();
        }
    }
    for path in &paths {
        assert_eq!(before.get(path), after.get(path), "{path} has changed in the second boot");
    }
}

/// Checks that the console has the block that says that there was no host.
fn look_at_failure(guest: &Guest) {
    let console = guest.console.text();
    let from = console.find("glowplug: provisioning failed: no-host").expect("the failure block");
    for words in
        ["What failed:", "vsock 2:1024", "within 15 s", "connect: operation timed out", "What to do:"]
    {
        assert!(console[from..].contains(words), "{}", guest.failed(words));
    }
}
