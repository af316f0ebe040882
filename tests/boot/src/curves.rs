//! How the time for planning grows. For each kind of entry there are three configs: with all entries that fit into 1 MiB,
//! with half of them, and with a quarter.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};

/// The size of the largest config.
const MOST: usize = 1 << 20;
/// The most entries of a config. There are as many ids for people, and the language allows more entries.
const MOST_ENTRIES: usize = 48_000;

/// A list in a config, the entry for a number, and whether the root already has such users, groups and units.
struct Kind {
    name: &'static str,
    list: &'static str,
    entry: fn(usize) -> String,
    is_in_root: bool,
}

const KINDS: &[Kind] = &[
    kind("users, new", "passwd.users", |n| format!(r#"{{"name":"n{n}"}}"#)),
    kind("users behind the highest id", "passwd.users", |n| match n {
        0 => r#"{"name":"top","uid":60000}"#.to_owned(),
        _ => format!(r#"{{"name":"n{n}"}}"#),
    }),
    in_root("users, modified", "passwd.users", |n| format!(r#"{{"name":"u{n}","groups":["g0"]}}"#)),
    in_root("users, deleted", "passwd.users", |n| format!(r#"{{"name":"u{n}","shouldExist":false}}"#)),
    kind("groups", "passwd.groups", |n| format!(r#"{{"name":"n{n}"}}"#)),
    in_root("memberships", "passwd.users", |n| format!(r#"{{"name":"n{n}","groups":["g{n}","u0"]}}"#)),
    in_root("units, enabled", "systemd.units", |n| format!(r#"{{"name":"s{n}.service","enabled":true}}"#)),
    in_root("units, disabled", "systemd.units", |n| format!(r#"{{"name":"s{n}.service","enabled":false}}"#)),
    kind("units, masked", "systemd.units", |n| format!(r#"{{"name":"n{n}.service","mask":true}}"#)),
    in_root("units, instances", "systemd.units", |n| format!(r#"{{"name":"t@{n}.service","enabled":true}}"#)),
    kind("units, aliases", "systemd.units", |n| unit(n, &format!("Alias=b{n}.service"))),
    kind("units, Also= in a chain", "systemd.units", |n| {
        unit(n, &format!("Also=n{}.service", n.saturating_sub(1)))
    }),
    kind("drop-ins", "systemd.units", |n| {
        format!(r#"{{"name":"n{n}.service","dropins":[{{"name":"a.conf","contents":"[Unit]"}}]}}"#)
    }),
    kind("files", "storage.files", |n| format!(r#"{{"path":"/a/n{n}","contents":{{"source":"data:,a"}}}}"#)),
    kind("appends", "storage.files", |n| format!(r#"{{"path":"/n{n}","append":[{{"source":"data:,a"}}]}}"#)),
    kind("directories", "storage.directories", |n| format!(r#"{{"path":"/n{n}/a"}}"#)),
    kind("links", "storage.links", |n| format!(r#"{{"path":"/a/n{n}","target":"x"}}"#)),
];

const fn kind(name: &'static str, list: &'static str, entry: fn(usize) -> String) -> Kind {
    Kind { name, list, entry, is_in_root: false }
}

const fn in_root(name: &'static str, list: &'static str, entry: fn(usize) -> String) -> Kind {
    Kind { name, list, entry, is_in_root: true }
}

fn unit(n: usize, line: &str) -> String {
    format!(r#"{{"name":"n{n}.service","enabled":true,"contents":"[Install]\nWantedBy=a.target\n{line}\n"}}"#)
}

/// Prints for each kind of entry the times and the factors per doubled input. `directory` should be in memory.
pub fn print(program: &Path, directory: &Path) -> Result<()> {
    println!(
        "{:<30} {:>8} {:>9} {:>9} {:>9} {:>12}",
        "planning 1 MiB of", "entries", "1/4", "1/2", "all", "per doubling"
    );
    for kind in KINDS {
        let each = (kind.entry)(MOST_ENTRIES).len().saturating_add(1);
        let all = (MOST / each).min(MOST_ENTRIES);
        let mut times = Vec::new();
        for count in [all / 4, all / 2, all] {
            times.push(plan(program, directory, kind, count)?);
        }
        let factor = |one: usize, other: usize| match (times.get(one), times.get(other)) {
            (Some(one), Some(other)) if !one.is_zero() => other.as_secs_f64() / one.as_secs_f64(),
            _ => 0.0,
        };
        let [quarter, half, whole] = times.as_slice() else { continue };
        let factors = format!("{:.2} {:.2}", factor(0, 1), factor(1, 2));
        let (name, ms) = (kind.name, |time: &Duration| time.as_millis());
        println!(
            "{name:<30} {all:>8} {:>6} ms {:>6} ms {:>6} ms {factors:>12}",
            ms(quarter),
            ms(half),
            ms(whole)
        );
    }
    Ok(())
}

/// Plans twice, and returns the shorter time.
fn plan(program: &Path, directory: &Path, kind: &Kind, count: usize) -> Result<Duration> {
    let root = directory.join("root");
    make_root(&root, if kind.is_in_root { count } else { 0 })?;
    let entries: Vec<String> = (0..count).map(kind.entry).collect();
    let (object, list) = kind.list.split_once('.').unwrap_or_default();
    let text =
        format!(r#"{{"ignition":{{"version":"3.4.0"}},"{object}":{{"{list}":[{}]}}}}"#, entries.join(","));
    let config = directory.join("config.ign");
    fs::write(&config, text).doing("write the config")?;
    let mut best = Duration::MAX;
    for _ in 0..2 {
        let start = Instant::now();
        let mut command = Command::new(program);
        command.args(["plan", "--root"]).arg(&root).arg(&config);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().doing("run the program")?;
        if !status.success() {
            return Err(Error::new(format!("plan {} with {count} entries: {status}", kind.name)));
        }
        best = best.min(start.elapsed());
    }
    fs::remove_dir_all(&root).doing("remove the root")?;
    Ok(best)
}

/// Makes a root with `count` users, groups and enabled units.
fn make_root(root: &Path, count: usize) -> Result<()> {
    let (units, wants) = ("usr/lib/systemd/system", "etc/systemd/system/multi-user.target.wants");
    for path in ["etc/skel", "home", units, wants] {
        fs::create_dir_all(root.join(path)).doing("make the root")?;
    }
    let (mut passwd, mut group) = (String::from("root:x:0:0::/root:/bin/sh\n"), String::from("root:x:0:\n"));
    let mut shadow = String::from("root:*:20000::::::\n");
    let install = "[Install]\nWantedBy=multi-user.target\n";
    let write = |path: &str, text: &str| fs::write(root.join(path), text).doing(&format!("write {path}"));
    write(&format!("{units}/t@.service"), install)?;
    for n in 0..count {
        let (uid, gid) = (n.saturating_add(100_000), n.saturating_add(200_000));
        // Writing into a string cannot fail.
        let _ = writeln!(passwd, "u{n}:x:{uid}:{uid}::/home/u{n}:/bin/sh");
        let _ = writeln!(group, "u{n}:x:{uid}:\ng{n}:x:{gid}:");
        let _ = writeln!(shadow, "u{n}:*:20000::::::");
        let unit = format!("s{n}.service");
        write(&format!("{units}/{unit}"), install)?;
        let link = root.join(wants).join(&unit);
        std::os::unix::fs::symlink(format!("/{units}/{unit}"), link).doing("enable a unit")?;
    }
    write("etc/passwd", &passwd)?;
    write("etc/group", &group)?;
    write("etc/shadow", &shadow)?;
    write("etc/gshadow", "root:*::\n")?;
    write("etc/login.defs", "USERGROUPS_ENAB yes\n")
}
