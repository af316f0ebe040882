//! Google Cloud Storage: objects by `gs` URLs. A machine of Google's cloud shows the token of its service account;
//! everybody else asks for what everybody may read.

use std::time::Duration;

use glowplug::error::{Error, Reason, Result};

use crate::context::Context;
use crate::download;
use crate::http::HttpRequest;
use crate::metadata::{Metadata, texts};
use crate::output::Output;
use crate::percent::{self, Keep};
use crate::url::Url;

/// The host of all objects.
const HOST: &str = "https://storage.googleapis.com";
/// The field that the metadata service wants, and has itself.
const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");
const ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts/default/";
/// What the token is for: reading objects. The URL is percent-encoded.
const SCOPES: &str = "token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_only";
/// How long to wait for a metadata service that may not exist, and for one that does.
const PROBE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(15);

/// Fetches the object that the URL of the request names.
///
/// # Errors
/// [`Reason::Resource`] for a URL that names no object; [`Reason::BadAnswer`] if the machine has a service account but
/// gets no token for it; those of [`download::fetch`].
pub(crate) fn fetch(context: &Context<'_>, output: &mut Output) -> Result<()> {
    let url = object_url(&context.request.url, context.endpoint("gs").unwrap_or(HOST)).map_err(|what| {
        Error::new(Reason::Resource, format!("the URL of an object in Google Cloud Storage: {what}"))
    })?;
    let token = token(context)?;
    let ask = || {
        let headers =
            token.iter().map(|token| ("Authorization".to_owned(), ["Bearer ", token].concat())).collect();
        HttpRequest { headers, ..HttpRequest::get(url.clone()) }
    };
    download::fetch(context, &ask, output)
}

/// Returns the URL by which `base` serves the object that `gs://BUCKET/OBJECT` names.
fn object_url(url: &str, base: &str) -> std::result::Result<Url, &'static str> {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (bucket, object) = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .filter(|(bucket, object)| !bucket.is_empty() && !object.is_empty())
        .ok_or("it does not name a bucket and an object")?;
    let object = percent::decode(object).ok_or("it has a % without two hexadecimal digits")?;
    let (bucket, object) =
        (percent::encode(bucket.as_bytes(), Keep::Nothing), percent::encode(&object, Keep::Nothing));
    Url::parse(
        &[base.trim_end_matches('/'), "/storage/v1/b/", &bucket, "/o/", &object, "?alt=media"].concat(),
    )
}

/// Returns the token of the machine's service account; `None` if the machine is not in Google's cloud or has no such
/// account.
fn token(context: &Context<'_>) -> Result<Option<String>> {
    let is_sure = context.request.platform == "gcp";
    let patience = if is_sure { PATIENCE } else { PROBE };
    let probe = Metadata::new(context, "gce-metadata", patience).ask("GET", "/", FLAVOR);
    if !probe.is_ok_and(|answer| answer.text_field(FLAVOR.0) == Some(FLAVOR.1)) {
        return Ok(None);
    }
    let service = Metadata::new(context, "gce-metadata", PATIENCE);
    if service.text("GET", &[ACCOUNT, "scopes"].concat(), FLAVOR)?.is_none() {
        return Ok(None);
    }
    let answer = service.text("GET", &[ACCOUNT, SCOPES].concat(), FLAVOR)?;
    let token = answer.and_then(|answer| texts(&answer, ["access_token"])).map(|[token]| token);
    match token.filter(|token| !token.is_empty()) {
        Some(token) => Ok(Some(token)),
        None => Err(Error::new(
            Reason::BadAnswer,
            "the metadata service does not let the machine use its service account",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_one_segment_of_the_path() {
        for (url, target) in [
            ("gs://bucket/a", "/storage/v1/b/bucket/o/a?alt=media"),
            ("gs://bucket/a/b%20c%2fd+?x#y", "/storage/v1/b/bucket/o/a%2Fb%20c%2Fd%2B?alt=media"),
            ("GS://my_bucket.x//a", "/storage/v1/b/my_bucket.x/o/%2Fa?alt=media"),
            ("gs://b@evil.example/a", "/storage/v1/b/b%40evil.example/o/a?alt=media"),
        ] {
            let url = object_url(url, HOST).unwrap();
            assert_eq!((url.authority().as_str(), url.target.as_str()), ("storage.googleapis.com", target));
        }
        for url in ["gs:a/b", "gs://bucket", "gs://bucket/", "gs:///a", "gs://b/%", "gs://?a/b"] {
            assert!(object_url(url, HOST).is_err(), "{url}");
        }
    }
}
