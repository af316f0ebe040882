//! The stage `kargs`, and the program `ignition-kargs-helper`, which that stage calls. Of the reference only the stage is
//! its own: each distribution brings the helper.

use std::ffi::{CString, OsString};
use std::path::Path;

use log::LevelFilter;
use rustix::io::Errno;

use super::{cache, files};
use crate::config::{Config, KernelArguments};
use crate::error::{Error, Reason, Result};
use crate::kernel_args::Wanted;
use crate::platform::CommandLine;
use crate::provision::phases::{Defaults, Setting, plan_config};
use crate::root::Root;
use crate::source::NoTransport;
use crate::{fd, kmsg_logger, sys};

/// The program that changes the arguments. It is found by `PATH`.
const HELPER: &str = "ignition-kargs-helper";

/// Calls the helper once with all arguments of the config. Without any it is not called.
///
/// # Errors
/// [`Reason::System`] if the helper cannot be run or fails.
pub(super) fn run(arguments: &KernelArguments<'_>) -> Result<()> {
    let mut words = vec![HELPER];
    for (flag, list) in
        [("--should-exist", &arguments.should_exist), ("--should-not-exist", &arguments.should_not_exist)]
    {
        words.extend(list.iter().flat_map(|item| [flag, item.as_ref()]));
    }
    if words.len() == 1 {
        return Ok(());
    }
    let called = files::operation("", 1, "updating kernel arguments", &mut || {
        // The reference logs the arguments as well. Here no text of a config comes into a log.
        log::debug!("op(1): executing: {HELPER:?} with {} arguments", words.len().saturating_sub(1));
        let failed = |error: Errno| Error::system_at("run", Path::new(HELPER), error);
        let call: Vec<CString> = words.iter().filter_map(|word| CString::new(*word).ok()).collect();
        if call.len() < words.len() {
            return Err(failed(Errno::INVAL));
        }
        let call: Vec<_> = call.iter().map(CString::as_c_str).collect();
        let how = match sys::spawn_and_wait(&call).map_err(failed)? {
            Some(0) => return Ok(()),
            Some(code) => format!("exit status {code}"),
            None => "it was ended by a signal".to_owned(),
        };
        Err(Error::new(Reason::System, format!("run {HELPER}: {how}")))
    });
    called.map_err(|error| error.at(&"failed adding kernel arguments"))
}

/// What the usage of `ignition-kargs-helper` shows after its name.
const USAGE: &str =
    "[--root DIR] [--create-if-changed FILE] [--should-exist ARG]... [--should-not-exist ARG]...";

/// A call of `ignition-kargs-helper`.
struct HelperCall<'a> {
    arguments: KernelArguments<'a>,
    root: &'a Path,
    /// The file that says that the machine has to restart.
    signal: &'a Path,
}

/// Does what the program `ignition-kargs-helper` does with its `arguments`. `name` is the path by which it is called. Returns its
/// exit code.
pub(super) fn helper(name: &str, arguments: &[OsString]) -> u8 {
    let Some(call) = read(arguments) else {
        fd::print_error(&["Usage: ", name, " ", USAGE].concat());
        return 2;
    };
    kmsg_logger::to_stderr(LevelFilter::Info);
    let done = change(call);
    if let Err(error) = &done {
        log::error!("{error}");
    }
    u8::from(done.is_err())
}

/// Reads the arguments; `None` if they are wrong.
fn read(arguments: &[OsString]) -> Option<HelperCall<'_>> {
    let mut call = HelperCall {
        arguments: KernelArguments::default(),
        root: Path::new("/sysroot"),
        signal: Path::new("/run/glowplug/kargs-reboot"),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let argument = argument.to_str()?;
        let (flag, value) = match argument.split_once('=') {
            Some(read) => read,
            None => (argument, rest.next()?.to_str()?),
        };
        match flag {
            "--should-exist" => call.arguments.should_exist.push(value.into()),
            "--should-not-exist" => call.arguments.should_not_exist.push(value.into()),
            "--root" => call.root = Path::new(value),
            "--create-if-changed" => call.signal = Path::new(value),
            _ => return None,
        }
    }
    Some(call)
}

/// Changes the files of the boot loaders in the root. If files have changed and the running kernel lacks what they say, the
/// empty file of the call is made: the machine has to restart.
///
/// # Errors
/// Those of the plan and of the root.
fn change(call: HelperCall<'_>) -> Result<()> {
    let config = Config { kernel_arguments: call.arguments, ..Config::default() };
    let running = CommandLine::text()?;
    let root = Root::open(call.root)?;
    root.lock()?;
    let setting = Setting { kernel_command_line: Some(&running), ..Setting::tree(Defaults::Reference) };
    let mut ops = plan_config(&config, &root, setting, &NoTransport)?.log_remarks();
    if ops.is_empty() {
        return Ok(());
    }
    let writable = root.make_writable()?;
    let applied = root.apply(&mut ops);
    let restored = writable.restore();
    applied.and(restored)?;
    if Wanted::new(&config.kernel_arguments)?.missing_in(&running).is_empty() {
        return Ok(());
    }
    cache::make_empty(call.signal)
}
