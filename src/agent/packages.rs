//! Reads the installed packages from dpkg's database (dpkg(1), `/var/lib/dpkg/status`).

use rustix::io::Errno;
use serde::Serialize;

use crate::fd;

const STATUS: &str = "/var/lib/dpkg/status";
/// The most bytes of the database. A desktop with 4,000 packages has 5 MB.
const LIMIT: u64 = 64 << 20;

/// An installed package.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Package<'t> {
    /// Its name.
    pub name: &'t str,
    /// Debian's version.
    pub version: &'t str,
    /// `all`, or the architecture that the package was built for.
    pub architecture: &'t str,
}

/// Returns the text of the database; `None` if there is no dpkg.
///
/// # Errors
/// The errno of reading it.
pub fn database() -> Result<Option<String>, Errno> {
    match fd::read_file(STATUS.as_ref(), LIMIT) {
        Err(Errno::NOENT) => Ok(None),
        Ok(bytes) if bytes.len() as u64 > LIMIT => Err(Errno::FBIG),
        read => read.map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

/// Parses the database and returns the installed packages in its order.
pub fn installed(database: &str) -> Vec<Package<'_>> {
    let mut packages = Vec::new();
    for paragraph in database.split("\n\n") {
        let (mut name, mut version, mut architecture, mut is_installed) = ("", "", "", false);
        for line in paragraph.lines() {
            // A line that begins with a space continues a field, and is none of the fields below.
            let Some((field, value)) = line.split_once(": ") else { continue };
            match field {
                "Package" => name = value,
                "Version" => version = value,
                "Architecture" => architecture = value,
                // The three words are the wanted action, an error flag and the state.
                "Status" => is_installed = value.split(' ').nth(2) == Some("installed"),
                _ => {}
            }
        }
        if is_installed {
            packages.push(Package { name, version, architecture });
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn removed_and_broken_packages_are_not_installed() {
        let database = "Package: one\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\n\
            Description: first\n Package: not-me\n\nPackage: two\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: three\nStatus: install reinstreq half-installed\n\nnonsense\n\n\
            Package: four\nVersion: 4\nArchitecture: amd64\nStatus: hold ok installed\n";
        let names: Vec<&str> = installed(database).iter().map(|package| package.name).collect();
        assert_eq!(names, ["one", "four"]);
        assert_eq!(installed(database)[0], Package { name: "one", version: "1:2-3", architecture: "all" });
        assert!(installed("").is_empty());
    }

    /// Compares with `dpkg-query` on machines that have dpkg. Both read a copy, since apt may be changing the database.
    #[test]
    fn the_same_packages_as_dpkg_query() {
        let Some(database) = database().unwrap() else { return };
        let copy = TempDir::new("dpkg");
        std::fs::write(copy.join("status"), &database).unwrap();
        for directory in ["info", "updates"] {
            std::fs::create_dir(copy.join(directory)).unwrap();
        }
        let mut query = std::process::Command::new("dpkg-query");
        query.arg("--admindir").arg(copy.join("")).arg("--show");
        query.args(["--showformat", "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"]);
        let output = query.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = String::from_utf8(output.stdout).unwrap();
        let mut expected: Vec<&str> =
            output.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
        let found: Vec<String> = installed(&database)
            .iter()
            .map(|package| format!("{} {} {}", package.name, package.version, package.architecture))
            .collect();
        let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
