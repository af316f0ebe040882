//! Programs in the place of `glowplug-fetch` that do what a sound one never does. `tests/network` has the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use super::*;
use crate::config::{HttpHeader, Report, parse};
use crate::fetch_request::FetchRequest;
use crate::testing::TempDir;

const URL: &str = "https://user:secret@host.example/secret?secret";

/// Fetches by a shell script.
struct Scripted {
    directory: TempDir,
    fetcher: Fetcher<'static>,
}

impl Scripted {
    fn new(script: &str) -> Self {
        let directory = TempDir::new("fetcher");
        let path = directory.join("glowplug-fetch");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", directory.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let fetcher = Fetcher::new(FetchOptions {
            platform: "qemu",
            patience: Duration::from_secs(2),
            network: NetworkUse::AsItIs,
            tell: |_| {},
        });
        let program = CString::new(path.to_str().unwrap()).unwrap();
        fetcher.program.set(Some(program)).unwrap();
        Self { directory, fetcher }
    }

    fn fetch(&self, limit: u64) -> Result<Vec<u8>> {
        Source::at_url(URL, "$.x.source", &self.fetcher).unwrap().open()?.read_all(limit)
    }

    /// Returns the reason and the text of the failure.
    fn fails(&self) -> (Reason, String) {
        let error = self.fetch(1000).unwrap_err();
        assert!(
            !error.to_string().contains("secret") && error.text().ends_with(", at $.x.source"),
            "{error}"
        );
        (error.reason(), error.text().to_owned())
    }
}

#[test]
fn the_body_comes_and_the_request_is_whole() {
    let scripted = Scripted::new("cat >request; echo size 5 >&2; echo note trying >&2; printf hello");
    assert_eq!(scripted.fetch(99), Ok(b"hello".to_vec()));
    let text = fs::read(scripted.directory.join("request")).unwrap();
    let request = FetchRequest::read(&text).unwrap();
    let expected = FetchRequest { total_seconds: 2, platform: "qemu".into(), ..FetchRequest::new(URL) };
    assert_eq!(request, expected);
}

#[test]
fn exit_codes_are_reasons() {
    for (code, reason) in [
        (10, Reason::NoHost),
        (11, Reason::BadAnswer),
        (12, Reason::Certificate),
        (30, Reason::Resource),
        (2, Reason::System),
        (99, Reason::System),
    ] {
        let script =
            format!("echo garbage >&2; printf 'error https://host.example: no\\033 good' >&2; exit {code}");
        let text = "fetch https://host.example: no\u{fffd} good, at $.x.source";
        assert_eq!(Scripted::new(&script).fails(), (reason, text.to_owned()), "{code}");
    }
}

/// Bytes that came before a failure are not taken for the whole body.
#[test]
fn a_program_that_fails_is_told() {
    for (script, words) in [
        ("printf hello; exit 3", "glowplug-fetch ended with 3 and gave no reason"),
        ("printf hello; kill -9 $$", "glowplug-fetch was killed"),
        ("exec >&- 2>&-; sleep 100", "glowplug-fetch was killed"),
        (
            "printf hello; echo 'panicked at secret' >&2; exit 101",
            "glowplug-fetch ended with 101 and gave no reason",
        ),
    ] {
        let text = format!("fetch https://host.example: {words}, at $.x.source");
        assert_eq!(Scripted::new(script).fails(), (Reason::System, text), "{script}");
    }
    let error = Fetcher::program(&Scripted::new("").fetcher).map(drop);
    assert_eq!(error, Ok(()));
    let gone = Scripted::new("");
    fs::remove_file(gone.directory.join("glowplug-fetch")).unwrap();
    let error = gone.fetch(9).unwrap_err();
    assert_eq!(
        (error.reason(), error.text()),
        (Reason::System, "start glowplug-fetch: no such file or directory")
    );
}

/// Each of these would hold a machine for ever.
#[test]
fn a_program_that_does_not_end_is_given_up() {
    let flood = "glowplug-fetch floods its standard error";
    for (script, reason, words) in [
        ("while :; do echo note secret-free; done >&2", Reason::System, flood),
        ("cat /dev/zero >&2", Reason::System, flood),
        ("exec tr '\\0' x </dev/zero >&2", Reason::System, flood),
    ] {
        let (found, text) = Scripted::new(script).fails();
        assert!(found == reason && text.contains(words), "{script}: {text}");
    }
    // Nothing comes, and the config says nothing about the time.
    let silent = Scripted::new("echo note https://host.example: refused >&2; sleep 100");
    silent.fetcher.settings.borrow_mut().total_seconds = 0;
    let started = Instant::now();
    let text = "fetch nothing has come for 2 s; the last try: https://host.example: refused, at $.x.source";
    assert_eq!(silent.fails(), (Reason::NoHost, text.to_owned()));
    assert!(started.elapsed() < Duration::from_secs(60));
    // A body without end is cut at the limit, and its program goes.
    let endless = Scripted::new("echo $$ >pid; exec cat /dev/zero");
    assert!(endless.fetch(100_000).unwrap().len() > 100_000);
    let pid = fs::read_to_string(endless.directory.join("pid")).unwrap();
    assert!(fs::metadata(format!("/proc/{}", pid.trim())).is_err(), "{pid}");
}

/// The request is larger than a pipe, and the program never reads it.
#[test]
fn a_program_that_reads_nothing_may_still_answer() {
    let scripted = Scripted::new("printf hello");
    scripted.fetcher.settings.borrow_mut().authorities = vec![vec![b'x'; 1 << 20].into()];
    assert_eq!(scripted.fetch(99), Ok(b"hello".to_vec()));
}

#[test]
fn settings_follow_the_config() {
    let scripted = Scripted::new("n=$(ls | grep -c request); cat >request$n; printf ca-%s $n");
    let adopt = |ignition: &str| {
        let text = format!(r#"{{"ignition":{{"version":"3.4.0"{ignition}}}}}"#);
        let config = parse(text.as_bytes(), &mut Report::default()).unwrap().config;
        scripted.fetcher.adopt(&config.ignition)
    };
    let request = |number: u32| fs::read(scripted.directory.join(format!("request{number}"))).unwrap();
    adopt(
        r#","timeouts":{"httpResponseHeaders":0,"httpTotal":7},
        "proxy":{"httpProxy":"http://p:1","httpsProxy":"https://secret@p:2","noProxy":["a","b"]},
        "security":{"tls":{"certificateAuthorities":[{"source":"https://ca/"},{"source":"data:,two"}]}}"#,
    )
    .unwrap();
    // The certificate itself is fetched with the new proxies and without the new certificates.
    let text = request(0);
    let first = FetchRequest::read(&text).unwrap();
    assert_eq!((first.url.as_ref(), first.cas.len(), first.total_seconds), ("https://ca/", 0, 7));
    assert_eq!(first.https_proxy.as_deref(), Some("https://secret@p:2"));
    let header = [HttpHeader { name: "X".into(), value: Some("v".into()) }];
    let open = || {
        let url = UrlRequest { url: "http://h/", scheme: "http", headers: &header, place: "p", label: "l" };
        let mut stream = scripted.fetcher.open(&url).unwrap();
        let mut buffer = [0; 9];
        loop {
            scripted.fetcher.wait().unwrap();
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) | Err(StreamError::NotYet) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    open();
    let text = request(1);
    let read = FetchRequest::read(&text).unwrap();
    assert_eq!(read.cas, [b"ca-0".as_slice(), b"two"]);
    assert_eq!((read.response_headers_seconds, read.no_proxy.len()), (0, 2));
    assert_eq!(read.headers, [("X".into(), "v".into())]);
    // A config without certificates takes none away, but has its own times and proxies.
    adopt("").unwrap();
    open();
    let text = request(2);
    let read = FetchRequest::read(&text).unwrap();
    assert_eq!((read.cas.len(), read.total_seconds, read.response_headers_seconds), (2, 0, 10));
    assert_eq!((read.http_proxy, read.no_proxy.len()), (None, 0));
    // The same certificate is not fetched again.
    adopt(r#","security":{"tls":{"certificateAuthorities":[{"source":"https://ca/"}]}}"#).unwrap();
    open();
    let text = request(3);
    assert_eq!(FetchRequest::read(&text).unwrap().cas, [b"ca-0".as_slice()]);
}

#[test]
fn what_is_forbidden_or_missing_is_refused_before_anything() {
    let options = FetchOptions {
        platform: "",
        patience: Duration::from_secs(1),
        network: NetworkUse::Forbidden,
        tell: |_| {},
    };
    let refusal = |fetcher: &Fetcher<'_>| {
        let resource = Resource { source: Some("https://h/secret".into()), ..Resource::default() };
        let source = Source::new(&resource, &"$.x", fetcher)?.unwrap();
        source.open().map(drop)
    };
    let error = refusal(&Fetcher::new(options)).unwrap_err();
    assert_eq!(
        (error.reason(), error.text()),
        (Reason::Unsupported, "resource requires networking, at $.x.source")
    );
    let missing = Fetcher::new(FetchOptions { network: NetworkUse::AsItIs, ..options });
    missing.program.set(None).unwrap();
    let error = refusal(&missing).unwrap_err();
    let text = "$.x.source: fetching needs the program glowplug-fetch, which is not here";
    assert_eq!((error.reason(), error.text()), (Reason::Unsupported, text));
    assert!(error.advice().contains("package glowplug-network"), "{}", error.advice());
}

#[test]
fn progress_is_in_percent_where_the_size_is_known() {
    let scripted = Scripted::new("echo size 4000000 >&2; head -c 1000000 /dev/zero; sleep 100");
    let url = UrlRequest { url: URL, scheme: "https", headers: &[], place: "p", label: "/a/file" };
    let mut stream = scripted.fetcher.open(&url).unwrap();
    let download = scripted.fetcher.downloads.borrow()[0].upgrade().unwrap();
    let mut buffer = vec![0; 1 << 20];
    assert_eq!(
        download.borrow().progress(Duration::ZERO).unwrap(),
        "/a/file: waiting for https://host.example"
    );
    assert_eq!(download.borrow().progress(Duration::from_secs(99)), None);
    let mut count = 0;
    while count < 1_000_000 {
        scripted.fetcher.wait().unwrap();
        count += stream.read(&mut buffer).unwrap_or(0);
    }
    let line = download.borrow().progress(Duration::ZERO).unwrap();
    assert!(line.starts_with("/a/file: 25 % of 4 MB, ") && line.ends_with(" kB/s"), "{line}");
}
