//! The stage `kargs`, and the helper that it calls.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::lab::Lab;

const ARGUMENTS: &str =
    r#""kernelArguments":{"shouldExist":["a=1","hugepagesz=1G hugepages=2"],"shouldNotExist":["quiet"]}"#;

/// A lab whose helper writes down how it is called, and then runs `end`.
fn lab_with_helper(config: &str, end: &str) -> Lab {
    let lab = Lab::with(config);
    let path = lab.at("bin/ignition-kargs-helper");
    let called = lab.at("called");
    fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>{}\n{end}\n", called.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    lab.passes("fetch");
    lab
}

#[test]
fn the_helper_is_called_once_with_all_arguments() {
    let lab = lab_with_helper(ARGUMENTS, "");
    let said = lab.passes("kargs");
    for line in [
        "INFO     : kargs: op(1): [started]  updating kernel arguments\n",
        "DEBUG    : kargs: op(1): executing: \"ignition-kargs-helper\"",
        "INFO     : kargs: op(1): [finished] updating kernel arguments\n",
        "INFO     : kargs: kargs passed\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let expected =
        "--should-exist\na=1\n--should-exist\nhugepagesz=1G hugepages=2\n--should-not-exist\nquiet\n";
    assert_eq!(lab.text("called"), expected);
    // The stage after it has nothing to do with them.
    lab.passes("files");

    let lab = lab_with_helper(r#""kernelArguments":{}"#, "exit 1");
    assert!(!lab.passes("kargs").contains("updating"));
    assert!(!lab.has("called"));
}

#[test]
fn a_helper_that_fails_or_is_missing_fails_the_stage() {
    let lab = lab_with_helper(ARGUMENTS, "exit 7");
    let said = lab.fails("kargs", "failed adding kernel arguments: run ignition-kargs-helper: exit status 7");
    assert!(said.contains("CRITICAL : kargs: op(1): [failed]   updating kernel arguments: "), "{said}");
    let lab = lab_with_helper(ARGUMENTS, "kill -9 $$");
    lab.fails("kargs", "it was ended by a signal");
    let lab = Lab::with(ARGUMENTS);
    lab.passes("fetch");
    lab.fails("kargs", "failed adding kernel arguments: run ignition-kargs-helper: ");
}

#[test]
fn the_programs_own_helper_changes_the_root_and_asks_for_a_restart() {
    let lab = Lab::new("");
    fs::create_dir_all(lab.at("root/boot/grub")).unwrap();
    let grub = "linux /vmlinuz root=UUID=x ro quiet\n";
    lab.write("root/boot/grub/grub.cfg", grub);
    let call = |more: &[&str]| {
        let options = ["--root", "root", "--create-if-changed=run/glowplug/kargs-reboot"];
        lab.by_name("ignition-kargs-helper", &[&options[..], more].concat())
    };
    let wanted = ["--should-exist", "a b", "--should-exist=c", "--should-not-exist", "quiet"];
    // Without anything to do.
    assert_eq!(call(&[]).0, 0);
    assert_eq!(call(&["--should-exist=ro"]).0, 0);
    assert!(!lab.has("run/glowplug/kargs-reboot") && lab.text("root/boot/grub/grub.cfg") == grub);

    let (code, said) = call(&wanted);
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.text("root/boot/grub/grub.cfg"), "linux /vmlinuz root=UUID=x ro a b c\n");
    assert!(lab.has("run/glowplug/kargs-reboot"));
    assert!(!lab.has("root/.glowplug") && !lab.has("root/etc/.ignition-result.json"));

    // After the restart there is nothing to change, whatever command line the kernel got. So it cannot go on for ever.
    fs::remove_file(lab.at("run/glowplug/kargs-reboot")).unwrap();
    assert_eq!(call(&wanted).0, 0);
    assert!(!lab.has("run/glowplug/kargs-reboot"));

    // A kernel that was started with them already needs no restart.
    lab.write("root/boot/grub/grub.cfg", grub);
    lab.write("cmdline", "ro a b c\n");
    assert_eq!(call(&wanted).0, 0);
    assert!(!lab.has("run/glowplug/kargs-reboot"));
}

#[test]
fn the_programs_own_helper_refuses_what_it_cannot_change() {
    let lab = Lab::new("");
    let (code, said) = lab.by_name("ignition-kargs-helper", &["--root=root", "--should-exist=a"]);
    assert!(code == 1 && said.contains("GRUB, systemd-boot or extlinux"), "{code}: {said}");
    // The kernel of the lab has this one.
    let (code, said) = lab.by_name("ignition-kargs-helper", &["--root=root", "--should-exist=quiet"]);
    assert!(code == 0 && said.contains("was started with the arguments of the config"), "{code}: {said}");
    for call in [&["--should-exist"][..], &["--bogus"], &["word"]] {
        let (code, said) = lab.by_name("ignition-kargs-helper", call);
        assert!(code == 2 && said.starts_with("Usage: "), "{call:?}: {code}: {said}");
    }
}
