//! The stage `files`: its failures, its result file, ssh keys.

use std::os::unix::fs::{MetadataExt as _, symlink};
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
    lab.passes("fetch");
    lab.write("run/ignition/state", r#"{"providerOutputFiles":[{"path":"/x"}]}"#);
    lab.fails("files", "files: what the state file holds at providerOutputFiles is not supported");
    lab.write("run/ignition/state", r#"{"providerOutputFiles":[],"notatedDirectories":null}"#);
    lab.passes("files");
}

#[test]
fn directories_that_were_made_for_mounts_go_to_the_user_whose_home_they_are() {
    let lab = Lab::with(
        r#""passwd":{"users":[{"name":"core","uid":1234},{"name":"gone","shouldExist":false},
            {"name":"far","uid":1235,"homeDir":"/srv/far"},{"name":"all","uid":1236,"homeDir":"/"}]}"#,
    );
    lab.passes("fetch");
    for directory in ["home/core/data/deep", "home/core/own", "home/corelli", "home/gone", "srv/far"] {
        std::fs::create_dir_all(lab.at("root").join(directory)).unwrap();
    }
    let made = r#"["/home","/home/core","/home/core/data","/home/core/data/deep","/home/corelli","/home/gone","/srv/far",
        "/home/core/missing"]"#;
    lab.write("run/ignition/state", &format!(r#"{{"notatedDirectories":{made}}}"#));
    lab.passes("files");
    for (path, uid, mode) in [
        ("home/core", 1234, 0o700),
        ("home/core/data", 1234, 0o700),
        ("home/core/data/deep", 1234, 0o700),
        ("srv/far", 1235, 0o700),
        // These are no homes of users of the config, or the stage did not make them.
        ("home", 0, 0o755),
        ("home/corelli", 0, 0o755),
        ("home/gone", 0, 0o755),
        ("home/core/own", 0, 0o755),
    ] {
        let stat = std::fs::metadata(lab.at("root").join(path)).unwrap();
        assert_eq!((stat.uid(), stat.mode() & 0o7777), (uid, mode), "{path}");
    }
}

#[test]
fn a_volume_whose_key_the_state_lacks_fails_by_name() {
    let lab = Lab::with(r#""storage":{"luks":[{"name":"a","device":"/dev/a"}]}"#);
    lab.passes("fetch");
    for state in ["{}", r#"{"luksPersistKeyFiles":{"b":"data:,SECRET"}}"#] {
        lab.write("run/ignition/state", state);
        let said = lab
            .fails("files", "files: $.storage.luks.0: the state file has no key of the encrypted volume a\n");
        assert!(!said.contains("SECRET"), "{said}");
    }
}

#[test]
fn clevis_is_refused_by_name() {
    let lab = Lab::with(r#""storage":{"luks":[{"name":"a","device":"/dev/a","clevis":{"tpm2":true}}]}"#);
    lab.passes("fetch");
    for stage in ["disks", "files"] {
        let words = "encrypting disks with clevis by a stage is not supported, at $.storage.luks.0.clevis\n";
        lab.fails(stage, &format!("CRITICAL : {stage}: {words}"));
    }
}

#[test]
fn keys_are_gone_from_the_state_afterwards() {
    let lab = Lab::new(CONFIG);
    lab.passes("fetch");
    lab.write("run/ignition/state", r#"{"luksPersistKeyFiles":{"b":"data:,SECRET"}}"#);
    lab.passes("files");
    assert!(lab.text("run/ignition/state").contains(r#""luksPersistKeyFiles":null"#));
}

#[test]
fn files_on_vfat_are_refused() {
    let lab = Lab::with(
        r#""storage":{"filesystems":[{"device":"/dev/a","format":"vfat","path":"/boot/efi"}],"files":[{"path":"/boot/efi/x"}]}"#,
    );
    lab.passes("fetch");
    lab.fails(
        "files",
        "files: /boot/efi/x is on a file system of the format vfat, where no files can be written\n",
    );
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
