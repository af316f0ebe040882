//! Judges URLs as the reference does. First the text must be a URL for Go's `net/url`, which is RFC 3986 with Go's
//! leniency. Then each scheme has its own rules.

use std::borrow::Cow;

use super::super::data_url;
use super::super::report::{Message, find};
use crate::words::Word;

/// The parts of a URL that rules look at.
pub(super) struct Url<'u> {
    /// The scheme in lower case; empty if there is none.
    pub scheme: String,
    /// What stands between the scheme and the query, if it does not begin with a slash; else empty.
    opaque: &'u str,
    /// What stands after the question mark, still escaped.
    query: &'u str,
}

/// Returns what is wrong with `text` as the source of a resource in a config of 3.`minor`; `None` for a good one.
pub(super) fn fault(text: &str, minor: u8) -> Option<Message> {
    let Some(url) = parse(text) else { return Some(Cow::Borrowed("unable to parse url")) };
    match url.scheme.as_str() {
        "http" | "https" | "tftp" => None,
        "gs" if minor >= 2 => None,
        "s3" => version_fault(&url),
        "arn" if minor >= 4 => arn_fault(&url),
        "data" => data_url::check(text).err(),
        _ => Some(Cow::Borrowed("invalid url scheme")),
    }
}

/// Returns the error for a query whose first `versionId` is empty.
fn version_fault(url: &Url<'_>) -> Option<Message> {
    let version = url.query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Go ignores a pair that it cannot parse.
        let value = query_text(value).filter(|_| !pair.contains(';'))?;
        (query_text(key)? == b"versionId").then_some(value)
    });
    version.filter(Vec::is_empty).map(|_| Cow::Borrowed("invalid S3 object VersionId"))
}

/// Returns what is wrong with an ARN. It must be of S3, have six parts, and name a key in a bucket or an access point.
fn arn_fault(url: &Url<'_>) -> Option<Message> {
    let invalid = Some(Cow::Borrowed("invalid S3 ARN format"));
    // The parts after the scheme are partition, service, region, account and resource.
    let mut parts = url.opaque.splitn(5, ':');
    let (service, resource) = (parts.nth(1), parts.nth(2));
    let (Some("s3"), Some(resource)) = (service, resource) else { return invalid };
    let slashes = url.opaque.bytes().filter(|&byte| byte == b'/').count();
    let wanted = if resource.starts_with("accesspoint/") { 2 } else { 1 };
    if slashes < wanted { invalid } else { version_fault(url) }
}

/// Splits a URL as Go's `url.Parse` does; `None` if `url.Parse` refuses it.
pub(super) fn parse(text: &str) -> Option<Url<'_>> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if has_control(text.as_bytes()) {
        return None;
    }
    escapes_are_whole(fragment)?;
    let (scheme, rest) = split_scheme(text)?;
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, query),
        None => (rest, ""),
    };
    let scheme_text = scheme.unwrap_or_default();
    if !rest.starts_with('/') {
        if scheme.is_some() {
            return Some(Url { scheme: scheme_text.to_ascii_lowercase(), opaque: rest, query });
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return None;
        }
    }
    let mut path = rest;
    if (scheme.is_some() || !rest.starts_with("///")) && rest.starts_with("//") {
        let after = rest.strip_prefix("//")?;
        let (authority, below) = after.split_at(after.find('/').unwrap_or(after.len()));
        check_authority(authority)?;
        path = below;
    }
    escapes_are_whole(path)?;
    Some(Url { scheme: scheme_text.to_ascii_lowercase(), opaque: "", query })
}

/// Returns whether a control character of ASCII is in `text`. A `data` URL can be most of a large config.
fn has_control(text: &[u8]) -> bool {
    let is_free = |word: Word| word.below(0x20).or(word.equal(0x7f)).is_none();
    let free = text.chunks_exact(8).take_while(|word| Word::new(word).is_some_and(is_free)).count();
    let rest = text.get(free.saturating_mul(8)..).unwrap_or_default();
    rest.iter().any(u8::is_ascii_control)
}

/// Splits the scheme, if there is one, from the rest. Returns `None` if the text begins with a colon.
fn split_scheme(text: &str) -> Option<(Option<&str>, &str)> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at > 0 => return Some((text.get(..at), text.get(at.saturating_add(1)..)?)),
            b':' => return None,
            _ => break,
        }
    }
    Some((None, text))
}

/// Checks user, host and port: `user@host:80`.
fn check_authority(authority: &str) -> Option<()> {
    let host = match authority.rsplit_once('@') {
        None => authority,
        Some((user, host)) => {
            let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
            if !user.bytes().all(is_valid) {
                return None;
            }
            escapes_are_whole(user)?;
            host
        }
    };
    if host.starts_with('[') {
        let (address, port) = host.rsplit_once(']')?;
        check_port(port)?;
        let Some(zone) = find(address, "%25") else { return check_host(address) };
        let (address, zone) = address.split_at(zone);
        check_host(address)?;
        return check_zone(zone.strip_prefix("%25")?);
    }
    if let Some(colon) = host.rfind(':') {
        check_port(host.get(colon..)?)?;
    }
    check_host(host)
}

/// Checks a port with its colon; it may be empty.
fn check_port(port: &str) -> Option<()> {
    let is_port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(())
}

/// Checks a host. Escapes may stand only for bytes beyond ASCII, and for a percent sign. Characters that would have to
/// be escaped may not stand there.
fn check_host(host: &str) -> Option<()> {
    escapes_are_whole(host)?;
    let mut rest = host.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let is_ascii = after.first().is_some_and(|high| matches!(high, b'0'..=b'7'));
                if is_ascii && !after.starts_with(b"25") {
                    return None;
                }
            }
            0x80.. => {}
            byte if byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(byte) => {}
            _ => return None,
        }
    }
    Some(())
}

/// Checks the zone of an IPv6 address. Escapes may stand for a percent sign, a space and whatever a host may hold.
fn check_zone(zone: &str) -> Option<()> {
    escapes_are_whole(zone)?;
    let mut rest = zone.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, ..]) => {
                let escaped = (hex_value(*high)? << 4) | hex_value(*low)?;
                let stands_for_itself = escaped == b'%' || escaped == b' ' || !must_be_escaped(escaped);
                if !stands_for_itself {
                    return None;
                }
            }
            (byte, _) if *byte < 0x80 && *byte != b'%' && must_be_escaped(*byte) => return None,
            _ => {}
        }
    }
    Some(())
}

/// Returns whether `byte` may not stand in a host or zone without an escape.
fn must_be_escaped(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte))
}

/// Returns the value of a hexadecimal digit.
fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Checks that two hexadecimal digits follow every percent sign.
fn escapes_are_whole(text: &str) -> Option<()> {
    let mut parts = text.split('%');
    parts.next();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    parts.all(|part| is_digit(part.as_bytes().first()) && is_digit(part.as_bytes().get(1))).then_some(())
}

/// Decodes a part of a query; `None` if an escape is broken.
fn query_text(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push((hex_value(*high)? << 4) | hex_value(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_judged_as_go_does() {
        for (text, scheme) in [
            ("", Some("")),
            ("HTTP://a", Some("http")),
            ("http://[::1]:80/x", Some("http")),
            ("http://[fe80::1%25eth0]/", Some("http")),
            ("http://user:p%20w@host/", Some("http")),
            ("data:,a b", Some("data")),
            ("a:b:c", Some("a")),
            ("1a:b", None),
            ("a/b:c", Some("")),
            (":a", None),
            ("http://[::1]a", None),
            ("http://[::1", None),
            ("http://a:b", None),
            ("http://a b/", None),
            ("http://a/%zz", None),
            ("http://a%41/", None),
            ("http://a%c3%a9/", Some("http")),
            ("http://a/#%", None),
            ("http://us er@a/", None),
            ("http://a/\n", None),
        ] {
            assert_eq!(parse(text).map(|url| url.scheme).as_deref(), scheme, "{text:?}");
        }
    }

    #[test]
    fn schemes_have_their_rules() {
        for (text, minor, words) in [
            ("s3://b/k?versionId=", 0, Some("invalid S3 object VersionId")),
            ("s3://b/k?a=b&version%49d=x", 0, None),
            ("gs://b/o", 1, Some("invalid url scheme")),
            ("gs://b/o", 2, None),
            ("arn:aws:s3:::b/k", 3, Some("invalid url scheme")),
            ("arn:aws:s3:::b/k?versionId", 4, Some("invalid S3 object VersionId")),
            ("arn:aws:s3:r:1:accesspoint/a/o", 4, None),
            ("arn:aws:s3:r:1:accesspoint/a", 4, Some("invalid S3 ARN format")),
            ("arn:aws:s3:r:1:bucket", 4, Some("invalid S3 ARN format")),
            ("arn:aws:iam:r:1:a/b", 4, Some("invalid S3 ARN format")),
            ("Arn:", 4, Some("invalid S3 ARN format")),
            ("file:///x", 7, Some("invalid url scheme")),
        ] {
            assert_eq!(fault(text, minor).as_deref(), words, "{text} in 3.{minor}");
        }
    }
}
