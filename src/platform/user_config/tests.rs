//! Which origin is asked, and which config it gives.

use std::fs;
use std::time::Duration;

use super::super::Provider;
use super::*;
use crate::source::NoTransport;
use crate::testing::TempDir;

fn metal() -> Platform {
    Platform::named("metal").unwrap()
}

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

/// Fetches on a machine without system configs and labels.
fn fetch(choice: PlatformChoice, line: &CommandLine, offline: bool) -> Result<Answer> {
    fetch_from(&[], choice, line, offline)
}

fn fetch_from(
    directories: &[PathBuf],
    choice: PlatformChoice,
    line: &CommandLine,
    offline: bool,
) -> Result<Answer> {
    match from_command_line(Path::new("/nonexistent"), line, offline, &NoTransport)? {
        Some(fetched) => Ok(fetched),
        None => from_system_or_platform(directories, choice, line),
    }
}

fn found(text: &str, from: ConfigOrigin) -> Answer {
    Answer::Config(UserConfig { text: text.into(), from })
}

#[test]
fn the_command_line_comes_before_the_system_and_that_before_the_platform() {
    let directory = TempDir::new("user-config");
    let file = directory.join("user.ign");
    fs::write(&file, "of the system").unwrap();
    let fetch = |line: &CommandLine| {
        fetch_from(&[directory.path().into()], PlatformChoice::Named(metal()), line, true)
    };
    let url = with_url("data:,of%20the%20line");
    assert_eq!(fetch(&url), Ok(found("of the line", ConfigOrigin::CommandLine)));
    let both = CommandLine { config_device: Some("x".into()), ..url };
    assert_eq!(fetch(&both), Ok(found("of the line", ConfigOrigin::CommandLine)));
    assert_eq!(fetch(&line()), Ok(found("of the system", ConfigOrigin::SystemFile(file.clone()))));
    // An empty file also hides later origins.
    fs::write(&file, "").unwrap();
    assert_eq!(fetch(&line()), Ok(found("", ConfigOrigin::SystemFile(file.clone()))));
    fs::remove_file(&file).unwrap();
    assert_eq!(fetch(&line()), Ok(found("", ConfigOrigin::Platform(metal()))));
}

#[test]
fn origins_have_the_references_words() {
    assert_eq!(ConfigOrigin::CommandLine.source(), "cmdline");
    assert_eq!(ConfigOrigin::SystemFile("/x".into()).source(), "system");
    assert_eq!(ConfigOrigin::Platform(metal()).source(), "metal");
}

#[test]
fn without_any_origin_there_is_nothing() {
    assert_eq!(fetch(PlatformChoice::Nothing, &line(), false), Ok(Answer::Nothing));
}

#[test]
fn remote_urls_need_the_network_and_are_then_refused_without_their_text() {
    for url in ["https://user:token@example.com/x", "http://h/token", "tftp://h?token", "foo+1.x-y:token"] {
        let line = with_url(url);
        assert_eq!(fetch(PlatformChoice::Named(metal()), &line, true), Ok(Answer::NeedsNetwork), "{url}");
        let error = fetch(PlatformChoice::Named(metal()), &line, false).unwrap_err();
        assert_eq!(error.reason(), Reason::Unsupported);
        assert!(error.text().contains("ignition.config.url"), "{error}");
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
            let error = fetch(PlatformChoice::Named(metal()), &with_url(url), offline).unwrap_err();
            assert_eq!(error.reason(), reason, "{url}");
            assert!(error.text().contains("ignition.config.url"), "{error}");
            assert!(!error.text().contains("token"), "{error}");
        }
    }
}

#[test]
fn device_and_path_come_together_or_not_at_all() {
    for line in [with_device(Some("LABEL"), None), with_device(None, Some("/x"))] {
        assert_eq!(fetch(PlatformChoice::Named(metal()), &line, true).unwrap_err().reason(), Reason::Usage);
    }
    let line = with_device(Some("LABEL"), Some("/x"));
    assert_eq!(fetch(PlatformChoice::Named(metal()), &line, true).unwrap_err().reason(), Reason::NoHost);
}

/// Returns a platform whose host answers with the time that it was given, or is silent.
fn provider(patience: Option<u64>, answers: bool) -> Platform {
    let fetch: fn(Duration) -> Result<Vec<u8>> = if answers {
        |patience| Ok(patience.as_secs().to_string().into_bytes())
    } else {
        |_| Err(Error::new(Reason::NoHost, "the host is silent"))
    };
    let patience = patience.map(Duration::from_secs);
    let row = Provider { name: "test", source: "", module: None, detect: None, patience, fetch, advice: "" };
    Platform(Box::leak(Box::new(row)))
}

#[test]
fn a_platform_that_nobody_named_may_have_no_config() {
    let line = CommandLine { timeout: Duration::from_secs(120), ..line() };
    for (patience, named, detected) in
        [(Some(5), "120", "5"), (Some(300), "120", "120"), (None, "120", "120")]
    {
        let platform = provider(patience, true);
        let from = || ConfigOrigin::Platform(platform);
        assert_eq!(fetch(PlatformChoice::Named(platform), &line, false), Ok(found(named, from())));
        assert_eq!(fetch(PlatformChoice::Detected(platform), &line, false), Ok(found(detected, from())));
    }
    let reason = |fetched: Result<Answer>| fetched.unwrap_err().reason();
    let (with_patience, without) = (provider(Some(5), false), provider(None, false));
    assert_eq!(fetch(PlatformChoice::Detected(with_patience), &line, false), Ok(Answer::Nothing));
    assert_eq!(reason(fetch(PlatformChoice::Named(with_patience), &line, false)), Reason::NoHost);
    assert_eq!(reason(fetch(PlatformChoice::Detected(without), &line, false)), Reason::NoHost);
}

/// The patience applies to the platform only. A device that the kernel command line names must appear.
#[test]
fn a_missing_device_is_a_failure_on_every_platform() {
    let line = with_device(Some("LABEL"), Some("/x"));
    let error = fetch(PlatformChoice::Detected(provider(Some(5), false)), &line, false).unwrap_err();
    assert_eq!(error.reason(), Reason::NoHost);
    assert!(error.text().contains("LABEL"), "{error}");
    assert!(error.advice().contains("ignition.config.device"), "{}", error.advice());
}

#[test]
fn what_the_command_line_says_wrong_is_what_the_advice_names() {
    for (line, argument) in [
        (with_url("https://h/x"), "ignition.config.url"),
        (with_url("data:;base64,x"), "ignition.config.url"),
        (with_url("x"), "ignition.config.url"),
        (with_device(Some("a/b"), Some("/x")), "ignition.config.device"),
        (with_device(Some("a"), None), "the label and the path"),
    ] {
        let error = fetch(PlatformChoice::Named(metal()), &line, false).unwrap_err();
        assert!(error.advice().contains(argument), "{error}: {}", error.advice());
        assert!(!error.advice().contains("vsock"), "{}", error.advice());
    }
}

#[test]
fn a_platform_is_chosen_by_the_caller_then_by_the_command_line() {
    let named = |name: &str| CommandLine { platform: Some(name.into()), ..line() };
    assert_eq!(PlatformChoice::new(Some(metal()), &named("nowhere")), Ok(PlatformChoice::Named(metal())));
    assert_eq!(PlatformChoice::new(None, &named("metal")), Ok(PlatformChoice::Named(metal())));
    for (name, reason) in [("aws", Reason::Unsupported), ("nowhere", Reason::Usage)] {
        let error = PlatformChoice::new(None, &named(name)).unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.text().contains("ignition.platform.id") && error.text().contains(name), "{error}");
        assert!(error.advice().contains("ignition.platform.id"), "{}", error.advice());
    }
}
