//! What the program logs, and where the log goes.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::lab::{CONFIG, Lab, PROGRAM, told};

#[test]
fn operations_are_numbered_and_name_their_paths() {
    let lab = Lab::new(CONFIG);
    lab.passes("fetch");
    let said = lab.passes("files");
    let root = lab.at("root");
    let root = root.display();
    for (prefix, what) in [
        ("ensureGroups: ", "adding group \"gees\"".to_owned()),
        ("ensureUsers: ", "creating or modifying user \"core\"".to_owned()),
        ("ensureUsers: ", "adding ssh keys to user \"core\"".to_owned()),
        ("createFilesystemsFiles: createFiles: ", format!("creating directory \"{root}/opt/dir\"")),
        ("createFilesystemsFiles: createFiles: ", format!("writing file \"{root}/etc/file\"")),
        ("createFilesystemsFiles: createFiles: ", format!("appending to file \"{root}/etc/grown\"")),
        ("createFilesystemsFiles: createFiles: ", format!("writing link \"{root}/link\" -> \"/etc/file\"")),
        ("createFilesystemsFiles: createFiles: ", format!("writing link \"{root}/hard\" -> \"/etc/file\"")),
        ("", "processing unit \"a.service\"".to_owned()),
        (
            "",
            format!("writing systemd drop-in \"x.conf\" at \"{root}/etc/systemd/system/a.service.d/x.conf\""),
        ),
        ("", format!("writing unit \"a.service\" at \"{root}/etc/systemd/system/a.service\"")),
        ("", "masking unit \"m.service\"".to_owned()),
        ("createResultFile: createFiles: ", format!("writing file \"{root}/etc/.ignition-result.json\"")),
    ] {
        for how in ["[started]  ", "[finished] "] {
            let is_it = |line: &&str| {
                let rest = line.strip_prefix(&format!("INFO     : files: {prefix}op("));
                rest.and_then(|rest| rest.split_once("): ")).is_some_and(|(number, rest)| {
                    u32::from_str_radix(number, 16).is_ok() && rest == format!("{how}{what}")
                })
            };
            assert_eq!(said.lines().filter(is_it).count(), 1, "{prefix}{how}{what}: {said}");
        }
    }
}

/// Without `-log-to-stdout`, records go to syslog, or to standard output if there is no syslog. The test runs in a mount
/// namespace of its own, so that the machine's own log gets nothing.
#[test]
fn records_go_to_syslog_and_the_journal() {
    let lab = Lab::new(
        r#"{"ignition":{"version":"3.0.0"},"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["k"]}]}}"#,
    );
    fs::create_dir(lab.at("dev")).unwrap();
    fs::create_dir_all(lab.at("journal/systemd/journal")).unwrap();
    let syslog = UnixDatagram::bind(lab.at("dev/log")).unwrap();
    let journal = UnixDatagram::bind(lab.at("journal/systemd/journal/socket")).unwrap();
    let flags = lab.flags().into_iter().skip(1).collect::<Vec<_>>().join(" ");
    let run = |stage: &str, device: &str| {
        let script = format!(
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount --bind {device} /dev && mount --bind journal /run && \
             exec {PROGRAM} {flags} -platform file -stage {stage}",
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .current_dir(&lab.base)
            .env("IGNITION_CONFIG_FILE", lab.at("config.ign"))
            .env("IGNITION_SYSTEM_CONFIG_DIR", lab.at("system"))
            .output();
        let (code, said) = told(&output.unwrap());
        assert_eq!(code, 0, "{said}");
        said
    };
    let received = |socket: &UnixDatagram| {
        socket.set_nonblocking(true).unwrap();
        let mut records = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            records.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        records
    };
    assert_eq!(run("fetch", "dev"), "");
    let records = received(&syslog);
    assert!(
        records[0].starts_with("<30>ignition[") && records[0].ends_with("]: Ignition glowplug-0.1.0"),
        "{records:?}"
    );
    assert!(
        records.iter().any(|record| record.starts_with("<31>") && record.contains("SHA512")),
        "{records:?}"
    );
    let entries = received(&journal);
    assert_eq!(entries.len(), 2);
    let entry = "MESSAGE=fetched user config from \"file\"\nPRIORITY=6\nSYSLOG_IDENTIFIER=ignition\n\
                 IGNITION_CONFIG_TYPE=user\nIGNITION_CONFIG_SRC=file\nIGNITION_CONFIG_REFERENCED=false\n\
                 MESSAGE_ID=57124006b5c94805b77ce473e92a8aeb\n";
    assert_eq!(entries[1], entry);

    // The machine has the boot id that the result file wants, but no log.
    let said = run("files", "system");
    assert!(
        said.starts_with(
            "ERROR    : unable to open syslog: /dev/log: no such file or directory\nINFO     : Ignition "
        ),
        "{said}"
    );
    let entry = "MESSAGE=wrote ssh authorized keys file for user: core\nPRIORITY=6\nSYSLOG_IDENTIFIER=ignition\n\
                 IGNITION_USER_NAME=core\nIGNITION_PATH=/home/core/.ssh/authorized_keys.d/ignition\n\
                 MESSAGE_ID=225067b87bbd4a0cb6ab151f82fa364b\n";
    assert_eq!(received(&journal), [entry]);
}
