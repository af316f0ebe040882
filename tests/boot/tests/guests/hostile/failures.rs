//! What a machine that could not be provisioned shows on its consoles, and how a person can go on from there.

use std::sync::Arc;
use std::time::Duration;

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::hostile::Host;
use boot_lab::lab::Lab;
use boot_lab::process::wait_for;
use boot_lab::ready::{After, Ready};
use boot_lab::{host, image};

const STAMP: &str = "/etc/.ignition-result.json";
const COLUMNS: usize = 76;
const SHORT: Duration = Duration::from_secs(60);

/// Runs that are started from the emergency shell: the root, the config, and the block's reason and another word of it.
const CASES: [(&str, &str, &str, &str); 4] = [
    ("/root", r#"{"ignition":{"version":"3.4.0"}"#, "config-syntax", "Correct the config"),
    (
        "/root",
        r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"etc/relative"}]}}"#,
        "config-invalid",
        "Correct the config",
    ),
    ("/root", CONFLICT, "conflict", "/etc/debian_version"),
    ("/full", FULL, "no-space", "Make the disk larger"),
];
const CONFLICT: &str = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/debian_version","contents":{"source":"data:,mine"}}]}}"#;
const FULL: &str = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/large","contents":{"source":"data:,A_MEBIBYTE"}}]}}"#;

fn serve(machine: &Machine, config: &str) -> Host {
    let config = config.replace("A_MEBIBYTE", &"x".repeat(1 << 20));
    Host::start(machine.folder(), host::PORT, Arc::new(move |_, peer| peer.answer(config.as_bytes())))
        .unwrap()
}

/// Returns the reasons and texts of the blocks on a console. Checks that each block is complete and narrow enough.
fn blocks(console: &str) -> Vec<(String, String)> {
    let rule = format!("\n{}\n", "=".repeat(COLUMNS));
    let mut blocks = Vec::new();
    let mut rest = console;
    while let Some((_, after)) = rest.split_once(&format!("{rule}glowplug: provisioning failed: ")) {
        // The end of the block may be still to come.
        let Some((block, after)) = after.split_once(&rule) else { break };
        let (reason, text) = block.split_once('\n').unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        for words in ["What failed:", "What to do:", "More:"] {
            assert!(text.contains(words), "{text}");
        }
        blocks.push((reason.to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" ")));
        rest = after;
    }
    blocks
}

/// Checks that both consoles show the same blocks, and this number of them. Returns the last one.
fn block_on_both(machine: &Machine, guest: &Guest, count: usize) -> (String, String) {
    let shown = || {
        let first = blocks(&guest.console.text());
        (first.len() >= count && first == blocks(&machine.second_console().unwrap())).then_some(first)
    };
    let mut all = wait_for(SHORT, shown).unwrap_or_else(|| {
        panic!("{}\nthe second console:\n{}", guest.failed("no block"), machine.second_console().unwrap())
    });
    assert_eq!(all.len(), count, "{all:?}");
    all.pop().unwrap()
}

fn wait_prompts(guest: &Guest, count: usize) {
    let prompts = || (guest.console.text().matches("(initramfs) ").count() >= count).then_some(());
    wait_for(BOOT, prompts).unwrap_or_else(|| panic!("{}", guest.failed("no shell")));
}

/// First there is no host. Then runs from the emergency shell get configs that cannot be applied. Then the test leaves the
/// shell by `exit`, once with a host whose config cannot be applied, and once with one whose config can.
#[test]
fn a_failed_machine_tells_why_and_starts_when_it_can_be_provisioned() {
    let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
    let ready = Ready::vsock(machine.folder(), After::Record).unwrap();
    let arguments = vec!["glowplug.timeout=5".to_owned()];
    let options = Options { arguments, rescue: true, second_console: true, ..Options::vsock() };
    let mut guest = machine.boot(options).unwrap();
    wait_prompts(&guest, 1);
    let (reason, text) = block_on_both(&machine, &guest, 1);
    assert_eq!(reason, "no-host", "{text}");
    for words in ["vsock 2:1024", "within 5 s", "podman machine start"] {
        assert!(text.contains(words), "{text}");
    }
    // The script's own words after the block.
    assert!(guest.console.text().contains("'exit' tries again"), "{}", guest.failed("no advice"));

    guest.type_text("mkdir /full; mount -t tmpfs -o size=256k none /full; mkdir /full/etc\n").unwrap();
    wait_prompts(&guest, 2);
    let mut count = 1;
    for (root, config, expected, words) in CASES {
        let host = serve(&machine, config);
        guest.type_text(&format!("glowplug run --root {root}\n")).unwrap();
        count += 1;
        wait_prompts(&guest, count + 1);
        let (reason, text) = block_on_both(&machine, &guest, count);
        assert_eq!(reason, expected, "{text}");
        assert!(text.contains(words), "{text}");
        drop(host);
    }
    // The root is not provisioned, and the failures have left nothing in it.
    let paths = [&format!("/root{STAMP}"), "/root/.glowplug", "/full/.glowplug"];
    let tests: Vec<String> = paths.iter().map(|path| format!("[ -e {path} ]")).collect();
    guest.type_text(&format!("{} || echo no-$((6 * 7))-traces\n", tests.join(" || "))).unwrap();
    guest.wait_console("no-42-traces", SHORT).unwrap();

    // Leaving the shell does not start a machine that is not provisioned.
    let host = serve(&machine, CASES[0].1);
    guest.type_text("exit\n").unwrap();
    wait_prompts(&guest, count + 3);
    assert_eq!(block_on_both(&machine, &guest, count + 1).0, CASES[0].2);
    drop(host);
    assert!(ready.lines().is_empty(), "a ready signal from a machine that failed");

    let _host = serve(&machine, super::cases::GOOD);
    guest.type_text("exit\n").unwrap();
    let line = guest.wait_ready(&ready, BOOT).unwrap();
    assert_eq!((line.text.as_str(), line.complete), ("Ready", true));
}

/// A machine with nobody in front of it starts again by itself, if told to.
#[test]
fn panic_restarts_a_failed_machine() {
    let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
    let ready = Ready::vsock(machine.folder(), After::Record).unwrap();
    let host = serve(&machine, CONFLICT);
    let arguments = vec!["panic=2".to_owned()];
    let options = Options { arguments, rescue: true, second_console: true, ..Options::vsock() };
    let mut guest = machine.boot(options).unwrap();
    // QEMU ends where a machine would restart.
    let over = wait_for(BOOT, || guest.over());
    assert_eq!(over, Some("QEMU has ended"), "{}", guest.failed("it goes on"));
    let (reason, text) = block_on_both(&machine, &guest, 1);
    assert_eq!(reason, "conflict", "{text}");
    assert!(text.contains("/etc/debian_version"), "{text}");
    assert!(guest.console.wait("Rebooting automatically", SHORT), "{}", guest.failed("no restart"));
    let console = guest.console.text();
    assert!(!console.contains("(initramfs)"), "{console}");
    assert!(ready.lines().is_empty() && host.accepted() == 1);
    drop(guest);
    let paths = [STAMP, "/etc/debian_version", "/.glowplug"].map(str::to_owned);
    let found = image::extract(&machine.disk(), &paths).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["/etc/debian_version"], "not as before");
    assert_ne!(found["/etc/debian_version"].node.content, b"mine");
}
