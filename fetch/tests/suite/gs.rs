//! Google Cloud Storage and Azure Blob Storage, with the tokens of their machines.

use glowplug::fetch_request::FetchRequest;

use crate::certificates::{Authority, Issue};
use crate::program::{request, run};
use crate::proxies::tunnel_to;
use crate::server::{Server, ok, redirect};

const NONE: &[u8] = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";

/// Starts the metadata service of a machine of Google's, which answers the request for a token with `token`, or has no
/// service account at all.
fn metadata(token: Option<Vec<u8>>) -> Server {
    Server::http(move |head, _, connection| {
        assert!(head.contains("\r\nMetadata-Flavor: Google\r\n"), "{head}");
        let account = "/computeMetadata/v1/instance/service-accounts/default/";
        let path = head.split(' ').nth(1).unwrap();
        let answer = match (path.strip_prefix(account), &token) {
            (None, _) => b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: 0\r\n\r\n".to_vec(),
            (Some("scopes"), Some(_)) => ok("https://www.googleapis.com/auth/cloud-platform\n"),
            (Some(path), Some(token)) => {
                let scopes = "token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_only";
                assert_eq!(path, scopes);
                token.clone()
            }
            _ => NONE.to_vec(),
        };
        let _ = connection.write_all(&answer);
    })
}

/// Starts a storage that gives its object only to who shows `authorization`.
fn storage(authorization: Option<&'static str>) -> Server {
    Server::http(move |head, _, connection| {
        let shown = head.lines().find_map(|line| line.strip_prefix("Authorization: "));
        let is_right = shown == authorization
            && head.starts_with("GET /storage/v1/b/bucket/o/a%2Fb%20c?alt=media HTTP/1.1\r\n");
        let _ = connection.write_all(&if is_right { ok("object") } else { NONE.to_vec() });
    })
}

fn asking(storage: &Server, metadata: &Server) -> FetchRequest<'static> {
    let mut asked = request("gs://bucket/a/b%20c");
    asked.endpoints =
        vec![("gs".into(), storage.url("").into()), ("gce-metadata".into(), metadata.url("").into())];
    asked
}

#[test]
fn a_machine_shows_the_token_of_its_service_account() {
    let token = r#"{"access_token": "a-token", "expires_in": 3599, "token_type": "Bearer"}"#;
    for platform in ["gcp", "qemu", ""] {
        let metadata = metadata(Some(ok(token)));
        let mut asked = asking(&storage(Some("Bearer a-token")), &metadata);
        asked.platform = platform.into();
        assert_eq!(asked.endpoints.len(), 2);
        let storage = storage(Some("Bearer a-token"));
        asked.endpoints[0].1 = storage.url("").into();
        assert_eq!(run(&asked).body(), b"object");
        assert_eq!(metadata.requests().len(), 3);
    }
}

#[test]
fn everybody_else_asks_without_a_token() {
    let storage = storage(None);
    // Google's machine without a service account, and a machine somewhere else.
    for metadata in [metadata(None), Server::answering(NONE)] {
        assert_eq!(run(&asking(&storage, &metadata)).body(), b"object");
    }
    // Nobody listens here.
    let mut asked = asking(&storage, &storage);
    asked.endpoints[1].1 = "http://127.0.0.1:1".into();
    let outcome = run(&asked);
    assert_eq!(outcome.body(), b"object");
    assert!(outcome.time.as_secs() < 3);
}

#[test]
fn a_service_account_without_a_token_is_a_failure() {
    let storage = storage(None);
    for token in
        [NONE.to_vec(), ok("{}"), ok("not JSON"), ok(r#"{"access_token": ""}"#), ok(r#"{"access_token": 1}"#)]
    {
        let error = run(&asking(&storage, &metadata(Some(token)))).error(11).to_owned();
        assert!(error.contains("service account"), "{error}");
    }
    assert_eq!(storage.requests(), [""; 0]);
}

#[test]
fn a_redirect_gets_no_token() {
    let elsewhere = Server::answering(ok("elsewhere"));
    let storage = Server::answering(redirect(302, &elsewhere.url("/x")));
    let metadata = metadata(Some(ok(r#"{"access_token":"a-token"}"#)));
    assert_eq!(run(&asking(&storage, &metadata)).body(), b"elsewhere");
    assert!(storage.requests()[0].contains("Authorization: Bearer a-token"));
    assert!(!elsewhere.requests()[0].contains("Authorization"));
}

/// A blob of Azure. Only a proxy reaches the host here.
#[test]
fn azure_shows_the_identity_of_the_machine_to_its_blobs() {
    let authority = Authority::new();
    let names = "subjectAltName=DNS:account.blob.core.windows.net";
    authority.issue("leaf", Some("ca"), &Issue { extensions: names, ..Issue::default() });
    let blobs = Server::https(authority.server(&["leaf"]), |head, _, connection| {
        let identity = "\r\nAuthorization: Bearer an-identity\r\nX-Ms-Version: ";
        let answer = match (head.contains(identity), head.starts_with("GET /container/public ")) {
            (true, false) => ok("for the machine"),
            (false, true) => ok("for all"),
            _ => b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        let _ = connection.write_all(&answer);
    });
    let imds = Server::http(|head, _, connection| {
        let target = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F";
        assert!(
            head.starts_with(&format!("GET {target} HTTP/1.1\r\n"))
                && head.contains("\r\nMetadata: true\r\n")
        );
        let _ = connection.write_all(&ok(r#"{"access_token": "an-identity", "token_type": "Bearer"}"#));
    });
    let (proxy, _) = tunnel_to(blobs.address);
    let mut asked = request("https://account.blob.core.windows.net/container/file");
    asked.cas.push(authority.pem("ca").into());
    asked.https_proxy = Some(proxy.into());
    asked.endpoints = vec![("imds".into(), imds.url("").into())];
    asked.platform = "azure".into();
    assert_eq!(run(&asked).body(), b"for the machine");
    // A blob that the identity may not have is asked for like any other file.
    asked.url = "https://account.blob.core.windows.net/container/public".into();
    assert_eq!(run(&asked).body(), b"for all");
    asked.url = "https://account.blob.core.windows.net/container/file".into();
    asked.endpoints[0].1 = Server::answering(NONE).url("").into();
    run(&asked).error(30);
    asked.endpoints[0].1 = imds.url("").into();
    asked.platform = "qemu".into();
    run(&asked).error(30);
    assert_eq!(imds.requests().len(), 2);
}
