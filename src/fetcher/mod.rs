//! Fetches URLs with the program `glowplug-fetch`, which has no rights: code that parses what the network sends does not
//! run as root. This program only gives it a request, and takes the bytes of the body.

mod download;
mod programs;
mod settings;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::ffi::CString;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use rustix::event::poll;
use rustix::io::Errno;

use crate::config::{Ignition, Resource};
use crate::error::{Error, Reason, Result};
use crate::map::Map;
use crate::source::{ByteStream, Source, StreamError, Transport, UrlRequest};
use download::{Download, Limits};
use programs::TICK;
use settings::Settings;

/// The most bytes of a bundle of certificates.
const MOST_AUTHORITY: u64 = 1 << 20;
/// How often progress is told. A download that is over by then is not told of.
const PROGRESS: Duration = Duration::from_secs(5);

/// What a [`Fetcher`] does with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkUse {
    /// It must not be used, so that nothing is fetched.
    Forbidden,
    /// It is used as it is.
    AsItIs,
    /// It is brought up before the first fetch and taken down at the end, if the program for that is beside this one.
    BroughtUp,
}

/// How a [`Fetcher`] works.
#[derive(Debug, Clone, Copy)]
pub struct FetchOptions<'o> {
    /// The name of the platform; empty if there is none.
    pub platform: &'o str,
    /// How long the user's config may take, and how long a server may be silent if the config does not say.
    pub patience: Duration,
    /// What is done with the network.
    pub network: NetworkUse,
    /// Tells people how far downloads are.
    pub tell: fn(&str),
}

/// Fetches URLs with `glowplug-fetch`. When it is dropped, the network is taken down if it was brought up.
pub struct Fetcher<'o> {
    options: FetchOptions<'o>,
    /// The path of the program; `None` if there is none.
    program: OnceCell<Option<CString>>,
    settings: RefCell<Settings>,
    /// The certificates that were fetched, with the texts of their URLs.
    authorities: RefCell<Map<Rc<[u8]>>>,
    downloads: RefCell<Vec<Weak<RefCell<Download>>>>,
    /// Whether bringing up the network was tried.
    was_tried: Cell<bool>,
    /// Whether the network must be taken down. An attempt that failed may have left something.
    is_up: Cell<bool>,
    told: Cell<Instant>,
}

impl<'o> Fetcher<'o> {
    /// Returns a fetcher. Nothing is started yet.
    pub fn new(options: FetchOptions<'o>) -> Self {
        Self {
            settings: RefCell::new(Settings::new(options.patience)),
            options,
            program: OnceCell::new(),
            authorities: RefCell::default(),
            downloads: RefCell::default(),
            was_tried: Cell::new(false),
            is_up: Cell::new(false),
            told: Cell::new(Instant::now()),
        }
    }

    fn program(&self) -> Result<&CString> {
        let found = self.program.get_or_init(|| programs::find(programs::FETCH, true));
        found.as_ref().ok_or_else(programs::missing)
    }

    /// Returns the bundle of certificates behind `resource`, which stands at `place` in the config. It is fetched once.
    ///
    /// # Errors
    /// Those of fetching.
    pub fn authority(&self, resource: &Resource<'_>, place: &str) -> Result<Rc<[u8]>> {
        let url = resource.source.as_deref().unwrap_or_default();
        if let Some(bytes) = self.authorities.borrow().get(url.as_bytes()) {
            return Ok(Rc::clone(bytes));
        }
        let bytes = match Source::new(resource, &place, self)? {
            Some(source) => source.open()?.read_all(MOST_AUTHORITY)?,
            None => Vec::new(),
        };
        if bytes.len() as u64 > MOST_AUTHORITY {
            let what = format!("the certificates have more than {MOST_AUTHORITY} bytes, at {place}");
            return Err(Error::new(Reason::BadAnswer, what));
        }
        let bytes: Rc<[u8]> = bytes.into();
        self.authorities.borrow_mut().insert(url.as_bytes(), Rc::clone(&bytes));
        Ok(bytes)
    }

    fn tell_progress(&self, downloads: &[Rc<RefCell<Download>>]) {
        if self.told.get().elapsed() < PROGRESS {
            return;
        }
        self.told.set(Instant::now());
        for line in downloads.iter().filter_map(|download| download.borrow().progress(PROGRESS)) {
            (self.options.tell)(&line);
        }
    }
}

/// Shows nothing of the settings and URLs, which can be secret.
impl fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Drop for Fetcher<'_> {
    fn drop(&mut self) {
        if self.is_up.get() {
            programs::take_down();
        }
    }
}

impl Transport for Fetcher<'_> {
    fn check(&self) -> Result<()> {
        if self.options.network == NetworkUse::Forbidden { Ok(()) } else { self.program().map(drop) }
    }

    fn open(&self, url: &UrlRequest<'_>) -> Result<Box<dyn ByteStream>> {
        if self.options.network == NetworkUse::Forbidden {
            let what = format!("resource requires networking, at {}", url.place);
            return Err(Error::new(Reason::Unsupported, what));
        }
        let program = self.program()?;
        self.bring_up()?;
        let settings = self.settings.borrow();
        let request = settings.request(url, self.options.platform).map_err(|error| error.at(&url.place))?;
        let total = (settings.total_seconds > 0).then(|| Duration::from_secs(settings.total_seconds));
        let limits = Limits { total, silence: self.options.patience };
        let download = Rc::new(RefCell::new(Download::start(program, request, url, limits)?));
        let mut downloads = self.downloads.borrow_mut();
        downloads.retain(|download| download.strong_count() > 0);
        downloads.push(Rc::downgrade(&download));
        Ok(Box::new(DownloadStream(download)))
    }

    fn bring_up(&self) -> Result<()> {
        if self.options.network == NetworkUse::BroughtUp && !self.was_tried.replace(true) {
            self.is_up.set(true);
            self.is_up.set(programs::bring_up(self.options.patience)?);
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let downloads: Vec<_> = self.downloads.borrow().iter().filter_map(Weak::upgrade).collect();
        {
            let borrowed: Vec<Ref<'_, Download>> =
                downloads.iter().map(|download| download.borrow()).collect();
            let mut fds = Vec::new();
            for download in &borrowed {
                download.add_waits(&mut fds);
            }
            // Without descriptors, all downloads are over, and their streams say so at the next read.
            match if fds.is_empty() { Ok(0) } else { poll(&mut fds, Some(&TICK)) } {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("wait for a download", errno)),
            }
        }
        for download in &downloads {
            download.borrow_mut().attend();
        }
        self.tell_progress(&downloads);
        Ok(())
    }

    fn adopt(&self, ignition: &Ignition<'_>) -> Result<()> {
        self.settings.borrow_mut().take(ignition);
        let listed = &ignition.security.tls.certificate_authorities;
        let mut authorities = Vec::with_capacity(listed.len());
        for (index, resource) in listed.iter().enumerate() {
            let place = format!("$.ignition.security.tls.certificateAuthorities.{index}");
            authorities.push(self.authority(resource, &place)?);
        }
        // As with the reference, a config without certificates takes none away.
        if !authorities.is_empty() {
            self.settings.borrow_mut().authorities = authorities;
        }
        Ok(())
    }
}

/// The body of a download.
struct DownloadStream(Rc<RefCell<Download>>);

impl ByteStream for DownloadStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        self.0.borrow_mut().read(buffer)
    }
}
