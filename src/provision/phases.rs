//! The phases of provisioning. Each is made from the one before, so that none can be left out or done twice: [`Fetched`]
//! holds bytes, [`Rendered`] one config, and [`Planned`] the changes. `run`, the offline commands and the reference's stages
//! are composed of them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::render::{self, Renderer, Texts};
use super::{milliseconds, writing};
use crate::change::View;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Reason, Result};
use crate::kernel_args::Wanted;
use crate::plan::{Options, Planned, Today, Unlock, plan};
use crate::platform::system::{BaseConfigs, base_configs};
use crate::platform::{Answer, Platform, UserConfig};
use crate::root::{ConfigToSave, LastStep, Root, SavedConfig};
use crate::source::{Transport, sha512_hex};
use crate::stamp;

/// The configs of a machine as bytes, before they are parsed.
pub(super) struct Fetched {
    platform: Option<Platform>,
    base: BaseConfigs,
    /// The user's config; empty if there is none.
    text: Vec<u8>,
    /// Whether an interrupted run has saved the user's config in the root already.
    is_saved: bool,
}

impl Fetched {
    /// Fetches the user's config with `fetch`, and reads the system's base configs. Returns `None` if there is neither.
    ///
    /// # Errors
    /// Those of `fetch`, and of reading the base configs.
    pub fn from_host(
        platform: Option<Platform>,
        fetch: &mut dyn FnMut() -> Result<Answer>,
    ) -> Result<Option<Self>> {
        let started = Instant::now();
        let base = base_configs(platform)?;
        let (text, from) = match fetch()? {
            Answer::Config(UserConfig { text, from }) => (text, from.source()),
            Answer::NeedsNetwork | Answer::Nothing if base.is_empty() => return Ok(None),
            Answer::NeedsNetwork | Answer::Nothing => (Vec::new(), "system"),
        };
        log::info!("glowplug {} with the config of {from}", env!("CARGO_PKG_VERSION"));
        log::info!("fetched a config of {} bytes in {} ms", text.len(), milliseconds(started));
        Ok(Some(Self { platform, base, text, is_saved: false }))
    }

    /// Takes the config that an interrupted run saved, and reads the system's base configs.
    ///
    /// # Errors
    /// Those of reading the base configs.
    pub fn from_saved(saved: SavedConfig) -> Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        log::info!("glowplug {version} with the config that an interrupted run had fetched");
        let platform = Platform::named(&saved.platform).ok();
        Ok(Self { platform, base: base_configs(platform)?, text: saved.text, is_saved: true })
    }

    /// Parses the configs, follows their references by `transport`, and merges all of them. Their texts are kept in
    /// `texts`.
    ///
    /// # Errors
    /// Those of parsing and validating a config, and of fetching what it refers to.
    pub fn render<'t>(self, texts: &'t Texts, transport: &dyn Transport) -> Result<Rendered<'t>> {
        let mut config = render::merge_base(self.base, texts)?;
        let mut rendered = Rendered::new(texts, texts.keep(self.text.into()), transport)?;
        config.merge_with(rendered.config);
        // The contents of files are fetched with the settings of the merged config.
        transport.adopt(&config.ignition)?;
        rendered.config = config;
        rendered.platform = self.platform.map_or("", Platform::name);
        rendered.is_saved = self.is_saved;
        Ok(rendered)
    }
}

/// One valid config: everything that it refers to is in it.
pub(crate) struct Rendered<'t> {
    /// The config.
    pub config: Config<'t>,
    /// The text of the user's config; empty where there is none.
    text: &'t [u8],
    /// The spec version that this text names; empty where there is none.
    spec_version: &'static str,
    /// The platform's name; empty where there is none.
    platform: &'static str,
    is_saved: bool,
}

impl<'t> Rendered<'t> {
    fn new(texts: &'t Texts, text: &'t [u8], transport: &dyn Transport) -> Result<Self> {
        let (config, version) = Renderer::new(texts, transport).render(text)?;
        transport.adopt(&config.ignition)?;
        let spec_version = if text.is_empty() { "" } else { version.text() };
        Ok(Self { config, text, spec_version, platform: "", is_saved: false })
    }

    /// Renders the config in `text` without a machine's base configs.
    ///
    /// # Errors
    /// As [`Fetched::render`], and for an empty text. A host may have no config, but whoever names a file means one with a
    /// config in it.
    pub fn alone(texts: &'t Texts, text: &'t [u8], transport: &dyn Transport) -> Result<Self> {
        refuse_empty(text)?;
        Self::new(texts, text, transport)
    }

    /// Carries out `planned`, the plan of this config, in the root, and writes the stamp. The config is saved first, unless an
    /// interrupted run has saved it.
    ///
    /// # Errors
    /// Those of the root. Before the commit the root stays as it was; a commit that has begun is completed by the next start.
    pub fn put(&self, root: &Root, planned: Planned<'_>) -> Result<()> {
        self.put_and(root, planned, &mut || Ok(()))
    }

    /// As [`Rendered::put`], and calls `last` when the stamp is in its place: see [`Root::provision_and`].
    ///
    /// # Errors
    /// As [`Rendered::put`].
    pub fn put_and(&self, root: &Root, planned: Planned<'_>, last: LastStep<'_>) -> Result<()> {
        let mut ops = planned.log_remarks();
        root.make_stamp_place(&mut ops)?;
        let (boot_id, sha512) = (boot_id()?, self.sha512());
        let arguments = Wanted::new(&self.config.kernel_arguments)?.to_string();
        let run = stamp::Run {
            boot_id: &boot_id,
            user_config_provided: !self.text.is_empty(),
            platform: self.platform,
            spec_version: self.spec_version,
            config_sha512: &sha512,
            kernel_arguments: &arguments,
            previous: None,
        };
        let to_save = ConfigToSave { platform: self.platform, sha512: &sha512, text: self.text };
        let to_save = (!self.is_saved).then_some(&to_save);
        writing(root, &mut || root.provision_and(to_save, &mut ops, &|file| stamp::text(&run, file), last))
    }
}

impl Rendered<'_> {
    /// Returns the SHA-512 of the user's config, in hexadecimal.
    pub fn sha512(&self) -> String {
        sha512_hex(self.text)
    }

    /// Returns whether the root has the config saved already.
    pub fn is_saved(&self) -> bool {
        self.is_saved
    }

    /// Saves the config in the root, unless an interrupted run has saved it: work on disks begins, which cannot be staged.
    ///
    /// # Errors
    /// Those of the root.
    pub fn save(&mut self, root: &Root) -> Result<()> {
        if !self.is_saved {
            root.save(&ConfigToSave { platform: self.platform, sha512: &self.sha512(), text: self.text })?;
            self.is_saved = true;
        }
        Ok(())
    }
}

/// Refuses an empty text.
///
/// # Errors
/// [`Reason::ConfigSyntax`], in the reference's words.
pub(crate) fn refuse_empty(text: &[u8]) -> Result<()> {
    if text.is_empty() {
        return Err(Error::new(Reason::ConfigSyntax, "not a config (empty)"));
    }
    Ok(())
}

/// The defaults that a plan follows where the config leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defaults {
    /// Those of this program. ssh keys go where Debian's sshd reads them, and the image's lists of defaults are read.
    Debian,
    /// Those of the reference. ssh keys go into a fragment, and a path that exists is always a conflict.
    Reference,
}

/// Where a plan is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// What it does where the config leaves a choice.
    pub defaults: Defaults,
    /// The command line of the running kernel, if it is that of the root.
    pub kernel_command_line: Option<&'a [u8]>,
    /// Whether the disks are changed as well.
    pub changes_disks: bool,
    /// The encrypted volumes that the system is to open at its boots.
    pub unlocks: &'a [Unlock],
    /// The directories that were made for mounts.
    pub made_directories: &'a [PathBuf],
}

impl Setting<'_> {
    /// Returns the setting of a directory tree: no kernel, and no disks.
    pub fn tree(defaults: Defaults) -> Self {
        Self {
            defaults,
            kernel_command_line: None,
            changes_disks: false,
            unlocks: &[],
            made_directories: &[],
        }
    }
}

/// Plans the changes that `config` makes in the root behind `view`. `transport` fetches now what planning must read, and
/// the rest later, when it is staged.
///
/// # Errors
/// Those of [`plan`]; [`Reason::Usage`] if the environment variable about ssh keys has an unknown value.
pub(crate) fn plan_config<'a>(
    config: &'a Config<'a>,
    view: &dyn View,
    setting: Setting<'a>,
    transport: &'a dyn Transport,
) -> Result<Planned<'a>> {
    let Setting { defaults, kernel_command_line, changes_disks, unlocks, made_directories } = setting;
    let started = Instant::now();
    let options = Options {
        today: Today(clock::today()),
        ssh_key_fragment: writes_key_fragment(defaults == Defaults::Reference)?,
        image_defaults: defaults == Defaults::Debian,
        kernel_command_line,
        changes_disks,
        unlocks,
        made_directories,
        transport,
    };
    let planned = plan(config, view, options)?;
    log::debug!("planned {} operations in {} ms", planned.ops.len(), milliseconds(started));
    Ok(planned)
}

/// Returns whether ssh keys go into a fragment: as the environment variable says, otherwise `default`.
fn writes_key_fragment(default: bool) -> Result<bool> {
    const VARIABLE: &str = "IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT";
    match std::env::var_os(VARIABLE).as_deref().map(std::ffi::OsStr::to_str) {
        None | Some(Some("")) => Ok(default),
        Some(Some("true" | "1")) => Ok(true),
        Some(Some("false" | "0")) => Ok(false),
        Some(_) => Err(Error::new(Reason::Usage, format!("{VARIABLE} is neither true nor false"))),
    }
}

/// Returns the kernel's id of the current boot.
///
/// # Errors
/// [`Reason::System`] if it cannot be read.
pub(crate) fn boot_id() -> Result<String> {
    stamp::boot_id().map_err(|(path, errno)| Error::system_at("read", Path::new(path), errno))
}
