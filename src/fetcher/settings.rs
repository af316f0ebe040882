//! How URLs are fetched: the time-outs, certificates and proxies that a config asks for.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{Ignition, OptionalText};
use crate::fetch_request::FetchRequest;
use crate::source::UrlRequest;

/// The environment variable with base URLs that replace those of services, for tests: `s3=http://127.0.0.1:9000 gs=…`.
const ENDPOINTS: &str = "GLOWPLUG_FETCH_ENDPOINTS";
/// How long a server may take to begin its answer, in seconds, if the config does not say. It is the reference's default.
const HEADERS_SECONDS: u64 = 10;

/// The settings for the fetches that begin from now on.
#[derive(Default)]
pub(super) struct Settings {
    response_headers_seconds: u64,
    /// How long one fetch may take, in seconds; 0 for any time.
    pub(super) total_seconds: u64,
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Vec<String>,
    /// The certificates that are trusted besides the system's, each a bundle in PEM.
    pub(super) authorities: Vec<Rc<[u8]>>,
}

impl Settings {
    /// Returns the settings before a config is known: no fetch may take longer than `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            response_headers_seconds: HEADERS_SECONDS,
            total_seconds: patience.as_secs().max(1),
            ..Self::default()
        }
    }

    /// Takes the time-outs and proxies of a config.
    pub(super) fn take(&mut self, ignition: &Ignition<'_>) {
        let seconds =
            |value: Option<i64>, default| value.map_or(default, |value| u64::try_from(value).unwrap_or(0));
        let text =
            |value: &OptionalText<'_>| value.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
        self.response_headers_seconds = seconds(ignition.timeouts.http_response_headers, HEADERS_SECONDS);
        self.total_seconds = seconds(ignition.timeouts.http_total, 0);
        self.http_proxy = text(&ignition.proxy.http_proxy);
        self.https_proxy = text(&ignition.proxy.https_proxy);
        self.no_proxy = ignition.proxy.no_proxy.iter().map(|rule| rule.as_ref().to_owned()).collect();
    }

    /// Returns the request for a URL, as it is written to the program that fetches.
    ///
    /// # Errors
    /// Those of [`FetchRequest::write`].
    pub(super) fn request(&self, url: &UrlRequest<'_>, platform: &str) -> crate::error::Result<Vec<u8>> {
        let endpoints = std::env::var(ENDPOINTS).unwrap_or_default();
        let mut request = FetchRequest::new(url.url);
        for header in url.headers {
            let value = header.value.as_deref().unwrap_or_default();
            request.headers.push((Cow::Borrowed(&header.name), Cow::Borrowed(value)));
        }
        request.cas = self.authorities.iter().map(|bundle| Cow::Borrowed(bundle.as_ref())).collect();
        request.http_proxy = self.http_proxy.as_deref().map(Cow::Borrowed);
        request.https_proxy = self.https_proxy.as_deref().map(Cow::Borrowed);
        request.no_proxy = self.no_proxy.iter().map(|rule| Cow::Borrowed(rule.as_str())).collect();
        request.response_headers_seconds = self.response_headers_seconds;
        request.total_seconds = self.total_seconds;
        request.platform = Cow::Borrowed(platform);
        let pairs = endpoints.split(' ').filter_map(|word| word.split_once('='));
        request.endpoints = pairs.map(|(name, url)| (Cow::Borrowed(name), Cow::Borrowed(url))).collect();
        request.write()
    }
}
