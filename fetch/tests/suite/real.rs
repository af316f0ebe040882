//! Real servers: nginx with TLS, ranges and passwords, and tinyproxy. `tests/deps` installs both.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use glowplug::fetch_request::FetchRequest;

use crate::certificates::{Authority, Issue};
use crate::program::{request, run};

/// A server program, which ends with the value.
struct Daemon(Child);

impl Daemon {
    /// Starts a program and waits until it listens on `port`.
    fn start(command: &mut Command, port: u16) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let program = quiet.get_program().to_owned();
        let child =
            quiet.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}; tests/deps installs it"));
        let mut daemon = Self(child);
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(daemon.0.try_wait().unwrap(), None, "{program:?} has ended");
            assert!(begin.elapsed() < Duration::from_secs(20), "{program:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM, so that nginx also ends its workers.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// nginx, which serves the file `file` over HTTP and HTTPS.
struct Nginx {
    _daemon: Daemon,
    authority: Authority,
    http: u16,
    https: u16,
    file: Vec<u8>,
}

impl Nginx {
    fn start() -> Self {
        let authority = Authority::new();
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:0.0.0.0";
        authority.issue("leaf", Some("ca"), &Issue { extensions: names, ..Issue::default() });
        let file: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(authority.path("file"), &file).unwrap();
        // user:secret
        fs::write(authority.path("users"), "user:{PLAIN}secret\n").unwrap();
        let (http, https) = (free_port(), free_port());
        let here = authority.directory.0.display();
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log stderr; {user}\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; gzip on; gzip_min_length 0; gzip_types *; default_type text/plain;\n\
             client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;\n\
             uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;\n\
             server {{ listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl; root {here};\n\
             ssl_certificate {here}/leaf.pem; ssl_certificate_key {here}/leaf.key;\n\
             location = /file {{ }} location = /none {{ return 204; }}\n\
             location = /moved {{ return 301 /file; }} location = /gone {{ return 410; }}\n\
             location = /private/file {{ auth_basic x; auth_basic_user_file {here}/users; alias {here}/file; }} }} }}\n"
        );
        fs::write(authority.path("nginx.conf"), config).unwrap();
        let mut command = Command::new(program("/usr/sbin/nginx"));
        command
            .args(["-e", "stderr", "-p"])
            .arg(&authority.directory.0)
            .arg("-c")
            .arg(authority.path("nginx.conf"));
        let daemon = Daemon::start(&mut command, http);
        Self { _daemon: daemon, authority, http, https, file }
    }

    fn request(&self, url: &str) -> FetchRequest<'static> {
        let mut asked = request(url);
        asked.total_seconds = 60;
        asked.cas.push(self.authority.pem("ca").into());
        asked
    }

    fn urls(&self, path: &str) -> [String; 2] {
        [format!("http://localhost:{}{path}", self.http), format!("https://localhost:{}{path}", self.https)]
    }
}

/// Returns a program's path; its directory may not be in the path of an ordinary user.
fn program(path: &str) -> &str {
    assert!(fs::metadata(Path::new(path)).is_ok(), "{path} is missing: tests/deps installs it");
    path
}

/// A relay that cuts its first `cuts` connections after `most` bytes from the server.
fn cutting_relay(to: u16, cuts: usize, most: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut from, mut there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut from, &mut there)));
            std::thread::spawn(move || {
                let most = if number < cuts { most } else { u64::MAX };
                let _ = std::io::copy(&mut server.take(most), &mut client);
                let _ = client.flush();
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    port
}

#[test]
fn nginx() {
    let nginx = Nginx::start();
    for url in nginx.urls("/file").into_iter().chain(nginx.urls("/moved")) {
        let outcome = run(&nginx.request(&url));
        assert!(outcome.body() == nginx.file);
        assert_eq!(outcome.size(), Some(5_000_000));
    }
    for url in nginx.urls("/none") {
        assert_eq!(run(&nginx.request(&url)).body(), b"");
    }
    for (path, code) in [("/missing", 30), ("/gone", 30), ("/private/file", 30)] {
        for url in nginx.urls(path) {
            run(&nginx.request(&url)).error(code);
        }
    }
    for url in nginx.urls("/private/file") {
        assert!(run(&nginx.request(&url.replace("://", "://user:secret@"))).body() == nginx.file);
        run(&nginx.request(&url.replace("://", "://user:wrong@"))).error(30);
    }
}

#[test]
fn nginx_by_way_of_a_connection_that_is_cut() {
    let nginx = Nginx::start();
    for (scheme, port) in [("http", nginx.http), ("https", nginx.https)] {
        let relay = cutting_relay(port, 3, 1_000_000);
        let outcome = run(&nginx.request(&format!("{scheme}://localhost:{relay}/file")));
        assert!(outcome.body() == nginx.file);
        assert!(outcome.notes("was cut after"), "{:?}", outcome.lines);
    }
}

#[test]
fn tinyproxy() {
    let nginx = Nginx::start();
    let port = free_port();
    let config = nginx.authority.path("tinyproxy.conf");
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nBasicAuth me pass\nConnectPort {}\n",
        nginx.https
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(program("/usr/bin/tinyproxy"));
    let _daemon = Daemon::start(command.arg("-d").arg("-c").arg(&config), port);
    // The loopback is never asked by way of a proxy; this address also leads there.
    for (scheme, server) in [("http", nginx.http), ("https", nginx.https)] {
        let mut asked = nginx.request(&format!("{scheme}://0.0.0.0:{server}/file"));
        for proxy in [&mut asked.http_proxy, &mut asked.https_proxy] {
            *proxy = Some(format!("http://me:pass@127.0.0.1:{port}").into());
        }
        assert!(run(&asked).body() == nginx.file);
        for proxy in [&mut asked.http_proxy, &mut asked.https_proxy] {
            *proxy = Some(format!("http://me:wrong@127.0.0.1:{port}").into());
        }
        let outcome = run(&asked);
        assert!(matches!(outcome.code, Some(30)), "{:?}", outcome.lines);
    }
}
