//! Power cuts in the first boot. The writes of one boot are logged. From the log, the disk is made as a power cut at
//! some instant could have left it: writes that were not flushed are there in part or not at all. The machine then
//! starts without a host.
//!
//! `CUTS` is the number of cuts (`make crash N=…`). `CUTS_SEED` repeats the cuts of an earlier run.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use boot_lab::guest::{BOOT, Machine, Options};
use boot_lab::host::{self, Config, Manner};
use boot_lab::image;
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};
use boot_lab::tree::{self, Node};
use boot_lab::writes::{Chance, Writes, new_log};

/// The number of cuts in `make test`.
const FEW: usize = 2;
const STAMP: &str = "/etc/.ignition-result.json";
const AREA: &str = "/.glowplug";

/// Reads a whole number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn a_power_cut_leaves_an_untouched_root_or_one_that_completes_itself() {
    let lab = Lab::from_env().unwrap();
    let machine = Machine::new(&lab).unwrap();
    let config = machine.key.put_into(&host::config("6.0-applehv-default.ign").unwrap()).unwrap();
    let (log, end) = first_boot(&machine, &config);
    let applied = tree::applied(&lab, &machine.config_file(&config).unwrap()).unwrap();
    assert!(applied.len() > 20, "apply has changed {applied:?}");

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed = setting("CUTS_SEED").unwrap_or(now);
    let count = setting("CUTS").map_or(FEW, |count| usize::try_from(count).unwrap());
    println!("{count} cuts within {end} writes, CUTS_SEED={seed}");
    let mut chance = Chance::new(seed);
    let (mut untouched, mut whole) = (0, 0);
    for number in 0..count {
        // One cut in each part of the log, so that even a few cuts are spread over all of it.
        let instant = (number * end + chance.below(end)) / count;
        machine.reset("root.img").unwrap();
        log.cut(&machine.disk(), instant, &mut chance).unwrap();
        let end = second_boot(&lab, &machine, &applied);
        println!("cut after {instant} writes: {end:?}");
        match end {
            End::Untouched => untouched += 1,
            End::Whole => whole += 1,
        }
    }
    println!("{count} power cuts: {untouched} roots untouched, {whole} completed");
    // Before the config is saved there is only the fetch, so most cuts come later.
    assert!(count < 4 || whole > 0, "no cut was late enough");
}

/// Boots with the config until the machine is provisioned. Returns the log of its writes, and how many there were by then.
fn first_boot(machine: &Machine, config: &str) -> (Writes, usize) {
    let path = machine.folder().join("writes");
    new_log(&path).unwrap();
    let _host = Config::serve(machine.folder(), config.as_bytes().to_vec(), Manner::Podman).unwrap();
    let length = Arc::new(AtomicU64::new(0));
    let (at, log) = (Arc::clone(&length), path.clone());
    let mut options = Options::vsock();
    options.on_line = Some(Box::new(move |_, line| {
        if line.contains("glowplug: provisioned in") {
            at.store(fs::metadata(&log).map_or(0, |log| log.len()), Ordering::Relaxed);
        }
    }));
    options.write_log = Some(path.clone());
    let guest = machine.boot(options).unwrap();
    guest.wait_console("glowplug: provisioned in", BOOT).unwrap();
    // All later writes are those of the system.
    std::thread::sleep(Duration::from_secs(1));
    drop(guest);
    let writes = Writes::read(&path).unwrap();
    let end = writes.within(length.load(Ordering::Relaxed));
    assert!(end > 10, "only {end} writes");
    (writes, end)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Untouched,
    Whole,
}

/// Boots without a host until the machine is ready or says that it has no host. Then looks at its disk.
fn second_boot(lab: &Lab, machine: &Machine, applied: &BTreeMap<String, Option<Node>>) -> End {
    let ready = Ready::vsock(machine.folder(), After::Record).unwrap();
    let mut options = Options::vsock();
    options.arguments = vec!["glowplug.timeout=3".to_owned()];
    let mut guest = machine.boot(options).unwrap();
    // Without a stamp the machine needs a host, so the boot ends with a panic. With the stamp it sends Ready.
    let end = match guest.wait_ready(&ready, BOOT) {
        Ok(line) => {
            assert_eq!((line.text.as_str(), line.complete), ("Ready", true));
            End::Whole
        }
        Err(error) => {
            let told = guest.console.wait("provisioning failed: no-host", Duration::from_secs(10));
            assert!(told, "{error}");
            End::Untouched
        }
    };
    drop(guest);
    let names = applied.keys().cloned().chain([STAMP.to_owned(), AREA.to_owned()]);
    let found = image::extract(&machine.disk(), &names.collect::<Vec<_>>()).unwrap();
    assert!(!found.contains_key(AREA), "{AREA} is left, {end:?}");
    assert_eq!(found.contains_key(STAMP), end == End::Whole, "{end:?}");
    for (path, applied) in applied.iter().filter(|(path, _)| *path != "/etc/machine-id") {
        let there = found.get(path).map(|entry| &entry.node);
        let before = tree::read(&lab.part("root").join(&path[1..])).unwrap();
        let expected = if end == End::Whole { applied } else { &before };
        assert_eq!(there, expected.as_ref(), "{path}, {end:?}");
    }
    end
}
