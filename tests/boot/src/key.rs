//! The key that the config delivers: the lab's own in place of podman's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::process::run_ok;

const TYPE: &str = "ssh-ed25519 ";

/// A key pair in the lab's folder.
#[derive(Clone, Debug)]
pub struct Key {
    /// The private key's file.
    pub file: PathBuf,
    /// The public key: type, key and comment.
    pub public: String,
}

impl Key {
    /// Makes a pair in `folder`.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn make(folder: &Path) -> Result<Self> {
        let file = folder.join("key");
        run_ok(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(&file),
            Duration::from_secs(30),
        )?;
        let public = file.with_extension("pub");
        let text = fs::read_to_string(&public).doing_to("read", &public)?;
        Ok(Self { file, public: text.trim().to_owned() })
    }

    /// Returns `config` with this key in place of every ed25519 key in it.
    ///
    /// # Errors
    /// When the config has no such key.
    pub fn put_into(&self, config: &str) -> Result<String> {
        let start = format!("\"{TYPE}");
        let mut parts = config.split(&start);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (_, rest) = part.split_once('"').unwrap_or_default();
            out = out + "\"" + &self.public + "\"" + rest;
        }
        if out == config {
            return Err(Error::new("the config has no ssh-ed25519 key to replace"));
        }
        Ok(out)
    }
}

/// Returns name and uid of the user that podman's config makes, which is the first one with a uid.
pub fn user(config: &str) -> Option<(String, u32)> {
    let (before, after) = config.split_once("\"uid\":")?;
    let digits = after.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
    let (_, name) = before.rsplit_once("\"name\":")?;
    Some((name.split('"').nth(1)?.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;

    #[test]
    fn the_key_and_the_user_of_a_real_config() {
        let config = host::config("6.0-applehv-default.ign").unwrap();
        let key = Key { file: PathBuf::new(), public: "ssh-ed25519 AAAA lab".to_owned() };
        let ours = key.put_into(&config).unwrap();
        assert_eq!(ours.matches("\"ssh-ed25519 AAAA lab\"").count(), 2);
        assert_eq!(ours.matches("ssh-ed25519").count(), 2);
        assert_eq!(user(&ours), Some(("core".to_owned(), 501)));
        assert_eq!(key.put_into("{}").unwrap_err().to_string().matches("no ssh").count(), 1);
    }
}
