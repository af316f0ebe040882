//! Tells from a URL's scheme where its bytes are. No other module decides that. Which URLs a config may have is another
//! question, which `validate/url.rs` answers.

/// Where the bytes behind a URL are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme<'u> {
    /// In the URL itself: the scheme is `data`.
    Data,
    /// Elsewhere. The scheme is spelled as in the URL.
    Remote(&'u str),
}

impl<'u> Scheme<'u> {
    /// Returns the scheme of `url` (RFC 3986, section 3.1); `None` if the text has none. The case of `data` does not
    /// count.
    pub fn of(url: &'u str) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !is_scheme {
            return None;
        }
        Some(if scheme.eq_ignore_ascii_case("data") { Self::Data } else { Self::Remote(scheme) })
    }

    /// Returns the scheme of `url` if its bytes are elsewhere; `None` for a `data` URL and for a text without a scheme.
    pub fn remote(url: &'u str) -> Option<&'u str> {
        match Self::of(url)? {
            Self::Data => None,
            Self::Remote(scheme) => Some(scheme),
        }
    }
}

/// Returns scheme, host and port of `url`, and nothing else of it, because the rest can hold secrets: `https://host:8443`.
/// If it is not sure what the host is, returns the scheme alone.
pub fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#', '\\']).next());
    let host = authority.and_then(|authority| authority.rsplit('@').next()).unwrap_or_default();
    // After a host that is no address in brackets, a colon that no port follows is not that of a port: the text could be
    // a user and a password.
    let port = if host.starts_with('[') { "" } else { host.split_once(':').unwrap_or_default().1 };
    let is_host = |byte: u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-._:[]%".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return scheme;
    }
    [&scheme, "://", host].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_told_apart_in_any_case() {
        for (url, scheme) in [
            ("data:,x", Some(Scheme::Data)),
            ("DATA:,x", Some(Scheme::Data)),
            ("https://h/x", Some(Scheme::Remote("https"))),
            ("TFTP://h/x", Some(Scheme::Remote("TFTP"))),
            ("arn:aws:s3:::b/k", Some(Scheme::Remote("arn"))),
            ("foo+1.x-y:z", Some(Scheme::Remote("foo+1.x-y"))),
            ("", None),
            ("/x", None),
            ("x", None),
            ("://x", None),
            ("1http://x", None),
            ("user name:x", None),
        ] {
            assert_eq!(Scheme::of(url), scheme, "{url}");
        }
        assert_eq!(
            (Scheme::remote("s3://b/k"), Scheme::remote("data:,x"), Scheme::remote("x")),
            (Some("s3"), None, None)
        );
    }

    #[test]
    fn an_origin_has_no_secret_in_it() {
        for (url, wanted) in [
            ("https://example.com/secret?secret#secret", "https://example.com"),
            ("HTTP://secret:secret@h.example:8080?secret", "http://h.example:8080"),
            ("https://sec@ret@h/", "https://h"),
            ("http://[fe80::1%25eth0]:80/secret", "http://[fe80::1%25eth0]:80"),
            ("https://user:secret/@h/", "https"),
            ("https://a\\secret", "https://a"),
            ("s3://bucket/secret", "s3://bucket"),
            ("arn:aws:s3:::bucket/secret", "arn"),
            ("http:secret", "http"),
            ("http:///secret", "http"),
            ("http://sec ret/", "http"),
            ("secret", ""),
        ] {
            assert_eq!(origin(url), wanted, "{url}");
        }
    }
}
