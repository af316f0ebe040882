//! `glowplug validate`: checks a config without a root.

use std::fmt::Write as _;

use super::policy::Policy;
use super::render::{Renderer, Texts};
use crate::config::{self, Config, Report, Resource, Room, Unsupported};
use crate::error::{Error, Reason};
use crate::kernel_args::Wanted;
use crate::memory;
use crate::source::{NoTransport, Source};

/// The result of validating a config.
#[derive(Debug)]
pub struct Validation {
    /// The reference's report with hints, then everything that the boot will refuse; one line each.
    pub report: String,
    /// Why the config is refused. What the report says already is not repeated here.
    pub refused: Option<Error>,
    /// How many lines of the report say that the boot will refuse the config although it is valid.
    pub faults_at_boot: usize,
    /// A line for people about a config that is valid; empty if the config is refused.
    pub summary: String,
}

/// Validates the config in `text`. Adds the warnings of the machine's policy, if there is one.
pub fn validate(text: &[u8], policy: Option<&Policy<'_>>) -> Validation {
    let mut report = Report::default();
    let parsed = match config::parse_within(text, &mut report, &mut Room::new(memory::limit())) {
        Ok(parsed) => parsed,
        Err(error) => {
            let refused = Some(without_report(error, &report));
            return Validation {
                report: report.with_hints(),
                refused,
                faults_at_boot: 0,
                summary: String::new(),
            };
        }
    };
    config::guess(text, &parsed, &mut report);
    let mut lines = report.with_hints();
    if let Some(policy) = policy {
        lines.push_str(&policy.warnings(&parsed.config));
    }
    let faults = faults_at_boot(text, &parsed.config);
    for fault in &faults {
        lines.push_str(fault);
        lines.push('\n');
    }
    let mut summary = format!("the config is valid (spec {})", parsed.version.text());
    if !faults.is_empty() {
        summary.push_str(", but this version of glowplug will refuse it at boot");
    }
    Validation { report: lines, refused: None, faults_at_boot: faults.len(), summary }
}

/// Returns `error` as it is if the report has no error. Otherwise returns an error that only counts those of the report.
fn without_report(error: Error, report: &Report) -> Error {
    if !report.is_fatal() {
        return error;
    }
    let count = report.errors();
    let plural = if count == 1 { "" } else { "s" };
    Error::new(error.reason(), format!("config is not valid: {count} error{plural}"))
}

/// Returns a line for each thing in a valid config that makes the boot refuse the config.
fn faults_at_boot(text: &[u8], config: &Config<'_>) -> Vec<String> {
    let own = config::unsupported(config);
    let references = &config.ignition.config;
    let has_references = !references.merge.is_empty() || references.replace.source.is_some();
    if !has_references {
        return [located(text, &own), broken_values(config)].concat();
    }
    // A referenced config can add an unsupported entry, or override one.
    let texts = Texts::default();
    let merged = match Renderer::new(&texts, &NoTransport).render(text) {
        Ok((merged, _)) => merged,
        // A config that would have to be fetched is not checked.
        Err(error) if error.reason() == Reason::Unsupported => {
            return [located(text, &own), broken_values(config)].concat();
        }
        Err(error) => return [located(text, &own), vec![refused(&error)]].concat(),
    };
    let parts = config::unsupported_changes(&merged);
    let (own, foreign): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| own.contains(part));
    let mut lines = located(text, &own);
    lines.extend(foreign.iter().map(|part| format!("unsupported in the merged config: {part}")));
    lines.append(&mut broken_values(&merged));
    lines
}

/// `unsupported at $.storage.luks.0.cex, line 1 col 80: encrypting disks with a crypto adapter is not supported`
fn located(text: &[u8], parts: &[Unsupported]) -> Vec<String> {
    config::locate_unsupported(text, parts).iter().map(ToString::to_string).collect()
}

/// Returns a line for each source of file contents that cannot be read, or whose hash differs from the one in the config, and
/// for kernel arguments that no boot loader can carry.
fn broken_values(config: &Config<'_>) -> Vec<String> {
    let arguments = Wanted::new(&config.kernel_arguments).err();
    let mut lines: Vec<String> = arguments.iter().map(refused).collect();
    for (index, file) in config.storage.files.iter().enumerate() {
        let mut check = |resource: &Resource<'_>, place: &str| {
            let read = Source::new(resource, &place, &NoTransport).and_then(|source| {
                let here = source.filter(|source| !source.is_remote());
                here.map_or(Ok(0), |source| source.open()?.read_and_count(0).map(|(_, count)| count))
            });
            if let Err(error) = read {
                lines.push(refused(&error));
            }
        };
        check(&file.contents, &format!("$.storage.files.{index}.contents"));
        for (number, piece) in file.append.iter().enumerate() {
            check(piece, &format!("$.storage.files.{index}.append.{number}"));
        }
    }
    lines
}

fn refused(error: &Error) -> String {
    let mut line = String::new();
    // Writing into a string cannot fail.
    let _ = write!(line, "refused at boot ({}): {error}", error.reason().word());
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rest: &str) -> Vec<String> {
        let text = format!(r#"{{"ignition":{{"version":"3.5.0"{rest}}}"#);
        let validation = validate(text.as_bytes(), None);
        assert!(validation.refused.is_none(), "{validation:?}");
        let is_fault = |line: &&str| line.starts_with("unsupported") || line.starts_with("refused");
        let lines: Vec<String> = validation.report.lines().filter(is_fault).map(str::to_owned).collect();
        assert_eq!(lines.len(), validation.faults_at_boot);
        assert_eq!(lines.is_empty(), validation.summary == "the config is valid (spec 3.5.0)");
        lines
    }

    #[test]
    fn what_the_boot_will_refuse_is_told_at_once_with_its_place() {
        let rest = r#"},
"kernelArguments":{"shouldExist":["quiet","a=\"b c\""]},
"storage":{"raid":[{"name":"data","level":"raid1","devices":["/dev/vdb","/dev/vdc"]}],
"luks":[{"name":"secret","device":"/dev/md/data","cex":{"enabled":true}}],
"disks":[{"device":"/dev/vdd","partitions":[{"label":"more","number":1}]}],
"filesystems":[{"device":"/dev/disk/by-partlabel/more","path":"/data","format":"ext4"}],
"files":[{"path":"/x","contents":{"source":"https://example.com/secret"}}]}"#;
        assert_eq!(
            faults(rest),
            [
                "unsupported at $.storage.luks.0.cex, line 4 col 57: encrypting disks with a crypto adapter is not supported",
                "refused at boot (unsupported): a kernel argument with the character '\"' is not supported, at $.kernelArguments.shouldExist.1",
            ]
        );
        assert_eq!(faults("}"), [""; 0]);
    }

    /// Validating a config fetches nothing, even if the config refers to another one that is remote.
    #[test]
    fn what_must_be_fetched_is_no_fault() {
        let source = r#"{"source":"https://host.invalid/secret"}"#;
        let file = format!(r#""storage":{{"files":[{{"path":"/x","contents":{source}}}]}}"#);
        for rest in [
            format!("}},{file}"),
            format!(r#","config":{{"merge":[{source}]}}}},{file}"#),
            format!(r#","config":{{"replace":{source}}}}},{file}"#),
            format!(r#","security":{{"tls":{{"certificateAuthorities":[{source}]}}}}}}"#),
        ] {
            assert_eq!(faults(&rest), [""; 0], "{rest}");
        }
        let rest = format!(
            r#","config":{{"merge":[{source}]}}}},"storage":{{"luks":[{{"name":"x","device":"/dev/vdb","cex":{{"enabled":true}}}}]}}"#
        );
        assert!(faults(&rest)[0].starts_with("unsupported at $.storage.luks.0.cex, line "));
        let rest =
            r#"},"storage":{"files":[{"path":"/x","contents":{"source":"s3://b/k","compression":"gzip"}}]}"#;
        let words =
            "compression is not supported with that scheme, at $.storage.files.0.contents.compression";
        assert_eq!(faults(rest), [format!("refused at boot (config-invalid): {words}")]);
    }

    #[test]
    fn contents_that_cannot_be_had_are_told() {
        let rest = r#"},"storage":{"files":[{"path":"/x","contents":{"source":"data:,x","compression":"gzip"}},
            {"path":"/y","append":[{"source":"data:,x"},{"source":"data:,secret","verification":{"hash":"sha256-0000000000000000000000000000000000000000000000000000000000000000"}}]}]}"#;
        let lines = faults(rest);
        assert!(lines[0].starts_with("refused at boot (resource): decompress the contents"), "{lines:?}");
        assert!(lines[1].starts_with("refused at boot (verification): hash"), "{lines:?}");
        assert!(lines[1].ends_with("$.storage.files.1.append.1.verification.hash"), "{lines:?}");
    }

    /// The first referenced config has a volume with a crypto adapter. The last one overrides the contents of the file `/x`.
    #[test]
    fn referenced_configs_count_as_well() {
        let child = "data:;base64,eyJpZ25pdGlvbiI6eyJ2ZXJzaW9uIjoiMy41LjAifSwic3RvcmFnZSI6eyJsdWtzIjpbeyJuYW1lIjoieCIsImRldmljZSI6Ii9kZXYvdmRiIiwiY2V4Ijp7ImVuYWJsZWQiOnRydWV9fV19fQ==";
        assert_eq!(
            faults(&format!(r#","config":{{"merge":[{{"source":"{child}"}}]}}}}"#)),
            [
                "unsupported in the merged config: encrypting disks with a crypto adapter is not supported, at $.storage.luks.0.cex"
            ]
        );
        let lines = faults(r#","config":{"replace":{"source":"data:,x"}}}"#);
        assert!(lines[0].starts_with("refused at boot (config-syntax): the config at"), "{lines:?}");
        let overriding = "data:;base64,eyJpZ25pdGlvbiI6eyJ2ZXJzaW9uIjoiMy40LjAifSwic3RvcmFnZSI6eyJmaWxlcyI6W3sicGF0aCI6Ii94IiwiY29udGVudHMiOnsic291cmNlIjoiZGF0YToseSJ9fV19fQ==";
        let rest = format!(
            r#","config":{{"merge":[{{"source":"{overriding}"}}]}}}},"storage":{{"files":[{{"path":"/x","contents":{{"source":"https://h/"}}}}]}}"#
        );
        assert_eq!(faults(&rest), [""; 0]);
    }

    /// Only `validate` gives these hints. Planning reports a missing group itself, because it knows the groups of the root.
    #[test]
    fn groups_of_other_distributions_get_a_hint_without_a_root() {
        let passwd = |groups: &str| {
            let users = r#"[{"name":"a","groups":["sudo","wheel","docker"],"primaryGroup":"wheel"}]"#;
            format!(
                r#"{{"ignition":{{"version":"3.4.0"}},"passwd":{{"users":{users},"groups":[{groups}]}}}}"#
            )
        };
        let text = passwd("");
        let report = validate(text.as_bytes(), None).report;
        let places: Vec<&str> = report.lines().filter_map(|line| line.split(", ").next()).collect();
        let users = "hint at $.passwd.users.0";
        let wanted = ["groups.1", "groups.2", "primaryGroup"].map(|key| format!("{users}.{key}"));
        assert_eq!(places, wanted, "{report}");
        assert!(report.contains("Debian has no group wheel") && report.contains("docker.io"), "{report}");
        let text = passwd(r#"{"name":"wheel"},{"name":"docker"}"#);
        assert_eq!(validate(text.as_bytes(), None).report, "");
        let mut logged = Report::default();
        drop(config::parse(passwd("").as_bytes(), &mut logged));
        assert_eq!(logged.hints, []);
    }

    #[test]
    fn the_error_does_not_repeat_the_report() {
        let validation = validate(br#"{"ignition":{"version":"3.4.0"},}"#, None);
        let error = validation.refused.unwrap();
        assert_eq!(error.text(), "config is not valid: 1 error");
        assert_eq!(validation.report.matches("hint: remove the comma at line 1 col 32").count(), 1);
        assert!(validation.report.starts_with("error at line 0 col 0: "), "{}", validation.report);
        let validation = validate(br#"{"ignition":{"version":"2.2.0"}}"#, None);
        assert_eq!(validation.report, "");
        assert!(validation.refused.unwrap().text().contains("\"2.2.0\""));
    }
}
