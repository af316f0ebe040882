//! The configs to provision, and the trees that they make.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use boot_lab::error::{Doing, Error, Result};

/// The text that the contents repeat, and the same in base64.
const UNIT: (&str, &str) = ("glo", "Z2xv");
/// The unit's first byte, in base64: contents are one byte longer than a number of units.
const LAST: &str = "Zw==";

const VERSION: &str = r#""ignition":{"version":"3.2.0"}"#;

/// One config, its file, and what it makes of files.
pub struct Work {
    /// Its name in the table.
    pub name: &'static str,
    /// Where the config is.
    pub config: PathBuf,
    /// How often it is timed.
    pub runs: usize,
    /// The files with repeated contents, each as its path below the root and its size. Empty if the config has more than
    /// files.
    pub files: Vec<(String, usize)>,
    /// A path that must exist afterwards, and its size.
    pub proof: (String, u64),
}

impl Work {
    /// Makes a config with two users, 15 files, 10 units, 5 directories and 2 links.
    pub fn small(dir: &Path) -> Result<Self> {
        let config = dir.join("small.ign");
        fs::write(&config, small()).doing("write the small config")?;
        let proof = ("etc/bench/14.conf".to_owned(), 400);
        Ok(Self { name: "small: 2 users, 15 files, 10 units", config, runs: 31, files: Vec::new(), proof })
    }

    /// Makes a config with `count` files of `size` bytes each, 100 in a directory.
    pub fn many(dir: &Path, name: &'static str, count: usize, size: usize) -> Result<Self> {
        let files: Vec<_> =
            (0..count).map(|n| (format!("var/lib/bench/{:03}/{n:06}.conf", n / 100), size)).collect();
        Self::of_files(dir, name, 5, files)
    }

    /// Makes a config with one file of `size` bytes.
    pub fn big(dir: &Path, name: &'static str, size: usize) -> Result<Self> {
        Self::of_files(dir, name, 3, vec![("var/lib/bench/image.raw".to_owned(), size)])
    }

    fn of_files(dir: &Path, name: &'static str, runs: usize, files: Vec<(String, usize)>) -> Result<Self> {
        let mut text = format!(r#"{{{VERSION},"storage":{{"files":["#);
        for (n, (path, size)) in files.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let units = UNIT.1.repeat(size / UNIT.0.len());
            let _ = write!(
                text,
                r#"{comma}{{"path":"/{path}","mode":420,"contents":{{"source":"data:;base64,{units}{LAST}"}}}}"#
            );
        }
        text.push_str("]}}");
        let config = dir.join(format!("{}-{}.ign", files.len(), text.len()));
        fs::write(&config, text).doing_to("write", &config)?;
        let (path, size) = files.last().cloned().unwrap_or_default();
        let size = u64::try_from(contents(size).len()).doing("count")?;
        Ok(Self { name, config, runs, files, proof: (path, size) })
    }

    /// Returns the size of the config in bytes.
    pub fn length(&self) -> Result<u64> {
        Ok(fs::metadata(&self.config).doing_to("look up", &self.config)?.len())
    }

    /// Returns the path for an archive of the tree.
    pub fn archive(&self) -> PathBuf {
        self.config.with_extension("tar")
    }

    /// Returns an error unless the root has what the end of the config asks for.
    pub fn check(&self, root: &Path) -> Result<()> {
        let path = root.join(&self.proof.0);
        let found = fs::metadata(&path).doing_to("look up", &path)?.len();
        if found == self.proof.1 {
            return Ok(());
        }
        Err(Error::new(format!("{} has {found} bytes, not {}", path.display(), self.proof.1)))
    }

    /// Writes the files into `dir`, for an archive of the same tree.
    pub fn tree(&self, dir: &Path) -> Result<()> {
        for (path, size) in &self.files {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).doing_to("make", parent)?;
            }
            fs::write(&path, contents(*size)).doing_to("write", &path)?;
        }
        Ok(())
    }
}

/// Returns the bytes that `UNIT` and `LAST` decode to.
fn contents(size: usize) -> Vec<u8> {
    let mut bytes = UNIT.0.repeat(size / UNIT.0.len()).into_bytes();
    bytes.push(b'g');
    bytes
}

fn small() -> String {
    let key = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} bench", "A".repeat(43));
    let list =
        |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let files = list(15, &|n| {
        format!(
            r#"{{"path":"/etc/bench/{n}.conf","mode":420,"contents":{{"source":"data:,{}"}}}}"#,
            "x".repeat(400)
        )
    });
    let units = list(10, &|n| {
        let text = r"[Unit]\nDescription=Bench\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
        format!(r#"{{"name":"bench{n}.service","enabled":true,"contents":"{text}"}}"#)
    });
    let directories = list(5, &|n| format!(r#"{{"path":"/var/lib/bench/{n}","mode":448}}"#));
    let links = list(2, &|n| format!(r#"{{"path":"/etc/bench/link{n}","target":"/etc/bench/{n}.conf"}}"#));
    format!(
        r#"{{{VERSION},"passwd":{{"users":[
{{"name":"core","uid":1501,"groups":["sudo"],"sshAuthorizedKeys":["{key}"]}},{{"name":"root","sshAuthorizedKeys":["{key}"]}}]}},
"storage":{{"files":[{files}],"directories":[{directories}],"links":[{links}]}},"systemd":{{"units":[{units}]}}}}"#
    )
}
