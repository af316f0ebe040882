//! Plans a unit for each swap that the config makes, if nothing of the config or of the root uses swap. The reference makes it
//! and leaves it unused, which nobody wants.

use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::change::{Attributes, Piece};
use crate::config::Config;
use crate::error::Result;
use crate::unit_name::unit_name;

const UNITS: &str = "/etc/systemd/system";
const FSTAB: &str = "/etc/fstab";

/// Plans the units, and the links that make `swap.target` start them.
///
/// # Errors
/// Those of reading the root.
pub(super) fn plan(config: &Config<'_>, tree: &mut Tree) -> Result<()> {
    let swaps = config.storage.filesystems.iter().filter(|wanted| wanted.format.as_deref() == Some("swap"));
    let devices: Vec<&str> = swaps.map(|wanted| wanted.device.as_ref()).collect();
    let has_unit = config.systemd.units.iter().any(|unit| unit.name.ends_with(".swap"));
    if devices.is_empty() || has_unit || has_entry(tree)? {
        return Ok(());
    }
    for device in devices {
        let name = format!("{}.swap", unit_name(device));
        let path = tree.resolve(&Path::new(UNITS).join(&name))?;
        let link = tree.resolve_parent(&Path::new(UNITS).join("swap.target.wants").join(&name))?;
        if tree.stat(&path)?.is_some() || tree.stat(&link)?.is_some() {
            continue;
        }
        // In a unit, % begins a specifier.
        let what = device.replace('%', "%%");
        let text = format!(
            "# Made by glowplug: the config makes this swap, and no unit uses it.\n[Unit]\nDescription=Swap\n\n[Swap]\n\
             What={what}\n\n[Install]\nWantedBy=swap.target\n"
        );
        tree.make_parents(&path)?;
        tree.put_file(path, vec![Piece::Bytes(text.into_bytes().into())], Attributes::root(0o644));
        tree.make_parents(&link)?;
        tree.put_symlink(link, PathBuf::from(UNITS).join(&name), 0, 0);
    }
    Ok(())
}

/// Returns whether `/etc/fstab` has an entry for swap.
fn has_entry(tree: &Tree) -> Result<bool> {
    let text = tree.read(&tree.resolve(Path::new(FSTAB))?)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    Ok(lines.into_iter().any(|line| line.split_whitespace().nth(2) == Some("swap")))
}
