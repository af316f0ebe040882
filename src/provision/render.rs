//! Rendering: from the texts of the user's config and of the system's base configs to one merged config. The references in
//! `ignition.config` are fetched and followed.

use std::cell::OnceCell;

use crate::config::{self, Config, Finding, Parsed, Report, Resource, Room, Scheme, Severity, Version};
use crate::error::{Error, Reason, Result};
use crate::file::FileBytes;
use crate::kmsg_logger::REPORT;
use crate::memory;
use crate::platform::system::{BaseConfigs, SystemConfig};
use crate::source::{Source, Transport};

/// How deep configs may refer to each other. Real ones are not nested nearly as deep.
const MAX_DEPTH: usize = 32;
/// How many configs may be referred to in all.
const MAX_CONFIGS: usize = 1000;

/// The texts of configs. Parsed configs borrow their strings from these texts, so the texts must live as long.
#[derive(Debug, Default)]
pub struct Texts {
    text: OnceCell<FileBytes>,
    next: OnceCell<Box<Texts>>,
}

impl Texts {
    /// Keeps `text` and returns it.
    pub fn keep(&self, text: FileBytes) -> &[u8] {
        let mut place = self;
        while place.text.get().is_some() {
            place = place.next.get_or_init(Box::default);
        }
        place.text.get_or_init(|| text)
    }
}

/// A config that was fetched, as the state file records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedConfig {
    /// `user` or `base`.
    pub kind: &'static str,
    /// Where it came from: `cmdline`, `system`, the platform's name, or the JSON key that refers to it.
    pub source: String,
    /// Whether it was fetched because another config refers to it.
    pub referenced: bool,
}

/// Follows the references of configs.
pub(crate) struct Renderer<'a, 't> {
    texts: &'a Texts,
    transport: &'t dyn Transport,
    /// All configs that were fetched because of a reference.
    pub fetched: Vec<FetchedConfig>,
    /// How many references have been followed.
    count: usize,
    /// Whether all errors of a config are logged. Otherwise the first is only returned.
    pub logs_every_error: bool,
    /// How many list items, and bytes that are fetched or decoded, the configs may still have.
    room: Room,
}

/// Returns the base configs of the system, merged in their order.
///
/// # Errors
/// Those of parsing a config of `base.d`. An error in `base.platform.d` is only logged, and none of its configs is used, as in
/// the reference.
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

impl<'a, 't> Renderer<'a, 't> {
    pub fn new(texts: &'a Texts, transport: &'t dyn Transport) -> Self {
        Self {
            texts,
            transport,
            fetched: Vec::new(),
            count: 0,
            logs_every_error: false,
            room: Room::new(memory::limit()),
        }
    }

    /// Parses `text` and follows its references, depth first: `replace`, or else all of `merge`. An empty text is an empty
    /// config.
    ///
    /// # Errors
    /// Those of parsing; those of the transport, and [`Reason::Verification`], for a reference that cannot be fetched or
    /// has another hash; [`Reason::BadAnswer`] for a fetched config that is empty; [`Reason::ConfigInvalid`] for too many
    /// references, and for valid configs that are invalid once merged.
    pub fn render(&mut self, text: &'a [u8]) -> Result<(Config<'a>, Version)> {
        if text.is_empty() {
            return Ok((Config::default(), Version::NEWEST));
        }
        let Parsed { config, version } = parse(text, self.logs_every_error, &mut self.room)?;
        let is_alone =
            config.ignition.config.merge.is_empty() && !has_source(&config.ignition.config.replace);
        self.transport.adopt(&config.ignition)?;
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
            return self.child(&references.replace, place, None, below);
        }
        let references = references.merge.clone();
        let mut merged = config;
        for (index, reference) in references.iter().enumerate() {
            let place = format!("$.ignition.config.merge.{index}");
            let child = self.child(reference, &place, Some(&merged), below)?;
            merged.merge_with(child);
        }
        Ok(merged)
    }

    /// Fetches the config behind `reference`, which stands at `place`, and follows its references. `parent` is the config
    /// that it will be merged into; `None` if it replaces the config that refers to it.
    fn child(
        &mut self,
        reference: &Resource<'_>,
        place: &str,
        parent: Option<&Config<'a>>,
        depth: usize,
    ) -> Result<Config<'a>> {
        let text = self.fetch(reference, place)?;
        self.fetched.push(FetchedConfig { kind: "user", source: place.to_owned(), referenced: true });
        if text.is_empty() {
            // A server that has lost the config must not cause a machine that lacks what the config asks for.
            if reference.source.as_deref().is_some_and(|url| Scheme::remote(url).is_some()) {
                let what = format!("the server sent an empty config, at {place}.source");
                return Err(Error::new(Reason::BadAnswer, what));
            }
            return Ok(Config::default());
        }
        let parsed = parse(text, self.logs_every_error, &mut self.room);
        let followed = parsed.and_then(|parsed| {
            self.adopt(parent, &parsed.config)?;
            self.follow(parsed.config, depth)
        });
        followed.map_err(|error| error.at(&format_args!("the config at {place}")))
    }

    /// From now on, fetches with the settings of `config`, merged into those of `parent` as in the reference.
    fn adopt(&self, parent: Option<&Config<'a>>, config: &Config<'a>) -> Result<()> {
        let Some(parent) = parent else { return self.transport.adopt(&config.ignition) };
        let settings =
            |config: &Config<'a>| Config { ignition: config.ignition.clone(), ..Config::default() };
        let mut merged = settings(parent);
        merged.merge_with(settings(config));
        self.transport.adopt(&merged.ignition)
    }

    /// Fetches the bytes behind `reference`, which stands at the JSON key `place`. A reference without a source is empty.
    ///
    /// # Errors
    /// As for [`Renderer::render`], and [`Reason::BadAnswer`] if the bytes do not fit into memory.
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

/// Parses `text` and logs the report with its hints. The first error is returned and not logged. With `logs_every_error` all
/// errors and no hints are logged, as the reference does.
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
