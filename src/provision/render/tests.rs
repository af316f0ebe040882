use std::cell::RefCell;

use super::*;
use crate::config::Ignition;
use crate::source::{ByteStream, StreamError, UrlRequest};

/// A config of the newest version that holds `rest`.
fn config(rest: &str) -> String {
    format!(r#"{{"ignition":{{"version":"3.6.0"{rest}}}}}"#)
}

fn data_url(text: &str) -> String {
    text.bytes().fold("data:,".to_owned(), |url, byte| format!("{url}%{byte:02x}"))
}

fn render(text: &str) -> Result<String> {
    let texts = Texts::default();
    let mut renderer = Renderer::new(&texts, &crate::source::NoTransport);
    renderer.render(text.as_bytes()).map(|(config, _)| config.to_json())
}

fn merging(sources: &[&str]) -> String {
    let items: Vec<String> = sources.iter().map(|source| format!(r#"{{"source":"{source}"}}"#)).collect();
    config(&format!(r#","config":{{"merge":[{}]}}"#, items.join(",")))
}

fn with_user(name: &str, uid: u32) -> String {
    format!(r#"{{"ignition":{{"version":"3.0.0"}},"passwd":{{"users":[{{"name":"{name}","uid":{uid}}}]}}}}"#)
}

#[test]
fn references_are_merged_depth_first_in_order() {
    let inner = merging(&[&data_url(&with_user("a", 1)), &data_url(&with_user("b", 2))]);
    let outer = merging(&[&data_url(&inner), &data_url(&with_user("a", 3))]);
    let json = render(&outer).unwrap();
    let users = r#""passwd":{"users":[{"name":"a","uid":3},{"name":"b","uid":2}]}"#;
    assert!(json.contains(users), "{json}");
}

#[test]
fn a_replacement_leaves_nothing_of_its_parent() {
    let text = format!(
        r#"{{"ignition":{{"version":"3.6.0","config":{{"replace":{{"source":"{}"}}}}}},"passwd":{{"users":[{{"name":"gone"}}]}}}}"#,
        data_url(&with_user("a", 1))
    );
    let json = render(&text).unwrap();
    assert!(json.contains(r#""users":[{"name":"a","uid":1}]"#), "{json}");
    assert!(!json.contains("gone") && !json.contains("source"), "{json}");
}

#[test]
fn an_empty_config_adds_nothing() {
    assert_eq!(render("").unwrap(), Config::default().to_json());
    assert!(render(&merging(&["data:,"])).is_ok());
}

#[test]
fn what_needs_the_network_is_refused_by_its_key() {
    let error = render(&merging(&["data:,", "https://token@host/x"])).unwrap_err();
    assert_eq!(error.reason(), Reason::Unsupported);
    assert_eq!(
        error.text(),
        "https://host is not fetched without --fetch, at $.ignition.config.merge.1.source"
    );
}

#[test]
fn faults_of_a_referenced_config_name_its_place() {
    let error = render(&merging(&[&data_url("{")])).unwrap_err();
    assert_eq!(error.reason(), Reason::ConfigSyntax);
    assert!(error.text().starts_with("the config at $.ignition.config.merge.0: "), "{error}");
}

#[test]
fn two_valid_configs_can_make_an_invalid_one() {
    let linked = |key: &str, rest: &str| {
        format!(r#"{{"ignition":{{"version":"3.6.0"}},"storage":{{"{key}":[{{{rest}}}]}}}}"#)
    };
    let link = linked("links", r#""path":"/a","target":"/b""#);
    let below = linked("directories", r#""path":"/a/c""#);
    let error = render(&merging(&[&data_url(&link), &data_url(&below)])).unwrap_err();
    assert_eq!(error.reason(), Reason::ConfigInvalid);
    let words = "merging configs resulted in an invalid config: error at $.storage.directories.0: directory \
                 path includes link in config (write the path that the link leads to)";
    assert_eq!(error.text(), words);
}

#[test]
fn a_scheme_counts_in_any_case() {
    let error = render(&merging(&["HTTPS://host/x"])).unwrap_err();
    assert_eq!(error.reason(), Reason::Unsupported, "{error}");
}

#[test]
fn what_lists_may_hold_is_shared_by_all_configs() {
    let appends = vec!["{}"; 60_000].join(",");
    let child = |path: &str| {
        use base64::Engine as _;
        let text = format!(
            r#"{{"ignition":{{"version":"3.6.0"}},"storage":{{"files":[{{"path":"{path}","append":[{appends}]}}]}}}}"#
        );
        format!("data:;base64,{}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    assert!(render(&merging(&[&child("/a")])).is_ok());
    let error = render(&merging(&[&child("/a"), &child("/b")])).unwrap_err();
    assert!(error.text().contains("more than 100,000 items"), "{error}");
}

#[test]
fn what_messages_quote_of_the_contents_is_told_to_nobody() {
    for text in [
        r#"{"ignition":{"version":"3.6.0"},"systemd":{"units":[{"name":"a.service","contents":"[Service] SECRET"}]}}"#,
        r#"{"ignition":{"version":"3.6.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:;SECRET,"}}]}}"#,
        r#"{"ignition":{"version":"3.6.0"},"storage":{"files":[{"path":"/a","mode":57.3}]}}"#,
    ] {
        let error = render(text).unwrap_err();
        assert!(!error.text().contains("SECRET") && !error.text().contains("57"), "{error}");
        assert!(error.text().contains("line 1 col"), "{error}");
    }
}

#[test]
fn depth_and_number_are_bounded() {
    // Base64 keeps what is inside from growing threefold with every level.
    let nested = |depth: usize| {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        (0..depth).fold(config(""), |text, _| merging(&[&format!("data:;base64,{}", engine.encode(text))]))
    };
    assert!(render(&nested(20)).is_ok());
    let error = render(&nested(MAX_DEPTH)).unwrap_err();
    assert!(error.text().contains("32 deep"), "{error}");
    let many: Vec<String> = (0..=MAX_CONFIGS).map(|number| format!("data:;n={number},")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(render(&merging(&many)).unwrap_err().text().contains("1000 configs"));
}

/// A server that gives the configs of `a_configs_settings_hold_for_what_it_refers_to`, and remembers everything.
#[derive(Debug, Default)]
struct Recording(RefCell<Vec<String>>);

impl Transport for Recording {
    fn open(&self, request: &UrlRequest<'_>) -> Result<Box<dyn ByteStream>> {
        let name = request.url.rsplit('/').next().unwrap();
        self.0.borrow_mut().push(name.to_owned());
        let rest = match name {
            "a" => r#","timeouts":{"httpTotal":2},"config":{"merge":[{"source":"http://h/c"}]}"#,
            "b" => r#","timeouts":{"httpResponseHeaders":9}"#,
            "empty" => return Ok(Box::new(Bytes(Vec::new()))),
            _ => "",
        };
        Ok(Box::new(Bytes(format!(r#"{{"ignition":{{"version":"3.4.0"{rest}}}}}"#).into_bytes())))
    }

    fn adopt(&self, ignition: &Ignition<'_>) -> Result<()> {
        let timeouts = &ignition.timeouts;
        self.0.borrow_mut().push(format!("{:?} {:?}", timeouts.http_total, timeouts.http_response_headers));
        Ok(())
    }
}

struct Bytes(Vec<u8>);

impl ByteStream for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        let count = self.0.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.0.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

fn recorded(references: &str) -> (Result<()>, Vec<String>) {
    let (texts, recording) = (Texts::default(), Recording::default());
    let text = format!(
        r#"{{"ignition":{{"version":"3.4.0","timeouts":{{"httpTotal":1}},"config":{{{references}}}}}}}"#
    );
    let done = Renderer::new(&texts, &recording).render(text.as_bytes()).map(drop);
    (done, recording.0.into_inner())
}

#[test]
fn a_configs_settings_hold_for_what_it_refers_to() {
    let (done, record) = recorded(r#""merge":[{"source":"http://h/a"},{"source":"http://h/b"}]"#);
    assert_eq!(done, Ok(()));
    let expected = [
        "Some(1) None",
        "a",
        // Those of its parent and its own, then those of its child and its own.
        "Some(2) None",
        "c",
        "Some(2) None",
        "b",
        "Some(2) Some(9)",
    ];
    assert_eq!(record, expected);
    // A replacement has its own alone.
    let (done, record) = recorded(r#""replace":{"source":"http://h/d"}"#);
    assert_eq!((done, record), (Ok(()), ["Some(1) None", "d", "None None"].map(str::to_owned).into()));
}

#[test]
fn a_config_that_a_server_gives_without_a_byte_is_refused() {
    for (references, key) in [
        (r#""merge":[{"source":"data:,"},{"source":"http://h/empty"}]"#, "merge.1"),
        (r#""replace":{"source":"http://h/empty"}"#, "replace"),
    ] {
        let error = recorded(references).0.unwrap_err();
        let text = format!("the server sent an empty config, at $.ignition.config.{key}.source");
        assert_eq!((error.reason(), error.text()), (Reason::BadAnswer, text.as_str()));
    }
}
