//! What the program cannot do, seen from outside while it runs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::certificates::Authority;
use crate::program::{PROGRAM, request, run_with, start};
use crate::server::{Server, ok};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
#[allow(
    clippy::zombie_processes,
    reason = "a test that fails leaves its child to the end of the test program"
)]
fn it_runs_without_privileges() {
    let server = Server::http(|_, _, _| std::thread::sleep(Duration::from_secs(20)));
    let mut command = Command::new(PROGRAM);
    let mut child = start(&mut command, &request(&server.url("/")).write().unwrap());
    // Once the server has the request, the program has long given up its privileges.
    while server.requests().is_empty() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = format!("/proc/{}", child.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
        line.unwrap_or_else(|| panic!("{name} in {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    // In the user namespace of an ordinary user nobody may be missing.
    let has_nobody = fs::read_to_string("/proc/self/uid_map").unwrap().lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        (numbers[0]..numbers[0] + numbers[2]).contains(&65534)
    });
    if is_root() && has_nobody {
        assert_eq!(field("Uid"), "65534 65534 65534 65534");
        assert_eq!(field("Gid"), "65534 65534 65534 65534");
        assert_eq!(field("Groups"), "");
        assert_eq!(field("CapBnd"), "0000000000000000");
    }
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    for (name, most) in [
        ("Max address space", 256_u64 << 20),
        ("Max open files", 64),
        ("Max core file size", 0),
        ("Max file size", 0),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let numbers: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert_eq!(numbers[..2], [most.to_string(), most.to_string()], "{line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The bundle of CA certificates is a link to a file that everybody may read. Only if that file lies below a directory that the
/// sandbox allows, the program can read it.
#[test]
fn it_reads_no_file_but_those_that_it_needs() {
    if !fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|list| list.contains("landlock"))
        && !has_landlock()
    {
        eprintln!("NOT checked: this kernel has no Landlock");
        return;
    }
    let authority = Authority::new();
    let server = Server::https(authority.localhost(), |_, _, c| drop(c.write_all(&ok("hello"))));
    let request = request(&server.https_url("localhost", "/")).write().unwrap();
    let ca = authority.path("ca.pem");
    let allowed = authority.path("allowed");
    fs::create_dir(&allowed).unwrap();
    fs::copy(&ca, allowed.join("ca.pem")).unwrap();
    let certificates = authority.path("certificates");
    let bundle = certificates.join("ca-certificates.crt");
    fs::create_dir(&certificates).unwrap();
    // The program sees these directories in a mount namespace of its own.
    let command = || {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !is_root() {
            command.arg("--map-root-user");
        }
        let script = "mount --bind \"$1\" /etc/ssl/certs && mount --bind \"$2\" /usr/share/ca-certificates && exec \"$3\"";
        command.args(["sh", "-c", script, "sh"]).args([&certificates, &allowed]).arg(PROGRAM);
        command
    };
    std::os::unix::fs::symlink(&ca, &bundle).unwrap();
    let outcome = run_with(command(), &request);
    assert!(
        outcome
            .error(3)
            .contains("read the CA certificates in /etc/ssl/certs/ca-certificates.crt: permission denied")
    );
    fs::remove_file(&bundle).unwrap();
    std::os::unix::fs::symlink("/usr/share/ca-certificates/ca.pem", &bundle).unwrap();
    assert_eq!(run_with(command(), &request).body(), b"hello");
    fs::remove_file(&bundle).unwrap();
    fs::copy(&ca, &bundle).unwrap();
    assert_eq!(run_with(command(), &request).body(), b"hello");
}

/// Returns whether the program's first line does not say that Landlock is missing.
fn has_landlock() -> bool {
    !run_with(Command::new(PROGRAM), b"").notes("Landlock")
}

/// A reader that goes away ends the program.
#[test]
fn it_ends_when_nobody_reads() {
    let server = Server::http(|_, _, connection| {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while connection.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let mut command = Command::new(PROGRAM);
    let mut child = start(&mut command, &request(&server.url("/")).write().unwrap());
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}
