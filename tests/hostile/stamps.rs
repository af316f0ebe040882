//! Which root a stamp belongs to. `run` and `glowplug-ready` must agree, and a refusal must say what can be done.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use glowplug::stamp::FileIdentity;

use crate::roots::root;
use crate::sandbox::{Done, PROGRAM, Sandbox};
use crate::watch::difference;

const READY: &str = env!("CARGO_BIN_EXE_glowplug-ready");
const STAMP: &str = "/etc/.ignition-result.json";
const CONFIG: &str = r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/srv/f"}]}}"#;

/// Returns a stamp that the reference leaves in the boot `id`.
fn reference(id: &str) -> String {
    format!(
        "{{\n  \"provisioningBootID\": \"{id}\",\n  \"provisioningDate\": \"2026-11-22T22:00:00Z\",\n  \
         \"userConfigProvided\": true\n}}\n"
    )
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

fn stamp_of(sandbox: &Sandbox) -> serde_json::Value {
    serde_json::from_slice(&fs::read(sandbox.at(STAMP)).unwrap()).unwrap()
}

/// Returns the outcome of `run`: "done" if it had nothing to do, otherwise the reason.
fn run(sandbox: &Sandbox) -> (String, Done) {
    let done = sandbox.run(CONFIG);
    let word = if done.code == 0 { "done" } else { done.reason() };
    (word.to_owned(), done)
}

/// Returns the outcome of `glowplug-ready` in the root, where it finds neither a device nor a host: "done" if it would tell
/// the host, otherwise the reason.
fn ready(sandbox: &Sandbox) -> String {
    let base = sandbox.host("ready");
    // The tree has the stamp and what the program needs to start, and nothing else.
    if !base.exists() {
        sandbox
            .sh("cd host; mkdir -p ready/bin ready/run ready/etc ready/proc ready/usr ready/lib ready/lib64
            for i in usr lib lib64 proc; do mount --bind /$i ready/$i; done");
        fs::copy(READY, base.join("bin/ready")).unwrap();
    }
    sandbox.sh("mount --bind root/etc host/ready/etc");
    let output = Command::new("chroot").arg(&base).args(["/bin/ready", "0"]).output().unwrap();
    sandbox.sh("umount host/ready/etc");
    let said = String::from_utf8(output.stderr).unwrap();
    let word = said.split(": ").nth(1).unwrap_or_else(|| panic!("{said}"));
    if word == "no-device" { "done".to_owned() } else { word.to_owned() }
}

/// Returns a sandbox with a provisioned root.
fn provisioned() -> Sandbox {
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    assert_eq!(run(&sandbox).0, "done");
    sandbox
}

#[test]
fn run_and_ready_judge_alike() {
    let sandbox = provisioned();
    let at = sandbox.at(STAMP);
    let ours = fs::read_to_string(&at).unwrap();
    let write = |text: &str| fs::write(&at, text).unwrap();
    let replace = |put: &dyn Fn(&Path)| {
        fs::remove_file(&at).unwrap();
        put(&at);
    };
    let born = ours.rfind("\"born\": [").unwrap();
    let unknown = format!("{}\"born\": [0, 0]\n  }}\n}}\n", &ours[..born]);
    let cases: [(&str, &str, &dyn Fn()); 11] = [
        ("as it was written", "done", &|| {}),
        ("without a birth time", "done", &|| write(&unknown)),
        ("empty", "stamp-broken", &|| write("")),
        ("an empty object", "stamp-broken", &|| write("{}")),
        ("cut", "stamp-broken", &|| write(&ours[..ours.len() / 2])),
        ("too long", "stamp-unreadable", &|| write(&" ".repeat(20_000))),
        ("the reference's, of another boot", "stamp-foreign", &|| write(&reference("another"))),
        ("copied", "stamp-foreign", &|| {
            replace(&|at| {
                fs::write(at.with_extension("copy"), &ours).unwrap();
                fs::rename(at.with_extension("copy"), at).unwrap();
            });
        }),
        ("a link to a stamp", "stamp-broken", &|| {
            replace(&|at| {
                fs::write(sandbox.at("/srv/stamp"), reference(&boot_id())).unwrap();
                symlink("/srv/stamp", at).unwrap();
            });
        }),
        ("a directory", "stamp-broken", &|| replace(&|at| fs::create_dir(at).unwrap())),
        ("the reference's, of this boot", "done", &|| {
            fs::remove_dir(&at).unwrap();
            write(&reference(&boot_id()));
        }),
    ];
    for (name, word, put) in cases {
        put();
        // `glowplug-ready` comes before `run`, because `run` adopts a stamp that it accepts.
        let told = ready(&sandbox);
        let before = sandbox.state();
        let (said, done) = run(&sandbox);
        assert_eq!((said.as_str(), told.as_str()), (word, word), "{name}: {done:?}");
        if word == "done" {
            continue;
        }
        let after = sandbox.state();
        assert_eq!(before, after, "{name}:\n{}", difference(&before, &after));
        let block = done.console.split_whitespace().collect::<Vec<_>>().join(" ").replace(" | ", " ");
        assert!(block.contains("What failed:") && block.contains(word), "{name}: {}", done.console);
        if word != "stamp-unreadable" {
            let advice = format!("glowplug adopt --root {}", sandbox.root().display());
            assert!(block.replace(' ', "").contains(&advice.replace(' ', "")), "{name}: {}", done.console);
        }
    }
    // `run` has adopted the reference's stamp by now, so later boots accept it.
    let stamp = stamp_of(&sandbox);
    assert_eq!(stamp["provisioningBootID"], boot_id());
    assert_eq!(stamp["provisioningDate"], "2026-11-22T22:00:00Z");
    let file = FileIdentity::of(File::open(&at).unwrap()).unwrap();
    assert_eq!(stamp["glowplug"]["inode"], file.inode);
    assert!(!sandbox.at("/.glowplug").exists());
}

/// A root that was restored from a backup is refused. `adopt` accepts it without asking the host.
#[test]
fn a_restored_root_is_adopted() {
    let sandbox = provisioned();
    let first = stamp_of(&sandbox);
    sandbox.sh("cp -a root restored; mount --bind restored root");
    let (word, done) = run(&sandbox);
    assert_eq!((word.as_str(), done.code), ("stamp-foreign", 63), "{done:?}");
    let adopt = || sandbox.done(sandbox.command(PROGRAM, "").args(["adopt", "--root"]).arg(sandbox.root()));
    let before = sandbox.state();
    let done = adopt();
    assert_eq!((done.code, done.said.as_str()), (0, "adopted: the stamp is now that of this root\n"));
    let differs = |line: &&String| !line.starts_with(&format!("{STAMP} "));
    assert!(sandbox.state().iter().filter(differs).eq(before.iter().filter(differs)));
    let mut stamp = stamp_of(&sandbox);
    assert_eq!(stamp["glowplug"]["adopted"].as_str().map(str::len), Some(20), "{stamp}");
    for field in ["adopted", "inode", "born"] {
        let first = first["glowplug"].get(field).cloned().unwrap_or_default();
        assert_ne!(stamp["glowplug"][field], first, "{field}");
        stamp["glowplug"][field] = first;
    }
    stamp["glowplug"].as_object_mut().unwrap().remove("adopted");
    assert_eq!(stamp, first);
    assert_eq!(fs::metadata(sandbox.at(STAMP)).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!((run(&sandbox).0.as_str(), ready(&sandbox).as_str()), ("done", "done"));
    let done = adopt();
    assert_eq!((done.code, done.said.as_str()), (0, "nothing to do: the stamp is that of this root\n"));
    sandbox.sh("umount root");

    // `adopt` works whatever stands at the path of the stamp, and also if nothing does.
    for text in [None, Some(String::new()), Some("x".to_owned()), Some(reference("another"))] {
        fs::remove_file(sandbox.at(STAMP)).unwrap();
        if let Some(text) = &text {
            fs::write(sandbox.at(STAMP), text).unwrap();
        }
        let done = adopt();
        assert_eq!(done.code, 0, "{text:?}: {done:?}");
        assert_eq!(run(&sandbox).0, "done", "{text:?}");
        let is_known = text.as_ref().is_some_and(|text| text.contains("another"));
        assert_eq!(stamp_of(&sandbox)["userConfigProvided"], is_known, "{text:?}");
    }
    // If something other than a file stands there, a person must look at it.
    fs::remove_file(sandbox.at(STAMP)).unwrap();
    fs::create_dir(sandbox.at(STAMP)).unwrap();
    assert_eq!(adopt().reason(), "conflict");
}

/// In the middle of a commit nobody knows the state of the root, so it cannot be adopted.
#[test]
fn a_root_with_a_journal_is_not_adopted() {
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    sandbox.sh("mkdir -m 700 root/.glowplug; ln -s glowplug root/.glowplug/owner; touch root/.glowplug/journal root/.glowplug/stamp");
    let before = sandbox.state();
    let done = sandbox.done(sandbox.command(PROGRAM, "").args(["adopt", "--root"]).arg(sandbox.root()));
    assert_eq!((done.code, done.reason()), (54, "journal"), "{done:?}");
    assert_eq!(sandbox.state(), before);
}

/// On an overlay, files have other inode numbers and birth times than in its layers.
#[test]
fn an_overlay_over_the_root_is_the_same_root() {
    let sandbox = provisioned();
    sandbox.sh(
        "mkdir lower other upper; mount -t tmpfs other other; mount -t tmpfs upper upper; cp -a root copied",
    );
    for (name, options, is_copied_up) in [
        ("off", "xino=off", false),
        ("auto", "xino=auto", false),
        ("on", "xino=on", false),
        ("auto, copied up", "xino=auto", true),
        ("on, copied up", "xino=on", true),
    ] {
        let mount = |lower: &str| {
            sandbox.sh(&format!(
                "rm -rf upper/*; mkdir upper/u upper/w
                mount -t overlay -o {options},lowerdir={lower}:other,upperdir=upper/u,workdir=upper/w overlay root"
            ));
        };
        sandbox.sh("mount --bind root lower");
        mount("lower");
        if is_copied_up {
            sandbox
                .sh("chmod 0400 root/etc/.ignition-result.json; chmod 0600 root/etc/.ignition-result.json");
        }
        let before = sandbox.state();
        let (word, done) = run(&sandbox);
        assert_eq!((word.as_str(), ready(&sandbox).as_str()), ("done", "done"), "{name}: {done:?}");
        assert_eq!(sandbox.state(), before, "{name}");
        sandbox.sh("umount root lower");
        // An image in the lower layer that was filled file by file is still recognised as another root.
        mount("copied");
        assert_eq!((run(&sandbox).0.as_str(), ready(&sandbox).as_str()), ("stamp-foreign", "stamp-foreign"));
        sandbox.sh("umount root");
    }
}

/// A machine whose root has been an overlay since its first boot.
#[test]
fn a_root_that_is_an_overlay_is_known_after_each_mount() {
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    sandbox
        .sh("mkdir lower upper; mount -t tmpfs upper upper; mkdir upper/u upper/w; mount --bind root lower");
    for (number, options) in
        ["xino=off", "xino=on", "xino=auto", "xino=off,redirect_dir=on"].iter().enumerate()
    {
        sandbox.sh(&format!(
            "mount -t overlay -o {options},lowerdir=lower,upperdir=upper/u,workdir=upper/w overlay root"
        ));
        let before = sandbox.state();
        let (word, done) = run(&sandbox);
        assert_eq!((word.as_str(), ready(&sandbox).as_str()), ("done", "done"), "{options}: {done:?}");
        assert_eq!(sandbox.state() != before, number == 0, "{options}");
        sandbox.sh("umount root");
    }
}
