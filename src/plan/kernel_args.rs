//! Plans `kernelArguments`: the files of the root's boot loaders. The files are edited as the config leaves them.

use std::path::{Path, PathBuf};

use super::Part;
use super::tree::Tree;
use crate::change::{Attributes, DirectoryEntry, Piece, Stat, View};
use crate::config::KernelArguments;
use crate::error::{Error, Reason, Result};
use crate::kernel_args::{self, BootPartition, Change, Wanted};

/// Plans the files of all boot loaders in the root. `running` is the command line of the running kernel, if it is that of the
/// root.
///
/// # Errors
/// Those of [`Wanted::new`] and of [`kernel_args::changes`]; [`Reason::Conflict`] if the config writes a file that is
/// glowplug's own. A boot loader that is not known is no error if the `running` kernel has the arguments.
pub(super) fn plan(arguments: &KernelArguments<'_>, running: Option<&[u8]>, tree: &mut Tree) -> Result<()> {
    let wanted = Wanted::new(arguments)?;
    if wanted.is_empty() {
        return Ok(());
    }
    tree.begin(Part::KernelArguments);
    let changes = match kernel_args::changes(&wanted, &Resolved(tree)) {
        Err(error)
            if error.reason() == Reason::Unsupported
                && running.is_some_and(|line| wanted.missing_in(line).is_empty()) =>
        {
            tree.warn(format!("{}; the kernel was started with the arguments of the config", error.text()));
            return Ok(());
        }
        changes => changes.map_err(|error| error.at(&"$.kernelArguments"))?,
    };
    for Change { path, text, is_own } in changes {
        let path = tree.resolve(&path)?;
        if is_own && tree.puts_file(&path) {
            let what = format!(
                "{} is the file in which glowplug keeps the kernel arguments: the config cannot write it as well",
                path.display()
            );
            return Err(Error::new(Reason::Conflict, what)
                .advise("Give the config's file another name in that directory, then start again."));
        }
        let attributes = tree.stat(&path)?.map_or(Attributes::root(0o644), |stat| stat.attributes);
        tree.make_parents(&path)?;
        tree.put_file(path, vec![Piece::Bytes(text.into())], attributes);
    }
    Ok(())
}

/// Returns what [`kernel_args::boot_files`] returns, as paths without links.
///
/// # Errors
/// Those of [`kernel_args::boot_files`].
pub fn boot_files(release: &str, view: &dyn View) -> Result<Vec<(PathBuf, Option<PathBuf>)>> {
    let tree = Tree::new(view);
    let found = kernel_args::boot_files(release, &Resolved(&tree))?;
    found
        .into_iter()
        .map(|(kernel, initrd)| {
            Ok((tree.resolve(&kernel)?, initrd.map(|initrd| tree.resolve(&initrd)).transpose()?))
        })
        .collect()
}

/// Returns the file systems of boot loaders that the root names and that are not mounted, as [`kernel_args::unmounted`] does.
///
/// # Errors
/// Those of the view.
pub fn boot_partitions(view: &dyn View) -> Result<Vec<BootPartition>> {
    kernel_args::unmounted(&Resolved(&Tree::new(view)))
}

/// Returns whether a boot loader has its file in the root itself, as [`kernel_args::is_found`] does.
///
/// # Errors
/// Those of the view.
pub fn has_boot_loader(view: &dyn View) -> Result<bool> {
    kernel_args::is_found(&Resolved(&Tree::new(view)))
}

/// A tree whose paths may lead over links.
struct Resolved<'r, 'a, 'v>(&'r Tree<'a, 'v>);

impl View for Resolved<'_, '_, '_> {
    fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        self.0.stat(&self.0.resolve(path)?)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf> {
        self.0.read_link(&self.0.resolve_parent(path)?)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        let text = self.0.read(&self.0.resolve(path)?)?.unwrap_or_default().into_owned();
        if text.len() as u64 > limit {
            let what = format!("read {} in the root: it is larger than {limit} bytes", path.display());
            return Err(Error::new(Reason::RootIo, what));
        }
        Ok(text)
    }

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>> {
        let names = self.0.list(&self.0.resolve(path)?)?.into_iter();
        Ok(names.map(|name| DirectoryEntry { name, kind: None }).collect())
    }
}
