//! The program as a user calls it: what it prints, and its exit codes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a failed assumption is the test's own message"
)]

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "remote/server.rs"]
mod server;

use server::{Server, fetch_program, give};

/// A directory that is removed with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("glowplug-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("root/etc")).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn root(&self) -> String {
        self.0.join("root").to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

fn glowplug(arguments: &[&str], input: &str) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_glowplug"))
        .args(arguments)
        .env_remove("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

const GOOD: &str = r#"{"ignition":{"version":"3.5.0"}}"#;
const FILES: &str = r#"{"ignition":{"version":"3.5.0"},"storage":{
    "files":[{"path":"/etc/motd","overwrite":true,"contents":{"source":"data:,secret"}}],
    "links":[{"path":"/etc/a","target":"b"}],"directories":[{"path":"/new/dir","mode":448}]}}"#;

#[test]
fn validate_prints_the_report_and_how_to_mend_it() {
    let done = glowplug(&["validate", "-"], GOOD);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", ""));

    let bad = r#"{"ignition":{"version":"3.0.0"},"storage":{"fiels":[],"files":[{"path":"/a/"}]}}"#;
    let done = glowplug(&["validate", "-"], bad);
    assert_eq!(done.code, 1);
    let mut lines: Vec<&str> = done.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "  hint: is files meant?",
            "  hint: remove \"//\", \".\", \"..\" and a slash at the end from the path",
            "error at $.storage.files.0.path, line 1 col 72: path is not fully simplified",
            "warning at $.storage.fiels, line 1 col 44: unused key fiels",
        ]
    );
    // The error does not repeat the report.
    assert_eq!(done.stderr, "glowplug: config-invalid: config is not valid: 1 error\n");

    let done = glowplug(&["validate", "-"], r#"{"ignition":{"version":"2.2.0"}}"#);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("ignition.version is \"2.2.0\""), "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1);
}

const UNSUPPORTED: &str = r#"{"ignition":{"version":"3.5.0"},"storage":{
    "disks":[{"device":"/dev/vdb"}],"raid":[{"name":"md","level":"raid1","devices":["/dev/vdc"]}],
    "luks":[{"name":"x","device":"/dev/vdd","cex":{"enabled":true}},{"name":"y","device":"/dev/vdf","cex":{"enabled":true}}],"filesystems":[{"device":"/dev/vde","format":"ext4"}],
    "files":[{"path":"/x","contents":{"source":"https://token@h/"},"append":[{"source":"tftp://h/"}]}]}}"#;

#[test]
fn validate_warns_of_what_the_boot_will_refuse() {
    let done = glowplug(&["validate", "-"], UNSUPPORTED);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.stdout);
    assert!(lines.iter().all(|line| line.starts_with("unsupported at $.")), "{}", done.stdout);
    assert!(lines[0].starts_with("unsupported at $.storage.luks.0.cex, line 3 col "), "{}", done.stdout);
    assert!(!done.stdout.contains("token"));

    // Scripts get a separate exit code for this. The exit code of a refused config takes precedence.
    let scratch = Scratch::new("strict");
    let (good, bad) = (scratch.file("good.ign", GOOD), scratch.file("bad.ign", "{"));
    assert_eq!(glowplug(&["validate", "--strict", "-"], UNSUPPORTED).code, 4);
    assert_eq!(glowplug(&["validate", "--strict", &good, "-"], UNSUPPORTED).code, 4);
    assert_eq!(glowplug(&["validate", "--strict", &bad, "-"], UNSUPPORTED).code, 1);
    assert_eq!(glowplug(&["validate", "--strict", &good], "").code, 0);
    let hint = r#"{"ignition":{"version":"3.6.0"},"storage":{"files":[{"path":"/a","mode":644}]}}"#;
    assert_eq!(glowplug(&["validate", "--strict", "-"], hint).code, 0);
    assert_eq!(glowplug(&["plan", "--strict", "--root", "/", "-"], GOOD).code, 2);
}

/// The program with a terminal as its standard output, which script(1) gives it.
#[test]
fn validate_on_a_terminal_says_that_a_config_is_good() {
    let scratch = Scratch::new("terminal");
    let on_terminal = |text: &str| {
        let config = scratch.file("config.ign", text);
        let command = format!("{} validate {config}", env!("CARGO_BIN_EXE_glowplug"));
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(on_terminal(GOOD), (0, "the config is valid (spec 3.5.0)\r\n".to_owned()));
    let (code, said) = on_terminal(UNSUPPORTED);
    assert_eq!(code, 0);
    let last = "the config is valid (spec 3.5.0), but this version of glowplug will refuse it at boot";
    assert_eq!(said.lines().last(), Some(last));
    let (code, said) = on_terminal("{");
    assert!(code == 1 && !said.contains("is valid ("), "{said}");
}

#[test]
fn validate_takes_several_files_and_one_that_is_not_there_is_no_verdict() {
    let scratch = Scratch::new("several");
    let good = scratch.file("good.ign", GOOD);
    let bad = scratch.file("bad.ign", "{");
    let done = glowplug(&["validate", &good, &bad], "");
    assert_eq!(done.code, 1);
    assert!(done.stdout.starts_with(&format!("{good}:\n{bad}:\nerror at line 0 col 0: unexpected end")));
    assert_eq!(glowplug(&["validate", &good, &good], "").code, 0);
    let done = glowplug(&["validate", &scratch.0.join("none").display().to_string()], "");
    assert_eq!(done.code, 3, "{}", done.stderr);
}

#[test]
fn validate_warns_of_shares_that_the_machines_policy_refuses() {
    let scratch = Scratch::new("policy");
    let config = r#"{"ignition":{"version":"3.2.0"},"systemd":{"units":[{"name":"etc.mount","enabled":true,
        "contents":"[Mount]\nWhat=x\nWhere=/etc\nType=virtiofs\n[Install]\nWantedBy=local-fs.target"}]}}"#;
    let policy = "podman-machine/root/usr/share/glowplug-podman-machine/shares.policy";
    let done = glowplug(&["validate", "--policy", policy, "-"], config);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.starts_with("warning at $.systemd.units.0: a share over /etc: "), "{}", done.stdout);
    assert_eq!(glowplug(&["validate", "-"], config).stdout, "");
    let broken = scratch.file("policy", "etc\n");
    assert_eq!(glowplug(&["validate", "--policy", &broken, "-"], config).code, 2);
}

#[test]
fn a_plan_is_shown_and_nothing_is_written() {
    let scratch = Scratch::new("plan");
    fs::write(Path::new(&scratch.root()).join("etc/motd"), "old").unwrap();
    let done = glowplug(&["plan", "--root", &scratch.root(), "-"], FILES);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(
        done.stdout,
        [
            "Files\n",
            "  + directory  0755       0:0 /new\n",
            "  + directory  0700       0:0 /new/dir\n",
            "  ~ file       0644       0:0 /etc/motd (6 bytes)\n",
            "  + link       0777       0:0 /etc/a -> b\n",
            "3 new, 1 changed, 0 removed\n",
        ]
        .concat()
    );
    assert_eq!(fs::read(Path::new(&scratch.root()).join("etc/motd")).unwrap(), b"old");
    assert_eq!(fs::read_dir(scratch.root()).unwrap().count(), 1);

    let done = glowplug(&["plan", "--json", "--root", &scratch.root(), "-"], FILES);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json["format"], 1);
    let file = json["operations"].as_array().unwrap().iter().find(|op| op["op"] == "file").unwrap();
    let wanted = r#"{"op":"file","path":"/etc/motd","present":true,"mode":"0644","uid":0,"gid":0,"size":6}"#;
    assert_eq!(*file, serde_json::from_str::<serde_json::Value>(wanted).unwrap());
    assert_eq!(json["unread"].as_array().unwrap().len(), 0);
    assert_eq!(json["warnings"].as_array().unwrap().len(), 0);
    let counts = r#"{"new":3,"changed":1,"removed":0,"unchanged":0}"#;
    assert_eq!(json["counts"], serde_json::from_str::<serde_json::Value>(counts).unwrap());
    assert!(!done.stdout.contains("secret"));
}

/// Without `--fetch`, a plan only names where it would fetch from. A referenced config must be fetched to make a plan at all,
/// so it is an error.
#[test]
fn a_plan_fetches_only_when_it_is_asked_to() {
    fetch_program(env!("CARGO_BIN_EXE_glowplug"));
    let merged = r#"{"ignition":{"version":"3.5.0"},"storage":{"links":[{"path":"/l","target":"x"}]}}"#;
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/secret" => give(stream, "200 OK", b"fetched\n"),
        _ => give(stream, "200 OK", merged.as_bytes()),
    });
    let config = |references: &str| {
        format!(
            r#"{{"ignition":{{"version":"3.5.0"{references}}},"storage":{{"files":[{{"path":"/f",
            "contents":{{"source":"{}"}}}}]}}}}"#,
            server.url("/secret").replace("//", "//secret@")
        )
    };
    let scratch = Scratch::new("fetching");
    let plan = |options: &[&str], config: &str| {
        let done = glowplug(&[&["plan", "--root", &scratch.root()], options, &["-"]].concat(), config);
        assert!(!format!("{}{}", done.stdout, done.stderr).contains("secret"), "{}", done.stderr);
        done
    };
    let from = format!("from http://{}", server.host());
    let alone = config("");
    let file = format!("  + file       0644       0:0 /f, {from}\n");
    assert_eq!(plan(&[], &alone).stdout, format!("Files\n{file}1 new, 0 changed, 0 removed\n"));
    let done = plan(&["--diff"], &alone);
    assert!(done.stdout.contains(&format!("{file}    (not fetched: see --fetch)\n")), "{}", done.stdout);
    let json: serde_json::Value = serde_json::from_str(&plan(&["--json"], &alone).stdout).unwrap();
    let operation = &json["operations"][0];
    assert_eq!(operation["origins"][0], format!("http://{}", server.host()));
    assert!(operation.get("size").is_none(), "{operation}");
    let source = server.url("/secret-config");
    let merging = config(&format!(r#","config":{{"merge":[{{"source":"{source}"}}]}}"#));
    let done = plan(&[], &merging);
    let words = "is not fetched without --fetch, at $.ignition.config.merge.0.source";
    assert!(done.code == 23 && done.stderr.contains(words), "{}", done.stderr);
    let done = glowplug(&["validate", "-"], &merging);
    assert_eq!((done.code, done.stdout.as_str()), (0, ""));
    assert_eq!(server.asked().len(), 0);

    let done = plan(&["--fetch", "--diff"], &merging);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains(&format!("/f (8 bytes), {from}\n")), "{}", done.stdout);
    assert!(done.stdout.contains("+fetched\n") && done.stdout.contains("/l -> x\n"), "{}", done.stdout);
    assert_eq!(server.asked().len(), 2);
}

/// The limits, hashes and compressions of a config hold for every scheme. `glowplug-fetch` has its own tests for each of them.
#[test]
fn contents_of_every_scheme_are_verified() {
    fetch_program(env!("CARGO_BIN_EXE_glowplug"));
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/shelf/from-s3" => give(stream, "200 OK", b"by s3\n"),
        "/storage/v1/b/shelf/o/from-gs?alt=media" => give(stream, "200 OK", GZIP),
        "/shelf" => give(stream, "200 OK", b""),
        _ => give(stream, "404 Not Found", b""),
    });
    let scratch = Scratch::new("schemes");
    let plan = |config: &str| {
        let endpoints =
            ["s3", "imds", "gs", "gce-metadata"].map(|name| format!("{name}=http://{}", server.host()));
        let output = Command::new(env!("CARGO_BIN_EXE_glowplug"))
            .args(["plan", "--fetch", "--diff", "--root", &scratch.root()])
            .arg(scratch.file("config.ign", config))
            .env("GLOWPLUG_FETCH_ENDPOINTS", endpoints.join(" "))
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    };
    // The SHA-256 of "by s3\n", and one that is wrong in its last digit.
    let right = "sha256-71df3c3c51a422783632e7b8ee89e774600a70eebed55efdb20d10d7e6ec8ab9";
    let wrong = [&right[..right.len() - 1], "0"].concat();
    let tftp = tftp_server(b"by tftp\n");
    let config = |hash: &str| {
        format!(
            r#"{{"ignition":{{"version":"3.5.0"}},"storage":{{"files":[
                {{"path":"/s3","contents":{{"source":"s3://shelf/from-s3","verification":{{"hash":"{hash}"}}}}}},
                {{"path":"/gs","contents":{{"source":"gs://shelf/from-gs","compression":"gzip"}}}},
                {{"path":"/tftp","append":[{{"source":"tftp://{tftp}/from-tftp"}}]}}]}}}}"#
        )
    };
    let (code, text) = plan(&config(right));
    assert_eq!(code, 0, "{text}");
    for line in ["+by s3\n", "+by gs\n", "+by tftp\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (code, text) = plan(&config(&wrong));
    assert!(code == 31 && text.contains("$.storage.files.0.contents.verification.hash"), "{code} {text}");
}

/// "by gs\n", compressed by gzip.
const GZIP: &[u8] =
    &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 170, 84, 72, 47, 230, 2, 0, 252, 60, 81, 9, 6, 0, 0, 0];

/// Serves `body`, which fits into one packet, by TFTP (RFC 1350) to whoever asks. Returns the address.
fn tftp_server(body: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut request = [0; 600];
        while let Ok((_, client)) = socket.recv_from(&mut request) {
            // Each transfer has a port of its own.
            let transfer = UdpSocket::bind("127.0.0.1:0").unwrap();
            transfer.send_to(&[&[0, 3, 0, 1], body].concat(), client).unwrap();
            transfer.recv_from(&mut request).unwrap();
        }
    });
    address
}

/// The config of [`everything`]. `@UID@` and `@GID@` stand for the owner of the file that stays unchanged.
const EVERYTHING: &str = r#"{"ignition":{"version":"3.4.0"},
    "passwd":{"groups":[{"name":"web","gid":2000}],
        "users":[{"name":"ann","passwordHash":"$6$saltsalt$newhashnewhash","sshAuthorizedKeys":["ssh-ed25519 A"]}]},
    "storage":{"directories":[{"path":"/etc"},{"path":"/srv","overwrite":true}],
        "files":[{"path":"/etc/app","overwrite":true,"contents":{"source":"data:,one%0Athree%0A"}},
            {"path":"/etc/same","mode":420,"overwrite":true,"contents":{"source":"data:,same%0A"},
                "user":{"id":@UID@},"group":{"id":@GID@}},
            {"path":"/etc/blob","mode":420,"contents":{"source":"data:;base64,AAEC"}}]},
    "systemd":{"units":[{"name":"a.service","enabled":true,"contents":"[Install]\nWantedBy=multi-user.target"},
        {"name":"b.service","mask":true}]}}"#;

/// Returns the config, with the owner of `root`: the caller, who need not be root.
fn everything(root: &str) -> String {
    let owner = fs::metadata(root).unwrap();
    EVERYTHING.replace("@UID@", &owner.uid().to_string()).replace("@GID@", &owner.gid().to_string())
}

/// Returns a root with ann, whose password is to be changed, and files for [`everything`].
fn populated(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let root = scratch.0.join("root");
    for (path, text) in [
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"),
        ("etc/group", "root:x:0:\nann:x:1000:\n"),
        ("etc/shadow", "root:*:1::::::\nann:$y$j9T$oldsalt$oldhasholdhash:20000:0:99999:7:::\n"),
        ("etc/app", "one\ntwo\n"),
        ("etc/same", "same\n"),
    ] {
        fs::write(root.join(path), text).unwrap();
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::create_dir_all(root.join("srv/data")).unwrap();
    fs::set_permissions(root.join("etc"), fs::Permissions::from_mode(0o755)).unwrap();
    scratch
}

#[test]
fn a_plan_is_grouped_by_what_the_entries_of_the_config_become() {
    let scratch = populated("grouped");
    let done = glowplug(&["plan", "--root", &scratch.root(), "-"], &everything(&scratch.root()));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let at = |words: &str| {
        let found = done.stdout.lines().position(|line| line.trim_start().starts_with(words));
        found.unwrap_or_else(|| panic!("no line {words:?} in\n{}", done.stdout))
    };
    let order = [
        "Users and groups",
        "group web",
        "user ann",
        "account files",
        "Files",
        "Units",
        "unit a.service, enabled",
        "unit b.service, masked",
        "presets",
    ];
    let places: Vec<usize> = order.iter().map(|words| at(words)).collect();
    assert!(places.is_sorted(), "{places:?}\n{}", done.stdout);
    let has = |words: &str, path: &str, after: &str, before: &str| {
        let found =
            done.stdout.lines().position(|line| line.trim_start().starts_with(words) && line.contains(path));
        let found = found.unwrap_or_else(|| panic!("no {words} of {path} in\n{}", done.stdout));
        assert!(at(after) < found && found < at(before), "{path}\n{}", done.stdout);
    };
    has("+ file", "/home/ann/.ssh/authorized_keys", "user ann", "account files");
    has("~ file", "/etc/shadow", "account files", "Files");
    has("= file", "/etc/same", "Files", "Units");
    has("- remove", "/srv", "Files", "Units");
    has("+ file", "/etc/systemd/system/a.service ", "unit a.service", "unit b.service");
    has("+ link", "multi-user.target.wants/a.service", "unit a.service", "unit b.service");
    has("+ link", "/etc/systemd/system/b.service -> /dev/null", "unit b.service", "presets");
    let last = done.stdout.lines().last().unwrap();
    assert!(
        last.ends_with(" new, 4 changed, 0 removed, 2 already so") || last.contains(" changed, 0 removed"),
        "{last}"
    );
    assert!(!done.stdout.contains('\u{1b}'), "{}", done.stdout);
}

#[test]
fn a_plan_shows_the_changed_lines_without_password_hashes() {
    let scratch = populated("diff");
    let done = glowplug(&["plan", "--diff", "--root", &scratch.root(), "-"], &everything(&scratch.root()));
    assert_eq!(done.code, 0, "{}", done.stderr);
    for line in [
        "     one",
        "    -two",
        "    +three",
        "      -ann:(hidden):20000:0:99999:7:::",
        "    (the contents are not text)",
        "      +web:!:2000:",
    ] {
        assert!(done.stdout.lines().any(|found| found == line), "no {line:?} in\n{}", done.stdout);
    }
    assert!(done.stdout.contains("+ann:(hidden):"), "{}", done.stdout);
    assert!(!done.stdout.contains("hash"), "{}", done.stdout);
    assert!(!done.stdout.contains("same\n    "), "{}", done.stdout);
}

/// A terminal gets colours, unless `NO_COLOR` is set.
#[test]
fn a_plan_has_colours_on_a_terminal_only() {
    let scratch = Scratch::new("colours");
    let config = scratch.file("config.ign", FILES);
    let on_terminal = |no_color: Option<&str>| {
        let call = format!("{} plan --root {} {config}", env!("CARGO_BIN_EXE_glowplug"), scratch.root());
        let mut script = Command::new("script");
        script
            .args(["-qec", &call, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        script.envs(no_color.map(|value| ("NO_COLOR", value)));
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    };
    let coloured = on_terminal(None);
    assert!(coloured.contains("\u{1b}[32m  + directory"), "{coloured:?}");
    assert!(on_terminal(Some("")).contains('\u{1b}'));
    let plain = on_terminal(Some("1"));
    assert!(plain.contains("  + directory") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn a_plan_tells_everything_that_is_wrong() {
    let scratch = populated("all-wrong");
    let config = everything(&scratch.root())
        .replace(r#""path":"/etc/app","overwrite":true"#, r#""path":"/etc/app""#)
        .replace(r#""path":"/etc/same","mode":420,"overwrite":true"#, r#""path":"/etc/same""#)
        .replace(r#""gid":2000"#, r#""gid":1000"#);
    for command in ["plan", "apply"] {
        let done = glowplug(&[command, "--root", &scratch.root(), "-"], &config);
        let failures: String =
            done.stderr.split_inclusive('\n').filter(|line| !line.contains(": hint at ")).collect();
        assert_eq!(
            failures,
            "glowplug: account: $.passwd.groups.0: group \"web\": group id 1000 is in use already, by \"ann\"\n\
             glowplug: conflict: $.storage.files.0: /etc/app: a file exists there already and overwrite is false\n\
             glowplug: conflict: $.storage.files.1: /etc/same: a file exists there already and overwrite is false\n"
        );
        assert_eq!((done.code, done.stdout.as_str()), (41, ""));
    }
}

#[test]
fn failures_are_short_whatever_the_config_holds() {
    let scratch = populated("long");
    let long = "x".repeat(1 << 20);
    for (part, end) in [
        (format!(r#""passwd":{{"users":[{{"name":"ann","groups":["{long}"]}}]}}"#), "x\"\n"),
        (format!(r#""storage":{{"files":[{{"path":"/a","user":{{"name":"{long}"}}}}]}}"#), "x\"\n"),
    ] {
        let config = format!(r#"{{"ignition":{{"version":"3.4.0"}},{part}}}"#);
        let done = glowplug(&["plan", "--root", &scratch.root(), "-"], &config);
        assert_eq!((done.code, done.stdout.as_str()), (41, ""));
        assert!(done.stderr.len() < 1024 && done.stderr.ends_with(end), "{}", done.stderr);
    }
    let files: Vec<String> = (0..2000)
        .map(|number| format!(r#"{{"path":"/{number}","user":{{"name":"nobody-here"}}}}"#))
        .collect();
    let config =
        format!(r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"files":[{}]}}}}"#, files.join(","));
    let done = glowplug(&["plan", "--root", &scratch.root(), "-"], &config);
    assert_eq!((done.code, done.stderr.lines().count()), (41, 21));
    assert!(done.stderr.ends_with("glowplug: and 1980 more\n"), "{}", done.stderr);
}

#[test]
fn a_plan_shows_kernel_arguments() {
    let scratch = Scratch::new("arguments");
    let grub = "linux /vmlinuz root=UUID=x ro quiet\ninitrd /initrd.img\n";
    fs::create_dir_all(format!("{}/boot/grub", scratch.root())).unwrap();
    fs::write(format!("{}/boot/grub/grub.cfg", scratch.root()), grub).unwrap();
    let config = r#"{"ignition":{"version":"3.3.0"},"kernelArguments":{"shouldExist":["a b"],"shouldNotExist":["quiet"]}}"#;
    let plan = |options: &[&str]| {
        let root = scratch.root();
        let done = glowplug(&[&["plan", "--root", &root][..], options, &["-"]].concat(), config);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        done.stdout
    };
    let text = plan(&["--diff"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "~ kernel arguments: +a +b -quiet in /boot/grub/grub.cfg; restarts once");
    assert!(lines[1].starts_with("  ~ file ") && lines[1].contains("/boot/grub/grub.cfg"), "{text}");
    assert!(text.contains("-linux /vmlinuz root=UUID=x ro quiet\n"), "{text}");
    assert!(text.contains("+linux /vmlinuz root=UUID=x ro a b\n"), "{text}");
    let json = plan(&["--json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!({"add": ["a", "b"], "remove": ["quiet"], "restarts": true});
    assert_eq!(value["kernel_arguments"], expected);
    assert_eq!(fs::read_to_string(format!("{}/boot/grub/grub.cfg", scratch.root())).unwrap(), grub);

    assert_eq!(glowplug(&["apply", "--root", &scratch.root(), "-"], config).code, 0);
    assert_eq!(plan(&[]).lines().next(), Some("= kernel arguments: +a +b -quiet, already so"));
    let value: serde_json::Value = serde_json::from_str(&plan(&["--json"])).unwrap();
    assert_eq!(value["kernel_arguments"]["restarts"], false);
}

#[test]
fn a_plan_shows_disks() {
    let scratch = Scratch::new("disks");
    let config = r#"{"ignition":{"version":"3.4.0"},"storage":{"disks":[{"device":"/dev/vdb","wipeTable":true,"partitions":[
        {"number":1,"label":"a\"b","sizeMiB":0},{"number":2,"shouldExist":false,"wipePartitionEntry":true}]},{"device":"/dev/vdc"}],
        "raid":[{"name":"m","level":"raid1","devices":["/dev/x","/dev/y"]}],"luks":[{"name":"l","device":"/dev/z"}],
        "filesystems":[{"device":"/dev/vdb1","format":"none"}]}}"#;
    let done = glowplug(&["plan", "--root", &scratch.root(), "-"], config);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(
        done.stdout.starts_with("Disks\n  disk /dev/vdb\n    - the table is made anew"),
        "{}",
        done.stdout
    );
    let done = glowplug(&["plan", "--json", "--root", &scratch.root(), "-"], config);
    let value: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        value["disks"],
        serde_json::json!([
            {"device": "/dev/vdb", "wipe": true, "partitions": [
                {"number": 1, "label": "a\"b", "size_mib": 0, "exists": true, "wipe": false, "resize": false},
                {"number": 2, "exists": false, "wipe": true, "resize": false},
            ]},
            {"device": "/dev/vdc", "wipe": false, "partitions": []},
        ])
    );
    assert_eq!(
        value["filesystems"],
        serde_json::json!([{"device": "/dev/vdb1", "format": "none", "wipe": false}])
    );
    assert_eq!(
        value["raid"],
        serde_json::json!([{"name": "m", "level": "raid1", "devices": ["/dev/x", "/dev/y"], "spares": 0}])
    );
    assert_eq!(value["luks"], serde_json::json!([{"name": "l", "device": "/dev/z", "wipe": false}]));
    assert_eq!(glowplug(&["apply", "--root", &scratch.root(), "-"], config).code, 23);
    let done = glowplug(&["plan", "--json", "--root", &scratch.root(), "-"], GOOD);
    let value: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((value.get("disks"), value.get("filesystems")), (None, None));
}

#[test]
fn a_plan_names_the_defaults_of_the_image_that_it_replaces() {
    let scratch = Scratch::new("defaults");
    let root = scratch.0.join("root");
    fs::create_dir_all(root.join("usr/lib/glowplug/defaults.d")).unwrap();
    fs::copy("defaults/50-debian.conf", root.join("usr/lib/glowplug/defaults.d/50-debian.conf")).unwrap();
    fs::write(root.join("etc/hostname"), "debian\n").unwrap();
    let config = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/hostname","contents":{"source":"data:,mine"}}]}}"#;
    let done = glowplug(&["plan", "--root", &scratch.root(), "-"], config);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stdout.contains("/etc/hostname (4 bytes), replaces the image's default\n"),
        "{}",
        done.stdout
    );
    let done = glowplug(&["plan", "--json", "--root", &scratch.root(), "-"], config);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json["operations"][0]["replaces_default"], true);
    // The stages behave as the reference's, so its conflicts remain conflicts there.
    let file = scratch.file("config.ign", config);
    let done = Command::new(env!("CARGO_BIN_EXE_glowplug"))
        .args(["--stage", "files", "--platform", "file", "--log-to-stdout", "--root", &scratch.root()])
        .args(["--config-cache", &file, "--state-file", &scratch.file("state", "{}")])
        .output()
        .unwrap();
    assert_ne!(done.status.code(), Some(0));
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("/etc/hostname: a file exists there already and overwrite is false"), "{said}");
}

#[test]
fn a_plan_finds_what_would_stop_it() {
    let scratch = Scratch::new("stopped");
    let hash = "0".repeat(64);
    let text = format!(
        r#"{{"ignition":{{"version":"3.5.0"}},"storage":{{"files":[{{"path":"/a","contents":{{"source":"data:,x","verification":{{"hash":"sha256-{hash}"}}}}}}]}}}}"#
    );
    assert_eq!(glowplug(&["plan", "--root", &scratch.root(), "-"], &text).code, 31);
    fs::write(Path::new(&scratch.root()).join("etc/a"), "old").unwrap();
    assert_eq!(glowplug(&["plan", "--root", &scratch.root(), "-"], FILES).code, 40);
}

#[test]
fn clean_takes_the_stamp_away() {
    let scratch = Scratch::new("clean");
    let stamp = Path::new(&scratch.root()).join("etc/.ignition-result.json");
    fs::write(&stamp, "{}").unwrap();
    let area = Path::new(&scratch.root()).join(".glowplug");
    fs::create_dir_all(area.join("0")).unwrap();
    fs::set_permissions(&area, fs::Permissions::from_mode(0o700)).unwrap();
    symlink("glowplug", area.join("owner")).unwrap();
    let done = glowplug(&["clean", "--root", &scratch.root()], "");
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(done.stdout, "removed /etc/.ignition-result.json\nremoved /.glowplug\n");
    assert_eq!(fs::read_dir(Path::new(&scratch.root()).join("etc")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(scratch.root()).unwrap().count(), 1);
    let done = glowplug(&["clean", "--root", &scratch.root()], "");
    assert_eq!((done.code, done.stdout.as_str()), (0, ""));
}

#[test]
fn mistakes_in_the_call_are_told() {
    for (arguments, words) in [
        (&[][..], "a command is missing"),
        (&["frobnicate"], "no such command"),
        (&["apply", "-"], "--root is missing"),
        (&["validate"], "validate takes one config or more"),
        (&["plan", "--root", "/"], "this command takes one config"),
        (&["run", "x"], "this command takes no operand"),
        (&["validate", "--root", "/", "-"], "an option that this command does not have"),
        (&["apply", "--json", "--root", "/", "-"], "an option that this command does not have"),
        (&["run", "--policy", "x", "--root", "/"], "an option that this command does not have"),
        (&["plan", "--json", "--diff", "--root", "/", "-"], "an option that this command does not have"),
        (&["apply", "--frob"], "--frob"),
        (&["run", "--root", "/", "--platform", "nowhere"], "there is no platform \"nowhere\""),
    ] {
        let done = glowplug(arguments, "");
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(words), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn help_fits_a_terminal() {
    let done = glowplug(&["--help"], "");
    assert_eq!(done.code, 0);
    assert!(done.stdout.lines().all(|line| line.len() <= 80), "{}", done.stdout);
    // The help lists every platform, because it is made from the table of platforms.
    for platform in glowplug::platform::Platform::all() {
        let line = done.stdout.lines().find(|line| line.starts_with(&format!("  {} ", platform.name())));
        assert!(line.is_some_and(|line| line.ends_with(platform.source())), "{platform:?}: {}", done.stdout);
    }
}

/// `make boot` runs the same comparison for the whole page, but only after half an hour.
#[test]
fn the_page_of_hosts_begins_with_the_head_that_its_test_writes() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(project.join("docs/hostile-hosts.md")).unwrap();
    let head = fs::read_to_string(project.join("tests/boot/tests/guests/hostile/head.md")).unwrap();
    let rows = page.strip_prefix(&head).unwrap();
    assert!(rows.lines().all(|line| line.starts_with("| ")), "only rows follow the head");
}
