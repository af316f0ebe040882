//! A server on the loopback, and the program `glowplug-fetch` that asks it.
#![allow(dead_code, reason = "each suite needs a part of it")]
#![allow(clippy::unwrap_used, reason = "a server that does not run fails the test")]

use std::io::{BufRead as _, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Returns the path of the built `glowplug-fetch`. It lies beside `program`, which was built from the same workspace and finds
/// it there. Cargo builds for a test only the programs of the test's own package, so this one is built here.
pub fn fetch_program(program: &str) -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(program).parent().unwrap();
        let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        cargo.args(["build", "--quiet", "--package=glowplug-fetch"]);
        // Debian's build puts Cargo.lock aside, and has the crates of the archive.
        if Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock").exists() {
            cargo.arg("--locked");
        }
        cargo.arg("--target-dir");
        cargo.arg(directory.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        directory.join("glowplug-fetch")
    })
}

/// A request as the server got it: the path with its query, and the lines of the head.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub head: Vec<String>,
}

/// What a server does with a request: it writes all of its answer.
pub type Answering = dyn Fn(&Asked, &mut TcpStream) + Send + Sync;

/// A server that is asked by plain HTTP. It serves as long as the test runs, or until it is ended.
pub struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
    listening: JoinHandle<()>,
}

impl Server {
    /// Starts a server that answers each connection in a thread of its own.
    pub fn new(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// Starts such a server at this address. The port 0 stands for any that is free.
    pub fn at(address: SocketAddr, answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer) as Arc<Answering>, Arc::clone(&asked));
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream.unwrap(), &*answer, &seen));
            }
        });
        Self { address, asked, is_over, listening }
    }

    /// Ends the server: from now on its address refuses connections. Returns the address.
    pub fn end(self) -> SocketAddr {
        self.is_over.store(true, Ordering::Relaxed);
        // A connection wakes the thread. If none can be made, the thread has ended already.
        drop(TcpStream::connect(self.address));
        self.listening.join().unwrap();
        self.address
    }

    /// Returns the URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns all requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &Answering, seen: &Mutex<Vec<Asked>>) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut head = Vec::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        match line {
            Ok(line) if !line.is_empty() => head.push(line),
            Ok(_) => break,
            Err(_) => return,
        }
    }
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let asked = Asked { path, head };
    seen.lock().unwrap().push(asked.clone());
    answer(&asked, &mut stream);
    drop(stream.flush());
}

/// Answers with `status` and `body`.
pub fn give(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}
