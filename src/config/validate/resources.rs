//! Rules for what is fetched: resources, their headers and hashes, referenced configs, certificates and proxies.

use std::borrow::Cow;

use super::super::checker::{Checker, Rules, is_set};
use super::super::report::Step;
use super::super::types::{HttpHeader, IgnitionConfig, Proxy, Resource, Tls, Verification};
use super::url;

const NOT_A_URL: &str = "unable to parse url";

impl Rules for Resource<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        // In 3.0, referenced configs and certificates have a type of their own, which the rules below check.
        if checker.minor == 0 && !matches!(checker.last_key(), "contents" | "append") {
            return;
        }
        let source = self.source.as_deref();
        check_compression(self.compression.as_deref(), checker);
        check_source(source, &self.verification, checker);
        check_headers(&self.http_headers, source, checker);
    }
}

fn check_compression(compression: Option<&str>, checker: &mut Checker<'_>) {
    if !matches!(compression, None | Some("" | "gzip")) {
        checker.fault("compression", Some("invalid compression method"));
    }
}

fn check_source(source: Option<&str>, verification: &Verification<'_>, checker: &mut Checker<'_>) {
    if verification.hash.is_some() && source.is_none() {
        let steps = [Step::Key("verification"), Step::Key("hash")];
        checker.error(&steps, "source must be specified if verification is specified");
    }
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        checker.fault("source", url::fault(source, checker.minor));
    }
}

fn check_headers(headers: &[HttpHeader<'_>], source: Option<&str>, checker: &mut Checker<'_>) {
    if headers.is_empty() {
        return;
    }
    let scheme = source.filter(|source| !source.is_empty()).and_then(url::parse).map(|url| url.scheme);
    match scheme.as_deref() {
        None => checker.fault("httpHeaders", Some(NOT_A_URL)),
        Some("http" | "https") => {}
        Some(_) => checker.fault("httpHeaders", Some("cannot use HTTP headers with this source scheme")),
    }
}

impl Rules for HttpHeader<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        if self.name.is_empty() {
            checker.fault("name", Some("HTTP header name can't be empty"));
        }
        if self.value.as_deref() == Some("") {
            checker.fault("value", Some("unable to parse HTTP header"));
        }
    }
}

impl Rules for Verification<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let Some(hash) = self.hash.as_deref() else { return };
        let fault = match hash.split_once('-') {
            None => Some("malformed hash specifier"),
            Some(("sha512", sum)) => (sum.len() != 128).then_some("incorrect size for hash sum"),
            Some(("sha256", sum)) if checker.minor >= 1 => {
                (sum.len() != 64).then_some("incorrect size for hash sum")
            }
            Some(_) => Some("unrecognized hash function"),
        };
        checker.fault("hash", fault);
    }
}

impl Rules for IgnitionConfig<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_sources("merge", &self.merge, true, checker);
        if checker.minor == 0 {
            let source = self.replace.source.as_deref().filter(|source| !source.is_empty());
            if let Some(fault) = source.and_then(|source| url::fault(source, 0)) {
                checker.error(&[Step::Key("replace"), Step::Key("source")], fault);
            }
        }
    }
}

impl Rules for Tls<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_sources("certificateAuthorities", &self.certificate_authorities, false, checker);
    }
}

/// Checks the sources of the configs or certificates in the list at `key`. Since 3.1 a source must not be empty; before,
/// it could be if `may_be_empty`.
fn check_sources(
    key: &'static str,
    resources: &[Resource<'_>],
    may_be_empty: bool,
    checker: &mut Checker<'_>,
) {
    let minor = checker.minor;
    for (index, resource) in resources.iter().enumerate() {
        let source = resource.source.as_deref().unwrap_or_default();
        let fault = match (source, minor) {
            ("", 0) if may_be_empty => None,
            ("", 1..) => Some(Cow::Borrowed("source is required")),
            // Since 3.1 the resource itself reports a bad URL as well. The reference has both errors.
            _ => url::fault(source, minor),
        };
        if let Some(fault) = fault {
            let steps = [Step::Key(key), Step::Index(index), Step::Key("source")];
            let steps = if minor >= 1 { steps.get(..2) } else { steps.get(..) };
            checker.error(steps.unwrap_or_default(), fault);
        }
    }
}

impl Rules for Proxy<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        check_proxy("httpProxy", self.http_proxy.as_deref(), checker);
        if check_proxy("httpsProxy", self.https_proxy.as_deref(), checker) {
            let what = "insecure plaintext HTTP proxy specified for HTTPS resources";
            checker.warning(&[Step::Key("httpsProxy")], what);
        }
    }
}

/// Reports what is wrong with the URL of a proxy, and returns whether it is one of plain HTTP.
fn check_proxy(key: &'static str, proxy: Option<&str>, checker: &mut Checker<'_>) -> bool {
    let Some(proxy) = proxy else { return false };
    let scheme = url::parse(proxy).map(|url| url.scheme);
    match scheme.as_deref() {
        None => checker.fault(key, Some(NOT_A_URL)),
        Some("http") => return true,
        Some("https") => {}
        Some(_) => checker.fault(key, Some("proxies must be http(s)")),
    }
    false
}

/// Returns what is wrong with the URL of a Tang server.
pub(super) fn tang_fault(text: &str) -> Option<&'static str> {
    let scheme = url::parse(text).map(|url| url.scheme);
    match scheme.as_deref() {
        None => Some(NOT_A_URL),
        Some("http" | "https") => None,
        Some(_) => Some("invalid url scheme"),
    }
}

/// Returns whether `source` is a URL from which no key can be fetched; false if it is missing or empty.
pub(super) fn is_bad_source(source: Option<&str>, minor: u8) -> bool {
    is_set(source) && url::fault(source.unwrap_or_default(), minor).is_some()
}
