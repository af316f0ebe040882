//! Which proxy a URL goes through, if any.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use glowplug::error::{Error, Reason, Result};

use crate::context::Context;
use crate::url::Url;

/// Returns the value of a field for the Basic scheme (RFC 7617). `user` is `user:password`; without a colon, the password
/// is empty.
pub fn basic(user: &str) -> String {
    let colon = if user.contains(':') { "" } else { ":" };
    ["Basic ", &STANDARD.encode([user, colon].concat())].concat()
}

/// Returns the proxy for `url`. The host itself is asked for loopback addresses, and where a rule says so.
///
/// # Errors
/// [`Reason::Resource`] for a proxy that is not a URL with `http` or `https`. To go on without the proxy could reach a host that
/// should not be reached.
pub fn for_url(context: &Context<'_>, url: &Url) -> Result<Option<Url>> {
    let request = context.request;
    let proxy = if url.scheme == "https" { &request.https_proxy } else { &request.http_proxy };
    let Some(proxy) = proxy.as_deref().filter(|proxy| !proxy.is_empty()) else { return Ok(None) };
    if is_loopback(url) || request.no_proxy.iter().any(|rules| rules.split(',').any(|rule| spares(rule, url)))
    {
        return Ok(None);
    }
    let bad = |words| Error::new(Reason::Resource, format!("the proxy of the config: {words}"));
    // A proxy without a scheme is an `http` one.
    let parsed =
        if proxy.contains("://") { Url::parse(proxy) } else { Url::parse(&["http://", proxy].concat()) };
    let parsed = parsed.map_err(bad)?;
    match parsed.scheme.as_str() {
        "http" | "https" => Ok(Some(parsed)),
        _ => Err(bad("its scheme is not http or https")),
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host.trim_end_matches('.') == "localhost"
        || url.address().is_some_and(|address| address.is_loopback())
}

/// Returns whether a rule exempts the URL from the proxy: `*`, an address, a network (`10.0.0.0/8`), a name with its subdomains
/// (`example.com`), or only the subdomains (`.example.com`, `*.example.com`). All but networks may have a port.
fn spares(rule: &str, url: &Url) -> bool {
    let rule = rule.trim().to_lowercase();
    if rule.is_empty() {
        return false;
    }
    if rule == "*" {
        return true;
    }
    if let Some((network, length)) = rule.split_once('/') {
        let network = network.parse::<IpAddr>().ok().zip(length.parse().ok());
        return url
            .address()
            .zip(network)
            .is_some_and(|(address, (network, length))| is_within(address, network, length));
    }
    let (name, port) = split_port(&rule);
    if port.is_some_and(|port| port != url.port_or_default().to_string()) {
        return false;
    }
    let name_as_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    match (url.address(), name_as_address) {
        (Some(address), Some(rule)) => address.to_canonical() == rule.to_canonical(),
        (None, None) => {
            let host = url.host.trim_end_matches('.');
            let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
            match name.strip_prefix('.') {
                Some(domain) => host.strip_suffix(domain).is_some_and(|before| before.ends_with('.')),
                None => {
                    host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
                }
            }
        }
        _ => false,
    }
}

/// Splits a port off. An IPv6 address without brackets has none.
fn split_port(rule: &str) -> (&str, Option<&str>) {
    match rule.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (rule, None),
    }
}

/// Returns whether the first `length` bits of both addresses are the same.
fn is_within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((one, width), (other, other_width)) = (bits(address), bits(network));
    if width != other_width || length > width {
        return false;
    }
    let rest = 128_u32.saturating_sub(length);
    one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use glowplug::fetch_request::FetchRequest;

    use super::*;

    fn proxy_of(url: &str, rules: &[&str]) -> Option<String> {
        let mut request = FetchRequest::new(url);
        request.http_proxy = Some("http://proxy:3128".into());
        request.https_proxy = Some("secure-proxy".into());
        request.no_proxy = rules.iter().map(|rule| (*rule).into()).collect();
        for_url(&Context::new(&request), &Url::parse(url).unwrap()).unwrap().map(|url| url.shown())
    }

    #[test]
    fn the_scheme_chooses_the_proxy_and_loopback_needs_none() {
        assert_eq!(proxy_of("http://h/", &[]).as_deref(), Some("http://proxy:3128"));
        assert_eq!(proxy_of("https://h/", &[]).as_deref(), Some("http://secure-proxy"));
        for url in ["http://localhost/", "http://LOCALHOST./", "http://127.1.2.3/", "https://[::1]:8/"] {
            assert_eq!(proxy_of(url, &[]), None, "{url}");
        }
        let mut request = FetchRequest::new("http://h/");
        for bad in ["ftp://p/", "http://", "socks5://p/", "http://p:x/"] {
            request.http_proxy = Some(bad.into());
            let found = for_url(&Context::new(&request), &Url::parse("http://h/").unwrap());
            assert_eq!(found.unwrap_err().reason(), Reason::Resource, "{bad}");
        }
    }

    #[test]
    fn rules_exempt_what_they_name() {
        for (rule, exempt, other) in [
            ("*", &["http://h/", "http://1.2.3.4/"][..], &[][..]),
            ("10.0.0.0/8", &["http://10.1.2.3:81/"], &["http://11.0.0.1/", "http://ten/"]),
            ("0.0.0.0/0", &["http://9.9.9.9/"], &["http://[fe80::1]/"]),
            ("fe80::/10", &["http://[fe80::1%25eth0]/"], &["http://[2001:db8::1]/"]),
            ("10.0.0.0/33", &[], &["http://10.0.0.0/"]),
            ("192.0.2.1", &["http://192.0.2.1:8/"], &["http://192.0.2.2/"]),
            ("192.0.2.1:8", &["http://192.0.2.1:8/"], &["http://192.0.2.1/"]),
            ("2001:db8::1", &["http://[2001:db8::1]/"], &["http://[2001:db8::2]/"]),
            ("[2001:db8::1]:443", &["https://[2001:db8::1]/"], &["http://[2001:db8::1]/"]),
            (
                "Example.com",
                &["http://example.com/", "http://a.b.EXAMPLE.com/"],
                &["http://notexample.com/", "http://example.co/"],
            ),
            (".example.com", &["http://a.example.com/"], &["http://example.com/", "http://aexample.com/"]),
            ("*.example.com", &["http://a.example.com/"], &["http://example.com/"]),
            ("example.com:443", &["https://example.com/"], &["http://example.com/"]),
            (" a , b ", &["http://a/", "http://b/"], &["http://c/"]),
            ("", &[], &["http://h/"]),
        ] {
            for url in exempt {
                assert_eq!(proxy_of(url, &["x", rule]), None, "{rule} {url}");
            }
            for url in other {
                assert!(proxy_of(url, &[rule]).is_some(), "{rule} {url}");
            }
        }
    }

    #[test]
    fn basic_credentials() {
        assert_eq!(basic("Aladdin:open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("u"), basic("u:"));
    }
}
