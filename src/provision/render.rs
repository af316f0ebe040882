//! From the text of the user's config, and those of the system's base configs, to the one config that counts: the
//! references in `ignition.config` are fetched and followed, everything is merged.

use std::cell::OnceCell;

use crate::config::{self, Config, Finding, Parsed, Report, Resource, Room, Severity, Version};
use crate::error::{Error, Reason, Result};
use crate::file::FileBytes;
use crate::kmsg_logger::REPORT;
use crate::memory;
use crate::platform::system::{BaseConfigs, SystemConfig};
use crate::source::{Source, Transport};

/// Configs inside of configs, deeper than anybody writes them.
const MAX_DEPTH: usize = 32;
/// As many configs may take part.
const MAX_CONFIGS: usize = 1000;

/// The texts of configs, kept as long as what was parsed of them, which borrows from them.
#[derive(Debug, Default)]
pub struct Texts {
    text: OnceCell<FileBytes>,
    next: OnceCell<Box<Texts>>,
}

impl Texts {
    /// Keeps `text`.
    pub fn keep(&self, text: FileBytes) -> &[u8] {
        let mut place = self;
        while place.text.get().is_some() {
            place = place.next.get_or_init(Box::default);
        }
        place.text.get_or_init(|| text)
    }
}

/// A config that took part, for the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedConfig {
    /// `user` or `base`.
    pub kind: &'static str,
    /// Where it came from: `cmdline`, `system`, the platform's name, or the key that refers to it.
    pub source: String,
    /// Whether another config refers to it.
    pub referenced: bool,
}

/// Follows the references of configs.
pub(crate) struct Renderer<'a> {
    texts: &'a Texts,
    transport: &'a dyn Transport,
    /// Every config that a reference led to.
    pub fetched: Vec<FetchedConfig>,
    count: usize,
    /// Whether every error of a config is logged, or the first of them only returned.
    pub logs_every_error: bool,
    /// What all configs may still take: items of lists, and bytes that are fetched or decoded.
    room: Room,
}

/// The base configs of the system, merged in their order.
///
/// # Errors
/// Those of parsing one of `base.d`. What is wrong with one of `base.platform.d` is only logged, and makes all of
/// them void, as in the reference.
pub(crate) fn merge_base(base: BaseConfigs, texts: &Texts) -> Result<Config<'_>> {
    let mut merged = merge_found(base.common, texts)?;
    match merge_found(base.platform, texts) {
        Ok(platform) => merged.merge_with(platform),
        Err(error) => log::warn!("no base config of the platform is used: {error}"),
    }
    Ok(merged)
}

fn merge_found(found: Vec<SystemConfig>, texts: &Texts) -> Result<Config<'_>> {
    let mut merged = Config::default();
    let mut room = Room::new(memory::limit());
    for SystemConfig { path, text } in found {
        let parsed =
            parse(texts.keep(text.into()), false, &mut room).map_err(|error| error.at(&path.display()))?;
        merged.merge_with(parsed.config);
    }
    Ok(merged)
}

impl<'a> Renderer<'a> {
    pub fn new(texts: &'a Texts, transport: &'a dyn Transport) -> Self {
        Self {
            texts,
            transport,
            fetched: Vec::new(),
            count: 0,
            logs_every_error: false,
            room: Room::new(memory::limit()),
        }
    }

    /// Parses `text` and follows its references: what it is replaced by, then what it merges, depth first. An empty
    /// text is an empty config.
    ///
    /// # Errors
    /// Those of parsing; [`Reason::Unsupported`] for a reference that needs the network, [`Reason::Resource`] and
    /// [`Reason::Verification`] for one whose bytes cannot be had, [`Reason::ConfigInvalid`] for too many of them
    /// and for valid configs that are invalid once merged.
    pub fn render(&mut self, text: &'a [u8]) -> Result<(Config<'a>, Version)> {
        if text.is_empty() {
            return Ok((Config::default(), Version::NEWEST));
        }
        let Parsed { config, version } = parse(text, self.logs_every_error, &mut self.room)?;
        // Without its references the config cannot be rendered, so this is the time to name everything else as well.
        let parts = config::unsupported(&config);
        if !self.logs_every_error && parts.iter().any(config::Unsupported::is_reference) {
            config::refuse_unsupported(&parts)?;
        }
        let is_alone =
            config.ignition.config.merge.is_empty() && !has_source(&config.ignition.config.replace);
        let config = self.follow(config, 0)?;
        if !is_alone {
            config::validate_merged(&config)?;
        }
        Ok((config, version))
    }

    fn follow(&mut self, config: Config<'a>, depth: usize) -> Result<Config<'a>> {
        if depth >= MAX_DEPTH {
            let what = format!("configs refer to each other more than {MAX_DEPTH} deep");
            return Err(Error::new(Reason::ConfigInvalid, what).at(&"$.ignition.config"));
        }
        let below = depth.saturating_add(1);
        let references = &config.ignition.config;
        if has_source(&references.replace) {
            let place = "$.ignition.config.replace";
            return self.child(&references.replace, place, below);
        }
        let references = references.merge.clone();
        let mut merged = config;
        for (index, reference) in references.iter().enumerate() {
            let place = format!("$.ignition.config.merge.{index}");
            merged.merge_with(self.child(reference, &place, below)?);
        }
        Ok(merged)
    }

    fn child(&mut self, reference: &Resource<'_>, place: &str, depth: usize) -> Result<Config<'a>> {
        let text = self.fetch(reference, place)?;
        self.fetched.push(FetchedConfig { kind: "user", source: place.to_owned(), referenced: true });
        if text.is_empty() {
            return Ok(Config::default());
        }
        let parsed = parse(text, self.logs_every_error, &mut self.room);
        let followed = parsed.and_then(|parsed| self.follow(parsed.config, depth));
        followed.map_err(|error| error.at(&format_args!("the config at {place}")))
    }

    /// The bytes behind `reference`, which stands at `place`.
    pub fn fetch(&mut self, reference: &Resource<'_>, place: &str) -> Result<&'a [u8]> {
        self.count = self.count.saturating_add(1);
        if self.count > MAX_CONFIGS {
            let what = format!("more than {MAX_CONFIGS} configs refer to each other, at {place}");
            return Err(Error::new(Reason::ConfigInvalid, what));
        }
        let Some(source) = Source::new(reference, &place, self.transport)? else { return Ok(&[]) };
        let text = source.open()?.read_all(self.room.bytes)?;
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let bytes = self.room.bytes;
        self.room.bytes = bytes.checked_sub(length).ok_or_else(|| memory::too_large(bytes))?;
        Ok(self.texts.keep(text.into()))
    }
}

fn has_source(reference: &Resource<'_>) -> bool {
    reference.source.is_some()
}

/// Parses and logs the report with its hints, without the first error, which is returned. The log of a stage has every
/// error and no hints, as the reference's.
fn parse<'a>(text: &'a [u8], logs_every_error: bool, room: &mut Room) -> Result<Parsed<'a>> {
    let mut report = Report::default();
    let parsed = config::parse_within(text, &mut report, room);
    let shown = |finding: &Finding| {
        if logs_every_error { finding.for_log() } else { finding.for_log_with_hint() }
    };
    let mut is_first = !logs_every_error;
    for finding in &report.findings {
        match finding.severity {
            Severity::Error if is_first => is_first = false,
            Severity::Error => log::error!(target: REPORT, "{}", shown(finding)),
            _ => log::warn!(target: REPORT, "{}", shown(finding)),
        }
    }
    if report.left_off > 0 {
        log::warn!("{} more findings are left off", report.left_off);
    }
    for hint in report.hints.iter().filter(|_| !logs_every_error) {
        log::warn!(target: REPORT, "{}", hint.for_log());
    }
    parsed
}

#[cfg(test)]
mod tests;
