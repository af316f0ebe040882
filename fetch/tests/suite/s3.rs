//! S3: moto as the server, with signatures that botocore checks, and servers that misbehave.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use glowplug::fetch_request::FetchRequest;

use crate::certificates::{Authority, Issue};
use crate::program::{Outcome, request, run};
use crate::proxies::tunnel_to;
use crate::server::{Server, ok};

/// The server in `tests/aws/server.py`.
struct Aws {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
    /// The first version of the object that has two.
    version: String,
}

impl Aws {
    fn start() -> Self {
        let here = env!("CARGO_MANIFEST_DIR");
        let python = format!("{here}/../target/moto/bin/python");
        let mut child = Command::new(&python)
            .arg(format!("{here}/tests/aws/server.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}; \"tests/moto target/moto\" installs it"));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let (port, version) = line.trim().split_once(' ').unwrap();
        let (port, version) = (port.parse().unwrap(), version.to_owned());
        Self { child, lines, port, version }
    }

    fn request(&self, url: &str, platform: &'static str) -> FetchRequest<'static> {
        asking(url, platform, &format!("http://127.0.0.1:{}", self.port))
    }

    fn fetch(&self, url: &str, platform: &'static str) -> Outcome {
        run(&self.request(url, platform))
    }

    /// Ends the server and returns its requests, a line each.
    fn requests(mut self) -> String {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a request for `url` whose services are all at `endpoint`.
fn asking(url: &str, platform: &'static str, endpoint: &str) -> FetchRequest<'static> {
    let mut asked = request(url);
    asked.platform = platform.into();
    asked.endpoints =
        ["s3", "imds"].map(|name| (name.into(), endpoint.to_owned().into())).into_iter().collect();
    asked
}

/// The object with two versions.
const OBJECT: &str = "s3://private/a%20b/%C3%A4+~%2541.txt";

/// One test, because the server takes seconds to start.
#[test]
fn moto() {
    let aws = Aws::start();
    the_server_checks_signatures(&aws);
    an_instance_signs(&aws);
    refusals_are_named_by_their_code(&aws);
    let version = aws.version.clone();
    let requests = aws.requests();
    for line in
        ["GET /private/a%20b/%C3%A4%2B~%2541.txt test-key\n", &format!("?versionId={version} test-key\n")]
    {
        assert!(requests.contains(line), "{requests}");
    }
    let aws = Aws::start();
    everybody_else_asks_without_a_signature(&aws);
    let requests = aws.requests();
    assert!(!requests.contains("metadata") && !requests.contains("test-key"), "{requests}");
}

fn an_instance_signs(aws: &Aws) {
    let large: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    for url in ["s3://private/large", "arn:aws:s3:::private/large"] {
        let outcome = aws.fetch(url, "aws");
        assert!(outcome.body() == large);
        assert_eq!(outcome.size(), Some(3 << 20));
    }
    assert_eq!(aws.fetch(OBJECT, "aws").body(), b"new");
    assert_eq!(aws.fetch(&format!("{OBJECT}?versionId={}", aws.version), "aws").body(), b"old");
    // The region of this bucket is another one than the instance's, and S3 refuses signatures for another region.
    assert_eq!(aws.fetch("s3://far/x", "aws").body(), b"from far");
    assert_eq!(aws.fetch("s3://public.files/y", "aws").body(), b"for few");
}

fn everybody_else_asks_without_a_signature(aws: &Aws) {
    assert_eq!(aws.fetch("s3://public.files/x", "qemu").body(), b"for all");
    assert_eq!(aws.fetch("s3://far/x", "").body(), b"from far");
    for url in ["s3://public.files/y", OBJECT] {
        assert!(aws.fetch(url, "qemu").error(30).contains("(HTTP status 403)"));
    }
}

fn refusals_are_named_by_their_code(aws: &Aws) {
    let place = format!("http://127.0.0.1:{}", aws.port);
    for (url, what) in [
        ("s3://private/secret", "S3 refused the object: NoSuchKey (HTTP status 404)"),
        ("s3://secret/x", "S3 has no such bucket"),
    ] {
        assert_eq!(aws.fetch(url, "aws").error(30), format!("{place}: {what}"));
    }
    let version = format!("{OBJECT}?versionId=00000000-0000-0000-0000-000000000000");
    assert!(aws.fetch(&version, "aws").error(30).contains("NoSuchVersion"));
    assert!(aws.fetch("s3://private", "aws").error(30).contains("it has no key"));
}

/// The test server would not notice a wrong signature if it checked none.
fn the_server_checks_signatures(aws: &Aws) {
    let mut stream = TcpStream::connect(("127.0.0.1", aws.port)).unwrap();
    let head = "GET /public.files/x HTTP/1.1\r\nHost: h\r\nx-amz-date: 20261122T220000Z\r\nx-amz-content-sha256: x\r\n\
                x-amz-security-token: test-session-token\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
                Credential=test-key/20261122/us-east-1/s3/aws4_request, \
                SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=00\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("SignatureDoesNotMatch"), "{answer}");
}

/// Returns the answer of a metadata service that has a role, or `None` for the request of an object.
fn metadata(head: &str) -> Option<Vec<u8>> {
    let path = head.split(' ').nth(1)?;
    let with_token = head.to_ascii_lowercase().contains("x-aws-ec2-metadata-token: token\r\n");
    Some(match path.strip_prefix("/latest/")? {
        "api/token" if head.starts_with("PUT ") => ok("token"),
        _ if !with_token => b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "meta-data/placement/region" => ok("us-west-2"),
        "meta-data/iam/security-credentials/" => ok("role\n"),
        "meta-data/iam/security-credentials/role" => ok(
            r#"{"Code": "Success", "AccessKeyId": "KEYID", "SecretAccessKey": "secret", "Token": "session-token"}"#,
        ),
        path => panic!("{path}"),
    })
}

/// Starts a server that has the metadata of an instance, and does `serve` with the requests to S3, numbered from 0.
fn instance_and(serve: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let number = std::sync::atomic::AtomicUsize::new(0);
    Server::http(move |head, _, connection| {
        let answer = metadata(head)
            .unwrap_or_else(|| serve(head, number.fetch_add(1, std::sync::atomic::Ordering::SeqCst)));
        let _ = connection.write_all(&answer);
    })
}

/// Returns an answer of S3 that is not the object.
fn refusal(status: &str, fields: &str, code: &str) -> Vec<u8> {
    let document = format!("<Error><Code>{code}</Code><Key>secret</Key></Error>");
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{document}", document.len()).into_bytes()
}

/// Returns the requests to S3, without those to the metadata service.
fn to_s3(server: &Server) -> Vec<String> {
    server.requests().into_iter().filter(|head| !head.contains(" /latest/")).collect()
}

#[test]
fn a_redirect_gets_no_signature() {
    let elsewhere = Server::answering(ok("stolen"));
    let to = format!("Location: {}\r\n", elsewhere.url("/x"));
    for status in ["301 X", "307 X", "302 X"] {
        let to = to.clone();
        let server = instance_and(move |_, _| refusal(status, &to, "TemporaryRedirect"));
        let outcome = run(&asking("s3://bucket/x", "aws", &server.url("")));
        assert!(outcome.error(30).contains("TemporaryRedirect"));
    }
    assert_eq!(elsewhere.requests(), [""; 0]);
}

#[test]
fn a_wrong_region_is_corrected_once() {
    let server = instance_and(|head, _| {
        let right = head.contains("/eu-central-1/s3/aws4_request");
        match (head.starts_with("HEAD "), right) {
            (true, _) => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            (_, true) => ok("found"),
            _ => refusal("301 X", "x-amz-bucket-region: eu-central-1\r\n", "PermanentRedirect"),
        }
    });
    assert_eq!(run(&asking("s3://bucket/x", "aws", &server.url(""))).body(), b"found");
    let heads = to_s3(&server);
    // The region of the instance is the first guess.
    assert_eq!(heads.len(), 3);
    assert!(heads[1].contains("Credential=KEYID/") && heads[1].contains("/us-west-2/s3/"), "{}", heads[1]);

    let server = instance_and(|_, number| {
        let region = if number % 2 == 0 { "a-1" } else { "b-1" };
        refusal("301 X", &format!("x-amz-bucket-region: {region}\r\n"), "PermanentRedirect")
    });
    assert!(run(&asking("s3://bucket/x", "aws", &server.url(""))).error(11).contains("in a circle"));
    assert!(to_s3(&server).len() < 6);
}

#[test]
fn a_region_cannot_lead_to_another_host() {
    let server = instance_and(|head, _| {
        let told = b"HTTP/1.1 200 OK\r\nx-amz-bucket-region: evil.example/\r\n\r\n";
        if head.starts_with("HEAD ") { told.to_vec() } else { ok("found") }
    });
    let mut asked = asking("s3://bucket/x", "aws", &server.url(""));
    assert_eq!(run(&asked).body(), b"found");
    assert!(to_s3(&server)[1].contains("/us-west-2/s3/"));
    asked.url = "arn:aws:s3:evil.example/:1:accesspoint/p/object/x".into();
    run(&asked).error(30);
}

#[test]
fn a_wrong_clock_is_corrected_by_the_time_of_s3() {
    let server = instance_and(|head, _| match head {
        head if head.starts_with("HEAD ") => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        head if head.contains("X-Amz-Date: 20400131T1000") => ok("found"),
        _ => refusal("403 X", "Date: Tue, 31 Jan 2040 10:00:00 GMT\r\n", "RequestTimeTooSkewed"),
    });
    let outcome = run(&asking("s3://bucket/x", "aws", &server.url("")));
    assert_eq!(outcome.body(), b"found");
    let server = instance_and(|_, _| refusal("403 X", "", "RequestTimeTooSkewed"));
    run(&asking("s3://bucket/x", "aws", &server.url(""))).error(30);
}

#[test]
fn a_busy_s3_is_asked_again_and_a_body_that_is_cut_is_continued() {
    let server = instance_and(|head, number| match (head.contains("Range: bytes=5-"), number) {
        _ if head.starts_with("HEAD ") => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        (_, 1) => refusal("503 X", "", "SlowDown"),
        (false, _) => b"HTTP/1.1 200 X\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\nhello".to_vec(),
        (true, _) => {
            b"HTTP/1.1 206 X\r\nETag: \"e\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nworld"
                .to_vec()
        }
    });
    assert_eq!(run(&asking("s3://bucket/x", "aws", &server.url(""))).body(), b"helloworld");
    assert!(to_s3(&server).iter().skip(1).all(|head| head.contains("Authorization: AWS4-HMAC-SHA256 ")));
}

#[test]
fn documents_of_errors_are_bounded_and_never_shown() {
    for document in [
        "<Error><Code>secret and more</Code></Error>".to_owned(),
        format!("<Error><Code>{}</Code></Error>", "x".repeat(100)),
        " ".repeat(1 << 20),
        "<Error><Code>\u{1b}[31mx</Code></Error>".to_owned(),
    ] {
        let server = instance_and(move |_, _| {
            format!("HTTP/1.1 403 X\r\nContent-Length: {}\r\n\r\n{document}", document.len()).into_bytes()
        });
        let outcome = run(&asking("s3://bucket/x", "aws", &server.url("")));
        let place = server.url("");
        assert_eq!(outcome.error(30), format!("{place}: S3 refused the object (HTTP status 403)"));
    }
}

#[test]
fn an_instance_without_a_role_asks_without_a_signature() {
    let none = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";
    let imds = Server::answering(&none[..]);
    let s3 = Server::answering(ok("for all"));
    let mut asked = asking("s3://bucket/x", "aws", &s3.url(""));
    asked.endpoints[1].1 = imds.url("").into();
    let outcome = run(&asked);
    assert_eq!(outcome.body(), b"for all");
    assert!(outcome.notes("has no role"), "{:?}", outcome.lines);
    assert!(!s3.requests()[1].contains("uthorization"));
}

/// A proxy that sees the answers of the metadata service sees the keys.
#[test]
fn the_metadata_service_is_asked_without_a_proxy() {
    let server = instance_and(|_, _| ok("direct"));
    let proxy = Server::answering(ok("by proxy"));
    // The loopback is never asked by way of a proxy; this address also leads there.
    let mut asked = asking("s3://bucket/x", "aws", &format!("http://0.0.0.0:{}", server.address.port()));
    asked.http_proxy = Some(proxy.url("").into());
    assert_eq!(run(&asked).body(), b"by proxy");
    assert!(proxy.requests().iter().all(|head| !head.contains("/latest/")));
    assert_eq!(server.requests().len(), 4);
}

/// The names of AWS's hosts, with a certificate for them. Only a proxy reaches them here.
#[test]
fn the_hosts_of_aws() {
    let authority = Authority::new();
    let names = "subjectAltName=DNS:*.s3.us-east-1.amazonaws.com,DNS:*.s3.dualstack.eu-central-1.amazonaws.com,\
                 DNS:s3.us-east-1.amazonaws.com,DNS:s3.dualstack.eu-central-1.amazonaws.com,\
                 DNS:*.s3-accesspoint.dualstack.eu-west-1.amazonaws.com";
    authority.issue("leaf", Some("ca"), &Issue { extensions: names, ..Issue::default() });
    let server = Server::https(authority.server(&["leaf"]), |head, _, connection| {
        let told = b"HTTP/1.1 403 X\r\nx-amz-bucket-region: eu-central-1\r\n\r\n";
        let answer = if head.starts_with("HEAD ") { told.to_vec() } else { ok("from AWS") };
        let _ = connection.write_all(&answer);
    });
    let (proxy, connections) = tunnel_to(server.address);
    for (url, hosts) in [
        ("s3://bucket/x", &["bucket.s3.us-east-1", "bucket.s3.dualstack.eu-central-1"][..]),
        ("s3://my.bucket/x", &["s3.us-east-1", "s3.dualstack.eu-central-1"]),
        (
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/point/object/x",
            &["point-123456789012.s3-accesspoint.dualstack.eu-west-1"],
        ),
    ] {
        connections.lock().unwrap().clear();
        let mut asked = request(url);
        asked.cas.push(authority.pem("ca").into());
        asked.https_proxy = Some(proxy.clone().into());
        assert_eq!(run(&asked).body(), b"from AWS", "{url}");
        let connections = connections.lock().unwrap();
        let asked: Vec<_> = connections.iter().map(|head| head.split(' ').nth(1).unwrap()).collect();
        let wanted: Vec<_> = hosts.iter().map(|host| format!("{host}.amazonaws.com:443")).collect();
        assert_eq!(asked, wanted);
    }
}
