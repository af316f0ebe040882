//! Parses the kernel command line. Its values are data and are never evaluated.

use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::file;

/// The most bytes that are read. No kernel accepts a command line of this length.
const LIMIT: u64 = 1 << 20;

/// The arguments on the kernel command line that concern this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// `ignition.platform.id=`: the platform's name.
    pub platform: Option<String>,
    /// Whether `ignition.firstboot=` forbids provisioning: its value is `0`, `no`, `off` or empty.
    pub forbidden: bool,
    /// `glowplug.timeout=`: how long a fetch may take.
    pub timeout: Duration,
    /// Whether `glowplug.timeout=` is present but not a number of seconds.
    pub bad_timeout: bool,
    /// Whether `glowplug.debug` is present: log more.
    pub debug: bool,
    /// `ignition.config.url=`: the URL of the user's config.
    pub config_url: Option<String>,
    /// `ignition.config.device=`: the label of the file system that holds the user's config.
    pub config_device: Option<String>,
    /// `ignition.config.path=`: the path of the user's config in that file system.
    pub config_path: Option<String>,
}

impl CommandLine {
    /// How long a fetch may take if `glowplug.timeout=` is missing.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

    /// Reads the text of the command line: `/proc/cmdline`, or the file that `IGNITION_KERNEL_CMDLINE_PATH` names.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) where it cannot be read.
    pub fn text() -> Result<Vec<u8>> {
        let path = std::env::var_os("IGNITION_KERNEL_CMDLINE_PATH").filter(|path| !path.is_empty());
        let path = path.unwrap_or_else(|| "/proc/cmdline".into());
        file::read(Path::new(&path), LIMIT)
    }

    /// Reads and parses the command line.
    ///
    /// # Errors
    /// Those of [`CommandLine::text`].
    pub fn read() -> Result<Self> {
        let text = Self::text()?;
        // An argument that is not UTF-8 is not for this program, but it may stand beside arguments that are.
        let line = Self::parse(&String::from_utf8_lossy(&text));
        if line.bad_timeout {
            log::warn!("glowplug.timeout on the kernel command line is not a number of seconds");
        }
        Ok(line)
    }

    /// Parses the command line. If a key is given more than once, the last value counts, as in the kernel.
    fn parse(text: &str) -> Self {
        let mut parsed = Self {
            platform: None,
            forbidden: false,
            timeout: Self::DEFAULT_TIMEOUT,
            bad_timeout: false,
            debug: false,
            config_url: None,
            config_device: None,
            config_path: None,
        };
        for word in words(text) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word.as_str(), None),
            };
            let off = matches!(value, Some("" | "0" | "no" | "off"));
            match (key, value) {
                // An empty value counts as no argument.
                (_, Some("")) if key.starts_with("ignition.config.") || key == "ignition.platform.id" => {}
                ("ignition.platform.id", Some(value)) => parsed.platform = Some(value.to_owned()),
                ("ignition.config.url", Some(value)) => parsed.config_url = Some(value.to_owned()),
                ("ignition.config.device", Some(value)) => parsed.config_device = Some(value.to_owned()),
                ("ignition.config.path", Some(value)) => parsed.config_path = Some(value.to_owned()),
                ("ignition.firstboot", _) => parsed.forbidden = off,
                ("glowplug.debug", _) => parsed.debug = !off,
                ("glowplug.timeout", Some(value)) => match value.parse() {
                    Ok(seconds) => parsed.timeout = Duration::from_secs(seconds),
                    Err(_) => parsed.bad_timeout = true,
                },
                _ => {}
            }
        }
        parsed
    }
}

/// Splits at white space outside of double quotes, and removes the quotes.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_the_last_one_counts() {
        let line = CommandLine::parse(
            "root=/dev/vda \"x=a b\" ignition.platform.id=metal ignition.platform.id=qemu glowplug.timeout=15 \
             glowplug.debug ro\n",
        );
        assert_eq!(line.platform.as_deref(), Some("qemu"));
        assert_eq!(line.timeout, Duration::from_secs(15));
        assert!(line.debug);
        assert!(!line.forbidden);
    }

    #[test]
    fn places_of_the_config() {
        let line = CommandLine::parse(
            "ignition.config.url=data:,a=b \"ignition.config.device=MY DISK\" ignition.config.path=/c.ign",
        );
        assert_eq!(line.config_url.as_deref(), Some("data:,a=b"));
        assert_eq!(line.config_device.as_deref(), Some("MY DISK"));
        assert_eq!(line.config_path.as_deref(), Some("/c.ign"));
        let line = CommandLine::parse(
            "ignition.config.url=x ignition.config.url= ignition.config.url ignition.config.device= \
             ignition.config.path=",
        );
        assert_eq!(line.config_url.as_deref(), Some("x"));
        assert_eq!((line.config_device, line.config_path), (None, None));
    }

    #[test]
    fn firstboot_forbids_only_when_it_says_so() {
        for (text, forbidden) in [
            ("", false),
            ("ignition.firstboot", false),
            ("ignition.firstboot=1", false),
            ("ignition.firstboot=0", true),
            ("ignition.firstboot=no", true),
            ("ignition.firstboot=off", true),
            ("ignition.firstboot=", true),
            ("ignition.firstboot=0 ignition.firstboot=1", false),
        ] {
            assert_eq!(CommandLine::parse(text).forbidden, forbidden, "{text}");
        }
        assert_eq!(CommandLine::parse("glowplug.timeout=soon").timeout, CommandLine::DEFAULT_TIMEOUT);
        assert_eq!(CommandLine::parse("glowplug.timeout=$(reboot)").timeout, CommandLine::DEFAULT_TIMEOUT);
    }
}
