//! The program called as the reference is: one stage at a time, by its names and flags. Run as root: owners are part
//! of it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed assumption is the test's own message"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

const PROGRAM: &str = env!("CARGO_BIN_EXE_glowplug");
const STAGES: [&str; 7] = ["fetch-offline", "fetch", "kargs", "disks", "mount", "files", "umount"];
/// One of everything that a root can be asked for, with what must not show in a log.
const CONFIG: &str = r#"{"ignition":{"version":"3.3.0","config":{"merge":[{"source":"data:,%7B%22ignition%22:%7B%22version%22:%223.0.0%22%7D%7D"}]}},
    "passwd":{"groups":[{"name":"gees"}],"users":[{"name":"core","passwordHash":"$y$SECRET","sshAuthorizedKeys":["ssh-ed25519 SECRET"]}]},
    "storage":{"directories":[{"path":"/opt/dir"}],"files":[{"path":"/etc/file","contents":{"source":"data:,SECRET"}},
    {"path":"/etc/grown","append":[{"source":"data:,x"}]}],
    "links":[{"path":"/link","target":"/etc/file"},{"path":"/hard","target":"/etc/file","hard":true}]},
    "systemd":{"units":[{"name":"a.service","contents":"[Service]\nExecStart=/bin/true SECRET\n",
    "dropins":[{"name":"x.conf","contents":"[Unit]\n"}]},{"name":"m.service","mask":true}]}}"#;

/// A root and the files of the stages.
struct Lab {
    base: PathBuf,
}

impl Lab {
    fn new(config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("glowplug-stages-{}-{number}", std::process::id()));
        for directory in ["root/etc", "run", "system", "bin"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        let lab = Self { base };
        lab.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        lab.write("root/etc/group", "root:x:0:\n");
        lab.write("cmdline", "ro quiet\n");
        lab.write("config.ign", config);
        lab
    }

    /// A config of version 3.3.0 with `rest` in it.
    fn with(rest: &str) -> Self {
        Self::new(&format!(r#"{{"ignition":{{"version":"3.3.0"}},{rest}}}"#))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.at(path)).unwrap().mode() & 0o7777
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&self.base);
        command.env("PATH", self.at("bin"));
        command.env("IGNITION_CONFIG_FILE", self.at("config.ign"));
        command.env("IGNITION_KERNEL_CMDLINE_PATH", self.at("cmdline"));
        for name in ["", "_LOCAL", "_RUNTIME"] {
            command.env(format!("IGNITION_SYSTEM{name}_CONFIG_DIR"), self.at(&format!("system{name}")));
        }
        command
    }

    /// The flags that keep all of the stages' files in the lab.
    fn flags(&self) -> Vec<String> {
        let file = |flag: &str, path: &str| format!("-{flag}={}", self.at(path).display());
        vec![
            "-log-to-stdout".to_owned(),
            file("root", "root"),
            file("config-cache", "run/ignition.json"),
            file("neednet", "run/net/neednet"),
            file("state-file", "run/ignition/state"),
        ]
    }

    fn stage_on(&self, platform: &str, stage: &str) -> (i32, String) {
        let mut command = self.command(Path::new(PROGRAM));
        told(&command.args(self.flags()).args(["-platform", platform, "-stage", stage]).output().unwrap())
    }

    /// Exit code and everything that was said.
    fn stage(&self, stage: &str) -> (i32, String) {
        self.stage_on("file", stage)
    }

    fn passes(&self, stage: &str) -> String {
        let (code, said) = self.stage(stage);
        assert_eq!(code, 0, "{stage}: {said}");
        assert!(said.ends_with("INFO     : Ignition finished successfully\n"), "{said}");
        said
    }

    /// The stage fails, says `words` and leaves the root as it was.
    fn fails(&self, stage: &str, words: &str) -> String {
        let before = self.root();
        let (code, said) = self.stage(stage);
        assert_eq!(code, 1, "{stage}: {said}");
        assert!(said.contains(words), "{stage}: {said}");
        assert!(said.contains("\nCRITICAL : Ignition failed: "), "{said}");
        assert_eq!(self.root(), before);
        said
    }

    /// The program by another name.
    fn by_name(&self, name: &str, arguments: &[&str]) -> (i32, String) {
        let path = self.at(name);
        if !self.has(name) {
            symlink(PROGRAM, &path).unwrap();
        }
        told(&self.command(&path).args(arguments).output().unwrap())
    }

    fn root(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut left = vec![self.at("root")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let stat = fs::symlink_metadata(&path).unwrap();
                lines.push(format!("{} {:o} {}", path.display(), stat.mode(), stat.len()));
                if stat.is_dir() {
                    left.push(path);
                }
            }
        }
        lines.sort();
        lines
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.base).unwrap();
    }
}

fn told(output: &Output) -> (i32, String) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn all_stages_in_order_provision_the_root() {
    let lab = Lab::new(CONFIG);
    for stage in STAGES {
        let said = lab.passes(stage);
        let first = format!(
            "INFO     : Ignition glowplug-{}\nINFO     : Stage: {stage}\n",
            env!("CARGO_PKG_VERSION")
        );
        assert!(said.starts_with(&first), "{said}");
        assert!(said.contains(&format!("\nINFO     : {stage}: {stage} passed\n")), "{said}");
        assert!(!said.contains("SECRET"), "{said}");
        assert_eq!(lab.has("root/etc/file"), ["files", "umount"].contains(&stage));
        assert_eq!(lab.mode("run/ignition/state"), 0o600);
        assert_eq!(lab.mode("run/ignition"), 0o700);
        assert_eq!(lab.mode("run/ignition.json"), 0o640);
    }
    assert_eq!(lab.text("root/etc/file"), "SECRET");
    assert_eq!(lab.text("root/home/core/.ssh/authorized_keys.d/ignition"), "ssh-ed25519 SECRET\n");
    assert_eq!(lab.mode("root/etc/.ignition-result.json"), 0o600);
    let result = lab.text("root/etc/.ignition-result.json");
    assert!(result.contains("\n  \"userConfigProvided\": true,\n"), "{result}");
    assert!(
        result.contains("\"platform\": \"file\"") && result.contains("\"specVersion\": \"3.3.0\""),
        "{result}"
    );
    assert!(!lab.has("run/net"));
    // Nothing else is left.
    let mut left: Vec<_> =
        fs::read_dir(lab.at("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ignition", "ignition.json"]);
}

#[test]
fn state_and_cache_have_the_reference_s_form() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    lab.passes("fetch");
    let cache = r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":"3.7.0-experimental"},"kernelArguments":{},"passwd":{},"storage":{},"systemd":{}}"#;
    assert_eq!(lab.text("run/ignition.json"), cache);
    let base = r#"{"kind":"base","source":"system","referenced":false}"#;
    let user = r#"{"kind":"user","source":"file","referenced":false}"#;
    let nulls = r#""luksPersistKeyFiles":null,"notatedDirectories":null,"providerOutputFiles":null"#;
    let state = lab.text("run/ignition/state");
    assert!(state.starts_with(&format!("{{\"fetchedConfigs\":[{base},{user}],{nulls},")), "{state}");
    assert!(state.ends_with("}\n"));
    lab.passes("kargs");
    assert!(lab.text("run/ignition/state").contains(&format!("[{base},{user},{base}]")));
}

#[test]
fn what_another_program_left_is_followed() {
    let lab = Lab::new("");
    let file =
        r#"{"path":"/etc/file","contents":{"source":"data:,x","verification":{}},"group":{},"user":{}}"#;
    let cache = format!(
        r#"{{"ignition":{{"version":"3.4.0-experimental"}},"storage":{{"files":[{file}]}},"novel":1}}"#
    );
    lab.write("run/ignition.json", &cache);
    let state = r#"{"fetchedConfigs":[{"kind":"user","source":"aws","referenced":false}],"luksPersistKeyFiles":{},"notatedDirectories":null,"novel":{"a":["]"]}}"#;
    fs::create_dir(lab.at("run/ignition")).unwrap();
    lab.write("run/ignition/state", state);
    // Of a platform that no config is fetched from here, too.
    let (code, said) = lab.stage_on("aws", "files");
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.text("root/etc/file"), "x");
    let after = lab.text("run/ignition/state");
    assert!(after.contains(r#","novel":{"a":["]"]}}"#), "{after}");
    assert!(lab.text("root/etc/.ignition-result.json").contains("\"userConfigProvided\": true"));
    lab.write("run/ignition/state", "{\"fetchedConfigs\":");
    let (code, said) = lab.stage("files");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("\nCRITICAL : reading state: "), "{said}");
}

#[test]
fn operations_are_numbered_and_name_their_paths() {
    let lab = Lab::new(CONFIG);
    lab.passes("fetch");
    let said = lab.passes("files");
    let root = lab.at("root");
    let root = root.display();
    for (prefix, what) in [
        ("ensureGroups: ", "adding group \"gees\"".to_owned()),
        ("ensureUsers: ", "creating or modifying user \"core\"".to_owned()),
        ("ensureUsers: ", "adding ssh keys to user \"core\"".to_owned()),
        ("createFilesystemsFiles: createFiles: ", format!("creating directory \"{root}/opt/dir\"")),
        ("createFilesystemsFiles: createFiles: ", format!("writing file \"{root}/etc/file\"")),
        ("createFilesystemsFiles: createFiles: ", format!("appending to file \"{root}/etc/grown\"")),
        ("createFilesystemsFiles: createFiles: ", format!("writing link \"{root}/link\" -> \"/etc/file\"")),
        ("createFilesystemsFiles: createFiles: ", format!("writing link \"{root}/hard\" -> \"/etc/file\"")),
        ("", "processing unit \"a.service\"".to_owned()),
        (
            "",
            format!("writing systemd drop-in \"x.conf\" at \"{root}/etc/systemd/system/a.service.d/x.conf\""),
        ),
        ("", format!("writing unit \"a.service\" at \"{root}/etc/systemd/system/a.service\"")),
        ("", "masking unit \"m.service\"".to_owned()),
        ("createResultFile: createFiles: ", format!("writing file \"{root}/etc/.ignition-result.json\"")),
    ] {
        for how in ["[started]  ", "[finished] "] {
            let is_it = |line: &&str| {
                let rest = line.strip_prefix(&format!("INFO     : files: {prefix}op("));
                rest.and_then(|rest| rest.split_once("): ")).is_some_and(|(number, rest)| {
                    u32::from_str_radix(number, 16).is_ok() && rest == format!("{how}{what}")
                })
            };
            assert_eq!(said.lines().filter(is_it).count(), 1, "{prefix}{how}{what}: {said}");
        }
    }
}

#[test]
fn flags_in_every_spelling() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    let cache = lab.at("run/cache");
    let cache = cache.to_str().unwrap();
    for flags in [
        vec!["-config-cache", cache, "-platform", "file", "-stage", "fetch"],
        vec!["--config-cache", cache, "--platform", "file", "--stage", "fetch"],
        vec![
            "-config-cache=x",
            "-config-cache",
            cache,
            "-platform=file",
            "-stage=fetch",
            "-fetch-timeout=1m30s",
        ],
        vec!["-stage=fetch", "--platform=file", "--log-to-stdout=true", "-config-cache", cache, "--", "-x"],
    ] {
        let mut command = lab.command(Path::new(PROGRAM));
        let state = format!("--state-file={}", lab.at("run/state").display());
        let (code, said) = told(&command.arg("--root=root").arg(state).args(&flags).output().unwrap());
        assert_eq!(code, 0, "{flags:?}: {said}");
        fs::remove_file(cache).unwrap();
    }
    // The name alone makes it the reference.
    let (code, said) = lab.by_name(
        "ignition",
        &["-platform", "metal", "-stage", "umount", "-log-to-stdout", "-config-cache", "none"],
    );
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("CRITICAL : failed to acquire config: "), "{said}");
}

#[test]
fn wrong_calls_are_exit_code_2_with_the_usage() {
    let lab = Lab::new("");
    for (arguments, words) in [
        (&[][..], "'--platform' must be provided"),
        (&["-platform", "file"], "'--stage' must be provided"),
        (&["-stage", "fetch"], "'--platform' must be provided"),
        (
            &["-platform", "ec2", "-stage", "fetch"],
            "invalid value \"ec2\" for flag -platform: ec2 is not a valid platform\nUsage of ",
        ),
        (
            &["-platform", "file", "-stage", "boot"],
            "invalid value \"boot\" for flag -stage: boot is not a valid stage\nUsage of ",
        ),
        (&["-fetch-timeout", "3"], "invalid value \"3\" for flag -fetch-timeout: parse error\nUsage of "),
        (&["-bogus"], "flag provided but not defined: -bogus\nUsage of "),
        (&["-stage"], "flag needs an argument: -stage\nUsage of "),
        (&["-version=maybe"], "invalid boolean value \"maybe\" for -version: parse error\nUsage of "),
    ] {
        let (code, said) = lab.by_name("ignition", arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.starts_with(words), "{arguments:?}: {said}");
    }
    for help in ["-h", "-help", "--help"] {
        let (code, said) = lab.by_name("ignition", &[help]);
        assert_eq!(code, 0);
        assert!(said.starts_with("Usage of ") && said.contains("\n  -config-cache string\n    \t"), "{said}");
    }
    let version = format!("Ignition glowplug-{}\n", env!("CARGO_PKG_VERSION"));
    for name in ["ignition", "ignition-apply", "ignition-rmcfg", "ignition-validate"] {
        assert_eq!(lab.by_name(name, &["--version"]), (0, version.clone()));
    }
}

#[test]
fn our_own_commands_are_not_taken_for_the_reference_s() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    assert_eq!(
        lab.by_name("glowplug", &["--version"]).1,
        format!("glowplug {}\n", env!("CARGO_PKG_VERSION"))
    );
    let root = lab.at("root");
    let (code, said) = lab.by_name("glowplug", &["--root", root.to_str().unwrap(), "apply", "config.ign"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("Ignition"), "{said}");
}

#[test]
fn what_is_not_supported_fails_by_name_and_writes_nothing() {
    let luks = r#""storage":{"luks":[{"name":"a","device":"/dev/a"}]}"#;
    let filesystem = r#""storage":{"filesystems":[{"device":"/dev/a","format":"ext4","path":"/var"}]}"#;
    for (rest, stage, place) in [
        (r#""kernelArguments":{"shouldExist":["a"]}"#, "kargs", "$.kernelArguments.shouldExist"),
        (r#""kernelArguments":{"shouldNotExist":["a"]}"#, "kargs", "$.kernelArguments.shouldNotExist"),
        (r#""storage":{"disks":[{"device":"/dev/a"}]}"#, "disks", "$.storage.disks"),
        (
            r#""storage":{"raid":[{"name":"a","level":"raid1","devices":["/dev/a"]}]}"#,
            "disks",
            "$.storage.raid",
        ),
        (luks, "disks", "$.storage.luks"),
        (luks, "files", "$.storage.luks"),
        (filesystem, "disks", "$.storage.filesystems"),
        (filesystem, "mount", "$.storage.filesystems.0.path"),
        (filesystem, "umount", "$.storage.filesystems.0.path"),
    ] {
        let lab = Lab::with(&format!(r#"{rest},"systemd":{{"units":[{{"name":"SECRET.service"}}]}}"#));
        lab.passes("fetch");
        let said = lab.fails(stage, &format!("\nCRITICAL : {stage}: {place} is not supported by glowplug\n"));
        let cache = lab.at("run/ignition.json");
        let help = format!("{stage} failed\nThe config that it failed on is in {}.\n", cache.display());
        assert!(said.contains(&help) && !said.contains("SECRET"), "{said}");
    }
    // What the disks stage did is no business of the stage after it.
    let lab = Lab::with(filesystem);
    lab.passes("fetch");
    lab.passes("files");
    // Nothing to mount.
    let lab = Lab::with(
        r#""storage":{"filesystems":[{"device":"/dev/a","format":"swap","path":"/x"},{"device":"/dev/b","format":"ext4"}]}"#,
    );
    for stage in ["fetch", "mount", "umount"] {
        lab.passes(stage);
    }
}

#[test]
fn a_failed_files_stage_leaves_the_root_alone() {
    let lab = Lab::with(
        r#""storage":{"files":[{"path":"/etc/passwd","contents":{"source":"data:,SECRET"}},{"path":"/new"}]}"#,
    );
    lab.passes("fetch");
    let said = lab.fails("files", "/etc/passwd");
    assert!(!said.contains("SECRET"), "{said}");
    assert!(
        !lab.text("run/ignition/state").contains("},{\"kind\":\"base\""),
        "a failed stage leaves no state"
    );
}

#[test]
fn fetch_offline_tells_that_the_network_is_needed() {
    // The config itself.
    let lab = Lab::new("");
    lab.write("cmdline", "ignition.config.url=https://host/TOKEN\n");
    let said = lab.passes("fetch-offline");
    assert!(lab.has("run/net/neednet") && !lab.has("run/ignition.json") && !said.contains("TOKEN"), "{said}");
    assert_eq!((lab.mode("run/net"), lab.mode("run/net/neednet")), (0o755, 0o644));
    let said =
        lab.fails("fetch", "the kernel argument ignition.config.url: fetching a https URL is not supported");
    assert!(!said.contains("TOKEN"), "{said}");
    // What it refers to.
    let source = r#"{"source":"https://host/TOKEN"}"#;
    for (part, place) in [
        (format!(r#""config":{{"merge":[{source}]}}"#), "$.ignition.config.merge.0.source"),
        (format!(r#""config":{{"replace":{source}}}"#), "$.ignition.config.replace.source"),
        (
            format!(r#""security":{{"tls":{{"certificateAuthorities":[{source}]}}}}"#),
            "$.ignition.security.tls.certificateAuthorities.0.source",
        ),
    ] {
        let lab = Lab::new(&format!(r#"{{"ignition":{{"version":"3.3.0",{part}}}}}"#));
        lab.passes("fetch-offline");
        assert!(lab.has("run/net/neednet") && !lab.has("run/ignition.json"), "{part}");
        let said = lab.fails("fetch", place);
        assert!(!said.contains("TOKEN"), "{said}");
    }
    // What is only fetched later: there is a cache all the same.
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a","contents":{"source":"https://host/TOKEN"}}]}"#);
    lab.passes("fetch-offline");
    assert!(lab.has("run/net/neednet") && lab.has("run/ignition.json"));
    let said = lab.fails("files", "$.storage.files.0.contents.source");
    assert!(!said.contains("TOKEN"), "{said}");
}

#[test]
fn an_empty_config_is_an_empty_cache_and_no_user_s() {
    let lab = Lab::new("");
    lab.passes("fetch");
    lab.passes("files");
    assert!(lab.text("run/ignition.json").contains("\"passwd\":{}"));
    let result = lab.text("root/etc/.ignition-result.json");
    assert!(result.contains("\"userConfigProvided\": false"), "{result}");
}

#[test]
fn base_configs_count_in_every_stage_and_not_in_the_cache() {
    let lab = Lab::new(r#"{"ignition":{"version":"3.0.0"}}"#);
    fs::create_dir_all(lab.at("system/base.platform.d/aws")).unwrap();
    let base = r#"{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/etc/base"}]}}"#;
    lab.write("system/base.platform.d/aws/a.ign", base);
    lab.passes("fetch");
    let (code, said) = lab.stage_on("aws", "files");
    assert_eq!(code, 0, "{said}");
    assert!(lab.has("root/etc/base") && !lab.text("run/ignition.json").contains("base"));
    let (code, said) = lab.stage_on("aws", "fetch");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("fetching a config on platform aws is not supported"), "{said}");
    fs::create_dir_all(lab.at("system/base.d")).unwrap();
    lab.write("system/base.d/a.ign", "{");
    lab.fails("files", "CRITICAL : failed to acquire system base config: ");
}

#[test]
fn an_invalid_config_is_told_with_the_report() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"a"}]}"#);
    let said = lab
        .fails("fetch", "\nCRITICAL : error at $.storage.files.0.path, line 1 col 61: path not absolute\n");
    assert!(said.contains("\nCRITICAL : failed to acquire config: config is not valid: "), "{said}");
    assert!(!lab.has("run/ignition.json"));
}

#[test]
fn the_result_of_an_earlier_run_is_kept() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a"}]}"#);
    lab.passes("fetch");
    lab.write("root/etc/.ignition-result.json", "{\n  \"provisioningBootID\": \"old\"\n}\n");
    let said = lab.passes("files");
    assert!(said.contains("\nWARNING  : files: Ignition has already run on this system."), "{said}");
    assert!(said.contains("\nNOTICE   : files: failed to run is-live-image hook: "), "{said}");
    let result = lab.text("root/etc/.ignition-result.json");
    let nested = ",\n  \"previousReport\": {\n    \"provisioningBootID\": \"old\"\n  }\n}\n";
    assert!(result.ends_with(nested), "{result}");
    // Every report nests the one before it, until they would be more than a stamp may be.
    let mut most = 0;
    for _ in 0..40 {
        lab.passes("files");
        let result = lab.text("root/etc/.ignition-result.json");
        assert!(result.len() < 16 << 10, "{result}");
        most = most.max(result.matches("previousReport").count());
    }
    assert!((4..40).contains(&most), "{most}");

    lab.write("root/etc/.ignition-result.json", "broken");
    lab.fails("files", "the previous report /etc/.ignition-result.json in the root is not JSON");
}

#[test]
fn on_a_live_system_the_earlier_result_is_its_image_s() {
    let lab = Lab::new("");
    lab.passes("fetch");
    lab.write("root/etc/.ignition-result.json", "{}");
    symlink("/bin/true", lab.at("bin/is-live-image")).unwrap();
    let (code, said) = lab.stage("files");
    assert_eq!(code, 0, "{said}");
    assert!(
        !said.contains("already run") && !lab.text("root/etc/.ignition-result.json").contains("previous")
    );
}

#[test]
fn ssh_keys_go_where_the_environment_says() {
    for (value, path, code) in [
        ("", "authorized_keys.d/ignition", 0),
        ("true", "authorized_keys.d/ignition", 0),
        ("false", "authorized_keys", 0),
        ("perhaps", "", 1),
    ] {
        let lab = Lab::with(r#""passwd":{"users":[{"name":"core","sshAuthorizedKeys":["key"]}]}"#);
        lab.passes("fetch");
        let mut command = lab.command(Path::new(PROGRAM));
        command.env("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT", value);
        let output = command.args(lab.flags()).args(["-platform=file", "-stage=files"]).output().unwrap();
        assert_eq!(told(&output).0, code, "{value}: {}", told(&output).1);
        if code == 0 {
            assert_eq!(lab.text(&format!("root/home/core/.ssh/{path}")), "key\n");
        }
    }
}

#[test]
fn a_umask_counts_for_the_cache_and_the_flag() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a","contents":{"source":"http://host"}}]}"#);
    let call =
        format!("umask 077; exec {PROGRAM} {} -platform file -stage fetch-offline", lab.flags().join(" "));
    let (code, said) = told(&lab.command(Path::new("/bin/sh")).args(["-c", &call]).output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.mode("run/ignition.json"), 0o600);
    assert_eq!((lab.mode("run/net"), lab.mode("run/net/neednet")), (0o700, 0o600));
}

/// Without `-log-to-stdout` records go to syslog, and to standard output where there is none. In a mount namespace
/// of its own, so that the machine's own log is left alone.
#[test]
fn records_go_to_syslog_and_the_journal() {
    let lab = Lab::new(
        r#"{"ignition":{"version":"3.0.0"},"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["k"]}]}}"#,
    );
    fs::create_dir(lab.at("dev")).unwrap();
    fs::create_dir_all(lab.at("journal/systemd/journal")).unwrap();
    let syslog = UnixDatagram::bind(lab.at("dev/log")).unwrap();
    let journal = UnixDatagram::bind(lab.at("journal/systemd/journal/socket")).unwrap();
    let flags = lab.flags().into_iter().skip(1).collect::<Vec<_>>().join(" ");
    let run = |stage: &str, device: &str| {
        let script = format!(
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount --bind {device} /dev && mount --bind journal /run && \
             exec {PROGRAM} {flags} -platform file -stage {stage}",
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .current_dir(&lab.base)
            .env("IGNITION_CONFIG_FILE", lab.at("config.ign"))
            .env("IGNITION_SYSTEM_CONFIG_DIR", lab.at("system"))
            .output();
        let (code, said) = told(&output.unwrap());
        assert_eq!(code, 0, "{said}");
        said
    };
    let received = |socket: &UnixDatagram| {
        socket.set_nonblocking(true).unwrap();
        let mut records = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            records.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        records
    };
    assert_eq!(run("fetch", "dev"), "");
    let records = received(&syslog);
    assert!(
        records[0].starts_with("<30>ignition[") && records[0].ends_with("]: Ignition glowplug-0.1.0"),
        "{records:?}"
    );
    assert!(
        records.iter().any(|record| record.starts_with("<31>") && record.contains("SHA512")),
        "{records:?}"
    );
    let entries = received(&journal);
    assert_eq!(entries.len(), 2);
    let entry = "MESSAGE=fetched user config from \"file\"\nPRIORITY=6\nSYSLOG_IDENTIFIER=ignition\n\
                 IGNITION_CONFIG_TYPE=user\nIGNITION_CONFIG_SRC=file\nIGNITION_CONFIG_REFERENCED=false\n\
                 MESSAGE_ID=57124006b5c94805b77ce473e92a8aeb\n";
    assert_eq!(entries[1], entry);

    // The machine has the boot id that the result file wants, but no log.
    let said = run("files", "system");
    assert!(
        said.starts_with(
            "ERROR    : unable to open syslog: /dev/log: no such file or directory\nINFO     : Ignition "
        ),
        "{said}"
    );
    let entry = "MESSAGE=wrote ssh authorized keys file for user: core\nPRIORITY=6\nSYSLOG_IDENTIFIER=ignition\n\
                 IGNITION_USER_NAME=core\nIGNITION_PATH=/home/core/.ssh/authorized_keys.d/ignition\n\
                 MESSAGE_ID=225067b87bbd4a0cb6ab151f82fa364b\n";
    assert_eq!(received(&journal), [entry]);
}

#[test]
fn apply_changes_a_container_only() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"/a","contents":{"source":"data:,x"}}]}"#);
    let apply = |container: &str, arguments: &[&str]| {
        if !lab.has("ignition-apply") {
            symlink(PROGRAM, lab.at("ignition-apply")).unwrap();
        }
        let mut command = lab.command(&lab.at("ignition-apply"));
        told(&command.env("container", container).args(["--root", "root"]).args(arguments).output().unwrap())
    };
    if !Path::new("/.dockerenv").exists() && !Path::new("/run/.containerenv").exists() {
        let (code, said) = apply("", &["config.ign"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("CRITICAL : failed to apply: this is not a container"), "{said}");
        assert!(!lab.has("root/a"));
    }
    let (code, said) = apply("podman", &["config.ign"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(lab.text("root/a"), "x");
    assert!(
        said.contains("createFilesystemsFiles: createFiles: op(1): [finished] writing file \"root/a\""),
        "{said}"
    );
    assert!(!lab.has("root/etc/.ignition-result.json"));

    lab.write("users.ign", r#"{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"u"}]},"kernelArguments":{"shouldExist":["a"]},"storage":{"directories":[{"path":"/d"}]}}"#);
    let (code, said) = apply("podman", &["users.ign"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("$.passwd.users of a container is not supported by glowplug"), "{said}");
    assert_eq!(apply("podman", &["users.ign", "--ignore-unsupported"]).0, 0);
    assert!(lab.has("root/d") && !lab.text("root/etc/passwd").contains("u:"));

    lab.write("net.ign", r#"{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/n","contents":{"source":"http://h"}}]}}"#);
    let (code, said) = apply("podman", &["--offline", "net.ign"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("needs of the network"), "{said}");
    for (arguments, code, words) in [
        (&[][..], 1, "Usage: "),
        (&["a", "b"], 1, "Usage: "),
        (&["--bogus"], 2, "unknown flag: --bogus\nUsage: "),
        (&["-x"], 2, "unknown shorthand flag: 'x' in -x\nUsage: "),
        (&["--help"], 0, "Usage: "),
    ] {
        let (found, said) = apply("podman", arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn validate_prints_the_report() {
    let lab = Lab::with(r#""storage":{"files":[{"path":"a"}]}"#);
    let bad = "error at $.storage.files.0.path, line 1 col 61: path not absolute\n";
    assert_eq!(lab.by_name("ignition-validate", &["config.ign"]), (1, bad.to_owned()));
    lab.write("good.ign", r#"{"ignition":{"version":"3.0.0"},"x":1}"#);
    let (code, said) = lab.by_name("ignition-validate", &["good.ign"]);
    assert_eq!((code, said.as_str()), (0, "warning at $.x, line 1 col 33: unused key x\n"));
    lab.write("old.ign", r#"{"ignition":{"version":"2.0.0"}}"#);
    let (code, said) = lab.by_name("ignition-validate", &["old.ign"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("couldn't parse config: unsupported config version"), "{said}");
    assert_eq!(lab.by_name("ignition-validate", &[]).0, 1);
    assert_eq!(lab.by_name("ignition-validate", &["-x"]).0, 2);
    let (code, said) = lab.by_name("ignition-validate", &["nosuch"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("couldn't read config: "), "{said}");
}

#[test]
fn no_platform_of_ours_lets_its_config_be_deleted() {
    let lab = Lab::new("");
    for (platform, why) in
        [("qemu", "cannot delete config on this platform"), ("vmware", "is not supported by glowplug")]
    {
        let (code, said) = lab.by_name("ignition-rmcfg", &["--log-to-stdout", "--platform", platform]);
        assert_eq!(code, 1);
        assert!(said.contains("CRITICAL : couldn't delete config: ") && said.contains(why), "{said}");
    }
    for arguments in [&[][..], &["x"], &["--platform", "x"], &["--platform"]] {
        assert_eq!(lab.by_name("ignition-rmcfg", arguments).0, 2, "{arguments:?}");
    }
}
