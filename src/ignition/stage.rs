//! Runs one stage of the reference. What a stage leaves for the next is in the state file and the config cache.

use super::stage_call::{Stage, StageCall};
use super::stage_log;
use super::state::{CONFIG_SHA512, KEYS, SPEC_VERSION, StateFile};
use super::{cache, disks, files, kargs, part};
use crate::config::{self, Config, Resource};
use crate::error::{Error, Reason, Result};
use crate::fetcher::{Fetcher, NetworkUse};
use crate::memory;
use crate::platform::{self, Answer, CommandLine, Platform, PlatformChoice, UserConfig, system};
use crate::provision::render::{self, FetchedConfig, Renderer, Texts};
use crate::source::{encode_base64, sha512_hex};
use crate::{fd, file};

/// The reference's message id of a journal entry about a fetched config.
const FETCHED_CONFIG: &str = "57124006b5c94805b77ce473e92a8aeb";

/// Runs one stage and logs it. Returns the reference's exit code: 0 for success, 1 if the stage failed, 3 if the state file
/// could not be read.
pub fn run(request: &StageCall) -> u8 {
    log::info!("Stage: {}", request.stage.name());
    let mut state = match StateFile::load(&request.state_file) {
        Ok(state) => state,
        Err(error) => {
            log::error!("reading state: {error}");
            return 3;
        }
    };
    let done = execute(request, &mut state);
    stage_log::set_stage("");
    if let Err(error) = done {
        log::error!("Ignition failed: {error}");
        return 1;
    }
    if let Err(error) = state.save(&request.state_file) {
        log::error!("writing state: {error}");
        return 1;
    }
    log::info!("Ignition finished successfully");
    0
}

fn execute(request: &StageCall, state: &mut StateFile) -> Result<()> {
    let texts = Texts::default();
    let base = system::base_configs_of(&request.platform).and_then(|base| render::merge_base(base, &texts));
    let mut config = base.map_err(|error| logged("failed to acquire system base config", error))?;
    let mut fetched = vec![FetchedConfig { kind: "base", source: "system".to_owned(), referenced: false }];
    let user = match request.stage {
        Stage::Fetch | Stage::FetchOffline => fetch(request, state, &mut fetched, &texts),
        _ => cached(request, &texts).map(Some),
    };
    for config in &fetched {
        state.add_fetched(config);
    }
    let Some(user) = user.map_err(|error| logged("failed to acquire config", error))? else {
        return cache::make_empty(&request.need_net)
            .map_err(|error| logged("failed to signal neednet", error));
    };
    config.merge_with(user);
    let name = request.stage.name();
    stage_log::set_stage(name);
    let done = work(request, &mut config, state);
    if let Err(error) = &done {
        log::error!("{error}");
        // The reference prints the config itself, with all its secrets.
        let cache = request.config_cache.display();
        fd::print_error(&format!("{name} failed\nThe config that it failed on is in {cache}."));
    }
    done?;
    log::info!("{name} passed");
    Ok(())
}

/// Logs `error` with `what` failed, as the reference does before it gives up. Returns `error`.
fn logged(what: &str, error: Error) -> Error {
    log::error!("{what}: {error}");
    error
}

/// Reads the user's config from the cache.
fn cached<'a>(request: &StageCall, texts: &'a Texts) -> Result<Config<'a>> {
    let text = file::map(&request.config_cache)?;
    config::from_cache(texts.keep(text), memory::limit())
        .map_err(|error| error.at(&request.config_cache.display()))
}

/// Fetches the user's config and writes the cache. Returns `None` in the stage `fetch-offline` if the network is needed.
fn fetch<'a>(
    request: &StageCall,
    state: &mut StateFile,
    fetched: &mut Vec<FetchedConfig>,
    texts: &'a Texts,
) -> Result<Option<Config<'a>>> {
    let offline = request.stage == Stage::FetchOffline;
    let platform = Platform::named(&request.platform);
    let choice =
        platform.as_ref().map_or(PlatformChoice::Nothing, |platform| PlatformChoice::Named(*platform));
    let mut line = CommandLine::read()?;
    line.timeout = request.patience.unwrap_or(line.timeout);
    let network = if offline { NetworkUse::Forbidden } else { NetworkUse::BroughtUp };
    let transport = request.fetcher(network, line.timeout);
    let (text, from) = match platform::user_config(choice, &line, offline, &transport)? {
        Answer::Config(UserConfig { text, from }) => (texts.keep(text.into()), from.source()),
        Answer::NeedsNetwork => {
            log::info!("failed to fetch config: the kernel argument ignition.config.url needs the network");
            return Ok(None);
        }
        // Another program may be there to fetch on this platform.
        Answer::Nothing if offline => {
            log::info!("failed to fetch config: glowplug does not fetch on platform {}", request.platform);
            return Ok(None);
        }
        Answer::Nothing => return platform.map(|_| None),
    };
    let mut spec_version = "";
    let sha512 = sha512_hex(text);
    if text.is_empty() {
        log::info!("provider config was empty, continuing with empty cache config");
    } else {
        log::debug!("parsing config with SHA512: {sha512}");
        fetched.push(FetchedConfig { kind: "user", source: from.to_owned(), referenced: false });
    }
    let mut renderer = Renderer::new(texts, &transport);
    renderer.logs_every_error = true;
    let outcome = renderer.render(text).and_then(|(mut config, version)| {
        spec_version = version.text();
        inline_authorities(&mut config, &transport).map(|()| config)
    });
    let config = match outcome {
        // The only unsupported thing that rendering can meet is a URL that must be fetched.
        Err(error) if offline && error.reason() == Reason::Unsupported => {
            log::info!("failed to fetch config: {error}");
            return Ok(None);
        }
        outcome => outcome?,
    };
    fetched.append(&mut renderer.fetched);
    if !text.is_empty() {
        state.set_text(SPEC_VERSION, spec_version);
        state.set_text(CONFIG_SHA512, &sha512);
    }
    cache::put(&request.config_cache, 0o640, &mut |take| config.write_json(take))?;
    fetched.iter().for_each(tell_journal);
    Ok(Some(config))
}

/// Fetches the certificates of the config, and puts them into it as `data` URLs, as the reference does. The hash of each stays,
/// and later stages check it again.
fn inline_authorities(config: &mut Config<'_>, fetcher: &Fetcher<'_>) -> Result<()> {
    let authorities = &mut config.ignition.security.tls.certificate_authorities;
    for (index, authority) in authorities.iter_mut().enumerate() {
        let place = format!("$.ignition.security.tls.certificateAuthorities.{index}");
        let bytes = fetcher.authority(authority, &place)?;
        let mut url = "data:text/plain;charset=utf-8;base64,".to_owned();
        encode_base64(&bytes, &mut url);
        *authority = Resource {
            source: Some(url.into()),
            verification: std::mem::take(&mut authority.verification),
            ..Resource::default()
        };
    }
    Ok(())
}

/// Adds the reference's entry about a fetched config to the journal.
fn tell_journal(config: &FetchedConfig) {
    let referenced = if config.referenced { "referenced " } else { "" };
    stage_log::journal(
        &format!("fetched {referenced}{} config from {:?}", config.kind, config.source),
        &[
            ("IGNITION_CONFIG_TYPE", config.kind),
            ("IGNITION_CONFIG_SRC", &config.source),
            ("IGNITION_CONFIG_REFERENCED", if config.referenced { "true" } else { "false" }),
            ("MESSAGE_ID", FETCHED_CONFIG),
        ],
    );
}

/// Carries out the part of the merged `config` that is the stage's work.
fn work(request: &StageCall, config: &mut Config<'_>, state: &mut StateFile) -> Result<()> {
    match request.stage {
        Stage::FetchOffline => {
            if config.needs_network() {
                log::info!("what the config asks for needs the network");
                cache::make_empty(&request.need_net)?;
            }
            Ok(())
        }
        Stage::Fetch => {
            log::info!("fetch complete");
            Ok(())
        }
        Stage::Kargs => kargs::run(&config.kernel_arguments),
        Stage::Disks | Stage::Mount | Stage::Umount => {
            part::keep(request.stage, config);
            config::refuse_unsupported(&config::unsupported_changes(config))?;
            match request.stage {
                Stage::Disks => disks::change(request, config, state),
                Stage::Mount => disks::mount(request, config, state),
                _ => disks::umount(request, config),
            }
        }
        Stage::Files => {
            files::run(request, config, state)?;
            // The keys are in the root now, and need not be in the memory of the initramfs as well.
            if state.holds(KEYS) {
                state.forget_keys();
            }
            Ok(())
        }
    }
}
