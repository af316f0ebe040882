//! What an instance of AWS knows of itself: its region, and the keys of its role.

use std::time::Duration;

use glowplug::error::Result;

use super::address::is_region;
use super::signature::Credentials;
use crate::context::Context;
use crate::metadata::{Metadata, texts};

/// How long the metadata service may take. It is the reference's time for the region.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the token of the metadata service is good, in seconds. It is the reference's.
const LIFETIME: &str = "21600";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// An instance. Both parts may be missing: an instance without a role may still read what everybody may read.
#[derive(Default)]
pub(super) struct Instance {
    pub(super) region: Option<String>,
    pub(super) credentials: Option<Credentials>,
}

impl Instance {
    /// Asks the metadata service in its second version, which wants a token. A service that does not answer means an
    /// instance that knows nothing.
    pub(super) fn ask(context: &Context<'_>) -> Self {
        let mut instance = Self::default();
        let service = Metadata::new(context, "imds", PATIENCE);
        match instance.learn(&service) {
            Err(error) => context.note(&format!("ask for the role of the instance: {}", error.text())),
            Ok(()) if instance.credentials.is_none() => {
                context.note("the instance has no role; asking S3 without a signature");
            }
            Ok(()) => {}
        }
        instance
    }

    fn learn(&mut self, service: &Metadata<'_>) -> Result<()> {
        let lifetime = ("X-aws-ec2-metadata-token-ttl-seconds", LIFETIME);
        let Some(token) = service.text("PUT", "/latest/api/token", lifetime)? else {
            return Ok(());
        };
        let token = ("X-aws-ec2-metadata-token", token.as_str());
        let region = service.text("GET", "/latest/meta-data/placement/region", token)?;
        self.region = region.filter(|region| is_region(region));
        let Some(roles) = service.text("GET", ROLES, token)? else {
            return Ok(());
        };
        // A role's name becomes a part of the next path.
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        let role = roles.lines().next().unwrap_or_default().trim();
        if role.is_empty() || !role.bytes().all(is_valid) {
            return Ok(());
        }
        let document = service.text("GET", &[ROLES, role].concat(), token)?;
        self.credentials = document.and_then(|document| credentials(&document));
        Ok(())
    }
}

/// Returns the keys in a document of the metadata service; `None` if it has none.
fn credentials(document: &str) -> Option<Credentials> {
    let names = ["AccessKeyId", "SecretAccessKey", "Token", "Code"];
    let [access_key_id, secret_access_key, session_token, code] = texts(document, names)?;
    let is_good =
        matches!(code.as_str(), "" | "Success") && !access_key_id.is_empty() && !secret_access_key.is_empty();
    is_good.then_some(Credentials { access_key_id, secret_access_key, session_token })
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[test]
    fn keys_of_a_role() {
        let found = credentials(
            r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIA","SecretAccessKey":"s/+","Token":"t==",
                "Expiration":"2026-11-23T04:00:00Z"}"#,
        );
        let found = found.unwrap();
        assert_eq!(
            (&*found.access_key_id, &*found.secret_access_key, &*found.session_token),
            ("ASIA", "s/+", "t==")
        );
        for document in [
            "",
            "{}",
            r#"{"Code":"Failed","AccessKeyId":"a","SecretAccessKey":"b"}"#,
            r#"{"AccessKeyId":"a","SecretAccessKey":""}"#,
            r#"{"AccessKeyId":"a","SecretAccessKey":1}"#,
        ] {
            assert!(credentials(document).is_none(), "{document}");
        }
    }
}
