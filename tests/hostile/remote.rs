//! Configs with URLs that must be fetched: by the real `glowplug-fetch`, from servers on the loopback that do what they like.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::roots::root;
use crate::sandbox::{Done, PROGRAM, Sandbox};
use crate::secrets::OpenAll;
use crate::server::{Asked, Server, fetch_program, give};

/// The mark in every part of a URL or header that can hold a secret.
const MARK: &str = "Q7zmarkW";

/// Returns a config with one file for each of `sources`.
fn files(sources: &[Value]) -> Value {
    let file =
        |(index, source): (usize, &Value)| json!({"path": format!("/srv/file{index}"), "contents": source});
    let files: Vec<Value> = sources.iter().enumerate().map(file).collect();
    json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}})
}

fn sandbox() -> Sandbox {
    fetch_program(PROGRAM);
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    sandbox
}

/// Starts a server with good files and bad ones.
fn server() -> Server {
    Server::new(|asked, stream| match asked.path.split('?').next().unwrap() {
        "/hello" => give(stream, "200 OK", b"hello"),
        "/gzip" => give(stream, "200 OK", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcfK\x05\0\xf1\x86lz\x03\0\0\0"),
        "/empty" => give(stream, "204 No Content", b""),
        "/config" => give(stream, "200 OK", config(asked).as_bytes()),
        "/endless" => endless(stream),
        "/cut" => drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")),
        "/bomb" => give(stream, "200 OK", bomb()),
        "/large" => give(stream, "200 OK", &vec![b'x'; 3 << 20]),
        _ => give(stream, "404 Not Found", b""),
    })
}

/// Returns a config that refers to the server that serves it.
fn config(asked: &Asked) -> String {
    let host = asked.head.iter().find_map(|line| line.strip_prefix("Host: ")).unwrap();
    files(&[json!({"source": format!("http://{host}/hello")})]).to_string()
}

fn endless(stream: &mut TcpStream) {
    drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
    let blanks = vec![b' '; 1 << 16];
    while stream.write_all(&blanks).is_ok() {}
}

/// Returns 64 MiB of zeros as 64 KiB of gzip data.
fn bomb() -> &'static [u8] {
    static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
    PACKED.get_or_init(|| {
        let mut gzip = Command::new("gzip");
        let mut gzip = gzip.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = gzip.stdin.take().unwrap();
        let zeros = std::thread::spawn(move || (0..8 << 10).try_for_each(|_| input.write_all(&[0; 8 << 10])));
        let packed = gzip.wait_with_output().unwrap().stdout;
        zeros.join().unwrap().unwrap();
        assert!((10_000..1_000_000).contains(&packed.len()), "{}", packed.len());
        packed
    })
}

/// Returns everything that the program said in any place.
fn told(done: &Done) -> String {
    [done.said.as_str(), &done.kmsg, &done.console].join("\n")
}

/// Files come whole and verified, in any number, with the headers of the config.
#[test]
fn files_are_fetched() {
    let (sandbox, server) = (sandbox(), server());
    let hash = "sha256-2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let one = "sha256-7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let mut sources = vec![
        json!({"source": server.url("/hello"), "verification": {"hash": hash}}),
        json!({"source": server.url("/gzip"), "compression": "gzip", "verification": {"hash": one}}),
        json!({"source": server.url("/large"), "httpHeaders": [{"name": "X-Key", "value": MARK}]}),
        json!({"source": "data:,here"}),
    ];
    sources.extend((0..20).map(|number| json!({"source": server.url(&format!("/hello?{number}"))})));
    let mut config = files(&sources);
    config["storage"]["files"].as_array_mut().unwrap().push(json!({
        "path": "/srv/grown", "contents": {"source": server.url("/hello")},
        "append": [{"source": "data:,-"}, {"source": server.url("/hello")}]
    }));
    let done = sandbox.run(&config.to_string());
    assert_eq!(done.code, 0, "{done:?}");
    let read = |path: &str| fs::read_to_string(sandbox.at(path)).unwrap();
    assert_eq!([read("/srv/file0"), read("/srv/file1"), read("/srv/file3")], ["hello", "one", "here"]);
    assert_eq!(
        (read("/srv/file2").len(), read("/srv/file23"), read("/srv/grown")),
        (3 << 20, "hello".into(), "hello-hello".into())
    );
    let keyed = server.asked().into_iter().find(|asked| asked.path == "/large").unwrap();
    assert!(keyed.head.contains(&format!("X-Key: {MARK}")), "{keyed:?}");
    assert!(!told(&done).contains(MARK));
}

/// Four files are fetched at a time: the fourth is asked for while three are under way, and the fifth is not.
#[test]
fn four_files_are_fetched_at_a_time() {
    let sandbox = sandbox();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counting, seen) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::new(move |_, stream| {
        seen.fetch_max(counting.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let began = Instant::now();
        while seen.load(Ordering::SeqCst) < 4 && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // A fifth request would come within this time.
        std::thread::sleep(Duration::from_millis(300));
        // The next request can come as soon as this one is answered.
        counting.fetch_sub(1, Ordering::SeqCst);
        give(stream, "200 OK", b"hello");
    });
    let sources: Vec<Value> =
        (0..9).map(|number| json!({"source": server.url(&format!("/{number}"))})).collect();
    let mut config = files(&sources);
    // On a busy machine a server that is asked again would count twice.
    config["ignition"]["timeouts"] = json!({"httpResponseHeaders": 60});
    let done = sandbox.run(&config.to_string());
    assert_eq!((done.code, server.asked().len()), (0, 9), "{done:?}");
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

/// The config itself, and what it refers to, by `ignition.config.url`.
#[test]
fn configs_are_fetched() {
    let (sandbox, server) = (sandbox(), server());
    let merging =
        json!({"ignition": {"version": "3.4.0", "config": {"merge": [{"source": server.url("/config")}]}}});
    let url = Server::new(move |_, stream| give(stream, "200 OK", merging.to_string().as_bytes()));
    fs::write(sandbox.host("cmdline"), format!("ro ignition.config.url={}\n", url.url("/"))).unwrap();
    let done = sandbox.run("");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(fs::read(sandbox.at("/srv/file0")).unwrap(), b"hello");
}

/// Every failure names its key, scheme and host, has its reason, and leaves the root as it was.
#[test]
fn a_failure_leaves_the_root_as_it_was() {
    let (sandbox, server) = (sandbox(), server());
    let hash = format!("sha256-{}", "51377a6d61726b57".repeat(4));
    let secret = |path: &str| format!("http://{MARK}:{MARK}@{}{path}?{MARK}#{MARK}", server.host());
    let headers = json!([{"name": "X-Key", "value": MARK}]);
    let good = json!({"source": server.url("/hello")});
    let bad = |path: &str| files(&[good.clone(), json!({"source": secret(path), "httpHeaders": headers})]);
    let refers = |key: &str, path: &str| {
        let reference = json!({"source": secret(path), "httpHeaders": headers});
        let reference = if key == "merge" { json!([reference]) } else { reference };
        json!({"ignition": {"version": "3.4.0", "config": {key: reference}}})
    };
    let timed = |mut config: Value| {
        config["ignition"]["timeouts"] = json!({"httpTotal": 2});
        config
    };
    let mut other_hash = bad("/hello");
    other_hash["storage"]["files"][1]["contents"]["verification"] = json!({"hash": hash});
    let mut no_gzip = bad("/hello");
    no_gzip["storage"]["files"][1]["contents"]["compression"] = json!("gzip");
    let mut closed = files(&[json!({"source": format!("http://{MARK}@127.0.0.1:1/{MARK}")})]);
    closed["ignition"]["timeouts"] = json!({"httpTotal": 1});
    let mut authority = bad("/hello");
    authority["ignition"]["security"] =
        json!({"tls": {"certificateAuthorities": [{"source": secret("/none")}]}});
    let (file, merge) = ("$.storage.files.1.contents", "$.ignition.config.merge.0.source");
    for (reason, config, place) in [
        ("resource", bad("/none"), file),
        ("verification", other_hash, file),
        ("resource", no_gzip, file),
        ("no-host", timed(bad("/cut")), file),
        ("no-host", closed, "$.storage.files.0.contents.source"),
        ("resource", authority, "$.ignition.security.tls.certificateAuthorities.0.source"),
        ("resource", refers("merge", "/none"), merge),
        ("bad-answer", refers("merge", "/empty"), merge),
        ("bad-answer", refers("replace", "/empty"), "$.ignition.config.replace.source"),
        ("config-syntax", refers("merge", "/hello"), "$.ignition.config.merge.0"),
    ] {
        let before = sandbox.state();
        let done = sandbox.run(&config.to_string());
        let said = told(&done);
        assert_eq!((done.reason(), done.code != 0), (reason, true), "{config}: {said}");
        assert!(done.said.contains(place) && done.console.contains(place), "{config}: {said}");
        let names_host = ["verification", "config-syntax"].contains(&reason)
            || ["decompress", "an empty config"].iter().any(|word| done.said.contains(word))
            || done.said.contains("http://127.0.0.1:");
        assert!(names_host, "{said}");
        assert!(!said.contains(MARK), "{said}");
        assert_eq!(sandbox.state(), before, "{config}");
    }
}

/// A config that never ends, or that unpacks to far more than it has, is given up at the limit of its size.
#[test]
fn an_endless_config_is_bounded() {
    let (sandbox, server) = (sandbox(), server());
    fs::write(sandbox.host("cmdline"), format!("ro ignition.config.url={}\n", server.url("/endless")))
        .unwrap();
    sandbox.sh("printf 'MemAvailable: 20000 kB\\n' >host/meminfo; mount --bind host/meminfo /proc/meminfo");
    let done = sandbox.run("");
    assert_eq!(done.reason(), "bad-answer", "{done:?}");
    assert!(done.said.contains("larger than 10240000 bytes"), "{done:?}");
    fs::write(sandbox.host("cmdline"), "ro\n").unwrap();
    let before = sandbox.state();
    let merged = json!([{"source": server.url("/bomb"), "compression": "gzip"}]);
    let done =
        sandbox.run(&json!({"ignition": {"version": "3.4.0", "config": {"merge": merged}}}).to_string());
    assert_eq!(done.reason(), "bad-answer", "{done:?}");
    assert_eq!(sandbox.state(), before);
}

/// The disk is full in the middle of a download, or of a file that unpacks to far more than the server sends.
#[test]
fn a_full_disk_is_told_and_left_as_it_was() {
    let (sandbox, server) = (sandbox(), server());
    sandbox.sh("mkdir host/keep; cp -a root/. host/keep; mount -t tmpfs -o size=2m,mode=755 none root; cp -a host/keep/. root");
    let before = sandbox.state();
    let sources: Vec<Value> =
        ["/hello", "/endless", "/large"].map(|path| json!({"source": server.url(path)})).into();
    let bomb = [json!({"source": server.url("/bomb"), "compression": "gzip"})];
    for config in [files(&sources), files(&bomb)] {
        let done = sandbox.run(&config.to_string());
        assert_eq!(done.reason(), "no-space", "{done:?}");
        assert_eq!(sandbox.state(), before);
    }
}

/// No process shows a secret among its arguments or, to others, in its environment.
#[test]
fn no_process_shows_a_secret() {
    let sandbox = sandbox();
    let server = Server::new(|_, stream| {
        let mut shown = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            for name in ["cmdline", "environ"] {
                let text = fs::read(path.join(name)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                if text.contains(MARK) {
                    shown.push(text);
                }
            }
        }
        give(stream, if shown.is_empty() { "200 OK" } else { "404 Not Found" }, b"hello");
    });
    let url = format!("http://{MARK}:{MARK}@{}/{MARK}?{MARK}", server.host());
    let mut config = files(&[json!({"source": url, "httpHeaders": [{"name": "X", "value": MARK}]})]);
    config["ignition"]["proxy"] = json!({"httpsProxy": format!("https://{MARK}:{MARK}@h")});
    let done = sandbox.run(&config.to_string());
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(server.asked().len(), 1);
}

/// A file of 100 MiB needs no more memory than a small one. The limit counts all addresses, most of which are the program's
/// own text.
#[test]
fn a_large_file_needs_no_memory() {
    const SIZE: usize = 100 << 20;
    let sandbox = sandbox();
    let server = Server::new(|_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        drop(stream.write_all(head.as_bytes()));
        for _ in 0..SIZE >> 20 {
            drop(stream.write_all(&vec![b'x'; 1 << 20]));
        }
    });
    let config = files(&[json!({"source": server.url("/")})]);
    let mut command = sandbox.command("sh", &config.to_string());
    command.args(["-c", "ulimit -S -v 65536; exec \"$@\"", "sh", PROGRAM, "apply", "--root"]);
    let done = sandbox.done(command.arg(sandbox.root()).arg(sandbox.host("config.ign")));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(fs::metadata(sandbox.at("/srv/file0")).unwrap().len(), SIZE as u64);
}

/// A run that is killed in the middle of a download takes its programs with it. The next one goes on with the saved config: it
/// keeps that while the server is away, and needs no host.
#[test]
fn a_download_that_is_interrupted_starts_over_from_the_saved_config() {
    let sandbox = sandbox();
    let (is_away, asked_once) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (away, once) = (Arc::clone(&is_away), Arc::clone(&asked_once));
    let server = Server::new(move |_, stream| {
        if !once.swap(true, Ordering::SeqCst) {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"));
            std::thread::sleep(Duration::from_secs(60));
        } else if !away.load(Ordering::SeqCst) {
            give(stream, "200 OK", b"hello");
        }
    });
    fs::write(sandbox.host("cmdline"), "ro glowplug.timeout=2\n").unwrap();
    let config = files(&[json!({"source": server.url("/")})]).to_string();
    let mut command = sandbox.command(PROGRAM, &config);
    command.args(["apply", "--root"]).arg(sandbox.root()).arg(sandbox.host("config.ign"));
    // `apply` saves nothing, so this one is only killed.
    let mut child = command.spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut fetching = String::new();
    while !asked_once.load(Ordering::SeqCst) || fetching.is_empty() {
        std::thread::sleep(Duration::from_millis(5));
        fetching = fs::read_to_string(&children).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let is_there = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", fetching.trim())).unwrap_or_default();
        stat.contains("(glowplug-fetch)") && !stat.contains(") Z ")
    };
    while is_there() {
        std::thread::sleep(Duration::from_millis(5));
    }
    asked_once.store(false, Ordering::SeqCst);

    let _log = OpenAll::new();
    let mut command = sandbox.command(PROGRAM, &config);
    let mut child = command.args(["run", "--platform=file", "--root"]).arg(sandbox.root()).spawn().unwrap();
    while !asked_once.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(sandbox.at("/.glowplug/config").exists() && !sandbox.at("/srv/file0").exists());
    is_away.store(true, Ordering::SeqCst);
    let done = sandbox.run("no config any more");
    assert_eq!(done.reason(), "no-host", "{done:?}");
    assert!(sandbox.at("/.glowplug/config").exists() && !sandbox.at("/srv/file0").exists());
    is_away.store(false, Ordering::SeqCst);
    let done = sandbox.run("no config any more");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(fs::read(sandbox.at("/srv/file0")).unwrap(), b"hello");
    assert!(!sandbox.at("/.glowplug").exists());
}

/// If a download takes longer than a few seconds, the console says so and names the path.
#[test]
fn progress_is_told_on_the_console() {
    let sandbox = sandbox();
    let server = Server::new(|_, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n"));
        for _ in 0..4 {
            drop(stream.write_all(&vec![b'x'; 1_000_000]));
            std::thread::sleep(Duration::from_secs(3));
        }
    });
    let url = format!("http://{MARK}@{}/{MARK}", server.host());
    let started = Instant::now();
    let done = sandbox.run(&files(&[json!({"source": url})]).to_string());
    assert!(done.code == 0 && started.elapsed() > Duration::from_secs(6), "{done:?}");
    let line =
        done.console.lines().find(|line| line.starts_with("glowplug: /srv/file0: ")).unwrap_or_default();
    assert!(line.contains(" % of 4 MB, ") && !told(&done).contains(MARK), "{done:?}");
}

/// The program that sets up the network lies beside this one. It is called before the first fetch, and at the end even after
/// a failure.
#[test]
fn the_network_comes_up_for_a_fetch_and_goes_down_again() {
    let (sandbox, server) = (sandbox(), server());
    let place = |name: &str| sandbox.host("bin").join(name);
    fs::create_dir(sandbox.host("bin")).unwrap();
    fs::copy(PROGRAM, place("glowplug")).unwrap();
    fs::copy(fetch_program(PROGRAM), place("glowplug-fetch")).unwrap();
    let network = |script: &str| {
        fs::write(
            place("glowplug-network"),
            format!("#!/bin/sh\necho \"$@\" >>{}\n{script}\n", sandbox.host("calls").display()),
        )
        .unwrap();
        fs::set_permissions(place("glowplug-network"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let run = |config: &Value| {
        sandbox.make_root(&root());
        drop(fs::remove_file(sandbox.host("calls")));
        let mut command = sandbox.command(place("glowplug").to_str().unwrap(), &config.to_string());
        let done = sandbox.done(command.args(["run", "--platform=file", "--root"]).arg(sandbox.root()));
        (done, fs::read_to_string(sandbox.host("calls")).unwrap_or_default())
    };
    fs::write(sandbox.host("cmdline"), "ro glowplug.timeout=33\n").unwrap();
    let good = files(&[json!({"source": server.url("/hello")}), json!({"source": server.url("/hello")})]);
    let bad = files(&[json!({"source": server.url("/none")})]);
    network("exit 0");
    let (done, calls) = run(&good);
    assert_eq!((done.code, calls.as_str()), (0, "up --timeout 33\ndown\n"), "{done:?}");
    let (done, calls) = run(&bad);
    assert_eq!((done.reason(), calls.as_str()), ("resource", "up --timeout 33\ndown\n"), "{done:?}");
    let (done, calls) = run(&files(&[json!({"source": "data:,x"})]));
    assert_eq!((done.code, calls.as_str()), (0, ""), "{done:?}");
    network("[ \"$1\" = down ] && exit 1; echo 'eth0: no answer from DHCP' >&2; exit 13");
    let (done, calls) = run(&good);
    assert_eq!(
        (done.reason(), done.code, calls.as_str()),
        ("no-network", 13, "up --timeout 33\ndown\n"),
        "{done:?}"
    );
    assert!(done.said.contains("bring up the network: eth0: no answer from DHCP"), "{done:?}");
    assert!(done.kmsg.contains("glowplug-network down failed"), "{done:?}");
    // Without the program that fetches, nothing is tried, and the error names all URLs at once.
    fs::remove_file(place("glowplug-fetch")).unwrap();
    let mut command = sandbox.command(place("glowplug").to_str().unwrap(), &good.to_string());
    command.env("PATH", "/nowhere");
    sandbox.make_root(&root());
    let before = sandbox.state();
    drop(fs::remove_file(sandbox.host("calls")));
    let done = sandbox.done(command.args(["run", "--platform=file", "--root"]).arg(sandbox.root()));
    assert_eq!((done.reason(), done.code), ("unsupported", 23), "{done:?}");
    for index in 0..2 {
        assert!(
            done.said.contains(&format!("$.storage.files.{index}.contents.source: fetching needs")),
            "{done:?}"
        );
    }
    assert!(done.console.contains("glowplug-network") && !sandbox.host("calls").exists(), "{done:?}");
    assert_eq!(sandbox.state(), before);
}
