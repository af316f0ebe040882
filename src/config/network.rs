//! Decides whether the stages after the fetch need the network.

use super::schema::{Object, Shape, Value as _};
use super::scheme::Scheme;
use super::types::Config;

impl Config<'_> {
    /// Returns whether a stage after the fetch needs the network: for a URL other than `data`, for the keys of a Tang
    /// server without an advertisement, or because a custom Clevis pin sets `needsNetwork`.
    pub fn needs_network(&self) -> bool {
        needed(&self.shape())
    }
}

/// Returns whether the value, or a value below it, needs the network.
fn needed(shape: &Shape<'_, '_>) -> bool {
    match shape {
        Shape::Object(object) => {
            asks(*object) || (0..object.fields().len()).any(|at| needed(&object.field(at)))
        }
        Shape::List(list) => (0..list.count()).any(|at| needed(&list.item(at))),
        Shape::Absent | Shape::Text(_) | Shape::Integer(_) | Shape::Bool(_) => false,
    }
}

/// Returns whether the object's own fields need the network.
fn asks(object: &dyn Object<'_>) -> bool {
    let field = |key: &str| {
        let index = object.fields().iter().position(|field| field.key == key);
        index.map_or(Shape::Absent, |index| object.field(index))
    };
    match object.name() {
        "Resource" => {
            matches!(field("source"), Shape::Text(url) if Scheme::remote(url).is_some())
        }
        "Tang" => !matches!(field("advertisement"), Shape::Text(text) if !text.is_empty()),
        "ClevisCustom" => matches!(field("needsNetwork"), Shape::Bool(true)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Report, parse};

    fn needs(rest: &str) -> bool {
        let text = format!(r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{{rest}}}}}"#);
        parse(text.as_bytes(), &mut Report::default()).unwrap().config.needs_network()
    }

    fn luks(clevis: &str) -> bool {
        needs(&format!(r#""luks":[{{"name":"a","device":"/dev/a","clevis":{{{clevis}}}}}]"#))
    }

    #[test]
    fn urls_other_than_data_need_it() {
        assert!(!needs(""));
        assert!(!needs(r#""files":[{"path":"/a","contents":{"source":"data:,x"}},{"path":"/b"}]"#));
        assert!(!needs(r#""files":[{"path":"/a","contents":{"source":""}}]"#));
        assert!(needs(r#""files":[{"path":"/a"},{"path":"/b","append":[{"source":"https://a/b"}]}]"#));
        assert!(needs(r#""luks":[{"name":"a","device":"/dev/a","keyFile":{"source":"s3://a/b"}}]"#));
    }

    #[test]
    fn clevis_needs_it_for_tang_without_an_advertisement_and_where_it_says_so() {
        let tang = r#"{"url":"http://a","thumbprint":"x""#;
        assert!(luks(&format!(r#""tang":[{tang}}}]"#)));
        assert!(luks(&format!(r#""tang":[{tang},"advertisement":""}}]"#)));
        assert!(!luks(&format!(r#""tang":[{tang},"advertisement":"{{\"payload\":\"\"}}"}}]"#)));
        assert!(luks(r#""custom":{"pin":"tang","config":"{}","needsNetwork":true}"#));
        assert!(!luks(r#""custom":{"pin":"tpm2","config":"{}"}"#));
    }
}
