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
}
