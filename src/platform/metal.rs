//! A machine without a source of configs. Only the kernel command line or the system's directories can name a config.

use super::Provider;

pub(super) static METAL: Provider = Provider {
    name: "metal",
    source: "none: the kernel command line or the system names the config",
    module: None,
    detect: None,
    patience: None,
    fetch: |_| Ok(Vec::new()),
    advice: "Check what the kernel command line says about the config (ignition.config.*).",
};
