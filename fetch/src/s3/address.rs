//! Where an object lies: what the URL says, and the hosts of AWS that follow from it.

use crate::percent::{self, Keep};

/// The region of AWS's oldest buckets, which is asked when nothing says another one.
const OLDEST: &str = "us-east-1";

/// An object of S3.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    place: Place,
    key: Vec<u8>,
    /// The version; `None` for the newest.
    version: Option<Vec<u8>>,
    /// The region to ask for the bucket's own, if the URL's partition decides it.
    hint: Option<&'static str>,
}

/// What holds the object.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Bucket(String),
    AccessPoint { name: String, account: String, region: String },
}

impl Object {
    /// Parses a URL of the scheme `s3` or `arn`.
    ///
    /// # Errors
    /// What is wrong with the URL, without any part of it.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = url.split_once(':').ok_or("it is not a URL")?;
        let mut object = match scheme.to_ascii_lowercase().as_str() {
            "s3" => Self::of_s3(rest)?,
            "arn" => Self::of_arn(rest)?,
            _ => return Err("it is not a URL of S3"),
        };
        if object.key.is_empty() {
            return Err("it has no key of an object");
        }
        object.version = version(query)?;
        Ok(object)
    }

    /// Parses `//BUCKET/KEY`, whose key is percent-encoded.
    fn of_s3(rest: &str) -> Result<Self, &'static str> {
        let (bucket, key) = rest
            .strip_prefix("//")
            .and_then(|rest| rest.split_once('/'))
            .ok_or("it has no key of an object")?;
        let key = percent::decode(key.trim_start_matches('/'))
            .ok_or("it has a % without two hexadecimal digits")?;
        Ok(Self { place: Place::Bucket(name(bucket)?), key, version: None, hint: None })
    }

    /// Parses `PARTITION:s3:::BUCKET/KEY` or `PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY`. Nothing in it
    /// is encoded.
    fn of_arn(rest: &str) -> Result<Self, &'static str> {
        const BROKEN: &str = "it is not an ARN of an object";
        let mut parts = rest.splitn(5, ':');
        let (partition, service) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let resource = parts.next().ok_or(BROKEN)?;
        if service != "s3" {
            return Err("it is an ARN of another service than S3");
        }
        let (place, key) = if let Some(resource) = resource.strip_prefix("accesspoint/") {
            let (point, rest) = resource.split_once('/').ok_or(BROKEN)?;
            let key = rest.strip_prefix("object/").ok_or(BROKEN)?;
            if !is_region(region) {
                return Err("it has no region, which an access point needs");
            }
            if !is_label(point) || !is_account(account) {
                return Err("it does not name an access point");
            }
            (Place::AccessPoint { name: point.into(), account: account.into(), region: region.into() }, key)
        } else {
            let (bucket, key) = resource.split_once('/').ok_or(BROKEN)?;
            (Place::Bucket(name(bucket)?), key)
        };
        let hint = match partition {
            "aws" => Some(OLDEST),
            "aws-cn" => Some("cn-north-1"),
            "aws-us-gov" => Some("us-gov-west-1"),
            _ => None,
        };
        Ok(Self { place, key: key.into(), version: None, hint })
    }

    /// Returns the region of the object if the URL names it.
    pub(super) fn region(&self) -> Option<&str> {
        match &self.place {
            Place::Bucket(_) => None,
            Place::AccessPoint { region, .. } => Some(region),
        }
    }

    /// Returns the region to ask for the bucket's own. `machine` is the region of the machine.
    pub(super) fn hint<'a>(&self, machine: Option<&'a str>) -> &'a str {
        self.hint.or(machine).unwrap_or(OLDEST)
    }

    /// Returns the URL of the object in `region`. `endpoint` replaces the scheme and host of AWS.
    pub(super) fn url(&self, region: &str, endpoint: Option<&str>) -> String {
        let (holder, service) = match &self.place {
            Place::Bucket(bucket) => (bucket.clone(), "s3"),
            Place::AccessPoint { name, account, .. } => ([name, "-", account].concat(), "s3-accesspoint"),
        };
        // A certificate for `*.s3.dualstack.REGION.amazonaws.com` does not hold for a name with a dot.
        let host = [service, ".dualstack.", region, ".", domain(region)].concat();
        let mut url = reach(&holder, &host, endpoint);
        url.push('/');
        url.push_str(&percent::encode(&self.key, Keep::Slash));
        if let Some(version) = &self.version {
            url.push_str("?versionId=");
            url.push_str(&percent::encode(version, Keep::Nothing));
        }
        url
    }

    /// Returns the URL that tells, when it is asked in the region `hint`, the region of the bucket. `None` for an
    /// access point. `endpoint` is as for [`Object::url`].
    pub(super) fn bucket_url(&self, hint: &str, endpoint: Option<&str>) -> Option<String> {
        let Place::Bucket(bucket) = &self.place else {
            return None;
        };
        let host = ["s3.", hint, ".", domain(hint)].concat();
        Some(reach(bucket, &host, endpoint))
    }
}

/// Returns the URL of a bucket or access point, without a slash at the end: a host of its own below `host` where
/// possible, else a path.
fn reach(holder: &str, host: &str, endpoint: Option<&str>) -> String {
    match endpoint {
        Some(endpoint) => [endpoint.trim_end_matches('/'), "/", holder].concat(),
        None if is_label(holder) => ["https://", holder, ".", host].concat(),
        None => ["https://", host, "/", holder].concat(),
    }
}

/// Returns the domain of all hosts of a region.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Returns whether `text` can be the name of a region. What a server says of a region becomes a part of the next host's
/// name.
pub(super) fn is_region(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len())
        && text.bytes().all(is_valid)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_account(text: &str) -> bool {
    (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a bucket or access point can be one label of a host's name (RFC 1123).
fn is_label(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_valid)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Checks the name of a bucket. Old buckets may have capitals, underscores and up to 255 characters.
fn name(bucket: &str) -> Result<String, &'static str> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = (1..=255).contains(&bucket.len())
        && bucket.bytes().all(is_valid)
        && bucket.trim_matches('.') == bucket;
    if is_name { Ok(bucket.to_owned()) } else { Err("it does not name a bucket") }
}

/// Returns the version that a query names.
fn version(query: &str) -> Result<Option<Vec<u8>>, &'static str> {
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent::decode(key).is_some_and(|key| key == b"versionId") {
            // In a query a plus stands for a space.
            let value = percent::decode(&value.replace('+', "%20")).filter(|value| !value.is_empty());
            return value.map(Some).ok_or("its versionId is empty or malformed");
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str, region: &str) -> String {
        Object::parse(text).unwrap().url(region, None)
    }

    #[test]
    fn objects_have_the_hosts_of_aws() {
        for (text, region, expected) in [
            ("s3://bucket/k", "us-east-1", "https://bucket.s3.dualstack.us-east-1.amazonaws.com/k"),
            (
                "S3://bucket//a/b",
                "eu-central-1",
                "https://bucket.s3.dualstack.eu-central-1.amazonaws.com/a/b",
            ),
            ("s3://my.bucket/k", "eu-west-1", "https://s3.dualstack.eu-west-1.amazonaws.com/my.bucket/k"),
            ("s3://My_bucket/k", "us-east-1", "https://s3.dualstack.us-east-1.amazonaws.com/My_bucket/k"),
            ("s3://b/a%20b%2fc+%C3%A4", "r", "https://b.s3.dualstack.r.amazonaws.com/a%20b/c%2B%C3%A4"),
            ("s3://b/k#f?versionId=x", "r", "https://b.s3.dualstack.r.amazonaws.com/k"),
            (
                "s3://b/k?x=1&versionId=a/b%2b#f",
                "r",
                "https://b.s3.dualstack.r.amazonaws.com/k?versionId=a%2Fb%2B",
            ),
            ("s3://b/k", "cn-north-1", "https://b.s3.dualstack.cn-north-1.amazonaws.com.cn/k"),
            (
                "arn:aws-us-gov:s3:::b/k",
                "us-gov-west-1",
                "https://b.s3.dualstack.us-gov-west-1.amazonaws.com/k",
            ),
            ("arn:aws:s3:::b/a%20b/c:d", "r", "https://b.s3.dualstack.r.amazonaws.com/a%2520b/c%3Ad"),
            (
                "arn:aws:s3:eu-west-1:123456789012:accesspoint/point/object/a/b?versionId=v",
                "eu-west-1",
                "https://point-123456789012.s3-accesspoint.dualstack.eu-west-1.amazonaws.com/a/b?versionId=v",
            ),
        ] {
            assert_eq!(url(text, region), expected, "{text}");
        }
    }

    #[test]
    fn an_endpoint_replaces_the_host() {
        let object = Object::parse("s3://bucket/k").unwrap();
        assert_eq!(object.url("r", Some("http://127.0.0.1:9/")), "http://127.0.0.1:9/bucket/k");
        assert_eq!(object.bucket_url("r", Some("http://127.0.0.1:9")).unwrap(), "http://127.0.0.1:9/bucket");
    }

    #[test]
    fn the_region_is_asked_where_the_url_says() {
        let asked = |text: &str, machine| {
            let object = Object::parse(text).unwrap();
            let hint = object.hint(machine);
            object.bucket_url(hint, None).unwrap()
        };
        assert_eq!(asked("s3://bucket/k", None), "https://bucket.s3.us-east-1.amazonaws.com");
        assert_eq!(asked("s3://bucket/k", Some("eu-west-1")), "https://bucket.s3.eu-west-1.amazonaws.com");
        assert_eq!(asked("s3://a.b/k", Some("cn-north-1")), "https://s3.cn-north-1.amazonaws.com.cn/a.b");
        assert_eq!(
            asked("arn:aws-cn:s3:::bucket/k", Some("eu-west-1")),
            "https://bucket.s3.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(
            asked("arn:aws-us-gov:s3:::bucket/k", None),
            "https://bucket.s3.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(asked("arn:aws-iso:s3:::bucket/k", None), "https://bucket.s3.us-east-1.amazonaws.com");
        let point = Object::parse("arn:aws:s3:eu-west-1:1:accesspoint/p/object/k").unwrap();
        assert_eq!((point.region(), point.bucket_url("r", None)), (Some("eu-west-1"), None));
    }

    #[test]
    fn urls_that_name_no_object() {
        let long = format!("s3://{}/k", "b".repeat(256));
        for text in [
            "s3",
            "s3:bucket/k",
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket//",
            "s3:///k",
            "s3://user@bucket/k",
            "s3://bucket:80/k",
            "s3://../k",
            "s3://b%2fc/k",
            "s3://bucket/%",
            "s3://bucket/k?versionId=",
            "s3://bucket/k?versionId=%",
            "arn:aws:s3:::bucket",
            "arn:aws:s3:::bucket/",
            "arn:aws:s3:bucket/k",
            "arn:aws:sqs:::bucket/k",
            "arn:aws:s3::1:accesspoint/p/object/k",
            "arn:aws:s3:evil.example/:1:accesspoint/p/object/k",
            "arn:aws:s3:r:x:accesspoint/p/object/k",
            "arn:aws:s3:r:1:accesspoint/p.q/object/k",
            "arn:aws:s3:r:1:accesspoint/p/k",
            "arn:aws:s3:r:1:accesspoint/p/object/",
            "https://bucket/k",
            &long,
        ] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_region_cannot_be_another_host() {
        assert!(is_region("eu-central-1"));
        for text in ["", "-", "a.b", "a/b", "A", "a-", "evil.example#", &"a".repeat(33)] {
            assert!(!is_region(text), "{text}");
        }
    }
}
