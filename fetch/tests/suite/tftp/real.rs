//! atftpd, which knows the options blksize, tsize and windowsize, and can be told to ignore each.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::relay::relay;
use crate::certificates::TempDir;
use crate::program::{request, run};

/// The bytes of a block when the server agrees to the size that is asked for.
const BLOCK: usize = 1408;

/// A server of the files in a directory.
struct Atftpd {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Atftpd {
    fn start(options: &[&str]) -> Self {
        let directory = TempDir::new();
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = "/usr/sbin/atftpd";
        let child = Command::new(program)
            .args([
                "--daemon",
                "--no-fork",
                "--bind-address",
                "127.0.0.1",
                "--logfile",
                "/dev/null",
                "--port",
            ])
            .arg(port.to_string())
            .args(options)
            .arg(&directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; tests/deps installs it"));
        let server = Self { child, port, directory };
        server.wait();
        server
    }

    /// Waits until the server answers.
    fn wait(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let begin = Instant::now();
        loop {
            assert!(begin.elapsed() < Duration::from_secs(20), "atftpd does not answer");
            socket.send_to(b"\0\x01missing\0octet\0", self.address()).unwrap();
            if socket.recv_from(&mut [0; 600]).is_ok() {
                return;
            }
        }
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn put(&self, name: &str, length: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        let path = self.directory.0.join(name);
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        bytes
    }

    fn url(&self, name: &str) -> String {
        format!("tftp://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Atftpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn files_of_every_length_with_and_without_options() {
    for options in [&[][..], &["--no-blksize", "--no-tsize", "--no-windowsize"], &["--no-windowsize"]] {
        let server = Atftpd::start(options);
        for length in [0, 1, 511, 512, 513, BLOCK - 1, BLOCK, BLOCK + 1, 16 * BLOCK, 1 << 20] {
            let file = server.put("f", length);
            let outcome = run(&request(&server.url("f")));
            assert!(outcome.body() == file, "{length} bytes, {options:?}");
            // An empty file may also mean a server that does not know the size.
            if !options.contains(&"--no-tsize") && length > 0 {
                assert_eq!(outcome.size(), Some(length as u64));
            }
        }
    }
}

#[test]
fn a_file_of_more_blocks_than_there_are_numbers() {
    let server = Atftpd::start(&["--no-blksize"]);
    let file = server.put("f", 65_537 * 512 + 100);
    let mut asked = request(&server.url("f"));
    asked.total_seconds = 60;
    assert!(run(&asked).body() == file);
}

#[test]
fn what_the_server_refuses_is_named_without_the_path() {
    let server = Atftpd::start(&[]);
    let outcome = run(&request(&server.url("secret")));
    assert_eq!(
        outcome.error(30),
        format!("tftp://127.0.0.1:{}: the server has no such file (TFTP error 1)", server.port)
    );
    assert!(outcome.body.is_empty());
}

#[test]
fn a_name_is_decoded_and_a_limit_holds() {
    let server = Atftpd::start(&[]);
    let file = server.put("a b+\u{e4}", 5000);
    let mut asked = request(&server.url("a%20b+%C3%A4?query#fragment"));
    asked.limit = 5000;
    assert!(run(&asked).body() == file);
    asked.limit = 4999;
    let outcome = run(&asked);
    assert!(outcome.error(11).contains("4999 bytes"));
    // The size tells it before the first byte.
    assert!(outcome.body.is_empty());
}

#[test]
fn packets_that_are_lost_doubled_or_late() {
    let server = Atftpd::start(&[]);
    let file = server.put("f", 100 * BLOCK);
    for (name, fate) in [
        ("lost", [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("doubled", [1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1, 1]),
        ("both", [1, 2, 1, 1, 2, 1, 1, 1, 1, 0, 1, 1, 1]),
    ] {
        let port = relay(server.address(), fate);
        let mut asked = request(&format!("tftp://127.0.0.1:{port}/f"));
        asked.total_seconds = 60;
        let outcome = run(&asked);
        assert!(outcome.body() == file, "{name}");
    }
}
