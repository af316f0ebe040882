//! What is done to a directory tree, without a host: applying a config, and making a provisioned tree new again.

use std::path::PathBuf;

use super::render::{Renderer, Texts};
use super::{TRANSPORT, plan_config};
use crate::config::Config;
use crate::error::{Error, Reason, Result};
use crate::root::Root;

/// Applies the config in `text` to a directory tree, as an image builder does; no stamp is left.
///
/// # Errors
/// Those of the config and of the root. Up to the commit the root is as it was.
pub fn apply(root: &Root, text: &[u8]) -> Result<()> {
    let texts = Texts::default();
    let config = render(&texts, text)?;
    root.lock()?;
    root.apply(&mut plan_config(&config, root)?.log_remarks())
}

/// Parses the config in `text` and follows its references.
pub(super) fn render<'a>(texts: &'a Texts, text: &'a [u8]) -> Result<Config<'a>> {
    refuse_empty(text)?;
    Renderer::new(texts, &TRANSPORT).render(text).map(|(config, _)| config)
}

/// A host may have nothing to say; who names a file means one with a config.
pub(crate) fn refuse_empty(text: &[u8]) -> Result<()> {
    if text.is_empty() {
        return Err(Error::new(Reason::ConfigSyntax, "not a config (empty)"));
    }
    Ok(())
}

/// Takes stamp and state away, so that the tree is provisioned anew at its next boot. Returns what was taken away.
///
/// # Errors
/// Those of the root.
pub fn clean(root: &Root) -> Result<Vec<PathBuf>> {
    root.lock()?;
    root.clean()
}
