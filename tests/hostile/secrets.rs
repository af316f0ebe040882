//! No secret of a config shows anywhere but where the config puts it. (`validate` may quote the config, because its reader
//! has the config anyway.)

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::roots::root;
use crate::sandbox::{PROGRAM, Sandbox, with};
use crate::server::fetch_program;

/// The mark that is part of every secret, as text and in base64, percent-encoding and hex.
const MARK: &str = "Q7zmarkW";
/// A number that marks a secret, used where a text is expected.
const NUMBER: u64 = 7_315_918_246_135_790;

/// Returns a config with every kind of secret that can be provisioned. It puts them into the places that it names.
fn marked() -> Value {
    let merged = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [
        {"path": "/srv/merged", "mode": 384, "contents": {"source": format!("data:,{MARK}-merged")}}
    ]}});
    let merged = STANDARD.encode(merged.to_string());
    json!({
        "ignition": {"version": "3.4.0", "config": {"merge": [{"source": format!("data:;base64,{merged}")}]}},
        "passwd": {
            "groups": [{"name": "web", "passwordHash": format!("$y$j9T${MARK}-group")}],
            "users": [{
                "name": "core", "gecos": format!("{MARK}-gecos"), "passwordHash": format!("$y$j9T${MARK}-user"),
                "sshAuthorizedKeys": [format!("ssh-ed25519 AAAA{MARK} {MARK}-key")]
            }, {"name": "ann", "passwordHash": format!("$6${MARK}-ann")}]
        },
        "storage": {"files": [
            {"path": "/srv/private", "mode": 384, "contents": {"source": format!("data:,{MARK}-plain")}},
            {"path": "/srv/public", "mode": 420, "contents": {"source": format!("data:,{MARK}-public")}},
            {"path": "/srv/encoded", "mode": 384, "contents": {"source": "data:;base64,UTd6bWFya1ctYmFzZTY0"}},
            {"path": "/srv/escaped", "mode": 384, "contents": {"source": "data:,%51%37%7a%6d%61%72%6b%57"}},
            {"path": "/etc/private", "append": [{"source": format!("data:,{MARK}-appended")}]}
        ]},
        "systemd": {"units": [{
            "name": "a.service", "enabled": true,
            "contents": format!("[Service]\nExecStart=/bin/true {MARK}-unit\n[Install]\nWantedBy=multi-user.target\n"),
            "dropins": [{"name": "x.conf", "contents": format!("[Service]\nEnvironment=T={MARK}-dropin\n")}]
        }]}
    })
}

/// The paths where the config itself puts a secret that others may read.
const PUBLIC: [&str; 4] =
    ["/etc/passwd", "/etc/systemd/system/a.service", "/etc/systemd/system/a.service.d/x.conf", "/srv/public"];

/// Makes a root that already has a secret file.
fn private_root() -> crate::manifest::Tree {
    with(&root(), &format!("file 0600 0:0 /etc/private\n| {MARK}-old\n"))
}

/// Returns whether `text` has anything secret in it.
fn shows(text: &str) -> bool {
    let number = NUMBER.to_string();
    [MARK, "UTd6bWFya1", "%51%37%7a", "51377a6d61726b57", number.as_str()]
        .iter()
        .any(|mark| text.contains(mark))
}

/// Makes a sandbox with a `/run` and a journal of its own. Nothing listens at the URLs of remote files in these tests.
fn machine() -> (Sandbox, Journals) {
    fetch_program(PROGRAM);
    let sandbox = Sandbox::with_devices();
    sandbox.sh("mount -t tmpfs none /run; mkdir -p /run/systemd/journal");
    let journals = Journals(["/run/systemd/journal/socket", "/dev/log"].map(|path| {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }));
    sandbox.make_root(&private_root());
    fs::write(sandbox.host("cmdline"), "ro glowplug.debug glowplug.timeout=1\n").unwrap();
    (sandbox, journals)
}

/// The sockets of journald and of syslog.
struct Journals([UnixDatagram; 2]);

impl Journals {
    /// Returns everything that came since the last call.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut entry = vec![0; 1 << 16];
        for socket in &self.0 {
            while let Ok(length) = socket.recv(&mut entry) {
                text += &String::from_utf8_lossy(&entry[..length]);
            }
        }
        text
    }
}

/// Returns the files below `top` that have a mark in them and that others can read. The modes of directories count as well.
fn readable_by_others(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(stat) = fs::symlink_metadata(&path) else { continue };
        if stat.is_dir() && stat.mode() & 0o011 != 0 {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if stat.is_file() && is_open(&stat) {
            let text = fs::read(&path).unwrap();
            if shows(&String::from_utf8_lossy(&text)) {
                found.push(Path::new("/").join(path.strip_prefix(top).unwrap()));
            }
        }
    }
    found
}

/// Returns whether others may read the file, or a group that has members. Group shadow does not count, because Debian itself
/// lets it read passwords.
fn is_open(stat: &fs::Metadata) -> bool {
    let mode = stat.mode();
    mode & 0o004 != 0 || (mode & 0o040 != 0 && ![0, 42].contains(&stat.gid()))
}

/// Returns the output of other calls with the config of the last run: a dry run, and the stages, which leave files in `/run`.
fn others(sandbox: &Sandbox, journals: &Journals, config: &str) -> String {
    let mut text = String::new();
    for form in [["plan", "--root"].as_slice(), &["plan", "--json", "--root"]] {
        let mut command = sandbox.command(PROGRAM, config);
        let done = sandbox.done(command.args(form).arg(sandbox.root()).arg(sandbox.host("config.ign")));
        text += &done.said;
    }
    for stage in ["fetch-offline", "fetch", "kargs", "disks", "mount", "files", "umount"] {
        for log in [[].as_slice(), &["--log-to-stdout"]] {
            let mut command = sandbox.command(PROGRAM, config);
            command
                .arg(format!("--stage={stage}"))
                .args(["--platform=file", "--root"])
                .arg(sandbox.root())
                .args(log);
            let done = sandbox.done(command.args(["--config-cache=/run/cache", "--state-file=/run/state"]));
            text += &format!("{}{}{}{}", done.said, done.kmsg, done.console, journals.text());
        }
    }
    text
}

/// Runs the program on `config`. Adds each secret that shows to `problems`, and returns the word for the reason.
fn check(sandbox: &Sandbox, journals: &Journals, config: &str, problems: &mut Vec<String>) -> String {
    let done = sandbox.run(config);
    let heard = journals.text();
    let told = [done.said.as_str(), &done.kmsg, &done.console, &heard];
    for (place, text) in ["output", "kmsg", "console", "journal"].into_iter().zip(told) {
        if shows(text) {
            problems.push(format!("{place}: {text}\nof {config}"));
        }
    }
    if !done.kmsg.contains("glowplug: ") {
        problems.push(format!("nothing in the kernel's log of {config}"));
    }
    // After a success, secrets are where the config puts them.
    if done.code != 0 {
        for path in readable_by_others(&sandbox.root()) {
            problems.push(format!("others may read {} of {config}", path.display()));
        }
    }
    for path in readable_by_others(Path::new("/run")) {
        problems.push(format!("others may read /run{}", path.display()));
    }
    if done.code == 0 { "done".to_owned() } else { done.reason().to_owned() }
}

#[test]
fn a_run_that_succeeds() {
    let (sandbox, journals) = machine();
    let mut problems = Vec::new();
    assert_eq!(check(&sandbox, &journals, &marked().to_string(), &mut problems), "done");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    sandbox.make_root(&private_root());
    let said = others(&sandbox, &journals, &marked().to_string());
    assert!(!shows(&said), "{said}");
    assert!(said.contains("Ignition finished successfully") && said.contains("ssh keys"), "{said}");
    assert!(shows(&fs::read_to_string("/run/cache").unwrap()), "the stages have read it");
    assert_eq!(readable_by_others(Path::new("/run")), Vec::<PathBuf>::new());
    // The marks are in the root, so the search can find them.
    let merged = fs::read_to_string(sandbox.at("/srv/merged")).unwrap();
    assert_eq!(
        (merged, shows(&fs::read_to_string(sandbox.at("/etc/shadow")).unwrap())),
        (format!("{MARK}-merged"), true)
    );
    let mut public = readable_by_others(&sandbox.root());
    public.sort();
    assert_eq!(public, PUBLIC.map(PathBuf::from));
}

/// Tries every field that can hold a secret with values that are right, and wrong in many ways.
#[test]
fn every_secret_field() {
    let secrets = [
        "source",
        "hash",
        "value",
        "contents",
        "passwordHash",
        "sshAuthorizedKeys",
        "gecos",
        "config",
        "url",
        "thumbprint",
        "advertisement",
        "httpProxy",
        "httpsProxy",
        "noProxy",
        "shouldExist",
        "shouldNotExist",
        "pin",
    ];
    let (sandbox, journals) = machine();
    let mut problems = Vec::new();
    let mut reasons = std::collections::BTreeMap::<String, u32>::new();
    let fields = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fields.txt")).unwrap();
    let fields: Vec<Vec<&str>> =
        fields.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect()).collect();
    let kind = |path: &str| fields.iter().find(|field| field[0] == path).map_or("", |field| field[1]);
    for field in &fields {
        let name = field[0].rsplit('.').next().unwrap();
        if !secrets.contains(&name) || !field[1].starts_with("string") {
            continue;
        }
        for value in [
            json!(MARK),
            json!(format!("data:,{MARK}")),
            json!(format!("data:;base64,{MARK}!!")),
            json!(format!("data:,%zz{MARK}")),
            json!(format!("http://{MARK}:{MARK}@127.0.0.1:1/{MARK}?token={MARK}#{MARK}")),
            json!(format!("https://[{MARK}/%zz")),
            json!(format!("{MARK}://host/{MARK}")),
            json!(format!("sha512-{MARK}")),
            json!(format!("sha256-51377a6d61726b57{}", "0".repeat(48))),
            json!(format!("{MARK}\n:\u{1}{MARK} {MARK}")),
            json!(format!("[{MARK}\n{MARK}")),
            json!(format!("[Install]\nWantedBy={MARK}\n{MARK}")),
            json!(NUMBER),
            json!([MARK]),
            json!({MARK: MARK}),
            json!([MARK, MARK, {"x": MARK}]),
        ] {
            // The rest of the config is as small as possible, but has the required keys.
            let list = field[1] == "strings" && !value.is_array();
            let mut config = if list { json!([value]) } else { value };
            let mut path = field[0];
            while let Some((above, name)) = path.rsplit_once('.') {
                let mut object = json!({});
                for (needed, text) in [
                    ("name", "core"),
                    ("path", "/srv/f"),
                    ("device", "/dev/d"),
                    ("pin", "tang"),
                    ("thumbprint", "t"),
                ] {
                    if !kind(&format!("{above}.{needed}")).is_empty() {
                        object[needed] = json!(text);
                    }
                }
                if above == "systemd.units" {
                    object["name"] = json!("u.service");
                }
                if above == "systemd.units.dropins" {
                    object["name"] = json!("u.conf");
                }
                object[name] = config;
                config = if kind(above) == "objects" { json!([object]) } else { object };
                path = above;
            }
            let mut config = json!({path: config});
            config["ignition"]["version"] = json!("3.5.0");
            sandbox.make_root(&private_root());
            let reason = check(&sandbox, &journals, &config.to_string(), &mut problems);
            *reasons.entry(reason).or_default() += 1;
        }
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems[..problems.len().min(20)].join("\n"));
    let seen: Vec<&str> = reasons.keys().map(String::as_str).collect();
    for reason in ["config-invalid", "config-syntax", "done", "no-host", "unsupported"] {
        assert!(seen.contains(&reason), "{reason}: {reasons:?}");
    }
}

/// The marked config cut off at any byte, or broken there.
#[test]
fn broken_json() {
    let (sandbox, journals) = machine();
    let mut problems = Vec::new();
    let whole = marked().to_string();
    for at in (1..whole.len()).step_by(5) {
        let (head, tail) = whole.split_at(at);
        for text in [
            head.to_owned(),
            format!("{head}\u{1}{tail}"),
            format!("{head}\\x{tail}"),
            format!("{head}]{tail}"),
        ] {
            if check(&sandbox, &journals, &text, &mut problems) == "done" {
                sandbox.make_root(&private_root());
            }
        }
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems[..problems.len().min(20)].join("\n"));
}

/// Tries every reason for which a run with a file can fail.
#[test]
fn every_reason() {
    let (sandbox, journals) = machine();
    let mut problems = Vec::new();
    let source = "/storage/files/0/contents/source";
    let hash = format!("sha256-{}", "51377a6d61726b57".repeat(4));
    let http = json!(format!("http://{MARK}:{MARK}@127.0.0.1:1/{MARK}?{MARK}"));
    for (reason, change, place, value) in [
        ("config-version", "", "/ignition/version", json!("9.9.9")),
        ("config-invalid", "", source, json!(format!("data:;base64,{MARK}!"))),
        ("config-invalid", "", "/storage/files/4/append/0/source", json!(format!("data:,%zz{MARK}"))),
        ("no-host", "", source, http.clone()),
        ("no-host", "", "/ignition/config/merge/0/source", http),
        (
            "unsupported",
            "",
            "/storage/luks",
            json!([{"name": "l", "device": "/dev/l", "keyFile": {"source": format!("data:,{MARK}")}}]),
        ),
        ("unsupported", "", "/kernelArguments", json!({"shouldExist": [MARK]})),
        ("resource", "", "/storage/files/0/contents/compression", json!("gzip")),
        ("resource", "", "/ignition/config/merge/0/compression", json!("gzip")),
        ("verification", "", "/storage/files/0/contents/verification", json!({"hash": hash})),
        ("verification", "", "/ignition/config/merge/0/verification", json!({"hash": hash})),
        ("config-syntax", "", "/ignition/config/merge/0/source", json!(format!("data:,{MARK}"))),
        ("account", "", "/passwd/users/0/primaryGroup", json!("no-such")),
        ("account", "rm root/etc/passwd", "/x", json!(0)),
        ("account", "grep ann root/etc/shadow >host/line; cat host/line >>root/etc/shadow", "/x", json!(0)),
        ("conflict", "mkdir -p root/srv; echo >root/srv/private", "/x", json!(0)),
        ("conflict", "mkdir -p root/etc/systemd/system/a.service", "/x", json!(0)),
        ("root-io", "truncate -s 17M root/etc/shadow", "/x", json!(0)),
        (
            "no-space",
            "mount -o remount,nr_inodes=$(($(df -i . | awk 'END { print $3 }') + 20)) .",
            "/x",
            json!(0),
        ),
        (
            "read-only",
            "mount --bind root root; mount --bind root/srv root/srv; mount -o remount,bind,ro root/srv",
            "/x",
            json!(0),
        ),
    ] {
        let mut config = marked();
        let (parent, name) = place.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        sandbox.make_root(&private_root());
        sandbox.sh(change);
        let found = check(&sandbox, &journals, &config.to_string(), &mut problems);
        let said = others(&sandbox, &journals, &config.to_string());
        if shows(&said) || !readable_by_others(Path::new("/run")).is_empty() {
            problems.push(format!(
                "{reason}, {change}{place}: {:?} {said}",
                readable_by_others(Path::new("/run"))
            ));
        }
        sandbox.sh("mount -o remount,nr_inodes=100000 .; while mountpoint -q root; do umount -R root; done");
        if found != reason {
            problems.push(format!("{reason}, {change}{place}: {found}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A run that is killed at any time leaves nothing that others may read, except what the config lets them read.
#[test]
fn killed_at_any_time() {
    let (sandbox, _journals) = machine();
    let config = marked().to_string();
    let mut cut = 0;
    for microseconds in (0..6000).step_by(100) {
        sandbox.make_root(&private_root());
        let mut command = sandbox.command(PROGRAM, &config);
        command
            .args(["run", "--platform=file", "--root"])
            .arg(sandbox.root())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _log = OpenAll::new();
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(microseconds));
        child.kill().unwrap();
        cut += u32::from(child.wait().unwrap().signal().is_some());
        for path in readable_by_others(&sandbox.root()) {
            assert!(
                PUBLIC.iter().any(|allowed| path == Path::new(allowed)),
                "others may read {}",
                path.display()
            );
        }
    }
    assert!(cut > 0, "no run was cut");
}

/// The devices of the sandbox need a reader.
pub struct OpenAll(#[allow(dead_code, reason = "kept open")] Vec<File>);

impl OpenAll {
    pub fn new() -> Self {
        let open = |name| {
            let mut options = fs::OpenOptions::new();
            options
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(Path::new("/dev").join(name))
                .unwrap()
        };
        Self(["kmsg", "ttyS9"].map(open).into())
    }
}

/// A signal that dumps core finds nothing to dump, and nobody but root may look at the process.
#[test]
fn no_core_and_no_arguments() {
    for call in [
        ["run", "--platform=file"].as_slice(),
        &["--stage=fetch", "--platform=file"],
        &["apply"],
        &["validate"],
        &["plan"],
    ] {
        let (sandbox, _journals) = machine();
        let text = marked().to_string();
        let mut command = sandbox.command("sh", &text);
        fs::remove_file(sandbox.host("config.ign")).unwrap();
        sandbox.sh("mkfifo host/config.ign");
        command.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh", PROGRAM]).args(call);
        if call != ["validate"] {
            command.arg("--root").arg(sandbox.root());
        }
        if call[0].starts_with("--") {
            command.args(["--config-cache", "cache", "--state-file", "state"]);
        } else if call[0] != "run" {
            command.arg(sandbox.host("config.ign"));
        }
        let _log = OpenAll::new();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut config = fs::OpenOptions::new().write(true).open(sandbox.host("config.ign")).unwrap();
        config.write_all(text.as_bytes()).unwrap();
        // By now the process has the config in its memory, and waits for the rest.
        while pending(&config) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for name in ["cmdline", "environ"] {
            let mut shown = Vec::new();
            File::open(format!("/proc/{}/{name}", child.id())).unwrap().read_to_end(&mut shown).unwrap();
            assert!(!shown.is_empty() && !shows(&String::from_utf8_lossy(&shown)), "{call:?}: {name}");
        }
        let owner = fs::metadata(format!("/proc/{}/mem", child.id())).unwrap();
        assert_eq!((owner.uid(), owner.mode() & 0o077), (0, 0), "{call:?}");
        // A shell starts its background jobs with SIGQUIT ignored, which they inherit.
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::ABORT,
        )
        .unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGABRT), false), "{call:?}");
        let names: Vec<_> =
            fs::read_dir(sandbox.host("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("core")), "{call:?}: {names:?}");
    }
}

/// Returns the number of bytes in a FIFO that nobody has read yet.
fn pending(fifo: &File) -> u64 {
    rustix::io::ioctl_fionread(fifo).unwrap()
}
