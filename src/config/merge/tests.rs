use std::collections::BTreeSet;

use super::*;
use crate::config::{Config, Report, parse, validate_merged};

/// A generator of random numbers with a fixed seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Returns different numbers below `limit`, in random order.
    fn some(&mut self, limit: u64) -> Vec<u64> {
        let mut numbers: Vec<u64> = (0..limit).filter(|_| self.below(2) == 0).collect();
        for index in (1..numbers.len()).rev() {
            let other = usize::try_from(self.below(index as u64 + 1)).unwrap();
            numbers.swap(index, other);
        }
        numbers
    }

    fn list(&mut self, limit: u64, item: impl Fn(&mut Self, u64) -> String) -> String {
        let items: Vec<String> = self.some(limit).into_iter().map(|number| item(self, number)).collect();
        format!("[{}]", items.join(","))
    }
}

/// Returns the text of a config with entries of every kind, whose paths and names are few, so that they often meet.
fn config(random: &mut Random) -> String {
    let paths = random.some(9);
    let nodes = |kind: u64, rest: &str, random: &mut Random| {
        let of_kind = paths.iter().filter(|path| **path % 3 == kind);
        let nodes: Vec<String> = of_kind
            .map(|path| {
                let mode = match (kind, random.below(2)) {
                    (2, _) | (_, 0) => String::new(),
                    _ => format!(r#","mode":{}"#, random.below(0o777)),
                };
                format!(r#"{{"path":"/p{}"{mode}{rest}}}"#, path / 2)
            })
            .collect();
        // Two numbers can make the same path. Such a text is invalid.
        nodes.join(",")
    };
    let rotation = random.below(3);
    let append = format!(r#","append":[{{"source":"data:,{}"}}]"#, random.below(9));
    let files = nodes(rotation, &append, random);
    let directories = nodes((rotation + 1) % 3, "", random);
    let links = nodes((rotation + 2) % 3, r#","target":"/t""#, random);
    let users = random.list(4, |random, user| {
        let uid = if random.below(2) == 0 { String::new() } else { format!(r#","uid":{}"#, random.below(9)) };
        let keys = random.list(3, |_, key| format!(r#""key{key}""#));
        format!(r#"{{"name":"u{user}"{uid},"sshAuthorizedKeys":{keys}}}"#)
    });
    let units = random.list(4, |random, unit| {
        let dropins = random.list(3, |_, dropin| format!(r#"{{"name":"d{dropin}.conf"}}"#));
        format!(r#"{{"name":"u{unit}.service","enabled":{},"dropins":{dropins}}}"#, random.below(2) == 0)
    });
    let headers = random.list(3, |random, header| {
        let value =
            if random.below(3) == 0 { "null".to_owned() } else { format!(r#""v{}""#, random.below(9)) };
        format!(r#"{{"name":"h{header}","value":{value}}}"#)
    });
    let arguments = random.some(6);
    let (wanted, unwanted): (Vec<u64>, Vec<u64>) =
        arguments.iter().partition(|argument| **argument % 2 == rotation % 2);
    let quoted =
        |arguments: &[u64]| arguments.iter().map(|a| format!(r#""a{a}""#)).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"ignition":{{"version":"3.6.0","config":{{"merge":[{{"source":"http://h/","httpHeaders":{headers}}}]}}}},
        "kernelArguments":{{"shouldExist":[{}],"shouldNotExist":[{}]}},"passwd":{{"users":{users}}},
        "storage":{{"files":[{files}],"directories":[{directories}],"links":[{links}]}},"systemd":{{"units":{units}}}}}"#,
        quoted(&wanted),
        quoted(&unwanted),
    )
}

/// Returns valid configs. Their texts are leaked, so that they live as long as the test.
fn configs(count: u64) -> Vec<Config<'static>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut configs = Vec::new();
    while configs.len() < usize::try_from(count).unwrap() {
        let text: &'static str = Box::leak(config(&mut random).into_boxed_str());
        // A text with a path twice is invalid. Such texts are left out, because only valid configs are merged.
        if let Ok(parsed) = parse(text.as_bytes(), &mut Report::default()) {
            configs.push(parsed.config);
        }
    }
    configs
}

fn merged(parent: &Config<'static>, child: &Config<'static>) -> Config<'static> {
    let mut merged = parent.clone();
    merged.merge_with(child.clone());
    merged
}

fn keys_of(list: &dyn List<'_>) -> Vec<String> {
    (0..list.count()).map(|index| list.item(index).key().into_owned()).collect()
}

/// Returns the keys that a merged list must have: the parent's without those in `gone`, then those that only the child
/// has.
fn expected_keys(parent: &dyn List<'_>, child: &dyn List<'_>, gone: &BTreeSet<String>) -> Vec<String> {
    let own: Vec<String> = keys_of(parent).into_iter().filter(|key| !gone.contains(key)).collect();
    let new = keys_of(child).into_iter().filter(|key| !own.contains(key));
    own.iter().cloned().chain(new).collect()
}

#[test]
fn merging_with_an_empty_config_changes_nothing() {
    for config in configs(200) {
        assert_eq!(merged(&Config::default(), &config).to_json(), config.to_json());
        assert_eq!(merged(&config, &Config::default()).to_json(), config.to_json());
    }
}

#[test]
fn lists_keep_the_parent_s_order_and_then_the_child_s() {
    let configs = configs(200);
    for pair in configs.windows(2) {
        let (parent, child) = (&pair[0], &pair[1]);
        let both = merged(parent, child);
        let none = BTreeSet::new();
        let (users, units) = (&both.passwd.users, &both.systemd.units);
        assert_eq!(keys_of(users), expected_keys(&parent.passwd.users, &child.passwd.users, &none));
        assert_eq!(keys_of(units), expected_keys(&parent.systemd.units, &child.systemd.units, &none));
        let gone: BTreeSet<String> =
            keys_of(&child.storage.links).into_iter().chain(keys_of(&child.storage.directories)).collect();
        assert_eq!(
            keys_of(&both.storage.files),
            expected_keys(&parent.storage.files, &child.storage.files, &gone)
        );
        let gone: BTreeSet<String> = keys_of(&child.kernel_arguments.should_not_exist).into_iter().collect();
        assert_eq!(
            keys_of(&both.kernel_arguments.should_exist),
            expected_keys(&parent.kernel_arguments.should_exist, &child.kernel_arguments.should_exist, &gone)
        );
    }
}

#[test]
fn the_child_has_the_last_word_and_the_parent_what_it_leaves_open() {
    let configs = configs(200);
    for pair in configs.windows(2) {
        let (parent, child) = (&pair[0], &pair[1]);
        let both = merged(parent, child);
        for user in &both.passwd.users {
            let of = |config: &Config<'static>| {
                let found = config.passwd.users.iter().find(|other| other.name == user.name);
                found.and_then(|user| user.uid)
            };
            assert_eq!(user.uid, of(child).or(of(parent)));
        }
        for file in &both.storage.files {
            let of = |config: &Config<'static>| {
                config.storage.files.iter().find(|other| other.path == file.path).cloned().unwrap_or_default()
            };
            let (own, new) = (of(parent), of(child));
            assert_eq!(file.mode, new.mode.or(own.mode));
            // Everything in append is kept, the parent's first.
            assert_eq!(file.append, [own.append, new.append].concat());
        }
    }
}

#[test]
fn valid_configs_merge_into_a_valid_one_here() {
    let configs = configs(200);
    for pair in configs.windows(2) {
        assert_eq!(validate_merged(&merged(&pair[0], &pair[1])), Ok(()));
    }
}

#[test]
fn a_header_without_a_value_takes_the_parent_s_away() {
    let with = |headers: &str| -> Config<'static> {
        let text = format!(
            r#"{{"ignition":{{"version":"3.1.0"}},"storage":{{"files":[{{"path":"/a","contents":{{"source":"http://a/","httpHeaders":[{headers}]}}}}]}}}}"#
        );
        parse(Box::leak(text.into_boxed_str()).as_bytes(), &mut Report::default()).unwrap().config
    };
    let parent = with(r#"{"name":"a","value":"1"},{"name":"b","value":"2"}"#);
    let child = with(r#"{"name":"c"},{"name":"a"},{"name":"b","value":"3"}"#);
    let both = merged(&parent, &child);
    let headers: Vec<_> = both.storage.files[0]
        .contents
        .http_headers
        .iter()
        .map(|header| (header.name.as_ref(), header.value.as_deref()))
        .collect();
    assert_eq!(headers, [("b", Some("3")), ("c", None)]);
}
