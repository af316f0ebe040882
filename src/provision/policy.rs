//! The policy of a machine: a list of directories over which no share of the host may be mounted.

use std::fmt::Write as _;

use crate::config::Config;
use crate::error::{Error, Reason, Result};
use crate::unit_name::unit_name;

/// The directories of a policy file. The file has one absolute path a line; a line that begins with `#` is a comment.
#[derive(Debug)]
pub struct Policy<'p> {
    directories: Vec<&'p str>,
}

impl<'p> Policy<'p> {
    /// Parses the text of a policy file.
    ///
    /// # Errors
    /// [`Reason::Usage`] for a line that is not an absolute path.
    pub fn read(text: &'p [u8]) -> Result<Self> {
        let mut directories = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            match std::str::from_utf8(line).map(str::trim) {
                Ok("") => {}
                Ok(line) if line.starts_with('#') => {}
                Ok(line) if line.starts_with('/') => directories.push(line),
                _ => {
                    let number = index.saturating_add(1);
                    let what = format!("the policy's line {number} is not an absolute path");
                    return Err(Error::new(Reason::Usage, what));
                }
            }
        }
        Ok(Self { directories })
    }

    /// Returns a warning, each on its own line, for every unit of the config that mounts a share over a directory of the
    /// policy.
    pub(super) fn warnings(&self, config: &Config<'_>) -> String {
        let mut text = String::new();
        for (index, unit) in config.systemd.units.iter().enumerate() {
            let Some(name) = unit.name.strip_suffix(".mount") else { continue };
            let refused = self.directories.iter().find(|directory| unit_name(directory) == name);
            let (Some(directory), Some(contents)) = (refused, unit.contents.as_deref()) else { continue };
            if contents.lines().any(is_share) {
                // Writing into a string cannot fail.
                let _ = writeln!(
                    text,
                    "warning at $.systemd.units.{index}: a share over {directory}: the machine will refuse it, \
                     because it would hide the system's files"
                );
            }
        }
        text
    }
}

/// Returns whether a line of a mount unit says that its file system is a share of the host.
fn is_share(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, value)| key.trim() == "Type" && value.trim() == "virtiofs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::validate;

    const POLICY: &[u8] = b"# no shares over\n/\n/etc\n\n/usr/lib\n";

    fn warnings(unit: &str, contents: &str) -> String {
        let config = format!(
            r#"{{"ignition":{{"version":"3.2.0"}},"systemd":{{"units":[{{"name":"{unit}","contents":"{contents}"}}]}}}}"#
        );
        let verdict = validate(config.as_bytes(), Some(&Policy::read(POLICY).unwrap()));
        assert!(verdict.refused.is_none(), "{verdict:?}");
        verdict.report
    }

    #[test]
    fn shares_over_directories_of_the_policy_are_warned_of() {
        let share = r"[Mount]\nWhat=x\n Type = virtiofs\n";
        for (unit, directory) in [("etc.mount", "/etc"), ("-.mount", "/"), ("usr-lib.mount", "/usr/lib")] {
            let report = warnings(unit, share);
            let start = format!("warning at $.systemd.units.0: a share over {directory}: ");
            assert!(report.starts_with(&start), "{report}");
            assert_eq!(report.lines().count(), 1, "{report}");
        }
        for unit in ["etc-containers.mount", "Users.mount", "etc.service"] {
            assert_eq!(warnings(unit, share), "", "{unit}");
        }
        assert_eq!(warnings("etc.mount", r"[Mount]\nWhat=/dev/vdb\nType=ext4\n"), "");
    }

    #[test]
    fn a_policy_is_absolute_paths() {
        for (text, line) in [("/etc\nusr\n", 2), ("\u{fffd}", 1)] {
            let error = Policy::read(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("the policy's line {line} is not an absolute path"));
        }
        assert!(Policy::read(b"\xff").is_err());
    }
}
