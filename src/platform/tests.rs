use super::*;

#[test]
fn platforms_by_name() {
    let reference: Vec<&str> = REFERENCE.split(' ').collect();
    assert_eq!(reference.len(), 30);
    for platform in Platform::all() {
        assert_eq!(Platform::named(platform.name()), Ok(platform));
        assert!(reference.contains(&platform.name()), "{platform:?}");
    }
    for name in reference {
        if let Err(error) = Platform::named(name) {
            assert_eq!(error.reason(), Reason::Unsupported);
            assert!(error.text().contains(name), "{error}");
        }
    }
    for name in ["", " ", "AWS", "ec2", "qemu ", "aws azure"] {
        let error = Platform::named(name).unwrap_err();
        assert_eq!(error.reason(), Reason::Usage, "{name}");
        assert!(Platform::all().all(|platform| error.text().contains(platform.name())), "{error}");
    }
}

#[test]
fn metal_has_no_config_of_its_own() {
    assert_eq!(Platform::named("metal").unwrap().fetch(Duration::ZERO), Ok(Vec::new()));
}

/// The manual lists the platforms in the words of the table.
#[test]
fn the_manual_has_every_platform() {
    let manual = include_str!("../../man/glowplug.8");
    for platform in Platform::all() {
        let entry = format!(".TP\n.B {}\n{}.\n", platform.name(), platform.source().replace('-', "\\-"));
        assert!(manual.contains(&entry), "man/glowplug.8 lacks:\n{entry}");
    }
}

/// An initramfs that lacks the module of a platform cannot fetch on it.
#[test]
fn both_initramfs_hooks_have_every_module() {
    let hooks = [
        include_str!("../../initramfs-tools/hooks/glowplug"),
        include_str!("../../dracut/50glowplug/module-setup.sh"),
    ];
    for module in TABLE.iter().filter_map(|provider| provider.module) {
        let name = module.to_str().unwrap();
        for hook in hooks {
            assert!(hook.split(|c: char| c.is_whitespace()).any(|word| word == name), "{name}:\n{hook}");
        }
    }
}

/// Advice must fit the failure: a missing label on bare metal has nothing to do with vsock.
#[test]
fn advice_is_the_platforms_own() {
    for (word, owner) in
        [("vsock", "applehv"), ("fw_cfg", "qemu"), ("key-value", "hyperv"), ("IGNITION_CONFIG_FILE", "file")]
    {
        for provider in TABLE {
            assert_eq!(provider.advice.contains(word), provider.name == owner, "{}: {word}", provider.name);
        }
    }
    // A failure that brings advice keeps it.
    let advice = |fetch: fn(Duration) -> Result<Vec<u8>>| {
        let row = Provider {
            fetch,
            advice: "of the platform",
            name: "test",
            source: "",
            module: None,
            detect: None,
            patience: None,
        };
        let platform = Platform(Box::leak(Box::new(row)));
        platform.fetch(Duration::ZERO).unwrap_err().advice().to_owned()
    };
    assert_eq!(advice(|_| Err(Error::new(Reason::NoHost, "x"))), "of the platform");
    assert_eq!(advice(|_| Err(Error::new(Reason::NoHost, "x").advise("own"))), "own");
}
