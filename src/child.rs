//! A program that runs beside this one, with a pipe to each of its standard descriptors.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};

use crate::deadline::Deadline;
use crate::sys::spawn;

/// How long to sleep between two looks at a program that is about to end.
const PAUSE: Duration = Duration::from_millis(2);

/// A program that was started. It is killed, with all that it has started, when this value is dropped.
pub(crate) struct Child {
    pid: Pid,
    is_over: bool,
}

/// The ends of the pipes to a program. Reading and writing them never blocks.
pub(crate) struct Pipes {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this exit code.
    Code(i32),
    /// By a signal, or it was killed because it did not end.
    Killed,
}

impl Child {
    /// Starts the program `arguments[0]`, which is a path, with nothing but `environment` as its environment.
    ///
    /// # Errors
    /// errno of pipe2(2), fcntl(2) or `posix_spawnp(3)`.
    pub(crate) fn start(arguments: &[&CStr], environment: &[&CStr]) -> Result<(Self, Pipes), Errno> {
        Self::start_file(arguments.first().ok_or(Errno::INVAL)?, arguments, environment)
    }

    /// Starts the program in the file at `path`, under the name that `arguments` begin with: see [`Child::start`].
    ///
    /// # Errors
    /// As for [`Child::start`].
    pub(crate) fn start_file(
        path: &CStr,
        arguments: &[&CStr],
        environment: &[&CStr],
    ) -> Result<(Self, Pipes), Errno> {
        let (their_input, input) = pipe_with(PipeFlags::CLOEXEC)?;
        let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, their_errors) = pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&input, &output, &errors] {
            fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        let theirs = [their_input.as_fd(), their_output.as_fd(), their_errors.as_fd()];
        let pid = spawn(path, arguments, environment, Some(theirs))?;
        Ok((Self { pid, is_over: false }, Pipes { input, output, errors }))
    }

    /// Waits until the program has ended, which it should do within `patience`. Otherwise it is killed.
    ///
    /// # Errors
    /// errno of waitpid(2).
    pub(crate) fn end_within(&mut self, patience: Duration) -> Result<Ended, Errno> {
        let deadline = Deadline::after(patience);
        let (_, status) = loop {
            if let Some(ended) = waitpid(Some(self.pid), WaitOptions::NOHANG)? {
                break ended;
            }
            if deadline.remaining().is_zero() {
                self.kill();
                return Ok(Ended::Killed);
            }
            std::thread::sleep(PAUSE);
        };
        self.is_over = true;
        Ok(status.exit_status().map_or(Ended::Killed, Ended::Code))
    }

    /// Kills the program, with all that it has started, and waits for it. Nothing happens if it has been waited for.
    pub(crate) fn kill(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        // A failure is ignored: the program may have ended by itself. Nobody has waited for it, so its number is still its
        // own.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
