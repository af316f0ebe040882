//! The reference's programs by their names, and their flags.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::lab::{Lab, PROGRAM, told};

#[test]
fn flags_in_every_spelling() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    let cache = lab.at("run/cache");
    let cache = cache.to_str().unwrap();
    for flags in [
        vec!["-config-cache", cache, "-platform", "file", "-stage", "fetch"],
        vec!["--config-cache", cache, "--platform", "file", "--stage", "fetch"],
        vec![
            "-config-cache=x",
            "-config-cache",
            cache,
            "-platform=file",
            "-stage=fetch",
            "-fetch-timeout=1m30s",
        ],
        vec!["-stage=fetch", "--platform=file", "--log-to-stdout=true", "-config-cache", cache, "--", "-x"],
    ] {
        let mut command = lab.command(Path::new(PROGRAM));
        let state = format!("--state-file={}", lab.at("run/state").display());
        let (code, said) = told(&command.arg("--root=root").arg(state).args(&flags).output().unwrap());
        assert_eq!(code, 0, "{flags:?}: {said}");
        fs::remove_file(cache).unwrap();
    }
    // The name alone makes the program behave as the reference.
    let (code, said) = lab.by_name(
        "ignition",
        &["-platform", "metal", "-stage", "umount", "-log-to-stdout", "-config-cache", "none"],
    );
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("CRITICAL : failed to acquire config: "), "{said}");
}

#[test]
fn wrong_calls_are_exit_code_2_with_the_usage() {
    let lab = Lab::new("");
    for (arguments, words) in [
        (&[][..], "'--platform' must be provided"),
        (&["-platform", "file"], "'--stage' must be provided"),
        (&["-stage", "fetch"], "'--platform' must be provided"),
        (
            &["-platform", "ec2", "-stage", "fetch"],
            "invalid value \"ec2\" for flag -platform: ec2 is not a valid platform\nUsage of ",
        ),
        (
            &["-platform", "file", "-stage", "boot"],
            "invalid value \"boot\" for flag -stage: boot is not a valid stage\nUsage of ",
        ),
        (&["-fetch-timeout", "3"], "invalid value \"3\" for flag -fetch-timeout: parse error\nUsage of "),
        (&["-bogus"], "flag provided but not defined: -bogus\nUsage of "),
        (&["-stage"], "flag needs an argument: -stage\nUsage of "),
        (&["-version=maybe"], "invalid boolean value \"maybe\" for -version: parse error\nUsage of "),
    ] {
        let (code, said) = lab.by_name("ignition", arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.starts_with(words), "{arguments:?}: {said}");
    }
    for help in ["-h", "-help", "--help"] {
        let (code, said) = lab.by_name("ignition", &[help]);
        assert_eq!(code, 0);
        assert!(said.starts_with("Usage of ") && said.contains("\n  -config-cache string\n    \t"), "{said}");
    }
    let version = format!("Ignition glowplug-{}\n", env!("CARGO_PKG_VERSION"));
    for name in ["ignition", "ignition-apply", "ignition-rmcfg", "ignition-validate"] {
        assert_eq!(lab.by_name(name, &["--version"]), (0, version.clone()));
    }
}

#[test]
fn our_own_commands_are_not_taken_for_the_reference_s() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    assert_eq!(
        lab.by_name("glowplug", &["--version"]).1,
        format!("glowplug {}\n", env!("CARGO_PKG_VERSION"))
    );
    let root = lab.at("root");
    let (code, said) = lab.by_name("glowplug", &["--root", root.to_str().unwrap(), "apply", "config.ign"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("Ignition"), "{said}");
}

#[test]
fn apply_changes_a_container_only() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a","contents":{"source":"data:,x"}}]}"#);
    let apply = |container: &str, arguments: &[&str]| {
        if !lab.has("ignition-apply") {
            symlink(PROGRAM, lab.at("ignition-apply")).unwrap();
        }
        let mut command = lab.command(&lab.at("ignition-apply"));
        told(&command.env("container", container).args(["--root", "root"]).args(arguments).output().unwrap())
    };
    if !Path::new("/.dockerenv").exists() && !Path::new("/run/.containerenv").exists() {
        let (code, said) = apply("", &["config.ign"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("CRITICAL : failed to apply: this is not a container"), "{said}");
        assert!(!lab.has("root/a"));
    }
    let (code, said) = apply("podman", &["config.ign"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.text("root/a"), "x");
    assert!(
        said.contains("createFilesystemsFiles: createFiles: op(1): [finished] writing file \"root/a\""),
        "{said}"
    );
    assert!(!lab.has("root/etc/.ignition-result.json"));

    lab.write("users.ign", r#"{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"u"}]},"kernelArguments":{"shouldExist":["a"]},"storage":{"directories":[{"path":"/d"}]}}"#);
    let (code, said) = apply("podman", &["users.ign"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("accounts of a container is not supported, at $.passwd.users"), "{said}");
    lab.write("arguments.ign", r#"{"ignition":{"version":"3.3.0"},"kernelArguments":{"shouldExist":["a"]}}"#);
    let (code, said) = apply("podman", &["arguments.ign"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("kernel arguments of a container is not supported, at $.kernelArguments"),
        "{said}"
    );
    assert_eq!(apply("podman", &["arguments.ign", "--ignore-unsupported"]).0, 0);
    assert_eq!(apply("podman", &["users.ign", "--ignore-unsupported"]).0, 0);
    assert!(lab.has("root/d") && !lab.text("root/etc/passwd").contains("u:"));

    lab.write("net.ign", r#"{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/n","contents":{"source":"http://h"}}]}}"#);
    let (code, said) = apply("podman", &["--offline", "net.ign"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the config needs the network"), "{said}");
    for (arguments, code, words) in [
        (&[][..], 1, "Usage: "),
        (&["a", "b"], 1, "Usage: "),
        (&["--bogus"], 2, "unknown flag: --bogus\nUsage: "),
        (&["-x"], 2, "unknown shorthand flag: 'x' in -x\nUsage: "),
        (&["--help"], 0, "Usage: "),
    ] {
        let (found, said) = apply("podman", arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn validate_prints_the_report() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"a"}]}"#);
    let bad = "error at $.storage.files.0.path, line 1 col 61: path not absolute\n";
    assert_eq!(lab.by_name("ignition-validate", &["config.ign"]), (1, bad.to_owned()));
    lab.write("good.ign", r#"{"ignition":{"version":"3.0.0"},"x":1}"#);
    let (code, said) = lab.by_name("ignition-validate", &["good.ign"]);
    assert_eq!((code, said.as_str()), (0, "warning at $.x, line 1 col 33: unused key x\n"));
    lab.write("old.ign", r#"{"ignition":{"version":"2.0.0"}}"#);
    let (code, said) = lab.by_name("ignition-validate", &["old.ign"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("couldn't parse config: unsupported config version"), "{said}");
    assert_eq!(lab.by_name("ignition-validate", &[]).0, 1);
    assert_eq!(lab.by_name("ignition-validate", &["-x"]).0, 2);
    let (code, said) = lab.by_name("ignition-validate", &["nosuch"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("couldn't read config: "), "{said}");
}

#[test]
fn no_platform_of_ours_lets_its_config_be_deleted() {
    let lab = Lab::new("");
    for (platform, why) in
        [("qemu", "cannot delete config on this platform"), ("vmware", "is not supported by glowplug")]
    {
        let (code, said) = lab.by_name("ignition-rmcfg", &["--log-to-stdout", "--platform", platform]);
        assert_eq!(code, 1);
        assert!(said.contains("CRITICAL : couldn't delete config: ") && said.contains(why), "{said}");
    }
    for arguments in [&[][..], &["x"], &["--platform", "x"], &["--platform"]] {
        assert_eq!(lab.by_name("ignition-rmcfg", arguments).0, 2, "{arguments:?}");
    }
}
