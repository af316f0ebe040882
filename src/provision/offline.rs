//! The commands that change a directory tree without a host: `apply`, and `clean`, which lets a tree be provisioned again.

use std::path::PathBuf;

use super::phases::{Defaults, Rendered, Setting, plan_config};
use super::render::Texts;
use crate::error::Result;
use crate::fetcher::{FetchOptions, Fetcher, NetworkUse};
use crate::platform::CommandLine;
use crate::root::Root;
use crate::source::Transport;

/// Returns the fetcher for a command that does not run in an initramfs. The fetcher reports progress to the log.
pub fn fetcher(network: NetworkUse) -> Fetcher<'static> {
    Fetcher::new(FetchOptions {
        platform: "",
        patience: CommandLine::DEFAULT_TIMEOUT,
        network,
        tell: |line| log::info!("{line}"),
    })
}

/// Applies the config in `text` to a directory tree, as an image builder does. Writes no stamp. What the config names by URL
/// is fetched by `transport`.
///
/// # Errors
/// Those of the config and of the root. Before the commit the root stays as it was.
pub fn apply(root: &Root, text: &[u8], transport: &dyn Transport) -> Result<()> {
    let texts = Texts::default();
    let rendered = Rendered::alone(&texts, text, transport)?;
    root.lock()?;
    let planned = plan_config(&rendered.config, root, Setting::tree(Defaults::Debian), transport)?;
    root.apply(&mut planned.log_remarks())
}

/// Removes the stamp and the areas, so that the tree is provisioned again at its next boot. Returns the paths that were
/// removed.
///
/// # Errors
/// Those of the root.
pub fn clean(root: &Root) -> Result<Vec<PathBuf>> {
    root.lock()?;
    root.clean()
}
