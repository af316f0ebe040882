//! A machine that has no config of its own: the kernel command line or the system names it.

use super::Provider;

pub(super) static METAL: Provider = Provider {
    name: "metal",
    source: "none: the kernel command line or the system names the config",
    module: None,
    detect: None,
    patience: None,
    fetch: |_| Ok(Vec::new()),
    advice: "Check what the kernel command line says of the config (ignition.config.*).",
};
