//! Certificates that must not be trusted. Each is final: it is shown once, and the reason is `certificate`.

use crate::certificates::{Authority, Issue, LOCALHOST};
use crate::program::{request, run};
use crate::server::{Server, ok};

/// Asserts that a server with this chain is refused with `word`.
fn assert_refused(name: &str, authority: &Authority, chain: &[&str], ca: &[u8], word: &str) {
    let server = Server::https(authority.server(chain), |_, _, c| drop(c.write_all(&ok("hello"))));
    let mut asked = request(&server.https_url("localhost", "/secret"));
    asked.cas.push(ca.into());
    let outcome = run(&asked);
    let error = outcome.error(12);
    assert!(error.starts_with("https://localhost:") && error.contains(word), "{name}: {error}");
    assert!(server.requests().is_empty() && outcome.body.is_empty(), "{name}");
}

#[test]
fn of_many_kinds() {
    let authority = Authority::new();
    let ca = authority.pem("ca");
    let issue = |name: &str, issuer: &str, issue: Issue<'_>| authority.issue(name, Some(issuer), &issue);
    let middle = || Issue { extensions: "basicConstraints=critical,CA:TRUE", ..Issue::default() };
    issue("expired", "ca", Issue { end: "20210101000000Z", ..Issue::default() });
    issue("future", "ca", Issue { start: "20980101000000Z", ..Issue::default() });
    issue(
        "other-name",
        "ca",
        Issue { extensions: "subjectAltName=DNS:example.com,IP:192.0.2.1", ..Issue::default() },
    );
    issue("localhost", "ca", Issue { extensions: "basicConstraints=CA:FALSE", ..Issue::default() });
    issue(
        "client",
        "ca",
        Issue { extensions: &format!("extendedKeyUsage=clientAuth\n{LOCALHOST}"), ..Issue::default() },
    );
    issue("sha1", "ca", Issue { digest: "sha1", ..Issue::default() });
    let critical = "basicConstraints=critical,CA:TRUE\n1.2.3.4=critical,ASN1:NULL";
    issue("critical", "ca", Issue { extensions: critical, ..Issue::default() });
    issue("below-critical", "critical", Issue::default());
    issue(
        "is-ca",
        "ca",
        Issue { extensions: &format!("basicConstraints=critical,CA:TRUE\n{LOCALHOST}"), ..Issue::default() },
    );
    issue("middle", "ca", middle());
    issue("below", "middle", Issue::default());
    issue("old-middle", "ca", Issue { end: "20210101000000Z", ..middle() });
    issue("below-old", "old-middle", Issue::default());
    issue("no-ca", "ca", Issue { extensions: "basicConstraints=CA:FALSE", ..Issue::default() });
    issue("below-no-ca", "no-ca", Issue::default());
    issue(
        "other-names",
        "ca",
        Issue {
            extensions: "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:example.com",
            ..Issue::default()
        },
    );
    issue(
        "below-other-names",
        "other-names",
        Issue { extensions: "subjectAltName=DNS:localhost", ..Issue::default() },
    );
    authority.issue("self", None, &Issue::default());
    authority.issue(
        "old-self",
        None,
        &Issue {
            extensions: &format!("basicConstraints=critical,CA:TRUE\n{LOCALHOST}"),
            end: "20210101000000Z",
            ..Issue::default()
        },
    );
    for (chain, word) in [
        (&["expired"][..], "it expired at 2021-01-01T00:00:00Z, judged at 20"),
        (&["future"], "valid only from 2098-01-01T00:00:00Z, judged at 20"),
        (&["other-name"], "for another name"),
        // A common name alone does not count.
        (&["localhost"], "for another name"),
        (&["client"], "not for servers"),
        (&["sha1"], "weak or unknown"),
        (&["below-critical", "critical"], "cannot be trusted"),
        (&["is-ca"], "that of a CA"),
        (&["below"], "no known CA"),
        (&["below-old", "old-middle"], "expired"),
        (&["below-no-ca", "no-ca"], "cannot be trusted"),
        (&["below-other-names", "other-names"], "cannot be trusted"),
        (&["self"], "no known CA"),
    ] {
        assert_refused(chain[0], &authority, chain, &ca, word);
    }
    // A certificate that the config itself names must be in its time and for the name, too.
    assert_refused("old-self", &authority, &["old-self"], &authority.pem("old-self"), "expired");
}

#[test]
fn of_another_ca_and_of_a_weak_one() {
    let (one, other) = (Authority::new(), Authority::new());
    one.issue("leaf", Some("ca"), &Issue::default());
    assert_refused("another CA of the same name", &one, &["leaf"], &other.pem("ca"), "cannot be trusted");
    let weak = Authority::with_key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    weak.issue("leaf", Some("ca"), &Issue::default());
    assert_refused("a key of 1024 bits", &weak, &["leaf"], &weak.pem("ca"), "too weak");
}
