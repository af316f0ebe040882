//! The command lines of the reference's programs: `ignition`, `ignition-apply`, `ignition-rmcfg`, `ignition-validate` and
//! `ignition-kargs-helper`.

mod duration;
mod flags;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::flags::{CallRefused, Dialect, Given, text};
use super::stage_call::{Stage, StageCall};
use super::{apply, kargs, stage, stage_log};
use crate::config::{self, Report};
use crate::error::Reason;
use crate::platform::Platform;
use crate::{fd, file};

/// What `--version` prints. Other programs look for its first word.
const VERSION: &str = concat!("Ignition glowplug-", env!("CARGO_PKG_VERSION"));

const NO_PLATFORM: &str = "'--platform' must be provided";

/// The flags that only the reference has, and glowplug's own commands do not.
const ONLY_REFERENCE: &str = "stage config-cache fetch-timeout neednet state-file log-to-stdout";

/// The flags of each program: name, kind, default and description. They are text, because a table of as many strings would
/// make the program larger.
const IGNITION: &str = "\
config-cache|string|/run/ignition.json|the user's config after the fetch
fetch-timeout|duration|2m0s|how long to wait for the platform's config
log-to-stdout|||log to standard output, not to syslog
neednet|string|/run/ignition/neednet|the file that fetch-offline makes if the network is needed
platform|string||the platform's name
root|string|/|the root to provision
stage|string||fetch-offline, fetch, kargs, disks, mount, files or umount
state-file|string|/run/ignition/state|what stages leave for each other
version|||print the version";
const APPLY: &str = "\
ignore-unsupported|||pass over what cannot be done in a container
offline|||refuse a config that needs the network
root|string|/|the root to provision
version|||print the version";
const RMCFG: &str = "\
log-to-stdout|||log to standard output, not to syslog
platform|string||the platform's name
version|||print the version";
const VALIDATE: &str = "version|||print the version";

/// Runs the reference's program that `arguments` call, the program's own path first. Returns its exit code, or `None` if they
/// call a command of glowplug.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    let path = arguments.next()?;
    let rest: Vec<OsString> = arguments.collect();
    let program = Path::new(&path).file_name().unwrap_or_default().as_bytes();
    let name = path.to_string_lossy();
    let run = match program {
        b"ignition-apply" => apply,
        b"ignition-rmcfg" => remove_config,
        b"ignition-validate" => validate,
        b"ignition-kargs-helper" => kargs::helper,
        _ if program.starts_with(b"ignition") || is_stage_call(&rest) => ignition,
        _ => return None,
    };
    Some(run(&name, &rest))
}

/// Returns whether `arguments` are flags of `ignition` rather than a command of glowplug.
fn is_stage_call(arguments: &[OsString]) -> bool {
    let Some(first) = arguments.first() else { return false };
    // glowplug's own long options have two dashes, those of the reference may have one.
    let own_style = |text: &[u8]| text.len() <= 2 || text.starts_with(b"--");
    first.as_bytes().starts_with(b"-")
        && (!own_style(first.as_bytes())
            || arguments.iter().any(|argument| {
                flags::name(argument.as_bytes())
                    .is_some_and(|(name, _)| ONLY_REFERENCE.split(' ').any(|flag| flag.as_bytes() == name))
            }))
}

/// Prints a line to standard error. A failure is ignored, since the exit code says the same.
fn say(line: &str) {
    fd::print_error(line);
}

/// Prints `text` to standard output. Returns the exit code: 1 if that fails.
fn print(text: &str) -> u8 {
    u8::from(fd::print(text).is_err())
}

/// A program of the reference.
struct Program<'n> {
    dialect: Dialect,
    flags: &'static str,
    /// The first lines of its usage: its name as it was called, with the text before and after it.
    head: [&'n str; 3],
}

impl Program<'_> {
    fn usage(&self) {
        let list = flags::usage(self.dialect, self.flags);
        say(&(self.head.concat() + list.trim_end()));
    }

    /// Prints what is wrong with the call, and the usage. Returns the exit code 2.
    fn wrong(&self, what: &str) -> u8 {
        say(what);
        self.usage();
        2
    }

    /// Parses the arguments.
    ///
    /// # Errors
    /// The exit code, if there is nothing else to do: they ask for help or the version, or they are wrong.
    fn read(&self, arguments: &[OsString]) -> std::result::Result<Given, u8> {
        match flags::read(self.dialect, self.flags, arguments) {
            Ok(given) if given.is_set("version") => Err(print(&format!("{VERSION}\n"))),
            Ok(given) => Ok(given),
            Err(CallRefused::Help) => {
                self.usage();
                Err(0)
            }
            Err(CallRefused::Wrong(what)) => Err(self.wrong(&what)),
        }
    }

    /// Parses the arguments of a program that takes one file. Returns that file, too.
    ///
    /// # Errors
    /// As for [`Program::read`]; 1 if there is not exactly one file.
    fn read_file(&self, arguments: &[OsString]) -> std::result::Result<(Given, PathBuf), u8> {
        let given = self.read(arguments)?;
        if let [file] = given.operands.as_slice() {
            let file = PathBuf::from(file);
            return Ok((given, file));
        }
        self.usage();
        Err(1)
    }
}

fn ignition(name: &str, arguments: &[OsString]) -> u8 {
    let program = Program { dialect: Dialect::Go, flags: IGNITION, head: ["Usage of ", name, ":\n"] };
    let request = match program.read(arguments).map(|given| (request(&given), given.is_set("log-to-stdout")))
    {
        Ok((Ok(request), to_stdout)) => {
            begin(to_stdout);
            request
        }
        Ok((Err(CallRefused::Help), _)) => return 2,
        Ok((Err(CallRefused::Wrong(what)), _)) => return program.wrong(&what),
        Err(code) => return code,
    };
    stage::run(&request)
}

/// Opens the log and writes its first line.
fn begin(to_stdout: bool) {
    stage_log::install(to_stdout);
    log::info!("{VERSION}");
}

/// Returns the stage that `given` calls.
///
/// # Errors
/// [`CallRefused::Help`] if a flag is missing, which has been printed then.
fn request(given: &Given) -> std::result::Result<StageCall, CallRefused> {
    let wrong = |flag: &str, value: &str, why: &str| {
        Err(CallRefused::Wrong(format!("invalid value {value:?} for flag -{flag}: {why}")))
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
        say(NO_PLATFORM);
        return Err(CallRefused::Help);
    }
    let Some(stage) = stage else {
        say("'--stage' must be provided");
        return Err(CallRefused::Help);
    };
    let path = |flag| PathBuf::from(given.value(flag));
    Ok(StageCall {
        stage,
        platform: platform.into_owned(),
        root: path("root"),
        config_cache: path("config-cache"),
        need_net: path("neednet"),
        state_file: path("state-file"),
        // For the reference a timeout of zero is none.
        patience: given.has("fetch-timeout").then_some(if patience.is_zero() {
            Duration::from_secs(u32::MAX.into())
        } else {
            patience
        }),
    })
}

/// Returns whether the reference has a platform of this name. It need not be supported here.
fn is_platform(name: &str) -> bool {
    Platform::named(name).map_or_else(|error| error.reason() != Reason::Usage, |_| true)
}

fn apply(name: &str, arguments: &[OsString]) -> u8 {
    let head = ["Usage: ", name, " [options] config.ign\nOptions:\n"];
    let (given, file) = match (Program { dialect: Dialect::Pflag, flags: APPLY, head }).read_file(arguments) {
        Ok(read) => read,
        Err(code) => return code,
    };
    begin(true);
    let done = file::read_argument(&file).and_then(|text| {
        let root = Path::new(given.value("root"));
        apply::apply(root, &text, given.is_set("ignore-unsupported"), given.is_set("offline"))
    });
    if let Err(error) = &done {
        log::error!("failed to apply: {error}");
    }
    u8::from(done.is_err())
}

fn remove_config(name: &str, arguments: &[OsString]) -> u8 {
    let head = ["Usage: ", name, " [options]\nOptions:\n"];
    let program = Program { dialect: Dialect::Pflag, flags: RMCFG, head };
    let given = match program.read(arguments) {
        Ok(given) => given,
        Err(code) => return code,
    };
    let platform = text(given.value("platform"));
    if !given.operands.is_empty() {
        program.usage();
        return 2;
    }
    if platform.is_empty() {
        say(NO_PLATFORM);
        return 2;
    }
    if !is_platform(&platform) {
        return program.wrong(&format!("{platform} is not a valid platform"));
    }
    begin(given.is_set("log-to-stdout"));
    let why = match platform.as_ref() {
        "virtualbox" | "vmware" => "this platform is not supported by glowplug",
        _ => "cannot delete config on this platform",
    };
    log::error!("couldn't delete config: {why}");
    1
}

fn validate(name: &str, arguments: &[OsString]) -> u8 {
    let head = ["Usage:\n  ", name, " [flags] config.ign\n\n"];
    let file = match (Program { dialect: Dialect::Go, flags: VALIDATE, head }).read_file(arguments) {
        Ok((_, file)) => file,
        Err(code) => return code,
    };
    let text = match file::read_argument(&file) {
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
            // Otherwise the report, which has been printed, has the error.
            if report.first_error().is_none() {
                say(&format!("couldn't parse config: {error}"));
            }
            1
        }
        None => printed,
    }
}
