//! A Debian guest whose first process is a shell on the console: no systemd, no services.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::guest::{BOOT, Guest, Machine, Options};

/// How long a trivial command may take.
const SHORT: Duration = Duration::from_secs(60);

/// A guest with a shell that runs what the test types.
pub struct Shell {
    guest: Guest,
    commands: u32,
}

impl Shell {
    /// Boots the machine's disk, writable and not provisioned, and loads the modules for vsock.
    ///
    /// # Errors
    /// When the guest cannot be booted.
    pub fn boot(machine: &Machine, mut options: Options) -> Result<Self> {
        options.arguments.extend(["rw", "init=/bin/sh", "ignition.firstboot=0", "quiet"].map(str::to_owned));
        let mut guest = machine.boot(options)?;
        guest.wait_console("# ", BOOT)?;
        // Without an echo, the typed text does not mix with the output of the commands.
        guest.type_text("PS1= PS2=; stty -echo\n")?;
        let mut shell = Self { guest, commands: 0 };
        shell.run_ok("export PATH=/usr/sbin:/usr/bin", SHORT)?;
        Ok(shell)
    }

    /// Runs commands, each line of which is under 4 KiB. Returns the exit code of the last one and what was printed.
    ///
    /// # Errors
    /// When they have not ended within `limit`.
    pub fn run(&mut self, commands: &str, limit: Duration) -> Result<(u8, String)> {
        self.commands += 1;
        let number = self.commands;
        let typed =
            format!("printf '\\n<%s<\\n' {number}\n{commands}\nprintf '\\n=%s\\n>%s>\\n' $? {number}\n");
        self.guest.type_text(&typed)?;
        let end = format!("\n>{number}>\n");
        self.guest.wait_console(&end, limit)?;
        let text = self.guest.console.text();
        let parts = || {
            let (_, rest) = text.split_once(&format!("\n<{number}<\n"))?;
            let (printed, code) = rest.split_once(&end)?.0.rsplit_once("\n=")?;
            Some((code.parse().ok()?, printed.to_owned()))
        };
        parts().ok_or_else(|| self.guest.failed("the shell's answer cannot be read"))
    }

    /// As [`Shell::run`], but another exit code than 0 is an error.
    ///
    /// # Errors
    /// Those of [`Shell::run`], and a failure of the last command.
    pub fn run_ok(&mut self, commands: &str, limit: Duration) -> Result<String> {
        match self.run(commands, limit)? {
            (0, printed) => Ok(printed),
            (code, printed) => Err(Error::new(format!("`{commands}`: exit code {code}\n{printed}"))),
        }
    }
}
