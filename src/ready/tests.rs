use super::*;
use crate::testing::TempDir;

#[test]
fn a_stamp_is_refused_by_the_words_and_codes_of_glowplug() {
    for (fault, word, code) in [
        (StampFault::Unreadable(STAMP, Errno::IO), "stamp-unreadable", 61),
        (StampFault::Broken, "stamp-broken", 62),
        (StampFault::Copied, "stamp-foreign", 63),
        (StampFault::ReferenceOfAnotherBoot, "stamp-foreign", 63),
    ] {
        let refusal = Refusal::Stamp(fault);
        assert_eq!((refusal.word(), refusal.exit_code()), (word, code));
        assert_eq!(refusal.to_string().contains("glowplug adopt"), code > 61, "{refusal}");
    }
}

fn port_of(text: &str) -> Option<u32> {
    let directory = TempDir::new("ready");
    let path = directory.join("ready.service");
    std::fs::write(&path, text).unwrap();
    unit_port(&path)
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
