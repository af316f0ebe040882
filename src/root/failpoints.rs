//! Failpoints, for tests only. The calls that change the root and the steps that change disks are counted, and a test says at
//! which of them the machine stops or the file system fails. A failpoint works only in the thread that arms it.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{fstat, fsync, ftruncate};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

/// The fault that happens once the number of calls that the test allows has been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injected {
    /// The machine stops: no further call is made, the thread unwinds with [`Stopped`].
    Stop,
    /// The process is killed, so it cleans nothing up, and the machine of the test then loses its power. Only steps that
    /// change disks and calls that sync the root are counted: what was not synced is lost with the machine's memory.
    Kill,
    /// The machine stops as for `Stop`, and a part of the contents written since the last sync never reached the disk.
    LoseContents,
    /// The next call fails with this errno. Later calls succeed.
    Once(Errno),
    /// All further calls fail with this errno.
    Always(Errno),
    /// Changes of the file system with this device number are lost, while those of other file systems are made. The machine
    /// stops when that file system is about to be synced.
    Lose(u64),
}

/// The panic payload of a stopped thread, for [`std::panic::catch_unwind`].
#[derive(Debug)]
pub struct Stopped;

/// What this thread has armed.
#[derive(Default)]
struct Armed {
    /// The number of calls so far.
    made: usize,
    /// The fault, and the number of calls before it.
    fault: Option<(usize, Injected)>,
    /// Files whose contents have not been synced.
    unsynced: Vec<OwnedFd>,
    /// What another process does just before the call of this number.
    meanwhile: Option<(usize, Box<dyn FnOnce()>)>,
}

thread_local! {
    static ARMED: RefCell<Armed> = RefCell::default();
}

/// Starts to count from zero. `fault` happens after `allowed` calls.
pub fn arm(allowed: usize, fault: Injected) {
    ARMED.with_borrow_mut(|state| *state = Armed { fault: Some((allowed, fault)), ..Armed::default() });
}

/// Starts to count from zero. `act` is done just before call number `before`, as another process could do it.
pub fn arm_meanwhile(before: usize, act: Box<dyn FnOnce()>) {
    ARMED.with_borrow_mut(|state| *state = Armed { meanwhile: Some((before, act)), ..Armed::default() });
}

/// Starts to count from zero, without any fault. Returns the number of calls that were made before.
pub fn disarm() -> usize {
    ARMED.with_borrow_mut(std::mem::take).made
}

/// Kills this process before the step or sync whose number, from 1, is in the environment variable `GLOWPLUG_STOP_AT`. Does
/// nothing without a number there.
pub fn arm_from_environment() {
    let number = std::env::var("GLOWPLUG_STOP_AT").ok().and_then(|text| text.parse::<usize>().ok());
    if let Some(allowed) = number.and_then(|number| number.checked_sub(1)) {
        arm(allowed, Injected::Kill);
    }
}

/// Counts a step that is about to change disks. The machine may stop before it; file systems do not fail here.
pub fn step() {
    match count() {
        Some(Injected::Stop) => stop(),
        Some(Injected::Kill) => kill(),
        _ => {}
    }
}

/// Counts a write to the disk `disk`, as [`step`] does. If the machine stops here, the earlier writes are on the disk.
pub fn step_in(disk: BorrowedFd<'_>) {
    match count() {
        Some(Injected::Stop) => stop(),
        Some(Injected::Kill) => {
            // Without this the earlier writes would never be on the disk without the later ones.
            let _ = fsync(disk);
            kill()
        }
        _ => {}
    }
}

/// Counts a call that is about to change the file system of `fd`. Returns whether the call is to be made.
pub(super) fn pass(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    if ARMED.with_borrow(|state| matches!(state.fault, Some((_, Injected::Kill)))) {
        return Ok(true);
    }
    count_call(fd)
}

fn count_call(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    match count() {
        None => Ok(true),
        Some(Injected::Lose(device)) => Ok(fstat(fd)?.st_dev != device),
        Some(Injected::Once(errno) | Injected::Always(errno)) => Err(errno),
        Some(Injected::Stop) => stop(),
        Some(Injected::Kill) => kill(),
        Some(Injected::LoseContents) => {
            let (unsynced, made) =
                ARMED.with_borrow_mut(|state| (std::mem::take(&mut state.unsynced), state.made));
            for (number, file) in unsynced.iter().enumerate() {
                // A disk may have written nothing, some eighths of a file, or all of it. Each call leaves another part.
                let eighths = made.wrapping_add(number.wrapping_mul(4)) % 9;
                let size = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
                let kept = size.saturating_mul(u64::try_from(eighths).unwrap_or(0)) / 8;
                ftruncate(file, kept)?;
            }
            stop()
        }
    }
}

/// Counts a call or step, and does what another process does just before it. Returns the fault that happens now.
fn count() -> Option<Injected> {
    let (fault, meanwhile) = ARMED.with_borrow_mut(|state| {
        let made = state.made;
        state.made = made.saturating_add(1);
        let meanwhile = state.meanwhile.take_if(|(before, _)| *before == made);
        let fault = match state.fault {
            Some((allowed, Injected::Once(_))) if made != allowed => None,
            Some((allowed, fault)) if made >= allowed => Some(fault),
            _ => None,
        };
        (fault, meanwhile)
    });
    if let Some((_, act)) = meanwhile {
        act();
    }
    fault
}

fn stop() -> ! {
    std::panic::resume_unwind(Box::new(Stopped))
}

fn kill() -> ! {
    loop {
        // SIGKILL cannot be blocked, so the first call does not return.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Counts a call that is about to sync the file system of `fd`, as [`pass`] does.
pub(super) fn pass_sync(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    if count_call(fd)? { Ok(true) } else { stop() }
}

/// Notes that contents are about to be written to `file`.
pub(super) fn written(file: BorrowedFd<'_>) {
    if let Ok(file) = file.try_clone_to_owned() {
        ARMED.with_borrow_mut(|state| state.unsynced.push(file));
    }
}

/// Notes that `file` has been synced, or its `whole` file system.
pub(super) fn synced(file: BorrowedFd<'_>, whole: bool) {
    let Ok(this) = fstat(file) else { return };
    ARMED.with_borrow_mut(|state| {
        state.unsynced.retain(|other| {
            fstat(other.as_fd())
                .is_ok_and(|other| other.st_dev != this.st_dev || !whole && other.st_ino != this.st_ino)
        });
    });
}
