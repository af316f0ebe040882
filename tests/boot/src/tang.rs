//! A tang server for a guest. QEMU starts one process of the server for each connection, so nothing listens on the host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::process::run_ok;

/// The address at which a guest finds the server, at port 80. It belongs to QEMU's own network.
pub const ADDRESS: &str = "10.0.2.100";

const LIMIT: Duration = Duration::from_secs(60);

/// The keys of a server. They lie in a folder of the caller.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
    /// The thumbprint of the key by which a client knows the server.
    pub thumbprint: String,
}

impl Keys {
    /// Makes new keys in the new folder `folder`.
    ///
    /// # Errors
    /// When the folder exists already, or tang's program cannot make the keys.
    pub fn make(folder: PathBuf) -> Result<Self> {
        fs::create_dir(&folder).doing_to("make the folder", &folder)?;
        run_ok(Command::new("/usr/libexec/tangd-keygen").arg(&folder), LIMIT)?;
        for entry in fs::read_dir(&folder).doing_to("read", &folder)? {
            let path = entry.doing_to("read", &folder)?.path();
            let text = fs::read_to_string(&path).doing_to("read", &path)?;
            // Of the two keys, this one signs the advertisement. The name of a key's file is its thumbprint.
            if let Some(name) = path.file_stem().filter(|_| text.contains("ES512")) {
                let thumbprint = name.to_string_lossy().into_owned();
                return Ok(Self { folder, thumbprint });
            }
        }
        Err(Error::new(format!("tangd-keygen has made no key that signs in {}", folder.display())))
    }

    /// Returns the part of QEMU's option for its network that gives the guest the server.
    pub(crate) fn forward(&self) -> String {
        // The server writes a line about each request to its standard error, which QEMU would take for a part of the answer.
        let server = format!("exec /usr/libexec/tangd {} 2>/dev/null", self.folder.display());
        format!("guestfwd=tcp:{ADDRESS}:80-cmd:sh -c '{server}'")
    }
}

/// Returns the URL of the server.
pub fn url() -> String {
    format!("http://{ADDRESS}")
}
