//! Enabling and disabling units, side by side with Debian's own systemctl on the same tree.

mod cases;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use boot_lab::lab::{self, Lab, Scratch};
use boot_lab::{process, tree};
use cases::{BAD_BYTE, CASES, Case, MEBIBYTE};

const LIMIT: Duration = Duration::from_secs(60);
const ETC: &str = "etc/systemd/system";
const USR: &str = "usr/lib/systemd/system";
const PRESET: &str = "etc/systemd/system-preset/20-ignition.preset";

/// Trees with systemctl, the image's units and whatever else a config needs. The trees share their files by hard links.
struct Trees {
    scratch: Scratch,
}

impl Trees {
    fn new() -> Self {
        let root = Lab::from_env().unwrap().part("root");
        let scratch = Scratch::new().unwrap();
        let base = scratch.join("base");
        // The image's own presets and enabled units would only make the trees larger.
        for part in ["etc", "usr/lib/systemd", "usr/local/lib", "opt", "dev", "var/lib"] {
            fs::create_dir_all(base.join(part)).unwrap();
        }
        for link in ["bin", "lib", "lib64", "sbin"] {
            fs::create_dir_all(base.join("usr").join(link)).unwrap();
            symlink(Path::new("usr").join(link), base.join(link)).unwrap();
        }
        copy(&root.join(USR), &base.join(USR));
        fs::create_dir_all(base.join(ETC)).unwrap();
        for part in ["passwd", "group", "shadow", "gshadow", "login.defs", "default", "skel"] {
            copy(&root.join("etc").join(part), &base.join("etc").join(part));
        }
        let libraries = run(Command::new("chroot").arg(&root).args(["ldd", "/usr/bin/systemctl"])).0;
        for path in
            libraries.split_whitespace().filter(|word| word.starts_with('/')).chain(["/usr/bin/systemctl"])
        {
            let to = base.join(&path[1..]);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(root.join(&path[1..]), to).unwrap();
        }
        Self { scratch }
    }

    /// Makes a new tree. Its files are shared with the other trees, so a changed file must be replaced, not written to.
    fn tree(&self, name: &str) -> PathBuf {
        self.copy_of(&self.scratch.join("base"), name)
    }

    /// As [`Self::tree`], but copies another tree.
    fn copy_of(&self, tree: &Path, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        let _ = fs::remove_dir_all(&path);
        process::run_ok(Command::new("cp").arg("-al").arg(tree).arg(&path), LIMIT).unwrap();
        path
    }

    fn config(&self, text: &str) -> PathBuf {
        let path = self.scratch.join("config.ign");
        fs::write(&path, text).unwrap();
        path
    }
}

fn copy(from: &Path, to: &Path) {
    if from.exists() {
        process::run_ok(Command::new("cp").arg("-a").arg(from).arg(to), LIMIT).unwrap();
    }
}

/// Runs a program. Returns its output and whether it succeeded.
fn run(command: &mut Command) -> (String, bool) {
    let output = process::run(command, b"", LIMIT).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

fn systemctl(root: &Path, verb: &str, unit: &str) -> (String, bool) {
    // Otherwise systemctl would call the manager of this machine if the tree shares the machine's /run.
    run(Command::new("chroot").arg(root).args(["systemctl", verb, unit]).env("SYSTEMD_OFFLINE", "1"))
}

fn apply(root: &Path, config: &Path) -> String {
    let program = lab::program().unwrap();
    let (said, ok) = run(Command::new(program).arg("apply").arg("--root").arg(root).arg(config));
    assert!(ok, "the program failed: {said}");
    said
}

fn put(root: &Path, (name, contents): (&str, &str)) {
    let path = match name.split_once('/').unwrap() {
        ("", rest) => root.join(rest),
        ("etc", rest) => root.join(ETC).join(rest),
        (_, rest) => root.join(USR).join(rest),
    };
    if name.ends_with('/') {
        fs::create_dir_all(path).unwrap();
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    if let Some(target) = contents.strip_prefix("-> ") {
        symlink(target, path).unwrap();
        return;
    }
    let text = contents.replace(MEBIBYTE, &"x".repeat(1 << 20));
    let mut bytes = Vec::new();
    for (number, part) in text.split(BAD_BYTE).enumerate() {
        bytes.extend_from_slice(if number == 0 { b"" } else { b"\xff" });
        bytes.extend_from_slice(part.as_bytes());
    }
    fs::write(path, bytes).unwrap();
}

fn config_for(case: &Case) -> String {
    let unit = |name: &str, enabled: bool| {
        format!(r#"{{"name":"{}","enabled":{enabled}}}"#, name.replace('\\', "\\\\"))
    };
    let off = case.disable.iter().map(|name| unit(name, false));
    let units: Vec<String> = off.chain(case.enable.iter().map(|name| unit(name, true))).collect();
    format!(r#"{{"ignition":{{"version":"3.4.0"}},"systemd":{{"units":[{}]}}}}"#, units.join(","))
}

/// Returns whether the preset file says `verb` for the unit, in a line of its own or among the instances of its template.
fn in_preset(root: &Path, verb: &str, unit: &str) -> bool {
    let text = fs::read_to_string(root.join(PRESET)).unwrap_or_default();
    let (name, instance) = match unit.split_once('@') {
        Some((prefix, rest)) => {
            let (instance, suffix) = rest.rsplit_once('.').unwrap();
            (format!("{prefix}@.{suffix}"), instance)
        }
        None => (unit.to_owned(), ""),
    };
    text.lines().any(|line| {
        let mut words = line.split(' ');
        words.next() == Some(verb)
            && words.next() == Some(&name)
            && (instance.is_empty() || words.any(|word| word == instance))
    })
}

/// Returns the differences between the units of two trees, one a line.
fn differences(theirs: &Path, ours: &Path) -> Vec<String> {
    let (theirs, ours) = (theirs.join(ETC), ours.join(ETC));
    let changed = tree::changed(&theirs, &ours).unwrap();
    let show = |root: &Path, path: &str| format!("{:?}", tree::read(&root.join(&path[1..])).unwrap());
    changed
        .iter()
        .map(|path| format!("{path}: systemctl {}, ours {}", show(&theirs, path), show(&ours, path)))
        .collect()
}

#[test]
fn every_case_ends_as_with_systemctl() {
    let trees = Trees::new();
    let mut failed = Vec::new();
    for case in CASES {
        let (theirs, ours) = (trees.tree("theirs"), trees.tree("ours"));
        for file in case.files {
            put(&theirs, *file);
            put(&ours, *file);
        }
        let said = apply(&ours, &trees.config(&config_for(case)));
        let mut wrong = Vec::new();
        let mut they_said = String::new();
        // systemctl is called for one unit after another, because the program also looks at each unit's state in turn.
        for unit in case.disable {
            let enabled = systemctl(&theirs, "is-enabled", unit);
            they_said.push_str(&enabled.0);
            if enabled.1 {
                they_said.push_str(&systemctl(&theirs, "disable", unit).0);
            }
            if !in_preset(&ours, "disable", unit) {
                wrong.push(format!("{unit}: not in the preset file"));
            }
        }
        for unit in case.enable {
            they_said.push_str(&systemctl(&theirs, "enable", unit).0);
            if !in_preset(&ours, "enable", unit) {
                wrong.push(format!("{unit}: not in the preset file"));
            }
        }
        wrong.extend(differences(&theirs, &ours));
        if !wrong.is_empty() {
            failed.push(format!(
                "{}:\n  {}\n  systemctl: {they_said}\n  ours: {said}",
                case.about,
                wrong.join("\n  ")
            ));
        }
    }
    println!("{} cases, {} of them differ", CASES.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Enables every unit of the image, and then disables every one.
#[test]
fn every_unit_of_the_image_ends_as_with_systemctl() {
    let trees = Trees::new();
    let (theirs, ours) = (trees.tree("theirs"), trees.tree("ours"));
    let mut names: Vec<String> = fs::read_dir(theirs.join(USR))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
    let units = names.leak();
    apply(&ours, &trees.config(&config_for(&Case { about: "", files: &[], disable: &[], enable: units })));
    for unit in &*units {
        systemctl(&theirs, "enable", unit);
    }
    let wrong = differences(&theirs, &ours);
    assert!(wrong.is_empty(), "enabled:\n{}", wrong.join("\n"));
    assert!(fs::read_dir(ours.join(ETC)).unwrap().count() > 0);
    let ours = trees.copy_of(&theirs, "ours, to disable");
    apply(&ours, &trees.config(&config_for(&Case { about: "", files: &[], disable: units, enable: &[] })));
    let mut unlike = Vec::new();
    for unit in &*units {
        let enabled = systemctl(&theirs, "is-enabled", unit).1;
        if enabled {
            systemctl(&theirs, "disable", unit);
        }
        if !in_preset(&ours, "disable", unit) {
            unlike.push(*unit);
        }
    }
    let wrong = differences(&theirs, &ours);
    assert!(wrong.is_empty(), "disabled:\n{}", wrong.join("\n"));
    assert!(unlike.is_empty(), "not as is-enabled says: {unlike:?}");
    println!("{} units of the image", units.len());
}

/// Compares the configs of podman machine with the same files, enabled by systemctl.
#[test]
fn podmans_configs_end_as_with_systemctl() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut paths: Vec<PathBuf> = fs::read_dir(configs).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("ign")));
    paths.sort();
    assert!(!paths.is_empty());
    let trees = Trees::new();
    for config in paths {
        let (theirs, ours) = (trees.tree("theirs"), trees.tree("ours"));
        apply(&ours, &config);
        for entry in fs::read_dir(ours.join(ETC)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), theirs.join(ETC).join(entry.file_name())).unwrap();
            }
        }
        let preset = fs::read_to_string(ours.join(PRESET)).unwrap();
        let lines: Vec<(&str, &str)> = preset.lines().filter_map(|line| line.split_once(' ')).collect();
        assert!(lines.contains(&("enable", "ready.service")), "{}: {preset}", config.display());
        for (verb, unit) in lines {
            systemctl(&theirs, verb, unit);
        }
        let wrong = differences(&theirs, &ours);
        assert!(wrong.is_empty(), "{}:\n{}", config.display(), wrong.join("\n"));
    }
}
