//! AWS signature version 4: how a request shows that its sender knows the secret key.

use glowplug::clock;
use ring::{digest, hmac};

/// The hash of an empty body, in hexadecimal.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The keys of a role. They have no `Debug`, so that they cannot be printed.
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    /// Empty for keys that are not temporary.
    pub(super) session_token: String,
}

/// A GET request that is to be signed for the service S3.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned<'a> {
    /// The value of the header field `Host`.
    pub(super) host: &'a str,
    /// The path with its first slash, percent-encoded as it is sent.
    pub(super) path: &'a str,
    /// The query without the question mark, percent-encoded as it is sent, its parameters in alphabetical order; empty
    /// if there is none.
    pub(super) query: &'a str,
    pub(super) region: &'a str,
    /// The time in seconds since the epoch. AWS accepts 15 minutes of difference.
    pub(super) time: u64,
}

impl Unsigned<'_> {
    /// Returns the header fields that sign the request.
    pub(super) fn sign(&self, credentials: &Credentials) -> Vec<(&'static str, String)> {
        // 20261122T220000Z: RFC 3339 without its separators.
        let time = clock::rfc3339(self.time).replace(['-', ':'], "");
        let day = time.split('T').next().unwrap_or_default();
        let mut fields = vec![
            ("host", self.host.to_owned()),
            ("x-amz-content-sha256", EMPTY.to_owned()),
            ("x-amz-date", time.clone()),
        ];
        if !credentials.session_token.is_empty() {
            fields.push(("x-amz-security-token", credentials.session_token.clone()));
        }

        let names = fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = fields.iter().map(|(name, value)| [name, ":", value, "\n"].concat()).collect();
        let canonical = ["GET", self.path, self.query, &lines, &names, EMPTY].join("\n");
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let scope = [day, self.region, "s3", "aws4_request"];
        let text = [ALGORITHM, &time, &scope.join("/"), &canonical].join("\n");

        let secret = ["AWS4", &credentials.secret_access_key].concat();
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        for word in scope {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, word.as_bytes()).as_ref());
        }
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        let id = &credentials.access_key_id;
        let scope = scope.join("/");
        let authorization =
            format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        // The client of HTTP sends `Host` itself.
        fields.remove(0);
        fields.push(("authorization", authorization));
        fields
    }
}

/// Returns `bytes` in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of AWS's own examples.
    fn credentials(session_token: &str) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: session_token.to_owned(),
        }
    }

    /// 2026-11-22, 22:00 UTC.
    const TIME: u64 = 1_795_384_800;

    /// The signatures were computed by botocore, the library of AWS's own client (version 1.44.8).
    #[test]
    fn signatures_are_those_of_botocore() {
        let request = Unsigned {
            host: "bucket.s3.dualstack.eu-central-1.amazonaws.com",
            path: "/a/key",
            query: "",
            region: "eu-central-1",
            time: TIME,
        };
        assert_eq!(
            request.sign(&credentials("")),
            [
                ("x-amz-content-sha256", EMPTY.to_owned()),
                ("x-amz-date", "20261122T220000Z".to_owned()),
                (
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-central-1/s3/aws4_request, \
                     SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
                     Signature=293aa85db98b76a59cbffa837715450a4a017b581dee8fe1b707d0ebf77e5481"
                        .to_owned()
                ),
            ]
        );
        let request = Unsigned {
            host: "s3.dualstack.us-east-1.amazonaws.com",
            path: "/my.bucket/a%20b/%C3%A4%2B~.txt",
            query: "versionId=3%2FL4kqtJlcpXroDTDmJ%2BrmSpXd3dIbrHY",
            region: "us-east-1",
            time: TIME,
        };
        let fields = request.sign(&credentials("session/token=="));
        assert_eq!(fields[2], ("x-amz-security-token", "session/token==".to_owned()));
        assert_eq!(
            fields[3].1,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, \
             Signature=20312dfe18fb80744d25f887c8d7802f4f5e620ed2c014a0fcc60b4f6107f7a8"
        );
    }
}
