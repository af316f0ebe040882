//! The image's own settings for accounts: `/etc/login.defs` and `/etc/default/useradd`.

use std::path::Path;

use super::number;
use crate::change::FileKind;
use crate::error::{Error, Reason, Result};
use crate::map::Map;
use crate::plan::Tree;

const LOGIN_DEFS: &str = "/etc/login.defs";
const USERADD: &str = "/etc/default/useradd";

/// The settings of `/etc/login.defs`, by name.
pub(super) struct LoginDefs {
    values: Map<Vec<u8>>,
}

impl LoginDefs {
    /// Reads the file. If there is none, every setting has its default.
    pub(super) fn read(tree: &Tree) -> Result<Self> {
        Ok(Self::parse(&contents(tree, LOGIN_DEFS)?))
    }

    fn parse(text: &[u8]) -> Self {
        let mut values = Map::default();
        for line in text.split(|byte| *byte == b'\n') {
            let line = trim(line);
            let Some(blank) = line.iter().position(|byte| matches!(byte, b' ' | b'\t')) else { continue };
            let (name, value) = line.split_at(blank);
            if name.starts_with(b"#") {
                continue;
            }
            let value = skip(value, b" \t\"");
            let value = value.split(|byte| *byte == b'"').next().unwrap_or(value);
            values.insert(name, value.to_vec());
        }
        Self { values }
    }

    /// Returns the last value of `name`.
    pub(super) fn text(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// Returns whether the value of `name` is "yes".
    pub(super) fn yes(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case(b"yes"))
    }

    /// Returns a number. A value that is not a number counts as not set, as for the shadow tools.
    pub(super) fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(number::unsigned).unwrap_or(default)
    }

    /// Returns a number of days; `None` if the value is -1 or not set.
    pub(super) fn days(&self, name: &str) -> Option<u64> {
        let days = self.text(name).and_then(number::signed)?;
        u64::try_from(days).ok().filter(|days| i32::try_from(*days).is_ok())
    }

    /// Returns the permission bits of new home directories.
    pub(super) fn home_mode(&self) -> u32 {
        let mode = |name| self.days(name).and_then(|mode| u32::try_from(mode).ok());
        let masked = || 0o777 & !mode("UMASK").unwrap_or(0o022);
        mode("HOME_MODE").unwrap_or_else(masked) & 0o7777
    }

    /// Returns the directory of the mail spools; `None` if mail is kept in the home directories.
    pub(super) fn mail_dir(&self) -> Option<&[u8]> {
        match (self.text("MAIL_DIR"), self.text("MAIL_FILE")) {
            (Some(directory), _) => Some(directory),
            (None, None) => Some(b"/var/mail"),
            (None, Some(_)) => None,
        }
    }
}

/// The settings of `/etc/default/useradd` for new users.
pub(super) struct UseraddDefaults {
    /// The name or id of the primary group of users without a group of their own.
    pub(super) group: Option<Vec<u8>>,
    /// Supplementary groups.
    pub(super) groups: Vec<Vec<u8>>,
    /// The directory in which home directories are made.
    pub(super) home: Vec<u8>,
    /// The login shell.
    pub(super) shell: Vec<u8>,
    /// The directories from which new homes are filled, in this order.
    pub(super) skeletons: [Vec<u8>; 2],
    /// Days from the expiry of a password until the account is disabled.
    pub(super) inactive: Option<u64>,
    /// The expiry date of the account, as written in the file.
    pub(super) expire: Vec<u8>,
    /// Whether new users get a mail spool.
    pub(super) mail_spool: bool,
    /// Whether an old entry for the uid in `/var/log/faillog` is cleared.
    pub(super) log_init: bool,
}

impl UseraddDefaults {
    /// Reads the file. If there is none, every setting has its default.
    pub(super) fn read(tree: &Tree) -> Result<Self> {
        Ok(Self::parse(&contents(tree, USERADD)?))
    }

    fn parse(text: &[u8]) -> Self {
        // Unlike in `login.defs`, blanks are part of a value, and the last line counts.
        let value = |name: &str| {
            let line = |line: &'_ [u8]| -> Option<Vec<u8>> {
                Some(line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec())
            };
            text.split(|byte| *byte == b'\n').rev().find_map(line)
        };
        let or = |value: Option<Vec<u8>>, default: &str| value.unwrap_or_else(|| default.into());
        let filled = |name| value(name).filter(|value| !value.is_empty());
        let groups = value("GROUPS").filter(|value| !value.is_empty());
        let groups = groups.map(|list| list.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect());
        Self {
            group: value("GROUP"),
            groups: groups.unwrap_or_default(),
            home: or(value("HOME"), "/home"),
            shell: or(value("SHELL"), "/bin/bash"),
            skeletons: [or(filled("SKEL"), "/etc/skel"), or(filled("USRSKEL"), "/usr/etc/skel")],
            inactive: value("INACTIVE").and_then(|days| number::unsigned(&days)),
            expire: value("EXPIRE").unwrap_or_default(),
            mail_spool: value("CREATE_MAIL_SPOOL").is_some_and(|value| value.eq_ignore_ascii_case(b"yes")),
            log_init: value("LOG_INIT").is_none_or(|value| value != b"no"),
        }
    }

    /// Returns the expiry date of the account in days since 1970-01-01.
    pub(super) fn expiry(&self) -> Result<Option<u64>> {
        if self.expire.is_empty() {
            return Ok(None);
        }
        if let Some(days) = number::signed(&self.expire) {
            return Ok(u64::try_from(days).ok());
        }
        let days = date(&self.expire).ok_or_else(|| {
            let what = format!("{USERADD}: EXPIRE is neither a number of days nor a date such as 2030-01-31");
            Error::new(Reason::Unsupported, what)
                .advise("Correct this file in the image, then start again: nothing was written.")
        })?;
        Ok(Some(days))
    }
}

/// Returns the contents of the file; empty if there is no file.
fn contents(tree: &Tree, path: &str) -> Result<Vec<u8>> {
    let at = tree.resolve(Path::new(path))?;
    match tree.stat(&at)? {
        Some(stat) if stat.kind == FileKind::File => Ok(tree.read(&at)?.unwrap_or_default().into_owned()),
        Some(stat) => Err(Error::new(
            Reason::Account,
            format!("{path} in the root is {}, not a file", stat.kind.word()),
        )),
        None => Ok(Vec::new()),
    }
}

fn skip<'t>(text: &'t [u8], leading: &[u8]) -> &'t [u8] {
    let start = text.iter().position(|byte| !leading.contains(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

fn trim(line: &[u8]) -> &[u8] {
    let line = skip(line, b" \t");
    let blanks = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    line.get(..line.len().saturating_sub(blanks)).unwrap_or_default()
}

/// Returns the days from 1970-01-01 to the date `YYYY-MM-DD`.
fn date(text: &[u8]) -> Option<u64> {
    let mut parts = std::str::from_utf8(text).ok()?.splitn(3, '-').map(|part| number::id(part.as_bytes()));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year is counted from March, so that the leap day is its last day.
    let (year, month) =
        if month > 2 { (year, month.checked_sub(3)?) } else { (year.checked_sub(1)?, month.checked_add(9)?) };
    let year_days =
        year.checked_mul(365)?.checked_add(year / 4)?.checked_sub(year / 100)?.checked_add(year / 400)?;
    let month_days = month.checked_mul(153)?.checked_add(2)? / 5;
    // From 1 March of the year 0 to 1970-01-01 there are 719,468 days. One more is subtracted because days of the
    // month begin at 1.
    year_days.checked_add(month_days)?.checked_add(day)?.checked_sub(719_469).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_defs_are_read_as_the_shadow_tools_read_them() {
        let defs = LoginDefs::parse(
            b"# UID_MIN 1\nUID_MIN\t\t 2000  \n  GID_MIN 0x10\nNAME_ONLY\nUSERGROUPS_ENAB Yes\n\
              MAIL_DIR \"/mail dir\" # no comment\nHOME_MODE 0750\nUID_MIN 3000\nPASS_MAX_DAYS -1\nUID_MAX many",
        );
        assert_eq!(defs.number("UID_MIN", 1), 3000);
        assert_eq!(defs.number("GID_MIN", 1), 16);
        assert_eq!(defs.number("UID_MAX", 7), 7);
        assert_eq!(defs.number("NAME_ONLY", 8), 8);
        assert!(defs.yes("USERGROUPS_ENAB"));
        assert!(!defs.yes("CREATE_HOME"));
        assert_eq!(defs.mail_dir(), Some(b"/mail dir".as_slice()));
        assert_eq!(defs.home_mode(), 0o750);
        assert_eq!(defs.days("PASS_MAX_DAYS"), None);
        assert_eq!(defs.days("PASS_MIN_DAYS"), None);
    }

    #[test]
    fn the_home_mode_falls_back_to_the_umask() {
        assert_eq!(LoginDefs::parse(b"").home_mode(), 0o755);
        assert_eq!(LoginDefs::parse(b"UMASK 077").home_mode(), 0o700);
        assert_eq!(LoginDefs::parse(b"").mail_dir(), Some(b"/var/mail".as_slice()));
        assert_eq!(LoginDefs::parse(b"MAIL_FILE .mail").mail_dir(), None);
    }

    #[test]
    fn useradd_defaults_count_every_blank() {
        let defaults = UseraddDefaults::parse(
            b"# GROUP=1\nGROUP=users\n HOME=/no\nSHELL=/bin/sh\nSHELL=/bin/zsh\nSKEL=\nINACTIVE=-1\n\
              CREATE_MAIL_SPOOL=yes\nLOG_INIT=no\nGROUPS=a,b\nEXPIRE=2030-01-31\n",
        );
        assert_eq!(defaults.group.as_deref(), Some(b"users".as_slice()));
        assert_eq!(defaults.groups, [b"a", b"b"]);
        assert_eq!(defaults.home, b"/home");
        assert_eq!(defaults.shell, b"/bin/zsh");
        assert_eq!(defaults.skeletons, [b"/etc/skel".to_vec(), b"/usr/etc/skel".to_vec()]);
        assert_eq!(defaults.inactive, None);
        assert!(defaults.mail_spool && !defaults.log_init);
        assert_eq!(defaults.expiry().unwrap(), Some(21_945));
    }

    #[test]
    fn an_expiry_is_days_or_a_date() {
        let expiry = |text: &str| UseraddDefaults::parse(format!("EXPIRE={text}").as_bytes()).expiry();
        assert_eq!(expiry("").unwrap(), None);
        assert_eq!(expiry("-1").unwrap(), None);
        assert_eq!(expiry("20000").unwrap(), Some(20_000));
        assert_eq!(expiry("1970-01-01").unwrap(), Some(0));
        assert_eq!(expiry("2000-03-01").unwrap(), Some(11_017));
        assert_eq!(expiry("2024-02-29").unwrap(), Some(19_782));
        assert_eq!(expiry("next monday").unwrap_err().reason(), Reason::Unsupported);
        assert_eq!(expiry("2024-13-01").unwrap_err().reason(), Reason::Unsupported);
    }
}
