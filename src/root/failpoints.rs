//! For tests alone: the calls that change the root are counted, and a test says at which of them the machine stops or
//! the file system fails. What a thread arms counts for that thread.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{fstat, ftruncate};
use rustix::io::Errno;

/// What happens once as many calls as a test allows have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops: no further call is made, the thread unwinds with [`Stopped`].
    Stop,
    /// The same, and of the contents written since the last sync a part never reached the disk.
    LoseContents,
    /// The next call fails, the later ones do not.
    Once(Errno),
    /// All further calls fail.
    Always(Errno),
    /// What is done to the file system of this device number never reaches the disk, while the others go on; the
    /// machine stops when it is to be synced.
    Lose(u64),
}

/// What a stopped thread unwinds with: catch it with [`std::panic::catch_unwind`].
#[derive(Debug)]
pub struct Stopped;

#[derive(Default)]
struct State {
    made: usize,
    fault: Option<(usize, Fault)>,
    /// Files with contents that no sync has brought to the disk.
    unsynced: Vec<OwnedFd>,
    /// What another process does before the call of this number.
    meanwhile: Option<(usize, Box<dyn FnOnce()>)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Counts from zero, and lets `fault` happen after `allowed` calls.
pub fn arm(allowed: usize, fault: Fault) {
    STATE.with_borrow_mut(|state| *state = State { fault: Some((allowed, fault)), ..State::default() });
}

/// Counts from zero, and lets `act` be done just before call number `before`, as another process could.
pub fn arm_meanwhile(before: usize, act: Box<dyn FnOnce()>) {
    STATE.with_borrow_mut(|state| *state = State { meanwhile: Some((before, act)), ..State::default() });
}

/// Counts from zero without any fault. Returns how many calls have been made before.
pub fn disarm() -> usize {
    STATE.with_borrow_mut(std::mem::take).made
}

/// One more call is about to change the file system of `fd`: whether it is made.
pub(super) fn pass(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let (fault, meanwhile) = STATE.with_borrow_mut(|state| {
        let made = state.made;
        state.made = made.saturating_add(1);
        let meanwhile = state.meanwhile.take_if(|(before, _)| *before == made);
        let fault = match state.fault {
            Some((allowed, Fault::Once(_))) if made != allowed => None,
            Some((allowed, fault)) if made >= allowed => Some(fault),
            _ => None,
        };
        (fault, meanwhile)
    });
    if let Some((_, act)) = meanwhile {
        act();
    }
    match fault {
        None => Ok(true),
        Some(Fault::Lose(device)) => Ok(fstat(fd)?.st_dev != device),
        Some(Fault::Once(errno) | Fault::Always(errno)) => Err(errno),
        Some(Fault::Stop) => stop(),
        Some(Fault::LoseContents) => {
            let (unsynced, made) =
                STATE.with_borrow_mut(|state| (std::mem::take(&mut state.unsynced), state.made));
            for (number, file) in unsynced.iter().enumerate() {
                // What a disk had got to: none of it, some eighths or all, another part at each call.
                let eighths = made.wrapping_add(number.wrapping_mul(4)) % 9;
                let size = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
                let kept = size.saturating_mul(u64::try_from(eighths).unwrap_or(0)) / 8;
                ftruncate(file, kept)?;
            }
            stop()
        }
    }
}

fn stop() -> ! {
    std::panic::resume_unwind(Box::new(Stopped))
}

/// The same of a call that brings the file system of `fd` to the disk.
pub(super) fn pass_sync(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    if pass(fd)? { Ok(true) } else { stop() }
}

/// `file` is about to get contents.
pub(super) fn written(file: BorrowedFd<'_>) {
    if let Ok(file) = file.try_clone_to_owned() {
        STATE.with_borrow_mut(|state| state.unsynced.push(file));
    }
}

/// `file` is on the disk, or all of its file system.
pub(super) fn synced(file: BorrowedFd<'_>, whole: bool) {
    let Ok(this) = fstat(file) else { return };
    STATE.with_borrow_mut(|state| {
        state.unsynced.retain(|other| {
            fstat(other.as_fd())
                .is_ok_and(|other| other.st_dev != this.st_dev || !whole && other.st_ino != this.st_ino)
        });
    });
}
