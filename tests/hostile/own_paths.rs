//! Entries of a config at paths that the program needs for itself. They must be refused before anything is written.

use crate::roots::{outcome, root};
use crate::sandbox::Sandbox;

const STAMP: &str = "/etc/.ignition-result.json";

#[test]
fn entries_at_own_paths_are_refused_in_the_plan() {
    let sandbox = Sandbox::with_devices();
    sandbox.make_root(&root());
    let storage = |rest: &str| format!(r#"{{"ignition":{{"version":"3.5.0"}},"storage":{{{rest}}}}}"#);
    let entry = |list: &str, entry: &str| storage(&format!(r#""{list}":[{{"path":"/opt/x"}},{{{entry}}}]"#));
    let mut configs = Vec::new();
    for path in
        [STAMP, "/etc/.ignition-result.json/x", "/.glowplug", "/.glowplug/config", "/srv/.glowplug/0/0"]
    {
        for overwrite in ["", r#","overwrite":true"#] {
            let contents = if overwrite.is_empty() { "" } else { r#","contents":{"source":"data:,x"}"# };
            let file = format!(r#""path":"{path}"{overwrite}{contents}"#);
            configs.push(("$.storage.files.1: ", entry("files", &file)));
            configs.push((
                "$.storage.directories.1: ",
                entry("directories", &format!(r#""path":"{path}"{overwrite}"#)),
            ));
            for hard in ["", r#","hard":true"#] {
                let link = format!(r#""path":"{path}","target":"/etc/motd"{overwrite}{hard}"#);
                configs.push(("$.storage.links.0: ", storage(&format!(r#""links":[{{{link}}}]"#))));
            }
        }
    }
    let file = r#""path":"/etc","overwrite":true,"contents":{"source":"data:,x"}"#;
    configs.push(("$.storage.files.1: ", entry("files", file)));
    for target in ["/srv", "usr", "/nowhere"] {
        let link = format!(r#""links":[{{"path":"/etc","overwrite":true,"target":"{target}"}}]"#);
        configs.push(("$.storage.links.0: ", storage(&link)));
    }
    for home in ["/.glowplug", "/.glowplug/home", STAMP, "/etc/.ignition-result.json/home"] {
        configs.push((
            "",
            format!(r#"{{"ignition":{{"version":"3.5.0"}},"passwd":{{"users":[{{"name":"core","homeDir":"{home}"}}]}}}}"#),
        ));
    }
    let mut problems = Vec::new();
    for (place, config) in configs {
        match outcome(&sandbox, &config) {
            Ok((word, done)) if word == "config-invalid" && done.said.contains(place) => {}
            other => {
                problems.push(format!("{config}: {other:?}"));
                sandbox.make_root(&root());
            }
        }
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
}

/// A config may change the directory of the stamp, and links in the paths of units.
#[test]
fn what_is_near_to_own_paths_is_done() {
    let sandbox = Sandbox::with_devices();
    let unit = r#""systemd":{"units":[{"name":"a.service","enabled":true,"contents":"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"}]}"#;
    for (word, rest) in [
        ("done", r#""storage":{"directories":[{"path":"/etc","overwrite":true}]}"#.to_owned()),
        ("done", r#""storage":{"directories":[{"path":"/etc","mode":448}]}"#.to_owned()),
        ("done", r#""storage":{"directories":[{"path":"/","mode":448}]}"#.to_owned()),
        ("done", r#""storage":{"files":[{"path":"/etc/.ignition-result.json2"}]}"#.to_owned()),
        (
            "done",
            format!(
                r#""storage":{{"links":[{{"path":"/etc/systemd","target":"/srv","overwrite":true}}]}},{unit}"#
            ),
        ),
        (
            "done",
            format!(
                r#""storage":{{"links":[{{"path":"/etc/systemd/system","target":"/srv","overwrite":true}}]}},{unit}"#
            ),
        ),
    ] {
        sandbox.make_root(&root());
        let config = format!(r#"{{"ignition":{{"version":"3.5.0"}},{rest}}}"#);
        assert_eq!(outcome(&sandbox, &config).map(|(word, _)| word), Ok(word.to_owned()), "{config}");
    }
}
