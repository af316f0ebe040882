//! Two processes on one root at the same time. Each finds the root whole or untouched, or fails because the root is
//! busy.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::manifest::Tree;
use crate::roots::root;
use crate::sandbox::{PROGRAM, Sandbox, with};

const TRIALS: u64 = 200;
const BUSY: i32 = 55;
const CONFIG: &str = r#"{"ignition":{"version":"3.5.0"},"passwd":{"users":[{"name":"core"}]},
    "storage":{"files":[{"path":"/etc/hosts","append":[{"source":"data:,x"}]},{"path":"/srv/f"}]}}"#;
const HOSTS: &str = "127.0.0.1 localhost\n";

fn small() -> Tree {
    with(&root(), "")
}

/// Returns a small generator of numbers that are the same in each run, so that a failed trial can be repeated.
fn numbers() -> impl FnMut() -> u64 {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Starts `commands` at offsets of up to 4 ms to each other. Returns their exit codes.
fn together(commands: [Command; 2], offset: u64) -> [i32; 2] {
    let delays = [offset % 4000, offset / 4000 % 4000].map(Duration::from_micros);
    let mut children = Vec::new();
    for (mut command, delay) in commands.into_iter().zip(delays) {
        thread::sleep(delay);
        children.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
    let codes: Vec<i32> =
        children.into_iter().map(|mut child| child.wait().unwrap().code().unwrap()).collect();
    codes.try_into().unwrap()
}

fn command(sandbox: &Sandbox, name: &str) -> Command {
    let mut command = sandbox.command(PROGRAM, CONFIG);
    match name {
        "run" => command.args(["run", "--platform=file"]),
        name => command.arg(name),
    };
    command.arg("--root").arg(sandbox.root());
    if name == "apply" {
        command.arg(sandbox.host("config.ign"));
    }
    command
}

#[test]
fn two_at_once_never_mix() {
    let sandbox = Sandbox::with_devices();
    // During the run nobody reads the log and the console.
    sandbox.sh("cd host/dev; rm kmsg ttyS9; touch kmsg ttyS9");
    let tree = small();
    let mut next = numbers();
    let (mut busy, mut both) = (0, 0);
    for trial in 0..TRIALS {
        let names =
            [["run", "run"], ["apply", "apply"], ["run", "apply"], ["apply", "run"]][(trial % 4) as usize];
        sandbox.make_root(&tree);
        let codes = together(names.map(|name| command(&sandbox, name)), next());
        let at = format!("trial {trial}: {names:?} gave {codes:?}");
        assert!(codes.iter().all(|code| [0, BUSY].contains(code)) && codes.contains(&0), "{at}");
        let done = names.iter().zip(codes).filter(|(_, code)| *code == 0).map(|(name, _)| *name);
        let done: Vec<&str> = done.collect();
        // The second run finds the stamp of the first one.
        let appended = if done == ["run", "run"] { 1 } else { done.len() };
        let hosts = fs::read_to_string(sandbox.at("/etc/hosts")).unwrap();
        assert_eq!(hosts, format!("{HOSTS}{}", "x".repeat(appended)), "{at}");
        assert!(sandbox.at("/srv/f").is_file() && !sandbox.at("/.glowplug").exists(), "{at}");
        assert_eq!(sandbox.at("/etc/.ignition-result.json").is_file(), done.contains(&"run"), "{at}");
        let users = fs::read_to_string(sandbox.at("/etc/passwd")).unwrap();
        assert_eq!(users.matches("\ncore:").count(), 1, "{at}");
        busy += codes.iter().filter(|code| **code == BUSY).count();
        both += usize::from(done.len() == 2);
    }
    println!("{TRIALS} trials: {busy} busy, {both} one after the other");
    assert!(busy > 0 && both > 0, "they never met, or always: {busy}, {both}");
}

#[test]
fn a_locked_root_is_busy_for_everyone_and_stays_as_it_is() {
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&small());
    fs::create_dir(sandbox.host("stage")).unwrap();
    let lock = File::open(sandbox.root()).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let before = sandbox.state();
    for name in ["run", "apply", "clean", "adopt"] {
        let done = sandbox.done(&mut command(&sandbox, name));
        assert_eq!((done.code, done.reason()), (BUSY, "busy"), "{name}: {done:?}");
    }
    let stage = |name: &str| {
        let mut command = sandbox.command(PROGRAM, CONFIG);
        command.args(["--stage", name, "--platform=file", "-log-to-stdout", "--root"]).arg(sandbox.root());
        for (flag, file) in [("config-cache", "cache"), ("state-file", "state"), ("neednet", "neednet")] {
            command.arg(format!("-{flag}={}", sandbox.host("stage").join(file).display()));
        }
        sandbox.done(&mut command)
    };
    assert_eq!(stage("fetch").code, 0);
    let done = stage("files");
    assert!(done.code == 1 && done.said.contains("another process is at work on the root"), "{done:?}");
    assert_eq!(sandbox.state(), before);
    // A plan only reads.
    let mut plan = command(&sandbox, "plan");
    assert_eq!(sandbox.done(plan.arg(sandbox.host("config.ign"))).code, 0);
    drop(lock);
    assert_eq!(sandbox.done(&mut command(&sandbox, "run")).code, 0);
    // Later boots need no lock.
    let lock = File::open(sandbox.root()).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(sandbox.done(&mut command(&sandbox, "run")).code, 0);
}

/// A root that is mounted read-only can be locked as well.
#[test]
fn a_read_only_root_is_locked() {
    let sandbox = Sandbox::with_devices();
    sandbox.sh("mkdir ro; mount -t tmpfs ro root");
    sandbox.make_root(&small());
    sandbox.sh("mount -o remount,ro root");
    let lock = File::open(sandbox.root()).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(sandbox.done(&mut command(&sandbox, "run")).code, BUSY);
    drop(lock);
    assert_eq!(sandbox.done(&mut command(&sandbox, "run")).code, 0);
    sandbox.sh("umount root");
}
