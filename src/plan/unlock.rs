//! Plans what the system needs to open encrypted volumes at its boots: their keys, and lines of `/etc/crypttab`. Both are as the
//! reference writes them.

use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::change::{Attributes, Piece};
use crate::error::Result;

/// What the system must know to open an encrypted volume at its boots.
#[derive(Clone, PartialEq, Eq)]
pub struct Unlock {
    /// The name under which the volume is opened.
    pub name: String,
    /// The UUID of its header.
    pub uuid: String,
    /// The key; `None` if the system needs none, because clevis opens the volume.
    pub key: Option<Vec<u8>>,
    /// Whether opening it needs the network.
    pub needs_network: bool,
}

/// The key is left out.
impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unlock").field("name", &self.name).field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

const TABLE: &str = "/etc/crypttab";
/// The directory of the keys.
const KEYS: &str = "/etc/luks";
/// The target of the volumes that need the network, and the link that lets it start with the file systems that do.
const TARGET: &str = "/usr/lib/systemd/system/remote-cryptsetup.target";
const WANTS: &str = "/etc/systemd/system/remote-fs.target.wants/remote-cryptsetup.target";

/// Plans the keys and the table.
///
/// # Errors
/// Those of reading the root.
pub(super) fn plan<'a>(unlocks: &'a [Unlock], tree: &mut Tree<'a, '_>) -> Result<()> {
    if unlocks.is_empty() {
        return Ok(());
    }
    let table = tree.resolve(Path::new(TABLE))?;
    let mut text = tree.read(&table)?.map(std::borrow::Cow::into_owned).unwrap_or_default();
    for Unlock { name, uuid, key, needs_network } in unlocks {
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        let path = match key {
            Some(key) => put_key(name, key, tree)?,
            None => "none".to_owned(),
        };
        let network = if *needs_network { "_netdev," } else { "" };
        text.extend_from_slice(
            format!("{name} UUID={uuid} {path} luks,{network}x-initrd.attach\n").as_bytes(),
        );
    }
    tree.make_parents(&table)?;
    tree.put_file(table, vec![Piece::Bytes(text.into())], Attributes::root(0o600));
    if unlocks.iter().any(|unlock| unlock.needs_network) { open_with_network(tree) } else { Ok(()) }
}

/// Plans the key of the volume `name`. Returns its path for the table.
fn put_key<'a>(name: &str, key: &'a [u8], tree: &mut Tree<'a, '_>) -> Result<String> {
    let keys = tree.resolve(Path::new(KEYS))?;
    if tree.stat(&keys)?.is_none() {
        tree.make_parents(&keys)?;
        tree.put_directory(keys.clone(), Attributes::root(0o700));
    }
    tree.put_file(keys.join(name), vec![Piece::Bytes(key.into())], Attributes::root(0o600));
    Ok(format!("{KEYS}/{name}"))
}

/// Lets the system start the target of the volumes that need the network. Debian 13 does not do that by itself.
fn open_with_network(tree: &mut Tree<'_, '_>) -> Result<()> {
    let link = tree.resolve_parent(Path::new(WANTS))?;
    if tree.stat(&link)?.is_none() {
        tree.make_parents(&link)?;
        tree.put_symlink(link, PathBuf::from(TARGET), 0, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Op;
    use crate::change::memory::Memory;

    /// Returns each operation as its path, the text of a file or the target of a link.
    fn planned(root: &Memory, unlocks: &[Unlock]) -> Vec<(String, String)> {
        let mut tree = Tree::new(root);
        plan(unlocks, &mut tree).unwrap();
        let shown = |op: &Op<'_>| {
            let text = match op {
                Op::File { contents, .. } => match &contents[..] {
                    [Piece::Bytes(bytes)] => String::from_utf8_lossy(bytes).into_owned(),
                    other => panic!("{other:?}"),
                },
                Op::Symlink { target, .. } => target.display().to_string(),
                _ => return None,
            };
            Some((op.path().display().to_string(), text))
        };
        tree.into_planned().ops.iter().filter_map(shown).collect()
    }

    fn unlock(name: &str, key: Option<&str>, needs_network: bool) -> Unlock {
        let key = key.map(|key| key.as_bytes().to_vec());
        Unlock { name: name.to_owned(), uuid: "u".to_owned(), key, needs_network }
    }

    #[test]
    fn a_volume_that_clevis_opens_has_no_key_file() {
        let root = Memory::debian();
        let line = |text: &str| vec![("/etc/crypttab".to_owned(), text.to_owned())];
        assert_eq!(planned(&root, &[unlock("a", None, false)]), line("a UUID=u none luks,x-initrd.attach\n"));
        let key = ("/etc/luks/b".to_owned(), "k".to_owned());
        let table = line("b UUID=u /etc/luks/b luks,x-initrd.attach\n");
        assert_eq!(planned(&root, &[unlock("b", Some("k"), false)]), [vec![key], table].concat());
    }

    #[test]
    fn a_volume_that_needs_the_network_is_opened_with_it() {
        let root = Memory::debian();
        let unlocks = [unlock("a", None, true), unlock("b", None, false)];
        let text = "a UUID=u none luks,_netdev,x-initrd.attach\nb UUID=u none luks,x-initrd.attach\n";
        assert_eq!(
            planned(&root, &unlocks),
            [
                ("/etc/crypttab".to_owned(), text.to_owned()),
                (
                    "/etc/systemd/system/remote-fs.target.wants/remote-cryptsetup.target".to_owned(),
                    "/usr/lib/systemd/system/remote-cryptsetup.target".to_owned()
                ),
            ]
        );
    }
}
