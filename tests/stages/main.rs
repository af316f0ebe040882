//! Calls the program as the reference is called: one stage at a time, with the reference's names and flags.
//!
//! Only root can set owners. `tests/runner` makes an ordinary user root of a user namespace.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed assumption is the test's own message"
)]

mod beside;
mod fetch;
mod files;
mod kargs;
mod lab;
mod log;
mod programs;
#[path = "../remote/server.rs"]
mod server;

use std::fs;

use lab::{CONFIG, Lab, STAGES};

#[test]
fn all_stages_in_order_provision_the_root() {
    let lab = Lab::new(CONFIG);
    for stage in STAGES {
        let said = lab.passes(stage);
        let first = format!(
            "INFO     : Ignition glowplug-{}\nINFO     : Stage: {stage}\n",
            env!("CARGO_PKG_VERSION")
        );
        assert!(said.starts_with(&first), "{said}");
        assert!(said.contains(&format!("\nINFO     : {stage}: {stage} passed\n")), "{said}");
        assert!(!said.contains("SECRET"), "{said}");
        assert_eq!(lab.has("root/etc/file"), ["files", "umount"].contains(&stage));
        assert_eq!(lab.mode("run/ignition/state"), 0o600);
        assert_eq!(lab.mode("run/ignition"), 0o700);
        assert_eq!(lab.mode("run/ignition.json"), 0o640);
    }
    assert_eq!(lab.text("root/etc/file"), "SECRET");
    assert_eq!(lab.text("root/home/core/.ssh/authorized_keys.d/ignition"), "ssh-ed25519 SECRET\n");
    assert_eq!(lab.mode("root/etc/.ignition-result.json"), 0o600);
    let result = lab.text("root/etc/.ignition-result.json");
    assert!(result.contains("\n  \"userConfigProvided\": true,\n"), "{result}");
    assert!(
        result.contains("\"platform\": \"file\"") && result.contains("\"specVersion\": \"3.3.0\""),
        "{result}"
    );
    assert!(!lab.has("run/net"));
    // Nothing else is left.
    let mut left: Vec<_> =
        fs::read_dir(lab.at("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ignition", "ignition.json"]);
}

#[test]
fn state_and_cache_have_the_reference_s_form() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    lab.passes("fetch");
    let cache = r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":"3.7.0-experimental"},"kernelArguments":{},"passwd":{},"storage":{},"systemd":{}}"#;
    assert_eq!(lab.text("run/ignition.json"), cache);
    let base = r#"{"kind":"base","source":"system","referenced":false}"#;
    let user = r#"{"kind":"user","source":"file","referenced":false}"#;
    let nulls = r#""luksPersistKeyFiles":null,"notatedDirectories":null,"providerOutputFiles":null"#;
    let state = lab.text("run/ignition/state");
    assert!(state.starts_with(&format!("{{\"fetchedConfigs\":[{base},{user}],{nulls},")), "{state}");
    assert!(state.ends_with("}\n"));
    lab.passes("kargs");
    assert!(lab.text("run/ignition/state").contains(&format!("[{base},{user},{base}]")));
}

#[test]
fn what_another_program_left_is_followed() {
    let lab = Lab::new("");
    let file =
        r#"{"path":"/etc/file","contents":{"source":"data:,x","verification":{}},"group":{},"user":{}}"#;
    let cache = format!(
        r#"{{"ignition":{{"version":"3.4.0-experimental"}},"storage":{{"files":[{file}]}},"novel":1}}"#
    );
    lab.write("run/ignition.json", &cache);
    let state = r#"{"fetchedConfigs":[{"kind":"user","source":"aws","referenced":false}],"luksPersistKeyFiles":{},"notatedDirectories":null,"novel":{"a":["]"]}}"#;
    fs::create_dir(lab.at("run/ignition")).unwrap();
    lab.write("run/ignition/state", state);
    // The stage also accepts a platform from which this program fetches no config.
    let (code, said) = lab.stage_on("aws", "files");
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.text("root/etc/file"), "x");
    let after = lab.text("run/ignition/state");
    assert!(after.contains(r#","novel":{"a":["]"]}}"#), "{after}");
    assert!(lab.text("root/etc/.ignition-result.json").contains("\"userConfigProvided\": true"));
    lab.write("run/ignition/state", "{\"fetchedConfigs\":");
    let (code, said) = lab.stage("files");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("\nCRITICAL : reading state: "), "{said}");
}

#[test]
fn a_running_system_keeps_its_disks() {
    let filesystem = r#""storage":{"filesystems":[{"device":"/dev/a","format":"ext4","path":"/var"}]}"#;
    for (rest, stage) in [
        (r#""storage":{"disks":[{"device":"/dev/a"}]}"#, "disks"),
        (r#""storage":{"raid":[{"name":"a","level":"raid1","devices":["/dev/a"]}]}"#, "disks"),
        (r#""storage":{"luks":[{"name":"a","device":"/dev/a"}]}"#, "disks"),
        (filesystem, "disks"),
        (filesystem, "mount"),
        (filesystem, "umount"),
    ] {
        let lab = Lab::with(&format!(r#"{rest},"systemd":{{"units":[{{"name":"SECRET.service"}}]}}"#));
        lab.passes("fetch");
        let words =
            format!("CRITICAL : {stage}: disks can only be changed in the initramfs of the machine\n");
        let said = lab.fails(stage, &words);
        let cache = lab.at("run/ignition.json");
        let help = format!("{stage} failed\nThe config that it failed on is in {}.\n", cache.display());
        assert!(said.contains(&help) && !said.contains("SECRET"), "{said}");
    }
    // A later stage does not depend on what the stage `disks` did.
    let lab = Lab::with(filesystem);
    lab.passes("fetch");
    lab.passes("files");
    // There is nothing to mount.
    let lab = Lab::with(
        r#""storage":{"filesystems":[{"device":"/dev/a","format":"swap","path":"/x"},{"device":"/dev/b","format":"ext4"}]}"#,
    );
    for stage in ["fetch", "mount", "umount"] {
        lab.passes(stage);
    }
}
