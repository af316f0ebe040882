//! Azure Blob Storage: on Azure, a blob is first asked for with the identity of the machine.

use std::time::Duration;

use glowplug::error::Result;

use crate::context::Context;
use crate::download;
use crate::http::{self, HttpRequest};
use crate::metadata::{Metadata, texts};
use crate::output::Output;
use crate::url::Url;

/// The domain of all accounts.
const DOMAIN: &str = ".blob.core.windows.net";
const TOKEN: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F";
/// The version of Blob Storage's protocol. The oldest one that knows tokens is of 2017.
const VERSION: (&str, &str) = ("x-ms-version", "2019-12-12");
/// How long to wait for the metadata service. A machine without an identity of its own has one that answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetches a blob with the identity of the machine. `None` if `url` is not that of a blob, if the machine is not on
/// Azure or has no identity, or if the blob is refused to it: the blob is then asked for like any other file.
pub(crate) fn fetch(context: &Context<'_>, url: &Url, output: &mut Output) -> Option<Result<()>> {
    if context.request.platform != "azure" || !is_blob(url) {
        return None;
    }
    let token = token(context)?;
    let ask = || {
        let authorization = ("Authorization".to_owned(), ["Bearer ", &token].concat());
        let version = (VERSION.0.to_owned(), VERSION.1.to_owned());
        HttpRequest { headers: vec![authorization, version], follow: false, ..HttpRequest::get(url.clone()) }
    };
    match http::get(context, &ask()) {
        Ok(response) if response.status() == 200 => Some(download::stream(context, &ask, response, output)),
        Ok(response) => {
            let status = response.status();
            context.note(&format!("the identity of the machine does not get the blob (HTTP status {status}); going on without it"));
            None
        }
        Err(error) => Some(Err(error)),
    }
}

/// Returns the token of the identity; `None` if the machine has none.
fn token(context: &Context<'_>) -> Option<String> {
    let answer = Metadata::new(context, "imds", PATIENCE).text("GET", TOKEN, ("Metadata", "true"));
    let answer = answer
        .inspect_err(|error| context.note(&format!("ask for the identity of the machine: {}", error.text())));
    let [token] = texts(&answer.ok()??, ["access_token"])?;
    (!token.is_empty()).then_some(token)
}

/// Returns whether a URL is `https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB`.
fn is_blob(url: &Url) -> bool {
    let path = url.target.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').skip(1);
    let two = segments.next().is_some_and(|segment| !segment.is_empty())
        && segments.next().is_some_and(|segment| !segment.is_empty())
        && segments.next().is_none();
    url.scheme == "https" && url.host.ends_with(DOMAIN) && two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_told_from_other_files() {
        let is_blob = |url: &str| is_blob(&Url::parse(url).unwrap());
        assert!(is_blob("https://a.blob.core.windows.net/container/file?x=/"));
        for url in [
            "http://a.blob.core.windows.net/container/file",
            "https://blob.core.windows.net/container/file",
            "https://a.blob.core.windows.net.evil.example/container/file",
            "https://a.blob.core.windows.net/file",
            "https://a.blob.core.windows.net/a/b/c",
            "https://a.blob.core.windows.net/a/",
            "https://a.blob.core.windows.net//a",
        ] {
            assert!(!is_blob(url), "{url}");
        }
    }
}
