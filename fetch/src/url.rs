//! URLs with a host (RFC 3986), as far as fetching needs them.

use std::net::IpAddr;

use crate::percent;

/// What is wrong with a URL, in words that have no part of it.
pub type Words = &'static str;

/// A URL whose scheme is followed by `//` and a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The scheme in lower case: `https`.
    pub scheme: String,
    /// User and password as `user:password`, decoded. `None` if the URL names no user.
    pub user: Option<String>,
    /// The host in lower case: a name in ASCII, an IPv4 address, or an IPv6 address without brackets, which may have a
    /// zone (`fe80::1%eth0`).
    pub host: String,
    /// The port, if the URL names one.
    pub port: Option<u16>,
    /// Path and query as they are sent: `/a?b=c`. The path is at least `/`.
    pub target: String,
}

impl Url {
    /// Parses an absolute URL. Characters that a URL cannot have are encoded in path and query, and a name that is not ASCII
    /// is (RFC 3492). The fragment is dropped.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn parse(text: &str) -> Result<Self, Words> {
        let (scheme, rest) = split_scheme(text).ok_or("the URL has no scheme")?;
        let rest = rest.strip_prefix("//").ok_or("the URL names no host")?;
        let mut url = Self {
            scheme: scheme.to_ascii_lowercase(),
            user: None,
            host: String::new(),
            port: None,
            target: String::new(),
        };
        url.set_authority_and_rest(rest)?;
        Ok(url)
    }

    /// Returns the URL to which `reference` leads from this one (RFC 3986, section 5.2).
    ///
    /// # Errors
    /// What is wrong with the reference.
    pub fn join(&self, reference: &str) -> Result<Self, Words> {
        if split_scheme(reference).is_some() {
            return Self::parse(reference);
        }
        let mut url = self.clone();
        if let Some(rest) = reference.strip_prefix("//") {
            url.user = None;
            url.set_authority_and_rest(rest)?;
            return Ok(url);
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let (path, query) = split_query(reference);
        let (base_path, base_query) = split_query(&self.target);
        let (path, query) = match path {
            "" if query.is_empty() => (base_path.to_owned(), base_query),
            "" => (base_path.to_owned(), query),
            path if path.starts_with('/') => (path.to_owned(), query),
            path => {
                let directory = base_path.rsplit_once('/').map_or("", |(directory, _)| directory);
                ([directory, "/", path].concat(), query)
            }
        };
        url.target = encode(&[&without_dots(&path), query].concat())?;
        Ok(url)
    }

    /// Returns the port, or the usual one of the scheme.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(match self.scheme.as_str() {
            "https" => 443,
            "tftp" => 69,
            _ => 80,
        })
    }

    /// Returns host and port as the field `Host` has them: IPv6 in brackets and without its zone, no usual port.
    pub fn authority(&self) -> String {
        let host = self.host_without_zone();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self.port {
            Some(port) if port != (Self { port: None, ..self.clone() }).port_or_default() => {
                format!("{host}:{port}")
            }
            _ => host,
        }
    }

    /// Returns the host without the zone of an IPv6 address.
    pub fn host_without_zone(&self) -> &str {
        self.host.split('%').next().unwrap_or_default()
    }

    /// Returns the address if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host_without_zone().parse().ok()
    }

    /// Returns what messages may show: scheme, host and port.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    /// Takes what follows `//`.
    fn set_authority_and_rest(&mut self, rest: &str) -> Result<(), Words> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        self.user = user.map(|user| decode(user).ok_or("the user in the URL is malformed")).transpose()?;
        let (host, port) = split_port(place)?;
        self.host = host;
        self.port = port;
        let rest = rest.split('#').next().unwrap_or_default();
        let slash = if rest.starts_with('/') { "" } else { "/" };
        self.target = encode(&[slash, rest].concat())?;
        Ok(())
    }
}

/// Splits a scheme and its colon off. `None` for a relative reference.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

/// Splits a target before its `?`.
fn split_query(target: &str) -> (&str, &str) {
    target.find('?').and_then(|at| target.split_at_checked(at)).unwrap_or((target, ""))
}

/// Splits host and port, and checks both.
fn split_port(place: &str) -> Result<(String, Option<u16>), Words> {
    const BAD_HOST: Words = "the host in the URL is malformed";
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (inner, port) = rest.split_once(']').ok_or(BAD_HOST)?;
        let host = decode(inner).ok_or(BAD_HOST)?.to_ascii_lowercase();
        let (address, zone) = host.split_once('%').map_or((&*host, None), |(a, zone)| (a, Some(zone)));
        let is_zone = |zone: &str| {
            !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() || !zone.is_none_or(is_zone) {
            return Err(BAD_HOST);
        }
        // The name of an interface has capital letters as well.
        let zone = decode(inner).and_then(|inner| inner.split_once('%').map(|(_, zone)| zone.to_owned()));
        (zone.map_or_else(|| address.to_owned(), |zone| format!("{address}%{zone}")), port)
    } else {
        let at = place.find(':').unwrap_or(place.len());
        let (host, port) = place.split_at_checked(at).ok_or(BAD_HOST)?;
        let host = to_ascii(&decode(host).ok_or(BAD_HOST)?).ok_or(BAD_HOST)?;
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(is_good) {
            return Err(BAD_HOST);
        }
        (host, port)
    };
    let port = match port {
        "" | ":" => None,
        port => {
            let digits = port.strip_prefix(':').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number != 0);
            Some(number.ok_or("the port in the URL is not a number from 1 to 65535")?)
        }
    };
    Ok((host, port))
}

/// Undoes percent-encoding. `None` if it is malformed or not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    percent::decode(text).and_then(|bytes| String::from_utf8(bytes).ok())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Encodes what a path and a query cannot have. An encoding that is there stays as it is. In a query, `%` may stand alone, as
/// with the reference.
fn encode(target: &str) -> Result<String, Words> {
    let mut encoded = String::with_capacity(target.len());
    let mut rest = target.bytes();
    let mut is_query = false;
    while let Some(byte) = rest.next() {
        is_query |= byte == b'?';
        match byte {
            b'%' if is_query => encoded.push('%'),
            b'%' => {
                let digits = rest.next().zip(rest.next());
                let Some((high, low)) = digits.filter(|(a, b)| hex(*a).is_some() && hex(*b).is_some()) else {
                    return Err("the URL has a malformed percent-encoding");
                };
                encoded.extend(['%', char::from(high), char::from(low)]);
            }
            ..=0x1f | 0x7f => return Err("the URL has a control character"),
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.extend(escape(byte)),
        }
    }
    Ok(encoded)
}

/// Returns the percent-encoding of a byte.
fn escape(byte: u8) -> [char; 3] {
    let digit = |value| char::from_digit(u32::from(value), 16).unwrap_or_default().to_ascii_uppercase();
    ['%', digit(byte >> 4), digit(byte & 15)]
}

/// Removes the segments `.` and `..` of an absolute path (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_dots = segment == "." || segment == "..";
        if segment == ".." {
            kept.pop();
        }
        if !is_dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    ["/", &kept.join("/")].concat()
}

/// Returns the host name in lower-case ASCII. Each label that is not ASCII becomes `xn--` and its Punycode. Letters are
/// made lower case, but not composed (no normalization form C).
fn to_ascii(host: &str) -> Option<String> {
    let labels = host.split(['.', '\u{3002}']).map(|label| {
        let label = label.to_lowercase();
        if label.is_ascii() { Some(label) } else { punycode(&label).map(|code| ["xn--", &code].concat()) }
    });
    labels.collect::<Option<Vec<String>>>().map(|labels| labels.join("."))
}

/// Encodes a label (RFC 3492, section 6.3). `None` for a label that is too long for a host name.
fn punycode(label: &str) -> Option<String> {
    const MOST: usize = 63;
    let input: Vec<u32> = label.chars().map(u32::from).collect();
    if input.len() > MOST {
        return None;
    }
    let mut output: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(output.len()).ok()?;
    if basic > 0 {
        output.push('-');
    }
    let length = u32::try_from(input.len()).ok()?;
    let (mut code, mut delta, mut bias, mut handled) = (128_u32, 0_u32, 72_u32, basic);
    while handled < length {
        let next = input.iter().copied().filter(|point| *point >= code).min()?;
        let skipped = next.checked_sub(code)?.checked_mul(handled.checked_add(1)?)?;
        delta = delta.checked_add(skipped)?;
        code = next;
        for point in &input {
            if *point < code {
                delta = delta.checked_add(1)?;
            }
            if *point == code {
                push_number(&mut output, delta, bias)?;
                bias = adapt(delta, handled.checked_add(1)?, handled == basic)?;
                delta = 0;
                handled = handled.checked_add(1)?;
            }
        }
        delta = delta.checked_add(1)?;
        code = code.checked_add(1)?;
    }
    (output.len() <= MOST).then_some(output)
}

/// Appends a number in digits of variable weight (RFC 3492, section 3.3).
fn push_number(output: &mut String, mut number: u32, bias: u32) -> Option<()> {
    let mut position = 36_u32;
    loop {
        let threshold = position.saturating_sub(bias).clamp(1, 26);
        let is_last = number < threshold;
        let digit = if is_last {
            number
        } else {
            let base = 36_u32.checked_sub(threshold)?;
            let over = number.checked_sub(threshold)?;
            number = over.checked_div(base)?;
            threshold.checked_add(over.checked_rem(base)?)?
        };
        // The digits are a to z, then 0 to 9.
        output.push(char::from_digit(
            if digit < 26 { digit.checked_add(10)? } else { digit.checked_sub(26)? },
            36,
        )?);
        if is_last {
            return Some(());
        }
        position = position.checked_add(36)?;
    }
}

/// Returns the next bias (RFC 3492, section 6.1).
fn adapt(delta: u32, count: u32, is_first: bool) -> Option<u32> {
    let mut delta = if is_first { delta / 700 } else { delta / 2 };
    delta = delta.checked_add(delta.checked_div(count)?)?;
    let mut steps = 0_u32;
    while delta > 455 {
        delta /= 35;
        steps = steps.checked_add(36)?;
    }
    let part = delta.checked_mul(36)?.checked_div(delta.checked_add(38)?)?;
    steps.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url() {
        let url = Url::parse("HTTPS://us%40er:p:w@Example.COM:8443/a b/\u{e4}?x=\"1\"&y=%2f#part").unwrap();
        assert_eq!(url.scheme, "https");
        assert_eq!(url.user.as_deref(), Some("us@er:p:w"));
        assert_eq!((url.host.as_str(), url.port), ("example.com", Some(8443)));
        assert_eq!(url.target, "/a%20b/%C3%A4?x=%221%22&y=%2f");
        assert_eq!(
            (url.authority().as_str(), url.shown().as_str()),
            ("example.com:8443", "https://example.com:8443")
        );
        let url = Url::parse("http://h?q").unwrap();
        assert_eq!((url.target.as_str(), url.port_or_default(), url.authority().as_str()), ("/?q", 80, "h"));
        assert_eq!(Url::parse("https://h:443/").unwrap().authority(), "h");
        assert_eq!(Url::parse("http://h:/").unwrap().port, None);
        let url = Url::parse("http://[FE80::1%25Eth0]:81/").unwrap();
        assert_eq!((url.host.as_str(), url.authority().as_str()), ("fe80::1%Eth0", "[fe80::1]:81"));
        assert_eq!(url.address(), Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn what_is_not_a_url_is_refused() {
        for text in [
            "",
            "x",
            "//h/",
            "http:/h",
            "http:h",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:65536/",
            "http://h:+1/",
            "http://h:x/",
            "http://[::1/",
            "http://[::1]x/",
            "http://[127.0.0.1]/",
            "http://[::1%25]/",
            "http://[::1%25a/b]/",
            "http://a b/",
            "http://a%00/",
            "http://h/%zz",
            "http://h/%4",
            "http://h/\r\nX: y",
            "http://h/\0",
            "1http://h/",
            "http://a%0d%0ab/",
            "http://h\\x/",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}: {:?}", Url::parse(text));
        }
    }

    /// The examples of RFC 3986, section 5.4.
    #[test]
    fn references_are_resolved() {
        let base = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (reference, target) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
        ] {
            assert_eq!(base.join(reference).unwrap().target, target, "{reference}");
        }
        let other = base.join("//u@g:8/x").unwrap();
        assert_eq!(
            (other.shown().as_str(), other.target.as_str(), other.user.as_deref()),
            ("http://g:8", "/x", Some("u"))
        );
        assert_eq!(base.join("https://g/").unwrap().shown(), "https://g");
        // The user stays for the same server, and is not that of another.
        let user = |reference| Url::parse("http://u:p@a/").unwrap().join(reference).unwrap().user;
        assert_eq!((user("x").as_deref(), user("/x").as_deref()), (Some("u:p"), Some("u:p")));
        assert_eq!((user("//b/x"), user("http://a/x")), (None, None));
    }

    #[test]
    fn names_become_ascii() {
        for (name, ascii) in [
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("M\u{dc}NCHEN", "xn--mnchen-3ya"),
            (
                "\u{4ed6}\u{4eec}\u{4e3a}\u{4ec0}\u{4e48}\u{4e0d}\u{8bf4}\u{4e2d}\u{6587}",
                "xn--ihqwcrb4cv8a8dqg056pqjye",
            ),
            ("b%C3%BCcher", "xn--bcher-kva"),
        ] {
            assert_eq!(Url::parse(&format!("http://{name}/")).unwrap().host, ascii);
        }
        assert!(Url::parse(&format!("http://{}/", "\u{fc}".repeat(100))).is_err());
    }
}
