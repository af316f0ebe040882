//! The query of `GET /journal`, and whether the image allows it.

use std::path::Path;

use crate::agent::request::HttpRefusal;
use crate::error::errno_of;

/// The most lines of one answer.
const MOST_LINES: u32 = 1000;
/// The number of lines if the request does not say one.
const LINES: u32 = 100;
/// The directory in which the image turns the journal on. A file here enables a part of it, whatever the file
/// contains.
pub(super) const SWITCHES: &str = "/etc/glowplug/agent.d";
/// Enables `/journal` for units that do not belong to a user.
const OF_SYSTEM: &str = "journal";
/// Enables it also for the sessions and managers of users, and so for their containers.
const OF_USERS: &str = "journal-users";

/// Parses a query and checks that the files in `switches` allow it. Returns the unit, the number of lines, and
/// whether lines of users may be included.
pub(super) fn allowed(switches: &Path, query: &str) -> Result<(String, u32, bool), HttpRefusal> {
    let is_on = |name: &str| {
        let path = switches.join(name);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(HttpRefusal::broken(&format!("look for {}", path.display()), errno_of(&error))),
        }
    };
    let off = |what: &str, name: &str| {
        let path = switches.join(name);
        HttpRefusal {
            status: 403,
            what: format!("{what} is off: {} in the machine turns it on", path.display()),
        }
    };
    if !is_on(OF_SYSTEM)? {
        return Err(off("the journal", OF_SYSTEM));
    }
    let of_users = is_on(OF_USERS)?;
    let (unit, count) = parse(query)?;
    if is_of_user(&unit) && !of_users {
        return Err(off("the journal of users", OF_USERS));
    }
    Ok((unit, count, of_users))
}

/// Returns whether the unit is the manager or a session of a user. Containers of a user run below the user's manager.
fn is_of_user(unit: &str) -> bool {
    unit.starts_with("user@") || unit.starts_with("session-")
}

/// Parses the unit and the number of lines from a query.
pub fn parse(query: &str) -> Result<(String, u32), HttpRefusal> {
    let (mut unit, mut count) = (None, LINES);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("unit", name)) => unit = Some(unescaped(name).filter(|name| is_unit_name(name))),
            Some(("lines", number)) => {
                count = number.parse().ok().filter(|count| (1..=MOST_LINES).contains(count)).ok_or_else(
                    || HttpRefusal::bad(format!("lines= must be a number from 1 to {MOST_LINES}")),
                )?;
            }
            _ => return Err(HttpRefusal::bad("a query may have only unit= and lines=")),
        }
    }
    match unit {
        Some(Some(unit)) => Ok((unit, count)),
        Some(None) => {
            Err(HttpRefusal::bad("unit= does not have a valid unit name: it must look like ssh.service"))
        }
        None => Err(HttpRefusal::bad("unit= is missing: /journal?unit=ssh.service&lines=50")),
    }
}

/// Returns whether `name` is a unit name by systemd.unit(5). Patterns and slices are refused, because journalctl
/// takes them for all units that they contain.
fn is_unit_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let suffix = name.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map_or("", |(_, suffix)| suffix);
    let has_suffix = !suffix.is_empty() && suffix != "slice";
    name.len() < 256 && !name.starts_with('-') && has_suffix && name.bytes().all(is_allowed)
}

/// Decodes percent-encoding (RFC 3986, section 2.1). `None` if it is malformed or not UTF-8.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn queries() {
        assert_eq!(parse("unit=ssh.service").unwrap(), ("ssh.service".into(), 100));
        assert_eq!(parse("lines=5&unit=user%40501.service").unwrap(), ("user@501.service".into(), 5));
        assert_eq!(parse("unit=dev-disk%5Cx2d.device&").unwrap().0, "dev-disk\\x2d.device");
        for query in [
            "",
            "unit=",
            "unit=ssh",
            "unit=.service",
            "unit=ssh.",
            "unit=system.slice",
            "unit=-M.service",
            "unit=*.service",
            "unit=a%00.service",
            "unit=a%2Fb.service",
            "unit=%zz.service",
            "unit=%+1.service",
            "unit=a%2",
            "unit=ssh.service&lines=0",
            "unit=ssh.service&lines=1001",
            "unit=ssh.service&lines=-1",
            "unit=ssh.service&lines=all",
            "unit=ssh.service&boot=1",
            "unit",
        ] {
            assert_eq!(parse(query).unwrap_err().status, 400, "{query}");
        }
    }

    #[test]
    fn the_journal_is_off_until_the_image_turns_it_on() {
        let temp = TempDir::new("switches");
        let refused = |query: &str| {
            let refusal = allowed(&temp.join("agent.d"), query).unwrap_err();
            (refusal.status, refusal.what)
        };
        let status = |query: &str| refused(query).0;
        for query in ["unit=ssh.service", "unit=user@501.service", ""] {
            let (status, what) = refused(query);
            assert_eq!(status, 403);
            assert!(what.contains("agent.d/journal in the machine"), "{what}");
        }
        std::fs::create_dir(temp.join("agent.d")).unwrap();
        std::os::unix::fs::symlink("/dev/null", temp.join("agent.d/journal")).unwrap();
        assert_eq!(status("unit=ssh.service"), 403);
        std::fs::remove_file(temp.join("agent.d/journal")).unwrap();
        std::fs::write(temp.join("agent.d/journal"), "").unwrap();
        let allowed = |query: &str| allowed(&temp.join("agent.d"), query);
        assert_eq!(allowed("unit=ssh.service"), Ok(("ssh.service".into(), 100, false)));
        assert_eq!(status(""), 400);
        for unit in ["user@501.service", "user%40501.service", "session-3.scope"] {
            let (status, what) = refused(&format!("unit={unit}"));
            assert_eq!(status, 403, "{unit}");
            assert!(what.contains("agent.d/journal-users in the machine"), "{what}");
        }
        std::fs::write(temp.join("agent.d/journal-users"), "").unwrap();
        assert_eq!(allowed("unit=user@501.service&lines=2"), Ok(("user@501.service".into(), 2, true)));
        // If the switch cannot be looked up, the query must be refused.
        std::os::unix::fs::symlink("loop", temp.join("loop")).unwrap();
        assert_eq!(super::allowed(&temp.join("loop"), "unit=a.service").unwrap_err().status, 500);
    }
}
