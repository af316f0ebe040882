//! What the program writes: the body to standard output, lines to standard error.

use std::os::fd::AsFd as _;

use glowplug::error::{Error, Reason, Result};
use glowplug::fd;

/// Writes a line to standard error: `kind` is `size`, `note` or `error`.
pub fn tell(kind: &str, text: &str) {
    // Control characters would end the line or begin another.
    let text = text.replace(char::is_control, "\u{fffd}");
    fd::print_error(&[kind, " ", &text].concat());
}

/// The body on standard output, within its limit.
#[derive(Debug)]
pub struct Output {
    limit: u64,
    written: u64,
}

impl Output {
    /// Returns an output of at most `limit` bytes; 0 is no limit.
    pub fn new(limit: u64) -> Self {
        Self { limit: if limit == 0 { u64::MAX } else { limit }, written: 0 }
    }

    /// Tells how many bytes there will be in all. Call it before the first write, if the number is known.
    ///
    /// # Errors
    /// [`Reason::BadAnswer`] if that is more than the limit.
    pub fn size(&self, size: u64) -> Result<()> {
        tell("size", &size.to_string());
        self.check(size)
    }

    /// Writes bytes of the body.
    ///
    /// # Errors
    /// [`Reason::BadAnswer`] for more bytes than the limit; [`Reason::System`] if nobody reads them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.written.saturating_add(bytes.len() as u64);
        self.check(written)?;
        self.written = written;
        fd::write_all(std::io::stdout().as_fd(), bytes)
            .map_err(|errno| Error::system("write the body to standard output", errno))
    }

    /// Returns how many bytes have been written.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn check(&self, size: u64) -> Result<()> {
        if size <= self.limit {
            return Ok(());
        }
        Err(Error::new(Reason::BadAnswer, format!("the body is over the limit of {} bytes", self.limit)))
    }
}
