//! The programs of the reference, by their names and flags: `ignition`, `ignition-apply`, `ignition-rmcfg` and
//! `ignition-validate`.

mod duration;
mod flags;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::flags::{Dialect, Flag, Given, Refused, text};
use crate::config::{self, Report};
use crate::error::{Reason, Result};
use crate::platform::{self, Platform};
use crate::stages::stage::{self, Request, Stage};
use crate::{ignition_log, stages};

/// What the reference's programs say they are: others look for the first word.
const VERSION: &str = concat!("Ignition glowplug-", env!("CARGO_PKG_VERSION"));

/// Flags that glowplug's own commands do not have.
const ONLY_REFERENCE: [&str; 6] =
    ["stage", "config-cache", "fetch-timeout", "neednet", "state-file", "log-to-stdout"];

const PLATFORM: Flag = Flag { name: "platform", kind: "string", default: "", about: "the platform's name" };
const VERSION_FLAG: Flag = Flag { name: "version", kind: "", default: "", about: "print the version" };
const LOG_TO_STDOUT: Flag =
    Flag { name: "log-to-stdout", kind: "", default: "", about: "log to standard output, not to syslog" };
const ROOT: Flag = Flag { name: "root", kind: "string", default: "/", about: "the root to provision" };

const IGNITION: &[Flag] = &[
    Flag {
        name: "config-cache",
        kind: "string",
        default: "/run/ignition.json",
        about: "the user's config after the fetch",
    },
    Flag {
        name: "fetch-timeout",
        kind: "duration",
        default: "2m0s",
        about: "how long to wait for the platform's config",
    },
    LOG_TO_STDOUT,
    Flag {
        name: "neednet",
        kind: "string",
        default: "/run/ignition/neednet",
        about: "the file that fetch-offline makes if the network is needed",
    },
    PLATFORM,
    ROOT,
    Flag {
        name: "stage",
        kind: "string",
        default: "",
        about: "fetch-offline, fetch, kargs, disks, mount, files or umount",
    },
    Flag {
        name: "state-file",
        kind: "string",
        default: "/run/ignition/state",
        about: "what stages leave for each other",
    },
    VERSION_FLAG,
];

const APPLY: &[Flag] = &[
    Flag {
        name: "ignore-unsupported",
        kind: "",
        default: "",
        about: "pass over what cannot be done in a container",
    },
    Flag { name: "offline", kind: "", default: "", about: "refuse a config that needs the network" },
    ROOT,
    VERSION_FLAG,
];

const RMCFG: &[Flag] = &[LOG_TO_STDOUT, PLATFORM, VERSION_FLAG];
const VALIDATE: &[Flag] = &[VERSION_FLAG];

/// The exit code, where the call is one of the reference's.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    let path = arguments.next()?;
    let rest: Vec<OsString> = arguments.collect();
    let program = Path::new(&path).file_name().unwrap_or_default().as_bytes();
    let name = path.to_string_lossy();
    let run = match program {
        b"ignition-apply" => apply,
        b"ignition-rmcfg" => remove_config,
        b"ignition-validate" => validate,
        _ if program.starts_with(b"ignition") || is_stage_call(&rest) => ignition,
        _ => return None,
    };
    Some(run(&name, &rest))
}

/// Whether arguments are flags of `ignition` and no command of our own.
fn is_stage_call(arguments: &[OsString]) -> bool {
    let Some(first) = arguments.first() else { return false };
    // Our own long options have two dashes.
    let own_style = |text: &[u8]| text.len() <= 2 || text.starts_with(b"--");
    first.as_bytes().starts_with(b"-")
        && (!own_style(first.as_bytes())
            || arguments.iter().any(|argument| {
                flags::name(argument.as_bytes())
                    .is_some_and(|(name, _)| ONLY_REFERENCE.iter().any(|flag| flag.as_bytes() == name))
            }))
}

fn say(line: &str) {
    // Standard error may be closed; the exit code tells the same.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn print(text: &str) -> u8 {
    u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

/// Reads the arguments; the exit code where that is all there is to do.
fn read(
    dialect: Dialect,
    usage: &str,
    known: &'static [Flag],
    arguments: &[OsString],
) -> std::result::Result<Given, u8> {
    let usage = || say(format!("{usage}{}", flags::usage(dialect, known)).trim_end());
    match flags::read(dialect, known, arguments) {
        Ok(given) if given.is_set("version") => Err(print(&format!("{VERSION}\n"))),
        Ok(given) => Ok(given),
        Err(Refused::Help) => {
            usage();
            Err(0)
        }
        Err(Refused::Wrong(what)) => {
            say(&what);
            usage();
            Err(2)
        }
    }
}

fn ignition(name: &str, arguments: &[OsString]) -> u8 {
    let usage = format!("Usage of {name}:\n");
    let given = match read(Dialect::Go, &usage, IGNITION, arguments) {
        Ok(given) => given,
        Err(code) => return code,
    };
    let request = match request(&given) {
        Ok(request) => request,
        Err(Refused::Help) => return 2,
        Err(Refused::Wrong(what)) => {
            say(&what);
            say(format!("{usage}{}", flags::usage(Dialect::Go, IGNITION)).trim_end());
            return 2;
        }
    };
    ignition_log::install(given.is_set("log-to-stdout"));
    log::info!("{VERSION}");
    stage::run(&request)
}

/// What `given` asks for; [`Refused::Help`] where something is missing, which was told.
fn request(given: &Given) -> std::result::Result<Request, Refused> {
    let wrong = |flag: &str, value: &str, why: &str| {
        Err(Refused::Wrong(format!("invalid value {value:?} for flag -{flag}: {why}")))
    };
    let [platform, stage_name, patience] =
        ["platform", "stage", "fetch-timeout"].map(|flag| text(given.value(flag)));
    let Some(patience) = duration::parse(&patience) else {
        return wrong("fetch-timeout", &patience, "parse error");
    };
    if given.has("platform") && !is_platform(&platform) {
        return wrong("platform", &platform, &format!("{platform} is not a valid platform"));
    }
    let stage = Stage::named(&stage_name);
    if given.has("stage") && stage.is_none() {
        return wrong("stage", &stage_name, &format!("{stage_name} is not a valid stage"));
    }
    if !given.has("platform") {
        say("'--platform' must be provided");
        return Err(Refused::Help);
    }
    let Some(stage) = stage else {
        say("'--stage' must be provided");
        return Err(Refused::Help);
    };
    let path = |flag| PathBuf::from(given.value(flag));
    Ok(Request {
        stage,
        platform: platform.into_owned(),
        root: path("root"),
        config_cache: path("config-cache"),
        need_net: path("neednet"),
        state_file: path("state-file"),
        // For the reference none is for ever.
        patience: if patience.is_zero() { Duration::from_secs(u32::MAX.into()) } else { patience },
    })
}

/// Whether the reference has a platform of this name, though it may not be supported.
fn is_platform(name: &str) -> bool {
    Platform::named(name).map_or_else(|error| error.reason() != Reason::Usage, |_| true)
}

fn apply(name: &str, arguments: &[OsString]) -> u8 {
    let usage = format!("Usage: {name} [options] config.ign\nOptions:\n");
    let given = match read(Dialect::Pflag, &usage, APPLY, arguments) {
        Ok(given) => given,
        Err(code) => return code,
    };
    let [file] = given.operands.as_slice() else {
        say(format!("{usage}{}", flags::usage(Dialect::Pflag, APPLY)).trim_end());
        return 1;
    };
    ignition_log::install(true);
    log::info!("{VERSION}");
    let done = platform::read_argument(Path::new(file)).and_then(|text| {
        let root = PathBuf::from(given.value("root"));
        stages::stage::apply(&root, text, given.is_set("ignore-unsupported"), given.is_set("offline"))
    });
    code(&done, "failed to apply")
}

fn code(done: &Result<()>, what: &str) -> u8 {
    if let Err(error) = done {
        log::error!("{what}: {error}");
    }
    u8::from(done.is_err())
}

fn remove_config(name: &str, arguments: &[OsString]) -> u8 {
    let usage = format!("Usage: {name} [options]\nOptions:\n");
    let given = match read(Dialect::Pflag, &usage, RMCFG, arguments) {
        Ok(given) => given,
        Err(code) => return code,
    };
    let platform = text(given.value("platform"));
    if !given.operands.is_empty() {
        say(format!("{usage}{}", flags::usage(Dialect::Pflag, RMCFG)).trim_end());
        return 2;
    }
    if platform.is_empty() {
        say("'--platform' must be provided");
        return 2;
    }
    if !is_platform(&platform) {
        say(&format!("{platform} is not a valid platform"));
        return 2;
    }
    ignition_log::install(given.is_set("log-to-stdout"));
    log::info!("{VERSION}");
    match platform.as_ref() {
        "virtualbox" | "vmware" => {
            log::error!("couldn't delete config: platform {platform} is not supported by glowplug");
        }
        _ => log::error!("couldn't delete config: cannot delete config on this platform"),
    }
    1
}

fn validate(name: &str, arguments: &[OsString]) -> u8 {
    let usage = format!("Usage:\n  {name} [flags] config.ign\n\n");
    let given = match read(Dialect::Go, &usage, VALIDATE, arguments) {
        Ok(given) => given,
        Err(code) => return code,
    };
    let [file] = given.operands.as_slice() else {
        say(format!("{usage}{}", flags::usage(Dialect::Go, VALIDATE)).trim_end());
        return 1;
    };
    let text = match platform::read_argument(Path::new(file)) {
        Ok(text) => text,
        Err(error) => {
            say(&format!("couldn't read config: {error}"));
            return 1;
        }
    };
    let mut report = Report::default();
    let refused = config::parse(&text, &mut report).err();
    let printed = print(&report.to_string());
    match refused {
        Some(error) => {
            // What is in the report is told.
            if report.first_error().is_none() {
                say(&format!("couldn't parse config: {error}"));
            }
            1
        }
        None => printed,
    }
}
