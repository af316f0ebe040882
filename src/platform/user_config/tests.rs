//! Which origin is asked, and what it answers.

use std::fs;
use std::time::Duration;

use super::*;

fn line() -> CommandLine {
    CommandLine {
        platform: None,
        forbidden: false,
        timeout: Duration::ZERO,
        bad_timeout: false,
        debug: false,
        config_url: None,
        config_device: None,
        config_path: None,
    }
}

fn with_url(url: &str) -> CommandLine {
    CommandLine { config_url: Some(url.into()), ..line() }
}

fn with_device(label: Option<&str>, path: Option<&str>) -> CommandLine {
    CommandLine { config_device: label.map(Into::into), config_path: path.map(Into::into), ..line() }
}

/// Without system configs and labels.
fn fetch(platform: Option<Platform>, line: &CommandLine, offline: bool) -> Result<Fetched> {
    user_config_from(&[], Path::new("/nonexistent"), platform, line, offline)
}

fn found(text: &str, from: Origin) -> Fetched {
    Fetched::Config(UserConfig { text: text.into(), from })
}

#[test]
fn the_command_line_comes_before_the_system_and_that_before_the_platform() {
    let directory = std::env::temp_dir().join(format!("glowplug-user-config-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("user.ign");
    fs::write(&file, "of the system").unwrap();
    let fetch = |line: &CommandLine| {
        user_config_from(
            std::slice::from_ref(&directory),
            Path::new("/nonexistent"),
            Some(Platform::Metal),
            line,
            true,
        )
    };
    let url = with_url("data:,of%20the%20line");
    assert_eq!(fetch(&url), Ok(found("of the line", Origin::CommandLine)));
    let both = CommandLine { config_device: Some("x".into()), ..url };
    assert_eq!(fetch(&both), Ok(found("of the line", Origin::CommandLine)));
    assert_eq!(fetch(&line()), Ok(found("of the system", Origin::SystemFile(file.clone()))));
    // An empty one is the user's wish, too.
    fs::write(&file, "").unwrap();
    assert_eq!(fetch(&line()), Ok(found("", Origin::SystemFile(file.clone()))));
    fs::remove_file(&file).unwrap();
    assert_eq!(fetch(&line()), Ok(found("", Origin::Platform(Platform::Metal))));
    fs::remove_dir(&directory).unwrap();
}

#[test]
fn origins_have_the_references_words() {
    assert_eq!(Origin::CommandLine.source(), "cmdline");
    assert_eq!(Origin::SystemFile("/x".into()).source(), "system");
    assert_eq!(Origin::Platform(Platform::HyperV).source(), "hyperv");
}

#[test]
fn without_any_origin_there_is_nothing() {
    assert_eq!(fetch(None, &line(), false), Ok(Fetched::Nothing));
}

#[test]
fn remote_urls_need_the_network_and_are_then_refused_without_their_text() {
    for url in ["https://user:token@example.com/x", "http://token", "tftp://token/x", "foo+1.x-y:token"] {
        let line = with_url(url);
        assert_eq!(fetch(Some(Platform::Metal), &line, true), Ok(Fetched::NeedsNetwork), "{url}");
        let error = fetch(Some(Platform::Metal), &line, false).unwrap_err();
        assert_eq!(error.reason(), Reason::Unsupported);
        assert!(error.text().contains("ignition.config.url"), "{error}");
        assert!(error.text().contains(url.split_once(':').unwrap().0), "{error}");
        assert!(!error.text().contains("token"), "{error}");
    }
}

#[test]
fn malformed_urls_are_refused_without_their_text() {
    for (url, reason) in [
        ("data:;base64,token", Reason::Resource),
        ("data:token", Reason::Resource),
        ("/token", Reason::Usage),
        ("token", Reason::Usage),
        ("://token", Reason::Usage),
        ("1http://token", Reason::Usage),
        ("user name:token", Reason::Usage),
    ] {
        for offline in [true, false] {
            let error = fetch(Some(Platform::Metal), &with_url(url), offline).unwrap_err();
            assert_eq!(error.reason(), reason, "{url}");
            assert!(error.text().contains("ignition.config.url"), "{error}");
            assert!(!error.text().contains("token"), "{error}");
        }
    }
}

#[test]
fn device_and_path_come_together_or_not_at_all() {
    for line in [with_device(Some("LABEL"), None), with_device(None, Some("/x"))] {
        assert_eq!(fetch(Some(Platform::Metal), &line, true).unwrap_err().reason(), Reason::Usage);
    }
    let line = with_device(Some("LABEL"), Some("/x"));
    assert_eq!(fetch(Some(Platform::Metal), &line, true).unwrap_err().reason(), Reason::NoHost);
}
