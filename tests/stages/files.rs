//! The stage `files`: its failures, its result file, ssh keys.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::lab::{CONFIG, Lab, PROGRAM, told};

#[test]
fn a_failed_files_stage_leaves_the_root_alone() {
    let lab = Lab::with(
        r#""storage":{"files":[{"path":"/etc/passwd","contents":{"source":"data:,SECRET"}},{"path":"/new"}]}"#,
    );
    lab.passes("fetch");
    let said = lab.fails("files", "/etc/passwd");
    assert!(!said.contains("SECRET"), "{said}");
    assert!(
        !lab.text("run/ignition/state").contains("},{\"kind\":\"base\""),
        "a failed stage leaves no state"
    );
}

#[test]
fn contents_that_cannot_be_had_fail_the_operation() {
    let hash = format!("sha256-{}", "0".repeat(64));
    let lab = Lab::with(&format!(
        r#""storage":{{"files":[{{"path":"/new","contents":{{"source":"data:,SECRET","verification":{{"hash":"{hash}"}}}}}}]}}"#
    ));
    lab.passes("fetch");
    let said = lab.fails("files", "\nCRITICAL : files: op(2): [failed]   putting 1 changes into place: ");
    assert!(
        said.contains("$.storage.files.0.contents.verification.hash") && !said.contains("SECRET"),
        "{said}"
    );
    assert!(!said.contains("[finished]"), "{said}");
}

#[test]
fn a_state_that_asks_for_more_is_refused_by_name() {
    let lab = Lab::with(r#""passwd":{"users":[{"name":"core"}]}"#);
    for (field, words) in [
        (
            r#""providerOutputFiles":[{"path":"/x"}]"#,
            "files: what the state file holds at providerOutputFiles is not supported",
        ),
        (
            r#""notatedDirectories":["/home"]"#,
            "files: what the state file holds at notatedDirectories is not supported",
        ),
    ] {
        lab.passes("fetch");
        lab.write("run/ignition/state", &format!("{{{field}}}"));
        lab.fails("files", words);
    }
    lab.write("run/ignition/state", r#"{"providerOutputFiles":[],"notatedDirectories":null}"#);
    lab.passes("files");
}

#[test]
fn the_result_of_an_earlier_run_is_kept() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a"}]}"#);
    lab.passes("fetch");
    lab.write("root/etc/.ignition-result.json", "{\n  \"provisioningBootID\": \"old\"\n}\n");
    let said = lab.passes("files");
    assert!(said.contains("\nWARNING  : files: Ignition has already run on this system."), "{said}");
    assert!(said.contains("\nNOTICE   : files: failed to run is-live-image hook: "), "{said}");
    let result = lab.text("root/etc/.ignition-result.json");
    let nested = ",\n  \"previousReport\": {\n    \"provisioningBootID\": \"old\"\n  }\n}\n";
    assert!(result.ends_with(nested), "{result}");
    // Every result file holds the previous one, until they together would exceed the largest size of a stamp.
    let mut most = 0;
    for _ in 0..40 {
        lab.passes("files");
        let result = lab.text("root/etc/.ignition-result.json");
        assert!(result.len() < 16 << 10, "{result}");
        most = most.max(result.matches("previousReport").count());
    }
    assert!((4..40).contains(&most), "{most}");

    lab.write("root/etc/.ignition-result.json", "broken");
    lab.fails("files", "the previous report /etc/.ignition-result.json in the root is not JSON");
}

#[test]
fn on_a_live_system_the_earlier_result_is_its_image_s() {
    let lab = Lab::new("");
    lab.passes("fetch");
    lab.write("root/etc/.ignition-result.json", "{}");
    symlink("/bin/true", lab.at("bin/is-live-image")).unwrap();
    let (code, said) = lab.stage("files");
    assert_eq!(code, 0, "{said}");
    assert!(
        !said.contains("already run") && !lab.text("root/etc/.ignition-result.json").contains("previous")
    );
}

#[test]
fn ssh_keys_go_where_the_environment_says() {
    for (value, path, code) in [
        ("", "authorized_keys.d/ignition", 0),
        ("true", "authorized_keys.d/ignition", 0),
        ("false", "authorized_keys", 0),
        ("perhaps", "", 1),
    ] {
        let lab = Lab::with(r#""passwd":{"users":[{"name":"core","sshAuthorizedKeys":["key"]}]}"#);
        lab.passes("fetch");
        let mut command = lab.command(Path::new(PROGRAM));
        command.env("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT", value);
        let output = command.args(lab.flags()).args(["-platform=file", "-stage=files"]).output().unwrap();
        assert_eq!(told(&output).0, code, "{value}: {}", told(&output).1);
        if code == 0 {
            assert_eq!(lab.text(&format!("root/home/core/.ssh/{path}")), "key\n");
        }
    }
}

#[test]
fn a_root_without_etc_gets_one() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    std::fs::remove_dir_all(lab.at("root/etc")).unwrap();
    lab.passes("fetch");
    lab.passes("files");
    assert_eq!(lab.mode("root/etc"), 0o755);
    assert!(lab.has("root/etc/.ignition-result.json"));
}

#[test]
fn an_etc_that_is_a_link_is_followed() {
    let lab = Lab::new(CONFIG);
    std::fs::create_dir(lab.at("root/var")).unwrap();
    std::fs::rename(lab.at("root/etc"), lab.at("root/var/etc")).unwrap();
    symlink("/var/etc", lab.at("root/etc")).unwrap();
    lab.passes("fetch");
    lab.passes("files");
    assert!(lab.text("root/var/etc/.ignition-result.json").contains("glowplug"));
    assert!(lab.text("root/var/etc/passwd").contains("core"));
}
