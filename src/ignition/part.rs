//! Which stage carries out which part of a config. Only this file says so.

use super::stage_call::Stage;
use crate::config::{Config, Filesystem, KernelArguments, Passwd, Storage, Systemd};

/// Removes from `config` every part that `stage` does not carry out. The section `ignition` stays as it is.
pub(super) fn keep(stage: Stage, config: &mut Config<'_>) {
    if stage != Stage::Kargs {
        config.kernel_arguments = KernelArguments::default();
    }
    let storage = &mut config.storage;
    match stage {
        Stage::Files => {
            // `luks` stays: the stage writes the key files, and `/etc/crypttab`.
            storage.disks.clear();
            storage.raid.clear();
            storage.filesystems.clear();
            return;
        }
        Stage::Disks => {
            storage.directories.clear();
            storage.files.clear();
            storage.links.clear();
        }
        Stage::Mount | Stage::Umount => {
            let mut filesystems = std::mem::take(&mut storage.filesystems);
            filesystems.retain(is_mounted);
            *storage = Storage { filesystems, ..Storage::default() };
        }
        Stage::Kargs | Stage::Fetch | Stage::FetchOffline => *storage = Storage::default(),
    }
    config.passwd = Passwd::default();
    config.systemd = Systemd::default();
}

/// Removes from `config` every part that cannot be carried out in a running container.
pub(super) fn keep_for_container(config: &mut Config<'_>) {
    keep(Stage::Files, config);
    config.storage.luks.clear();
    config.passwd = Passwd::default();
}

/// Returns whether the stage `mount` mounts this file system.
fn is_mounted(filesystem: &Filesystem<'_>) -> bool {
    let path = filesystem.path.as_deref().unwrap_or_default();
    let format = filesystem.format.as_deref().unwrap_or_default();
    !path.is_empty() && !["", "none", "swap"].contains(&format)
}
