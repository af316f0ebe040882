//! Leftovers of an interrupted run that were damaged, changed or copied into another root. The program must refuse them and
//! change nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use glowplug::error::Reason;
use glowplug::root::Leftovers;
use glowplug::root::failpoints::Injected;
use glowplug::stamp::STAMP;

use super::machine::{Disk, Ended, Machine};
use super::manifest::{self, Tree};

/// Counts the files that were refused.
pub fn check(machine: &Machine, before: &Tree, config: &str, count: &AtomicUsize) -> Result<(), String> {
    let (made, after) = machine.undisturbed(before, config, None)?;
    for (left, name) in [(Leftovers::SavedConfig, "config"), (Leftovers::BegunCommit, "journal")] {
        let bytes = interrupted(machine, before, config, made, left)?.file(name)?;
        for spoiled in spoil(&bytes) {
            let disk = interrupted(machine, before, config, made, left)?;
            // The file is changed in place. Replacing it would test the same.
            fs::write(disk.path(name), &spoiled).map_err(|error| error.to_string())?;
            refused(&disk, left, config, before, &after)
                .map_err(|what| format!("a spoiled {name}: {what}"))?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        let disk = interrupted(machine, before, config, made, left)?.copy(machine)?;
        refused(&disk, left, config, before, &after).map_err(|what| format!("a copied {name}: {what}"))?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Returns a disk on which a stop of the machine left `left`. The stop comes at the latest call where this is so.
fn interrupted(
    machine: &Machine,
    before: &Tree,
    config: &str,
    made: usize,
    left: Leftovers,
) -> Result<Disk, String> {
    for call in (0..made).rev() {
        let disk = machine.disk(before, None)?;
        disk.start(Some(config), call, Injected::Stop);
        if disk.leftovers() == Ok(left) {
            return Ok(disk);
        }
    }
    Err(format!("at no call {left:?} is left"))
}

/// Returns damaged copies: cut off at several places, with one bit flipped at several others, and with bytes appended.
fn spoil(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..10).map(|part| bytes[..bytes.len() * part / 10].to_vec()).collect();
    all.push(bytes[..bytes.len() - 1].to_vec());
    all.push([bytes, b"x"].concat());
    for place in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
        let mut turned = bytes.to_vec();
        turned[place] ^= 1;
        all.push(turned);
    }
    all
}

fn refused(disk: &Disk, left: Leftovers, config: &str, before: &Tree, after: &Tree) -> Result<(), String> {
    let there = disk.tree()?;
    let ended = disk.start(None, usize::MAX, Injected::Stop);
    let tree = disk.tree()?;
    match (left, ended) {
        // Without a host there is no other config. With a host, the machine is provisioned completely.
        (Leftovers::SavedConfig, Ended::Failed(error)) if error.reason() == Reason::NoHost => {
            if tree != *before {
                return Err(format!("the root has changed:\n{}", manifest::changes(before, &tree)));
            }
            match disk.start(Some(config), usize::MAX, Injected::Stop) {
                Ended::Done if disk.tree()? == *after => Ok(()),
                _ => Err("the host's config does not help".into()),
            }
        }
        (Leftovers::BegunCommit, Ended::Failed(error)) if error.reason() == Reason::Journal => {
            if tree != there || tree.contains_key(Path::new(STAMP)) {
                return Err(format!("the root has changed:\n{}", manifest::changes(&there, &tree)));
            }
            Ok(())
        }
        (_, ended) => Err(ended.told()),
    }
}
