//! The podman machine: a guest with glowplug-podman-machine, with podman's own configs, and with the shares and ports that
//! podman's hosts have. `machine/checks` runs in the guest and checks it.
//!
//! `make boot` prepares its lab and sets `GLOWPLUG_MACHINE_LAB`. Rosetta, sentinelctl and, but for Hyper-V, gvproxy's API
//! are stand-ins here. On Hyper-V the network is that of Debian's own gvproxy, over vsock.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::gvproxy::{Gvproxy, HOST};
use boot_lab::host::{self, Config, Manner};
use boot_lab::lab::{self, Lab};
use boot_lab::process::run_ok;
use boot_lab::ready::{After, Ready};

/// How long a section of the checks may take. Containers and Ansible are slow under emulation.
const CHECKS: Duration = Duration::from_secs(900);

/// podman's names of the shares: the first 36 hexadecimal digits of the target's SHA-256, as in its configs.
const SHARES: [(&str, &str); 4] = [
    ("/Users", "a2a0ee2c717462feb1de2f5afd59de5fd2d8"),
    ("/private", "71708eb255bc230cd7c91dd26f7667a7b938"),
    ("/var/folders", "a0bb3a2c8b0b02ba5958b0576f0d6530e104"),
    ("/etc/containers", "9ddeaea5d41a791d2cc3bcc676b9645fee0e"),
];

/// A stand-in that notes its arguments and its input, and also prints both, because neither may reach the journal.
const SENTINELCTL: &str = "#!/bin/sh\necho \"$*\" >>/run/sentinelone-arguments\n\
    [ \"$2\" != token ] || tee -a /run/sentinelone-input\n";

/// What is sent in each direction over the network of Hyper-V, in bytes.
const MUCH: usize = 100 << 20;

/// The stand-in for Rosetta runs programs for arm64, because the machine that runs these tests is not an arm64 machine.
const ROSETTA_CONF: &str = ":rosetta:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\
    \\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xfe\\xfe\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:\
    /run/rosetta/rosetta:FPC\n";

/// Returns the path of a file in this crate's folder.
fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `text` as a JSON string.
fn json(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out + "\""
}

fn file(path: &str, mode: u32, text: &str) -> String {
    let mut source = String::from("data:,");
    for byte in text.bytes() {
        let _ = write!(source, "%{byte:02X}");
    }
    format!(
        r#"{{"path":{},"mode":{mode},"overwrite":true,"contents":{{"source":{}}}}}"#,
        json(path),
        json(&source)
    )
}

fn unit(name: &str, contents: &str) -> String {
    format!(r#"{{"name":{},"enabled":true,"contents":{}}}"#, json(name), json(contents))
}

/// Returns podman's config with more files and units before its own.
fn with(config: &str, files: &[String], units: &[String]) -> String {
    let mut config = config.to_owned();
    for (list, items) in [("\"files\":[", files), ("\"units\":[", units)] {
        let (before, after) = config.split_once(list).expect("the config has this list");
        config =
            format!("{before}{list}{}{}{after}", items.join(","), if items.is_empty() { "" } else { "," });
    }
    config
}

/// Returns the text without a part that must stand in it exactly once.
fn without(text: &str, part: &str) -> String {
    replaced(text, part, "")
}

fn replaced(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "the config has no {part}");
    text.replace(part, by)
}

struct Provisioning {
    machine: Machine,
    config: String,
    user: &'static str,
}

impl Provisioning {
    fn new(config: &str, user: &'static str) -> Self {
        let lab = Lab::podman_machine().unwrap();
        for path in ["etc/.ignition-result.json", "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key"]
        {
            assert!(!lab.part("root").join(path).exists(), "the image has /{path}");
        }
        assert_eq!(fs::read(lab.part("root/etc/machine-id")).unwrap(), b"", "the image has a machine-id");
        let machine = Machine::new(&lab).unwrap();
        let config = machine.key.put_into(config).unwrap();
        Self { machine, config, user }
    }

    /// Boots as podman's hosts do, with a stand-in for gvproxy's API, until the host has `Ready`.
    fn boot(&self, ready: &Ready, options: Options) -> Guest {
        self.boot_with_network(ready, Options { gvproxy: true, ..options })
    }

    fn boot_with_network(&self, ready: &Ready, options: Options) -> Guest {
        let options = Options { second_console: true, memory: 2048, ..options };
        let mut guest = self.machine.boot(options).unwrap();
        let line = guest.wait_ready(ready, BOOT).unwrap();
        assert_eq!((line.text.as_str(), line.complete), ("Ready", true), "{}", guest.failed("not Ready"));
        guest.wait_ssh(self.user, BOOT).unwrap();
        guest
    }

    /// Runs a section of the checks in the guest. A failed check does not stop the others.
    fn check(&self, guest: &Guest, section: &str) {
        let checks = fs::read(own("machine/checks")).unwrap();
        let call = format!("sh -s {section} {}", self.user);
        let output = guest.ssh_with("root", &call, &checks, CHECKS).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let held = text.lines().filter(|line| line.starts_with("ok ")).count();
        let failed = text.lines().any(|line| line.starts_with("FAILED "));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !failed && held > 5,
            "{section}: {}\n{text}{error}",
            output.status
        );
        println!("{section}: {held} checks held");
    }

    /// Calls the APIs through ssh, as podman's client does.
    fn ping(&self, guest: &Guest, sockets: &[(&str, &str)]) {
        for (number, (user, socket)) in sockets.iter().enumerate() {
            let local = self.machine.folder().join(format!("api{number}"));
            let _forward = guest.forward(user, socket, &local).unwrap();
            let mut stream = UnixStream::connect(&local).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("\r\n\r\nOK"), "{answer}");
        }
    }
}

fn only_once(ready: &Ready) {
    let lines = ready.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Writes `text` below the folder of a share.
fn put(folder: &Path, path: &str, text: impl AsRef<[u8]>, mode: u32) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes the folders of the shares: the host's home, its ~/.config/containers, and a Rosetta that is Debian's echo.
fn shares(folder: &Path) -> Vec<(String, PathBuf)> {
    let certificate = |name: &str| fs::read(own("machine").join(format!("{name}.pem"))).unwrap();
    let registries = "[[registry]]\nprefix = \"host.example\"\nlocation = \"mirror.example\"\n";
    let of = |target: &str| folder.join(target.trim_start_matches('/').replace('/', "-"));
    put(&of("/Users"), "me/.config/containers/registries.conf", registries, 0o644);
    put(&of("/Users"), "Shared/file", "", 0o644);
    let containers = of("/etc/containers");
    put(&containers, "registries.conf", registries, 0o644);
    put(&containers, "host-file", "from the host\n", 0o644);
    put(&containers, "containers.conf", "[engine]\nhelper_binaries_dir = [\"/opt/homebrew/bin\"]\n", 0o644);
    put(&containers, "certs.d/registry.example:5000/ca.crt", certificate("registry"), 0o644);
    put(&of("/private"), "file", "", 0o644);
    put(&of("/var/folders"), "file", "", 0o644);
    let echo = Lab::podman_machine().unwrap().part("root/usr/bin/echo");
    put(&of("rosetta"), "rosetta", fs::read(echo).unwrap(), 0o755);
    let podmans = SHARES.map(|(target, tag)| (tag.to_owned(), of(target)));
    podmans.into_iter().chain([("rosetta".to_owned(), of("rosetta"))]).collect()
}

/// Returns what `glowplug validate` says with the machine's policy. It must accept the config.
fn validate(machine: &Machine, config: &str) -> String {
    let policy = own("../../podman-machine/root/usr/share/glowplug-podman-machine/shares.policy");
    let file = machine.config_file(config).unwrap();
    let mut call = Command::new(lab::program().unwrap());
    let output = run_ok(call.arg("validate").arg("--policy").arg(policy).arg(file), BOOT).unwrap();
    String::from_utf8(output).unwrap()
}

/// Tells the guest's agent the time, as vfkit does when the host wakes up.
fn set_clock(machine: &Machine, guest: &Guest) {
    let then: u64 = 1_900_000_000;
    let mut stream = UnixStream::connect(machine.folder().join("v")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"CONNECT 1234\n").unwrap();
    // Bytes that are sent before the device has answered are lost.
    let connected = lines.next().unwrap().unwrap();
    assert!(connected.starts_with("OK "), "{connected}");
    let request = format!("{{\"execute\":\"guest-set-time\",\"arguments\":{{\"time\":{then}000000000}}}}\n");
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "{\"return\": {}}");
    let now: u64 = guest.ask("root", "date +%s").unwrap().trim().parse().unwrap();
    assert!((then..then + 600).contains(&now), "the clock is at {now}");
}

#[test]
fn podman_6_0_on_a_mac() {
    let bad = "[Mount]\nWhat=share\nWhere=/etc\nType=virtiofs\n\n[Install]\nWantedBy=local-fs.target\n";
    let moby = "[Unit]\nConditionPathExists=!/var/lib/%N.stamp\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
        ExecStart=/usr/bin/rpm-ostree override remove moby-engine\n\n[Install]\nWantedBy=default.target\n";
    let certificate = |name: &str| fs::read_to_string(own("machine").join(format!("{name}.pem"))).unwrap();
    let files = [
        file("/usr/share/glowplug-podman-machine/rosetta.conf", 0o644, ROSETTA_CONF),
        file("/etc/glowplug-podman-machine/name", 0o644, "My Machine_2!\n"),
        file("/etc/glowplug-podman-machine/sentinelone-token", 0o600, "secret-token\n"),
        file("/opt/sentinelone/bin/sentinelctl", 0o755, SENTINELCTL),
        file("/var/tmp/bundle.pem", 0o644, &(certificate("one") + certificate("two").trim_end())),
        file("/var/tmp/one.pem", 0o644, &certificate("one")),
        file("/var/tmp/two.pem", 0o644, &certificate("two")),
        file("/var/tmp/registry.pem", 0o644, &certificate("registry")),
    ];
    let units = [unit("etc.mount", bad), unit("remove-moby.service", moby)];
    let sample = host::config("6.0-applehv-default.ign").unwrap();
    let config = with(&sample, &files, &units);
    let dropin = r#""name":"rosetta-activation.service","dropins":[{"name":"lab.conf","contents":"[Unit]\nConditionArchitecture=\n[Service]\nEnvironment=QEMU=qemu-aarch64\n"}]"#;
    let config = replaced(&config, r#""name":"rosetta-activation.service""#, dropin);
    let provisioning = Provisioning::new(&config, "core");
    let machine = &provisioning.machine;

    let warnings = validate(machine, &provisioning.config);
    assert!(warnings.contains("warning at $.systemd.units.0: a share over /etc: "), "{warnings}");
    assert_eq!(warnings.matches("a share over").count(), 1, "{warnings}");
    assert!(!validate(machine, &sample).contains("a share over"));

    let _served =
        Config::serve(machine.folder(), provisioning.config.clone().into_bytes(), Manner::Podman).unwrap();
    let ready = Ready::vsock(machine.folder(), After::Record).unwrap();
    let shares = shares(&machine.folder().join("shares"));
    let guest = provisioning.boot(&ready, Options { shares, ..Options::vsock() });
    provisioning
        .ping(&guest, &[("core", "/run/user/501/podman/podman.sock"), ("root", "/run/podman/podman.sock")]);
    provisioning.check(&guest, "6_0");
    let forwards = fs::read_to_string(machine.forwarder_log()).unwrap();
    assert!(forwards.contains("POST /services/forwarder/expose {\"local\":\":8080\""), "{forwards}");
    set_clock(machine, &guest);
    only_once(&ready);
    guest.shutdown().unwrap();
    let kept = machine.second_console().unwrap();
    assert!(kept.contains("podman machine of core (501), applehv\n"), "{kept}");
    assert!(kept.contains("fault: etc.mount: a share over /etc is refused"), "{kept}");
}

/// Boots once for each of the sections, and checks what each says.
fn on_qemu(config: &str, sections: &[&str]) {
    let provisioning = Provisioning::new(config, "core");
    let machine = &provisioning.machine;
    for section in sections {
        let config = machine.config_file(&provisioning.config).unwrap();
        let ready = Ready::port(&machine.ready_socket(), After::Record);
        let guest = provisioning.boot(&ready, Options::qemu(config));
        provisioning.check(&guest, section);
        only_once(&ready);
        guest.shutdown().unwrap();
    }
}

#[test]
fn podman_5_4_with_qemu() {
    on_qemu(&host::config("5.4.2-qemu-timezone.ign").unwrap(), &["5_4"]);
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn podman_5_4_with_a_playbook_and_a_second_boot() {
    let playbook = "---\n- hosts: localhost\n  gather_facts: false\n  tasks:\n    - shell: echo ran >>/var/tmp/playbook-ran\n";
    let sample = host::config("5.8.3-applehv-playbook.ign").unwrap();
    let (_, rest) =
        sample.split_once("{\"contents\":\"[Unit]\\nAfter=ready.service\\nConditionFirstBoot=yes").unwrap();
    let (contents, _) = rest.split_once('}').unwrap();
    let playbook_unit =
        format!("{{\"contents\":\"[Unit]\\nAfter=ready.service\\nConditionFirstBoot=yes{contents}}}");
    let config = host::config("5.4.2-qemu-timezone.ign").unwrap();
    let config = with(&config, &[file("/home/core/playbook.yaml", 0o744, playbook)], &[playbook_unit]);
    on_qemu(&config, &["playbook", "second"]);
}

/// Hyper-V's config, made with `--username bob`.
fn on_hyperv() -> Provisioning {
    let sample = host::config("5.8.3-hyperv-default.ign").unwrap();
    let bob = r#""users":[{"name":"core","shouldExist":false},{"name":"bob","groups":["sudo","adm","wheel","systemd-journal"],"#;
    let config = replaced(&sample, r#""users":[{"name":"core","#, bob);
    let config = config
        .replace("/core", "/bob")
        .replace("\"name\":\"core\"}", "\"name\":\"bob\"}")
        .replace("core:100", "bob:100");
    Provisioning::new(&without(&config, r#"{"enabled":true,"name":"podman.socket"},"#), "bob")
}

/// A boot with Hyper-V's config. vsock serves it, because QEMU has no key-value pairs.
#[test]
fn podman_5_8_on_hyperv_for_another_user() {
    let provisioning = on_hyperv();
    let machine = &provisioning.machine;
    let _served =
        Config::serve(machine.folder(), provisioning.config.clone().into_bytes(), Manner::Podman).unwrap();
    let ready = Ready::vsock_port(machine.folder(), 40001, After::Record).unwrap();
    let _gvproxy = Gvproxy::start(machine.folder(), 40002).unwrap();
    let guest = provisioning.boot_with_network(&ready, Options::vsock());
    provisioning.check(&guest, "5_8");
    only_once(&ready);
}

/// The network of Hyper-V under load, and with a gvproxy that starts again.
#[test]
#[ignore = "by hand: `make boot-more`"]
fn vsock_network_with_100_mib_each_way_and_a_new_gvproxy() {
    let provisioning = on_hyperv();
    let machine = &provisioning.machine;
    let _served =
        Config::serve(machine.folder(), provisioning.config.clone().into_bytes(), Manner::Podman).unwrap();
    let ready = Ready::vsock_port(machine.folder(), 40001, After::Record).unwrap();
    let gvproxy = Gvproxy::start(machine.folder(), 40002).unwrap();
    let guest = provisioning.boot_with_network(&ready, Options::vsock());
    let ask = |command: &str| guest.ask_within(CHECKS, "root", command).unwrap();
    ask("until ip -4 address show dev vsock0 | grep -q 192.168.127.2/24; do sleep 0.5; done");

    ask(&format!("head -c {MUCH} /dev/urandom >/dev/shm/data"));
    let sum = ask("sha256sum </dev/shm/data");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let begin = Instant::now();
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::with_capacity(MUCH);
        stream.read_to_end(&mut bytes).unwrap();
        (bytes, listener)
    });
    ask(&format!("socat -u OPEN:/dev/shm/data TCP:{HOST}:{port}; rm /dev/shm/data"));
    let (bytes, listener) = receiver.join().unwrap();
    println!("{} bytes from the guest in {:?}", bytes.len(), begin.elapsed());
    let sender = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let begin = Instant::now();
    // The bytes come back as the guest has sent them, or the sum is another.
    assert_eq!(ask(&format!("socat -u TCP:{HOST}:{port} - | sha256sum")), sum);
    println!("{MUCH} bytes to the guest in {:?}", begin.elapsed());
    sender.join().unwrap();

    drop(gvproxy);
    ask("until [ \"$(cat /sys/class/net/vsock0/carrier)\" = 0 ]; do sleep 0.2; done");
    let _gvproxy = Gvproxy::start(machine.folder(), 40002).unwrap();
    let begin = Instant::now();
    ask("until timeout 2 bash -c 'echo >/dev/tcp/192.168.127.1/80' 2>/dev/null; do sleep 0.2; done");
    println!("the network is back {:?} after gvproxy", begin.elapsed());
    let status = ask("cat /proc/$(systemctl show --value -p MainPID vsock-network.service)/status");
    println!("{}", status.lines().filter(|line| line.starts_with("VmRSS")).collect::<String>());
    assert_eq!(ask("systemctl show --value -p NRestarts vsock-network.service").trim(), "0");
    guest.shutdown().unwrap();
}
