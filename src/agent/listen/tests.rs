use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use super::*;
use crate::testing::TempDir;

/// A listener on a unix socket, whose clients count as the host or as others.
struct Lab {
    temp: TempDir,
    listening: JoinHandle<Result<(), String>>,
}

impl Lab {
    /// Each connection is answered by the lines of shell in `answer`.
    fn new(answer: &str, is_host: fn(&VsockStream) -> bool, longest: Duration) -> Self {
        let temp = TempDir::new("listen");
        let program = temp.join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{answer}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self::of(temp, Listener { program, is_host, idle: Duration::from_millis(500), longest })
    }

    fn of(temp: TempDir, listener: Listener) -> Self {
        let socket = OwnedFd::from(UnixListener::bind(temp.join("socket")).unwrap());
        let listening = std::thread::spawn(move || listener.run(&socket));
        Self { temp, listening }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.temp.join("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.temp.join(name)).unwrap_or_default()
    }

    fn end(self) {
        assert_eq!(self.listening.join().unwrap(), Ok(()));
    }
}

fn text(mut stream: UnixStream) -> String {
    let mut text = String::new();
    // A connection that was reset has no text.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn clients_beyond_the_limit_wait_for_their_answer() {
    // Each process counts those at work, itself among them.
    let answer = "cd \"${0%/*}\"; mkdir $$.at-work; set -- *.at-work; echo $# >>seen; sleep 0.3; rmdir $$.at-work; printf answer >&0";
    let lab = Lab::new(answer, |_| true, LONGEST);
    let clients: Vec<UnixStream> = (0..100).map(|_| lab.connect()).collect();
    let answers: Vec<String> = clients.into_iter().map(text).collect();
    assert!(answers.iter().all(|text| text == "answer"), "{answers:?}");
    let seen = lab.file("seen");
    let most = seen.lines().map(|line| line.parse::<usize>().unwrap()).max().unwrap();
    assert!((2..=MOST).contains(&most), "{most} at once");
    lab.end();
}

#[test]
fn others_than_the_host_get_a_few_processes() {
    let lab = Lab::new("sleep 1; printf answer >&0", |_| false, LONGEST);
    let clients: Vec<UnixStream> = (0..10).map(|_| lab.connect()).collect();
    let answered = clients.into_iter().map(text).filter(|text| text == "answer").count();
    assert_eq!(answered, MOST_OF_OTHERS);
    // They are answered again when there are fewer.
    assert_eq!(text(lab.connect()), "answer");
    lab.end();
}

#[test]
fn a_process_that_hangs_is_ended_and_delays_nobody() {
    let lab = Lab::new(
        "cd \"${0%/*}\"; mkdir first 2>/dev/null && exec sleep 600; printf answer >&0",
        |_| true,
        Duration::from_secs(1),
    );
    let begin = Instant::now();
    let hung = lab.connect();
    while !lab.temp.join("first").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(text(lab.connect()), "answer");
    assert_eq!(text(hung), "");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    lab.end();
}

#[test]
fn a_client_is_told_that_no_process_can_be_started() {
    let listener = Listener {
        program: Path::new("/nonexistent/glowplug-agent").into(),
        is_host: |_| true,
        idle: Duration::from_millis(500),
        longest: LONGEST,
    };
    let lab = Lab::of(TempDir::new("listen"), listener);
    let answer = text(lab.connect());
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("start a process for the answer: no such file or directory"), "{answer}");
    lab.end();
}

#[test]
fn only_the_host_is_the_host() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let listener = Listener::new("/nonexistent/glowplug-agent".into());
    assert!(!(listener.is_host)(&VsockStream::from(OwnedFd::from(ours))));
}
