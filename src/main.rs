//! The program `glowplug`: parses the command line, calls the library, and returns the exit code.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::mem::take;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glowplug::error::{Error, Reason, Result};
use glowplug::fetcher::NetworkUse;
use glowplug::platform::Platform;
use glowplug::provision::{Form, Policy, Style};
use glowplug::root::Root;
use glowplug::{disks, fd, file, ignition, kmsg_logger, provision};
use lexopt::Arg::{Long, Short, Value};
use log::LevelFilter;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

// build.rs does not know how each program is linked.
#[cfg(not(any(debug_assertions, target_feature = "crt-static")))]
compile_error!(
    "a release build of glowplug must be static, since the initramfs has no libc: build for x86_64-unknown-linux-musl, or \
     with RUSTFLAGS=-Ctarget-feature=+crt-static (`make` picks what this machine has)"
);

const HELP: &str = "\
Provision a Debian machine from an Ignition config, once.

Usage:
  glowplug run --root DIR [--platform NAME]
        fetch the config from the host and apply it, unless the stamp stands
  glowplug validate [--strict] [--policy FILE] FILE|-...
        print what is wrong with configs, one finding a line; 1 if refused
  glowplug plan --root DIR [--fetch] [--diff | --json] FILE|-
        print what applying a config would do; writes nothing
  glowplug apply --root DIR FILE|-
        apply a config to a directory tree; no stamp is left
  glowplug clean --root DIR
        take the stamp away, so that the tree is provisioned anew
  glowplug adopt --root DIR
        keep a tree restored from a backup: it is provisioned already
  glowplug --stage NAME --root DIR --platform NAME [OPTION]...
        one stage, in the place of the program ignition: see glowplug(8)
  glowplug --help | --version

Options:
  --root DIR        the root file system
  --platform NAME   where the config comes from, see below; else found out
  --diff            the changed lines of text files, without password hashes
  --fetch           fetch what the config names by URL, to plan with it
  --json            the plan as JSON
  --policy FILE     directories that no share may be mounted over
  --strict          exit with 4 if the boot will refuse a valid config

Platforms:
";

const HELP_END: &str = "
glowplug(8) tells of exit codes, kernel arguments and the environment.
";

enum Call {
    Run { root: PathBuf, platform: Option<Platform> },
    Apply { root: PathBuf, config: PathBuf },
    Validate { files: Vec<PathBuf>, policy: Option<PathBuf>, strict: bool },
    Plan { root: PathBuf, config: PathBuf, form: Form, fetches: bool },
    Clean { root: PathBuf },
    Adopt { root: PathBuf },
    Print(String),
}

fn main() -> ExitCode {
    if let Err(error) = keep_memory_private() {
        complain(&error);
        return ExitCode::from(error.reason().exit_code());
    }
    if let Some(error) = disks::in_root::main(std::env::args_os()) {
        complain(&error);
        return ExitCode::from(error.reason().exit_code());
    }
    #[cfg(feature = "failpoints")]
    glowplug::root::failpoints::arm_from_environment();
    if let Some(code) = ignition::cli::main(std::env::args_os()) {
        return ExitCode::from(code);
    }
    let done = match arguments() {
        Ok(Call::Run { root, platform }) => provision::run(&root, platform),
        Ok(Call::Apply { root, config }) => apply(&root, &config),
        Ok(Call::Plan { root, config, form, fetches }) => plan(&root, &config, form, fetches),
        Ok(Call::Clean { root }) => clean(&root),
        Ok(Call::Adopt { root }) => adopt(&root),
        Ok(Call::Validate { files, policy, strict }) => match validate(&files, policy.as_deref(), strict) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Ok(Call::Print(text)) => print(&text),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(error.reason().exit_code())
        }
    }
}

/// Forbids core dumps of this process, because the config's secrets are in its memory. A limit of zero for core files would not
/// keep them from a program in `core_pattern`.
fn keep_memory_private() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Error::system("forbid core files", errno))
}

fn complain(error: &Error) {
    // A failure is ignored: standard error may be closed, and the exit code says the reason, too.
    for line in error.lines(true) {
        fd::print_error(&["glowplug: ", &line].concat());
    }
}

fn print(text: &str) -> Result<()> {
    fd::print(text).map_err(|errno| Error::system("write to standard output", errno))
}

fn apply(root: &Path, config: &Path) -> Result<()> {
    kmsg_logger::to_stderr(LevelFilter::Info);
    let text = file::read_argument(config)?;
    provision::apply(&Root::open(root)?, &text, &provision::fetcher(NetworkUse::AsItIs))
}

fn plan(root: &Path, config: &Path, form: Form, fetches: bool) -> Result<()> {
    kmsg_logger::to_stderr(LevelFilter::Info);
    let text = file::read_argument(config)?;
    print(&provision::plan(&Root::open(root)?, &text, form, fetches)?)
}

fn clean(root: &Path) -> Result<()> {
    for path in provision::clean(&Root::open(root)?)? {
        print(&format!("removed {}\n", path.display()))?;
    }
    Ok(())
}

fn adopt(root: &Path) -> Result<()> {
    kmsg_logger::to_stderr(LevelFilter::Info);
    if provision::adopt(&Root::open(root)?)? {
        print("adopted: the stamp is now that of this root\n")
    } else {
        print("nothing to do: the stamp is that of this root\n")
    }
}

/// The exit code of `validate` for a config that is refused.
const REFUSED: u8 = 1;
/// The exit code of `validate --strict` for configs that are valid, if the boot will refuse one of them.
const REFUSED_AT_BOOT: u8 = 4;

/// Prints the report on every file, and on a terminal a line for each that is valid. Returns [`REFUSED`] if any config is
/// refused, otherwise with `strict` [`REFUSED_AT_BOOT`] if the boot will refuse any.
fn validate(files: &[PathBuf], policy: Option<&Path>, strict: bool) -> Result<ExitCode> {
    let (mut is_refused, mut is_refused_at_boot) = (false, false);
    let policy = policy.map(file::read_argument).transpose()?;
    let policy = policy.as_deref().map(Policy::read).transpose()?;
    let is_terminal = std::io::stdout().is_terminal();
    for file in files {
        let verdict = provision::validate(&file::read_argument(file)?, policy.as_ref());
        if files.len() > 1 {
            print(&format!("{}:\n", file.display()))?;
        }
        print(&verdict.report)?;
        if is_terminal && verdict.refused.is_none() {
            print(&format!("{}\n", verdict.summary))?;
        }
        is_refused_at_boot |= verdict.faults_at_boot > 0;
        if let Some(error) = verdict.refused {
            complain(&error);
            is_refused = true;
        }
    }
    Ok(match (is_refused, strict && is_refused_at_boot) {
        (true, _) => ExitCode::from(REFUSED),
        (false, true) => ExitCode::from(REFUSED_AT_BOOT),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The command line, in parts. A command takes the options that it has, so what is left over is a mistake.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "one for each option without a value")]
struct Arguments {
    command: Option<OsString>,
    operands: Vec<OsString>,
    root: Option<PathBuf>,
    platform: Option<Platform>,
    policy: Option<PathBuf>,
    json: bool,
    diff: bool,
    fetches: bool,
    strict: bool,
}

fn arguments() -> Result<Call> {
    let mut given = Arguments::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next().map_err(|error| usage(&error))? {
        match argument {
            Short('h') | Long("help") => return Ok(Call::Print(help())),
            Short('V') | Long("version") => {
                return Ok(Call::Print(format!("glowplug {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Long("root") => given.root = Some(value(&mut parser)?.into()),
            Long("platform") => {
                given.platform = Some(Platform::named(&value(&mut parser)?.to_string_lossy())?);
            }
            Long("policy") => given.policy = Some(value(&mut parser)?.into()),
            Long("json") => given.json = true,
            Long("strict") => given.strict = true,
            Long("diff") => given.diff = true,
            Long("fetch") => given.fetches = true,
            Value(value) if given.command.is_none() => given.command = Some(value),
            Value(value) => given.operands.push(value),
            other => return Err(usage(&other.unexpected())),
        }
    }
    let call = given.take_call()?;
    if given.has_options() {
        return Err(usage(&"an option that this command does not have: see glowplug --help"));
    }
    call.ok_or_else(|| usage(&"--root is missing"))
}

/// Returns the value of the option that was read last.
fn value(parser: &mut lexopt::Parser) -> Result<OsString> {
    parser.value().map_err(|error| usage(&error))
}

impl Arguments {
    /// Returns the call, and takes its options out; `None` if its root is missing.
    ///
    /// # Errors
    /// [`Reason::Usage`] if there is no such command, or if it does not have these operands.
    fn take_call(&mut self) -> Result<Option<Call>> {
        let command = self.command.as_deref().and_then(|name| name.to_str());
        let call = match (command, self.operands.as_slice()) {
            (Some("run"), []) => {
                self.root.take().map(|root| Call::Run { root, platform: self.platform.take() })
            }
            (Some("apply"), [config]) => {
                self.root.take().map(|root| Call::Apply { root, config: config.into() })
            }
            (Some("plan"), [config]) => {
                let form = if take(&mut self.json) {
                    Form::Json
                } else {
                    Form::People(Style { colours: has_colours(), diff: take(&mut self.diff) })
                };
                let fetches = take(&mut self.fetches);
                self.root.take().map(|root| Call::Plan { root, config: config.into(), form, fetches })
            }
            (Some("clean"), []) => self.root.take().map(|root| Call::Clean { root }),
            (Some("adopt"), []) => self.root.take().map(|root| Call::Adopt { root }),
            (Some("validate"), files @ [_, ..]) => {
                let files = files.iter().map(PathBuf::from).collect();
                Some(Call::Validate { files, policy: self.policy.take(), strict: take(&mut self.strict) })
            }
            (command, _) => return Err(usage(&wrong_call(command))),
        };
        Ok(call)
    }

    fn has_options(&self) -> bool {
        let has_flag = self.json || self.diff || self.fetches || self.strict;
        has_flag || self.root.is_some() || self.platform.is_some() || self.policy.is_some()
    }
}

/// Returns what is wrong with a call of `command`, which does not have the operands of that command.
fn wrong_call(command: Option<&str>) -> &'static str {
    match command {
        Some("apply" | "plan") => "this command takes one config: a file, or - for standard input",
        Some("validate") => "validate takes one config or more",
        Some("run" | "clean" | "adopt") => "this command takes no operand",
        Some(_) => "no such command: see glowplug --help",
        None => "a command is missing: see glowplug --help",
    }
}

/// Returns the help text with the table of platforms.
fn help() -> String {
    use std::fmt::Write as _;
    let mut text = HELP.to_owned();
    for platform in Platform::all() {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {:<9} {}", platform.name(), platform.source());
    }
    text + HELP_END
}

/// Returns whether to use colours: standard output is a terminal that shows them, and `NO_COLOR` is not set.
fn has_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

fn usage(what: &dyn std::fmt::Display) -> Error {
    Error::new(Reason::Usage, what.to_string())
}
