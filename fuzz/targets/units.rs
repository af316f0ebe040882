//! Enabling, disabling and masking units in a root whose units are hostile. Links and directories may appear only where
//! systemd keeps them, and the commit must not refuse the plan half-way.
#![no_main]

use std::path::Path;

use glowplug_fuzz::{Memory, Scenario, with_plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Scenario { config, mut root } = Scenario::read(data, Memory::default());
    let before = root.clone();
    with_plan(config.as_bytes(), false, &before, |ops| {
        // With links about, the same paths may lead anywhere inside.
        if !before.has_links() && !config.contains(r#""users":[{"#) && !config.contains(r#""groups":[{"#) {
            for op in &*ops {
                let path = op.path();
                let fine = path.starts_with("/etc/systemd") || path == Path::new("/etc");
                assert!(fine, "{op:?}");
            }
        }
        root.commit(ops);
    });
});
