//! Hints about directories in a user's home that will belong to root.

use super::super::checker::Checker;
use super::super::keys::Keys;
use super::super::report::Step;
use super::super::types::{Config, Passwd, User};
use super::storage::paths;

/// The largest number of directories that hints name.
const MAX_TOLD: usize = 32;
/// The largest number of directories above an entry that are looked at.
const MAX_DEPTH: usize = 16;

/// The home of a user that the config creates or changes.
#[derive(Default)]
struct Home<'c> {
    /// The path, without a slash at its end.
    path: String,
    /// The name of the user.
    user: &'c str,
    /// Whether the home is not created together with the user.
    is_absent: bool,
    /// Whether the user gets SSH keys, and with them a directory `.ssh` of their own.
    has_keys: bool,
}

/// Adds a hint for each entry below a home that makes directories belong to root. These are the directories above the
/// entry that the config does not list, and a directory that it lists without an owner.
pub(super) fn check(config: &Config<'_>, checker: &mut Checker<'_>) {
    let homes = homes(&config.passwd);
    if homes.is_empty() {
        return;
    }
    let storage = &config.storage;
    let listed = Keys::of(&[&storage.directories, &storage.links, &storage.files]);
    let mut told: Vec<&str> = Vec::new();
    for (list, index, path) in paths(storage) {
        let Some(home) = home_of(&homes, path) else { continue };
        let mut roots = above(path, home).collect::<Vec<_>>();
        roots.retain(|above| !listed.has(above) && !told.contains(above));
        if told.len().saturating_add(roots.len()) > MAX_TOLD {
            return;
        }
        told.extend(&roots);
        let steps = [Step::Key("storage"), Step::Key(list), Step::Index(index), Step::Key("path")];
        if let Some(paths) = enumerated(&roots) {
            let user = home.user;
            checker.hint(
                &steps,
                format!(
                    "{paths} will belong to root: add an entry with the user {user} to storage.directories"
                ),
            );
        }
        let owner = storage.directories.get(index).filter(|_| list == "directories").map(|one| &one.user);
        if owner
            .is_some_and(|owner| owner.id.is_none() && owner.name.as_deref().unwrap_or_default().is_empty())
        {
            checker.hint(&steps, format!("{path} will belong to root: set user.name to {}", home.user));
        }
    }
}

/// Returns the homes of the users that the config creates or changes, without root's, sorted by path.
fn homes<'c>(passwd: &'c Passwd<'c>) -> Vec<Home<'c>> {
    let is_made = |user: &&User<'_>| user.should_exist != Some(false) && !matches!(&*user.name, "" | "root");
    let users = passwd.users.iter().filter(is_made);
    let home = |user: &'c User<'c>| {
        let named = user.home_dir.as_deref().filter(|home| !home.is_empty());
        let path = named
            .map_or_else(|| format!("/home/{}", user.name), |home| home.trim_end_matches('/').to_owned());
        // A top-level directory such as /srv is the system's, also if a user has it as home.
        let is_own = path.starts_with('/') && path.matches('/').count() > 1;
        is_own.then_some(Home {
            path,
            user: &user.name,
            is_absent: user.no_create_home == Some(true),
            has_keys: !user.ssh_authorized_keys.is_empty(),
        })
    };
    let mut homes: Vec<Home<'_>> = users.filter_map(home).collect();
    crate::sort::sort(&mut homes, &|one, other| one.path.cmp(&other.path));
    homes
}

/// Returns the innermost home above `path`.
fn home_of<'h, 'c>(homes: &'h [Home<'c>], path: &str) -> Option<&'h Home<'c>> {
    let slashes = path.match_indices('/').take(MAX_DEPTH).map(|(at, _)| path.get(..at).unwrap_or_default());
    let found = |above: &str| {
        homes.binary_search_by(|home| home.path.as_str().cmp(above)).ok().and_then(|index| homes.get(index))
    };
    slashes.filter_map(found).last()
}

/// Returns the directories between `home` and `path` that nothing else creates. The home itself is one of them if it is
/// not created with the user.
fn above<'p>(path: &'p str, home: &'p Home<'_>) -> impl Iterator<Item = &'p str> {
    let length = home.path.len();
    let slashes = path.match_indices('/').map(|(at, _)| at).filter(move |at| *at >= length).take(MAX_DEPTH);
    slashes.filter_map(|at| path.get(..at)).filter(move |above| {
        let below = above.get(length..).unwrap_or_default();
        if below.is_empty() { home.is_absent } else { !(home.has_keys && below == "/.ssh") }
    })
}

/// Returns the paths as a list in words: `/a, /b and /c`. Returns `None` for no paths.
fn enumerated(paths: &[&str]) -> Option<String> {
    let (last, others) = paths.split_last()?;
    Some(if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Report, parse};

    fn hints(passwd: &str, storage: &str) -> Vec<String> {
        let text = format!(
            r#"{{"ignition":{{"version":"3.4.0"}},"passwd":{{"users":[{passwd}]}},"storage":{{{storage}}}}}"#
        );
        let mut report = Report::default();
        parse(text.as_bytes(), &mut report).unwrap();
        report.hints.iter().map(|hint| hint.message.to_string()).collect()
    }

    const ANN: &str = r#"{"name":"ann"}"#;

    #[test]
    fn implicit_directories_in_a_home_are_told_once() {
        let storage = r#""directories":[{"path":"/home/ann/.config/systemd/user/x.wants","user":{"name":"ann"}}],
            "files":[{"path":"/home/ann/.config/systemd/user/e.service","user":{"name":"ann"}},{"path":"/home/ann/.profile"}],
            "links":[{"path":"/home/ann/a/b","target":"c"}]"#;
        assert_eq!(
            hints(ANN, storage),
            [
                "/home/ann/.config, /home/ann/.config/systemd and /home/ann/.config/systemd/user will belong to \
                 root: add an entry with the user ann to storage.directories",
                "/home/ann/a will belong to root: add an entry with the user ann to storage.directories",
            ]
        );
    }

    #[test]
    fn directories_that_are_listed_or_made_otherwise_are_not_told() {
        let file = |path: &str| format!(r#""files":[{{"path":"{path}"}}]"#);
        let listed = r#""directories":[{"path":"/home/ann/x","user":{"name":"ann"}}],"#;
        assert_eq!(hints(ANN, &(listed.to_owned() + &file("/home/ann/x/y"))), [""; 0]);
        let unowned = r#""directories":[{"path":"/home/ann/x"}]"#;
        assert_eq!(hints(ANN, unowned), ["/home/ann/x will belong to root: set user.name to ann"]);
        assert_eq!(hints(ANN, &file("/home/ben/x/y")), [""; 0]);
        assert_eq!(hints(ANN, &file("/home/annette/x/y")), [""; 0]);
        assert_eq!(hints(ANN, &file("/home/ann/x")), [""; 0]);
        let key = r#"{"name":"ann","sshAuthorizedKeys":["ssh-ed25519 AAAA"]}"#;
        assert_eq!(hints(key, &file("/home/ann/.ssh/config")), [""; 0]);
        assert_eq!(hints(ANN, &file("/home/ann/.ssh/config")).len(), 1);
        let elsewhere = r#"{"name":"ann","homeDir":"/srv/ann/"}"#;
        assert_eq!(hints(elsewhere, &file("/srv/ann/x/y")).len(), 1);
        assert_eq!(hints(elsewhere, &file("/home/ann/x/y")), [""; 0]);
        let no_home = r#"{"name":"ann","noCreateHome":true}"#;
        assert!(hints(no_home, &file("/home/ann/x")).concat().starts_with("/home/ann will belong"));
        let gone = r#"{"name":"ann","shouldExist":false}"#;
        assert_eq!(hints(gone, &file("/home/ann/x/y")), [""; 0]);
        assert_eq!(hints(r#"{"name":"root"}"#, &file("/root/x/y")), [""; 0]);
    }
}
