//! What is done to a directory tree, without a host: applying a config, and making a provisioned tree new again.

use std::path::PathBuf;

use super::phases::{Defaults, Rendered, plan_config};
use super::render::Texts;
use crate::error::Result;
use crate::root::Root;

/// Applies the config in `text` to a directory tree, as an image builder does; no stamp is left.
///
/// # Errors
/// Those of the config and of the root. Up to the commit the root is as it was.
pub fn apply(root: &Root, text: &[u8]) -> Result<()> {
    let texts = Texts::default();
    let rendered = Rendered::alone(&texts, text)?;
    root.lock()?;
    let planned = plan_config(&rendered.config, root, Defaults::Debian)?;
    root.apply(&mut planned.log_remarks())
}

/// Takes stamp and state away, so that the tree is provisioned anew at its next boot. Returns what was taken away.
///
/// # Errors
/// Those of the root.
pub fn clean(root: &Root) -> Result<Vec<PathBuf>> {
    root.lock()?;
    root.clean()
}
