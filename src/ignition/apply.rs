//! The program `ignition-apply`: applies a config to the container that it runs in.

use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{files, part};
use crate::config::KernelArguments;
use crate::error::{Error, Reason, Result};
use crate::fetcher::NetworkUse;
use crate::provision::offline;
use crate::provision::phases::{Defaults, Setting, plan_config, refuse_empty};
use crate::provision::render::{Renderer, Texts};
use crate::root::Root;
use crate::source::Transport as _;

/// Applies the config in `text` to the running container as `ignition-apply` does: files, directories, links and units.
/// Writes no result file.
///
/// # Errors
/// [`Reason::Unsupported`] outside of a container, and for other parts of the config unless `ignore_unsupported`. With
/// `is_offline` also for a config that needs the network. Otherwise those of the config and the root.
pub fn apply(root: &Path, text: &[u8], ignore_unsupported: bool, is_offline: bool) -> Result<()> {
    if !in_container()? {
        let what = "this is not a container, and only a container can be changed while it runs";
        return Err(Error::new(Reason::Unsupported, what));
    }
    refuse_empty(text)?;
    let network = if is_offline { NetworkUse::Forbidden } else { NetworkUse::AsItIs };
    let (texts, fetcher) = (Texts::default(), offline::fetcher(network));
    let mut renderer = Renderer::new(&texts, &fetcher);
    renderer.logs_every_error = true;
    let (mut config, _) = renderer.render(text)?;
    fetcher.adopt(&config.ignition)?;
    if is_offline && config.needs_network() {
        return Err(Error::new(Reason::Unsupported, "the config needs the network, which --offline forbids"));
    }
    if ignore_unsupported {
        part::keep_for_container(&mut config);
    }
    for (is_asked, place) in [
        (!config.passwd.users.is_empty(), "$.passwd.users"),
        (!config.passwd.groups.is_empty(), "$.passwd.groups"),
        (config.kernel_arguments != KernelArguments::default(), "$.kernelArguments"),
    ] {
        if is_asked {
            let thing = if place == "$.kernelArguments" { "kernel arguments" } else { "accounts" };
            let what = format!("changing {thing} of a container is not supported, at {place}");
            return Err(Error::new(Reason::Unsupported, what));
        }
    }
    let target = Root::open(root)?;
    target.lock()?;
    let mut ops = plan_config(&config, &target, Setting::tree(Defaults::Reference), &fetcher)?.log_remarks();
    files::logged(root, &config, ops.len(), &mut || target.apply(&mut ops)).map(drop)
}

/// Returns whether this is a container of podman, docker or systemd-nspawn, by the marks that these leave.
fn in_container() -> Result<bool> {
    if std::env::var_os("container").is_some_and(|name| !name.is_empty()) {
        return Ok(true);
    }
    for path in ["/run/.containerenv", "/.dockerenv"] {
        match rustix::fs::statat(rustix::fs::CWD, Path::new(path), AtFlags::empty()) {
            Ok(_) => return Ok(true),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::system_at("look up", Path::new(path), errno)),
        }
    }
    Ok(false)
}
