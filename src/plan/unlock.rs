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
    /// The key.
    pub key: Vec<u8>,
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
    let keys = tree.resolve(Path::new(KEYS))?;
    if tree.stat(&keys)?.is_none() {
        tree.make_parents(&keys)?;
        tree.put_directory(keys.clone(), Attributes::root(0o700));
    }
    for Unlock { name, uuid, key } in unlocks {
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        let path: PathBuf = keys.join(name);
        let shown = Path::new(KEYS).join(name);
        text.extend_from_slice(
            format!("{name} UUID={uuid} {} luks,x-initrd.attach\n", shown.display()).as_bytes(),
        );
        tree.put_file(path, vec![Piece::Bytes(key.as_slice().into())], Attributes::root(0o600));
    }
    tree.make_parents(&table)?;
    tree.put_file(table, vec![Piece::Bytes(text.into())], Attributes::root(0o600));
    Ok(())
}
