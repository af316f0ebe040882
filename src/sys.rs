//! The only unsafe code: a call that neither rustix nor the standard library makes at a size that fits the
//! initramfs.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use rustix::io::Errno;

/// As many arguments as [`spawn_and_wait`] passes on.
const ARGUMENTS: usize = 8;

/// Runs the program `arguments[0]`, found by `PATH`, with this process's descriptors and no environment but a
/// `PATH`, and waits for it. Returns its exit code; a program that a signal ended has none.
///
/// # Errors
/// errno of `posix_spawnp(3)` or waitpid(2); `E2BIG` for more than eight arguments.
pub fn spawn_and_wait(arguments: &[&CStr]) -> Result<Option<i32>, Errno> {
    let mut pointers = [ptr::null_mut(); ARGUMENTS + 1];
    let program = arguments.first().ok_or(Errno::INVAL)?;
    if arguments.len() > ARGUMENTS {
        return Err(Errno::TOOBIG);
    }
    for (pointer, argument) in pointers.iter_mut().zip(arguments) {
        *pointer = argument.as_ptr().cast_mut();
    }
    let path = c"PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    let environment = [path.as_ptr().cast_mut(), ptr::null_mut()];
    let mut child = 0;
    // SAFETY: all pointers but the last of both arrays are strings that end in NUL and outlive the call, both
    // arrays end in a null pointer, and posix_spawnp(3) writes to none of them.
    let code = unsafe {
        libc::posix_spawnp(
            &raw mut child,
            program.as_ptr(),
            ptr::null(),
            ptr::null(),
            pointers.as_ptr(),
            environment.as_ptr(),
        )
    };
    if code != 0 {
        return Err(Errno::from_raw_os_error(code));
    }
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the child's status for the whole call.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if waited == child {
            return Ok(libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(Errno::from_io_error(&error).unwrap_or(Errno::CHILD));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_run_and_waited_for() {
        assert_eq!(spawn_and_wait(&[c"true"]), Ok(Some(0)));
        assert_eq!(spawn_and_wait(&[c"sh", c"-c", c"exit 7"]), Ok(Some(7)));
        assert_eq!(spawn_and_wait(&[c"sh", c"-c", c"kill -9 $$"]), Ok(None));
        assert!(matches!(spawn_and_wait(&[c"no-such-program"]), Err(Errno::NOENT) | Ok(Some(127))));
        assert_eq!(spawn_and_wait(&[]), Err(Errno::INVAL));
        assert_eq!(spawn_and_wait(&[c"true"; 9]), Err(Errno::TOOBIG));
    }
}
