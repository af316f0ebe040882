use super::*;
use crate::stamp::Details;

fn check_stamp(path: &Path) -> Result<(), Refusal> {
    read_stamp(path, &mut [0; STAMP_LIMIT]).map(drop)
}

fn with_stamp(text: impl FnOnce(FileIdentity) -> std::string::String) -> Result<(), Refusal> {
    let directory = std::env::temp_dir().join(format!(
        "glowplug-ready-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("stamp");
    let file = File::create(&path).unwrap();
    let identity = FileIdentity::of(OwnedFd::from(file)).unwrap();
    std::fs::write(&path, text(identity)).unwrap();
    let checked = check_stamp(&path);
    std::fs::remove_dir_all(&directory).unwrap();
    checked
}

fn stamp(file: FileIdentity) -> std::string::String {
    let details = Details {
        version: "1",
        platform: "applehv",
        spec_version: "3.2.0",
        config_sha512: "00",
        inode: file.inode,
        born: file.born,
    };
    Stamp { boot_id: "b", date: "d", user_config_provided: true, glowplug: Some(details) }.to_text()
}

#[test]
fn the_stamp_of_this_root_is_taken() {
    assert_eq!(with_stamp(stamp), Ok(()));
    let reference = r#"{"provisioningBootID":"b","provisioningDate":"d","userConfigProvided":true}"#;
    assert_eq!(with_stamp(|_| reference.to_owned()), Ok(()));
}

#[test]
fn other_stamps_are_refused_with_their_reason() {
    let other_inode = |file: FileIdentity| stamp(FileIdentity { inode: file.inode + 1, ..file });
    assert_eq!(with_stamp(other_inode), Err(Refusal::StampForeign));
    let other_birth = |file: FileIdentity| stamp(FileIdentity { born: (file.born.0 - 1, 0), ..file });
    assert_eq!(with_stamp(other_birth), Err(Refusal::StampForeign));
    for broken in ["", "{}", "[", "Ready", "{\"provisioningBootID\":1}"] {
        assert_eq!(with_stamp(|_| broken.to_owned()), Err(Refusal::StampBroken), "{broken}");
    }
    assert_eq!(with_stamp(|_| " ".repeat(STAMP_LIMIT)), Err(Refusal::StampUnreadable(Errno::FBIG)));
    assert_eq!(check_stamp(Path::new("/nonexistent/stamp")), Err(Refusal::StampMissing));
    assert!(matches!(check_stamp(Path::new("/")), Err(Refusal::StampUnreadable(_))));
}

fn port_of(text: &str) -> Option<u32> {
    let path = std::env::temp_dir().join(format!(
        "glowplug-ready-unit-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, text).unwrap();
    let port = unit_port(&path);
    std::fs::remove_file(&path).unwrap();
    port
}

#[test]
fn the_port_is_the_one_that_podmans_unit_names() {
    let unit =
        |start: &str| format!("[Unit]\nAfter=x\n[Service]\nType=oneshot\n{start}\n[Install]\nWantedBy=y\n");
    let exec =
        |to: &str| unit(&format!("ExecStart=/bin/sh -c '/usr/bin/echo Ready | socat - VSOCK-CONNECT:{to}'"));
    assert_eq!(port_of(&exec("2:40001")), Some(40001));
    assert_eq!(port_of(&exec("2:1025")), Some(1025));
    for other in ["2:", "2:0", "2:x", "2:4294967296", "3:40001"] {
        assert_eq!(port_of(&exec(other)), None, "{other}");
    }
    assert_eq!(port_of(&unit("ExecStart=/bin/sh -c '/usr/bin/echo Ready >/dev/vport1p1'")), None);
    assert_eq!(port_of(&unit("# VSOCK-CONNECT:2:40001")), None);
    let twice = exec("2:40001") + &exec("2:40002");
    assert_eq!(port_of(&twice), None);
    assert_eq!(port_of(&(exec("2:40001") + &" ".repeat(UNIT_LIMIT))), None);
    assert_eq!(unit_port(Path::new("/nonexistent/ready.service")), None);
}
