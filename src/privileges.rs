//! Gives up the privileges of root, before a program reads what comes from outside.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid, geteuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::error::{Error, Result};

/// The user nobody and the group nogroup of Debian.
const NOBODY: u32 = 65534;

const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Gives up all privileges of this process, which has one thread: root becomes nobody, no capability is left, and no program
/// can gain any. Its memory is not written to core files.
///
/// # Errors
/// [`Reason::System`](crate::error::Reason::System) if a step fails.
pub fn give_up() -> Result<()> {
    if geteuid().is_root() {
        become_nobody().map_err(|errno| Error::system("become the user nobody", errno))?;
    }
    set_capabilities(None, NO_CAPABILITIES).map_err(|errno| Error::system("give up capabilities", errno))?;
    set_no_new_privs(true).map_err(|errno| Error::system("forbid new privileges", errno))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Error::system("forbid core files", errno))
}

/// Becomes nobody, without groups, and empties the sets from which a program could get capabilities.
fn become_nobody() -> rustix::io::Result<()> {
    for number in 0..64 {
        match CapabilitySet::from_bits(1 << number).map(remove_capability_from_bounding_set) {
            // The kernel does not know this capability, nor those after it.
            None | Some(Err(Errno::INVAL)) => break,
            // A user namespace may hold root back from this.
            Some(Ok(()) | Err(Errno::PERM)) => {}
            Some(Err(errno)) => return Err(errno),
        }
    }
    clear_ambient_capability_set()?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    // In the user namespace of an ordinary user, nobody may not exist, and groups cannot be changed. Root is that user there,
    // and has no privileges outside once its capabilities are gone.
    let in_namespace = |error| match error {
        Errno::INVAL | Errno::PERM => Ok(()),
        errno => Err(errno),
    };
    set_thread_groups(&[]).or_else(in_namespace)?;
    set_thread_res_gid(group, group, group).or_else(in_namespace)?;
    set_thread_res_uid(user, user, user).or_else(in_namespace)
}
