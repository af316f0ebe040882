//! The stages that fetch: which configs are cached, and when the network is needed.

use std::fs;
use std::path::Path;

use crate::lab::{Lab, PROGRAM, told};
use crate::server::{Server, fetch_program, give};

#[test]
fn fetch_offline_tells_that_the_network_is_needed() {
    // First the config itself.
    fetch_program(PROGRAM);
    let server = Server::new(|_, stream| give(stream, "404 Not Found", b""));
    let lab = Lab::new("");
    lab.write("cmdline", &format!("ignition.config.url={}\n", server.url("/TOKEN")));
    let said = lab.passes("fetch-offline");
    assert!(lab.has("run/net/neednet") && !lab.has("run/ignition.json") && !said.contains("TOKEN"), "{said}");
    assert_eq!((lab.mode("run/net"), lab.mode("run/net/neednet")), (0o755, 0o644));
    assert_eq!(server.asked().len(), 0);
    let words = "resource not found (HTTP status 404), at the kernel argument ignition.config.url";
    let said = lab.fails("fetch", words);
    assert!(!said.contains("TOKEN"), "{said}");
    // Then the configs that it refers to.
    let source = format!(r#"{{"source":"{}"}}"#, server.url("/TOKEN"));
    for (part, place) in [
        (format!(r#""config":{{"merge":[{source}]}}"#), "$.ignition.config.merge.0.source"),
        (format!(r#""config":{{"replace":{source}}}"#), "$.ignition.config.replace.source"),
        (
            format!(r#""security":{{"tls":{{"certificateAuthorities":[{source}]}}}}"#),
            "$.ignition.security.tls.certificateAuthorities.0.source",
        ),
    ] {
        let lab = Lab::new(&format!(r#"{{"ignition":{{"version":"3.3.0",{part}}}}}"#));
        let said = lab.passes("fetch-offline");
        assert!(lab.has("run/net/neednet") && !lab.has("run/ignition.json"), "{part}");
        assert!(said.contains("failed to fetch config: resource requires networking, at "), "{said}");
        let said = lab.fails("fetch", place);
        assert!(!said.contains("TOKEN"), "{said}");
    }
    // If only the contents of files are remote, the cache is written, and the later stage needs the network.
    let lab = Lab::with(&format!(r#""storage":{{"files":[{{"path":"/a","contents":{source}}}]}}"#));
    lab.passes("fetch-offline");
    assert!(lab.has("run/net/neednet") && lab.has("run/ignition.json"));
    let said = lab.fails("files", "$.storage.files.0.contents.source");
    assert!(!said.contains("TOKEN"), "{said}");
}

/// The stage `fetch` fetches the config and everything that it refers to. The stage `files` fetches the rest. In the cache,
/// certificates are `data` URLs.
#[test]
fn what_needs_the_network_is_fetched_by_its_stage() {
    fetch_program(PROGRAM);
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/child" => give(
            stream,
            "200 OK",
            br#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/child"}]}}"#,
        ),
        "/ca" => give(stream, "200 OK", b"-----BEGIN"),
        "/file" => give(stream, "200 OK", b"fetched"),
        "/empty" => give(stream, "200 OK", b""),
        _ => give(stream, "404 Not Found", b""),
    });
    let source = |path: &str| format!(r#"{{"source":"{}"}}"#, server.url(path));
    let lab = Lab::new(&format!(
        r#"{{"ignition":{{"version":"3.3.0","config":{{"merge":[{}]}},
        "security":{{"tls":{{"certificateAuthorities":[{}]}}}}}},
        "storage":{{"files":[{{"path":"/a","contents":{}}}]}}}}"#,
        source("/child"),
        source("/ca"),
        source("/file")
    ));
    lab.passes("fetch-offline");
    assert!(lab.has("run/net/neednet") && !lab.has("run/ignition.json"));
    lab.passes("fetch");
    let asked = || server.asked().into_iter().map(|asked| asked.path).collect::<Vec<_>>();
    assert_eq!(asked(), ["/ca", "/child"]);
    let cache = lab.text("run/ignition.json");
    let authority = r#"{"source":"data:text/plain;charset=utf-8;base64,LS0tLS1CRUdJTg==","verification":{}}"#;
    assert!(cache.contains(&format!(r#""certificateAuthorities":[{authority}]"#)), "{cache}");
    let state = lab.text("run/ignition/state");
    assert!(state.contains(r#""source":"$.ignition.config.merge.0","referenced":true"#), "{state}");
    lab.passes("files");
    assert_eq!((lab.text("root/a").as_str(), lab.has("root/child")), ("fetched", true));
    assert_eq!(asked(), ["/ca", "/child", "/file"]);
    // If a referenced config is empty, the reference drops the whole config of the user.
    let merge =
        format!(r#"{{"ignition":{{"version":"3.3.0","config":{{"merge":[{}]}}}}}}"#, source("/empty"));
    let lab = Lab::new(&merge);
    let said = lab.fails("fetch", "the server sent an empty config, at $.ignition.config.merge.0.source");
    assert!(!lab.has("run/ignition.json"), "{said}");
}

#[test]
fn an_empty_config_is_an_empty_cache_and_no_user_s() {
    let lab = Lab::new("");
    lab.passes("fetch");
    lab.passes("files");
    assert!(lab.text("run/ignition.json").contains("\"passwd\":{}"));
    let result = lab.text("root/etc/.ignition-result.json");
    assert!(result.contains("\"userConfigProvided\": false"), "{result}");
}

#[test]
fn base_configs_count_in_every_stage_and_not_in_the_cache() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    fs::create_dir_all(lab.at("system/base.platform.d/aws")).unwrap();
    let base = r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/etc/base"}]}}"#;
    lab.write("system/base.platform.d/aws/a.ign", base);
    lab.passes("fetch");
    let (code, said) = lab.stage_on("aws", "files");
    assert_eq!(code, 0, "{said}");
    assert!(lab.has("root/etc/base") && !lab.text("run/ignition.json").contains("base"));
    let (code, said) = lab.stage_on("aws", "fetch");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("fetching a config on platform aws is not supported"), "{said}");
    fs::create_dir_all(lab.at("system/base.d")).unwrap();
    lab.write("system/base.d/a.ign", "{");
    lab.fails("files", "CRITICAL : failed to acquire system base config: ");
}

#[test]
fn an_invalid_config_is_told_with_the_report() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"a"}]}"#);
    let said = lab
        .fails("fetch", "\nCRITICAL : error at $.storage.files.0.path, line 1 col 61: path not absolute\n");
    assert!(said.contains("\nCRITICAL : failed to acquire config: config is not valid: "), "{said}");
    assert!(!lab.has("run/ignition.json"));
}

#[test]
fn a_umask_counts_for_the_cache_and_the_flag() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a","contents":{"source":"http://host"}}]}"#);
    let call =
        format!("umask 077; exec {PROGRAM} {} -platform file -stage fetch-offline", lab.flags().join(" "));
    let (code, said) = told(&lab.command(Path::new("/bin/sh")).args(["-c", &call]).output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.mode("run/ignition.json"), 0o600);
    assert_eq!((lab.mode("run/net"), lab.mode("run/net/neednet")), (0o700, 0o600));
}
