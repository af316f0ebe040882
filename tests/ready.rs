//! The ready signal where nothing can be written: on a root that is read-only, with a full `/run`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a failed assumption is the test's own message"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a root in memory with the stamp and with a virtio port that is a pipe. BEFORE runs in its `/run`, a small file system
/// in memory. Then the root becomes read-only, and glowplug-ready sends as often as asked. Prints each time the exit code, what
/// the host got, and the record.
const SCRIPT: &str = r#"
set -eu
scratch=$1 glowplug=$2 ready=$3 count=$4
mount -t tmpfs tmpfs "$scratch"
cd "$scratch"
mkdir root
mount -t tmpfs tmpfs root
cd root
mkdir -p etc usr run dev sys/class/virtio-ports/vport1p1
mount --rbind /usr usr
for directory in bin lib lib64; do
    if [ -L "/$directory" ]; then
        cp -P "/$directory" .
    elif [ -d "/$directory" ]; then
        mkdir "$directory"
        mount --rbind "/$directory" "$directory"
    fi
done
cp "$ready" glowplug-ready
echo org.fedoraproject.port.0 >sys/class/virtio-ports/vport1p1/name
mkfifo dev/vport1p1
"$glowplug" adopt --root . >/dev/null 2>&1
mount -t tmpfs -o size=8k tmpfs run
mkdir run/glowplug
(cd run && BEFORE)
mount -o remount,ro .
while [ "$count" -gt 0 ]; do
    count=$((count - 1))
    # The host is there first: the program counts a try for each time that nobody reads.
    exec 3<>dev/vport1p1 4<dev/vport1p1
    code=0
    timeout 60 chroot . /glowplug-ready 20 2>../said || code=$?
    exec 3>&-
    cat <&4 >../host
    exec 4<&-
    echo "$code $(cat ../host) $(cat run/glowplug/ready.json 2>/dev/null)"
    cat ../said >&2
done
"#;

/// Removes a directory at the end of a test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Sends `count` times. Returns a line for each: the exit code, what the host got, and the record.
fn send(name: &str, before: &str, count: usize) -> Vec<String> {
    let scratch = std::env::temp_dir().join(format!("glowplug-ready-{}-{name}", std::process::id()));
    std::fs::create_dir(&scratch).unwrap();
    let scratch = Scratch(scratch);
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &SCRIPT.replace("BEFORE", before), "sh"])
        .arg(&scratch.0)
        .args([env!("CARGO_BIN_EXE_glowplug"), env!("CARGO_BIN_EXE_glowplug-ready"), &count.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{errors}");
    println!("{errors}");
    text.lines().map(str::to_owned).collect()
}

/// A signal that was sent, with its record.
const SENT: &str = r#"0 Ready {"sent":true,"to":"org.fedoraproject.port.0","tries":1}"#;
/// Takes the rest of `/run`.
const FILL: &str = "cat /dev/zero >filler 2>/dev/null || :";

#[test]
fn a_root_that_cannot_be_written_does_not_matter() {
    assert_eq!(send("read-only", "true", 1), [SENT]);
}

#[test]
fn a_full_run_does_not_keep_the_signal_from_the_host() {
    // A machine whose disk is full must come up each time, not most times.
    assert_eq!(send("full", FILL, 200), vec!["0 Ready "; 200]);
}

#[test]
fn a_run_that_fills_meanwhile_keeps_the_record() {
    let trying = r#"echo '{"sent":false,"reason":"trying"}' >glowplug/ready.json"#;
    assert_eq!(send("filling", &format!("{trying}; {FILL}"), 1), [SENT]);
}

/// systemd itself must not need the disk to start the service.
#[test]
fn the_unit_asks_systemd_for_nothing_on_the_disk() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for unit in ["glowplug-ready.service", "ready.service.d/50-glowplug.conf"] {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        for line in text.lines() {
            let needs_disk =
                ["StateDirectory=", "CacheDirectory=", "LogsDirectory=", "ConfigurationDirectory="]
                    .iter()
                    .any(|setting| line.starts_with(setting));
            let on_disk = line.starts_with("PrivateTmp=") && line != "PrivateTmp=disconnected";
            assert!(!needs_disk && !on_disk, "{unit}: {line}");
        }
    }
}
