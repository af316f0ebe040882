//! S3: objects by `s3` and `arn` URLs.
//!
//! An instance of AWS signs its requests with the keys of its role. Everybody else, and an instance without a role,
//! asks without a signature for what everybody may read. An object is fetched by one GET, which is continued when it is
//! cut. The reference's library gets parts of 5 MiB at the same time, which only helps on links that are faster than a
//! disk.

mod address;
mod date;
mod error_document;
mod instance;
mod signature;

use std::time::Duration;

use glowplug::error::{Error, Reason, Result};

use crate::context::Context;
use crate::download;
use crate::http::{self, HttpRequest, Response, Retry};
use crate::output::Output;
use crate::time::TrustedTime;
use crate::url::Url;
use address::{Object, is_region};
use instance::Instance;
use signature::{Credentials, Unsigned};

/// How a request to S3 is repeated: for about 30 seconds. A signature would be too old after 15 minutes.
const RETRY: Retry = Retry { tries: 10, statuses: &[429], within: Duration::from_secs(120) };
/// How often a request is corrected because of an answer: its region once, and its time once.
const MOST_CORRECTIONS: usize = 2;

/// Fetches the object that the URL of the request names.
///
/// # Errors
/// [`Reason::Resource`] for a URL that names no object, and if S3 refuses the object; those of [`download::stream`] and
/// [`http::get`].
pub(crate) fn fetch(context: &Context<'_>, output: &mut Output) -> Result<()> {
    let object = Object::parse(&context.request.url)
        .map_err(|what| Error::new(Reason::Resource, format!("the URL of an object in S3: {what}")))?;
    let instance =
        if context.request.platform == "aws" { Instance::ask(context) } else { Instance::default() };
    let region = match object.region() {
        Some(region) => region.to_owned(),
        None => find_region(context, &object, instance.region.as_deref())?,
    };
    let endpoint = context.endpoint("s3");
    let mut asker = Asker::new(&object.url(&region, endpoint), region, instance.credentials)?;
    for _ in 0..=MOST_CORRECTIONS {
        let mut response = http::get(context, &asker.request())?;
        if response.status() == 200 {
            return download::stream(context, &|| asker.request(), response, output);
        }
        let refusal = Refusal::read(&mut response);
        match refusal.correction(&asker) {
            Some(Correction::Region(region)) => {
                asker.go_to(&object.url(&region, endpoint), region)?;
            }
            Some(Correction::Time(seconds)) => {
                context.note("the clock of this machine is wrong; signing with the time of S3");
                asker.set_time(seconds);
            }
            None => return Err(refusal.error(&response)),
        }
    }
    Err(Error::new(Reason::BadAnswer, "S3 sends the request in a circle"))
}

/// Returns the region of the bucket, which S3 tells anybody who asks.
fn find_region(context: &Context<'_>, object: &Object, machine: Option<&str>) -> Result<String> {
    let hint = object.hint(machine);
    let Some(url) = object.bucket_url(hint, context.endpoint("s3")) else {
        return Ok(hint.to_owned());
    };
    let request =
        HttpRequest { method: "HEAD", follow: false, retry: RETRY, ..HttpRequest::get(parse(&url)?) };
    let response = http::get(context, &request)?;
    if response.status() == 404 {
        return Err(Error::new(Reason::Resource, "S3 has no such bucket").at(&response.url.shown()));
    }
    Ok(told_region(&response).unwrap_or(hint).to_owned())
}

/// Returns the region of the bucket as an answer tells it.
fn told_region(response: &Response) -> Option<&str> {
    response.text_field("x-amz-bucket-region").filter(|region| is_region(region))
}

fn parse(url: &str) -> Result<Url> {
    Url::parse(url).map_err(|what| Error::new(Reason::Resource, what))
}

/// Makes the requests for one object.
struct Asker {
    url: Url,
    region: String,
    credentials: Option<Credentials>,
    /// The time that S3 told, and the clock of the machine then, if the clock is wrong.
    told: Option<(u64, u64)>,
}

impl Asker {
    fn new(url: &str, region: String, credentials: Option<Credentials>) -> Result<Self> {
        Ok(Self { url: parse(url)?, region, credentials, told: None })
    }

    fn go_to(&mut self, url: &str, region: String) -> Result<()> {
        (self.url, self.region) = (parse(url)?, region);
        Ok(())
    }

    fn set_time(&mut self, seconds: u64) {
        self.told = Some((seconds, now()));
    }

    /// Returns the time in seconds since the epoch.
    fn time(&self) -> u64 {
        match self.told {
            Some((told, then)) => told.saturating_add(now().saturating_sub(then)),
            None => now(),
        }
    }

    /// Returns the request, signed for this moment. A redirect is not followed: the signature is for this host alone.
    fn request(&self) -> HttpRequest {
        let mut request = HttpRequest { follow: false, retry: RETRY, ..HttpRequest::get(self.url.clone()) };
        if let Some(credentials) = &self.credentials {
            let host = self.url.authority();
            let (path, query) = self.url.target.split_once('?').unwrap_or((&self.url.target, ""));
            let unsigned = Unsigned { host: &host, path, query, region: &self.region, time: self.time() };
            let fields = unsigned.sign(credentials).into_iter();
            request.headers = fields.map(|(name, value)| (name.to_owned(), value)).collect();
        }
        request
    }
}

/// Returns the time in seconds since the epoch: that of the clock, but not before this program was built.
fn now() -> u64 {
    TrustedTime::new(0).seconds
}

/// What can be done about an answer that is not the object.
enum Correction {
    /// Ask in this region.
    Region(String),
    /// Sign with this time, in seconds since the epoch.
    Time(u64),
}

/// An answer that is not the object.
struct Refusal {
    status: u16,
    /// The code of the document that S3 sent.
    code: Option<String>,
    region: Option<String>,
    /// When the answer was sent, in seconds since the epoch.
    date: Option<u64>,
}

impl Refusal {
    fn read(response: &mut Response) -> Self {
        // A document that cannot be read explains nothing, but the status does.
        let document = response.text(error_document::MOST).unwrap_or_default();
        Self {
            status: response.status(),
            code: error_document::code(&document).map(str::to_owned),
            region: told_region(response).map(str::to_owned),
            date: response.text_field("date").and_then(date::parse),
        }
    }

    fn correction(&self, asker: &Asker) -> Option<Correction> {
        match (&self.region, self.date, self.code.as_deref()) {
            (Some(region), _, _) if matches!(self.status, 301 | 307 | 400) && *region != asker.region => {
                Some(Correction::Region(region.clone()))
            }
            (_, Some(date), Some("RequestTimeTooSkewed")) if asker.told.is_none() => {
                Some(Correction::Time(date))
            }
            _ => None,
        }
    }

    fn error(&self, response: &Response) -> Error {
        let code = self.code.as_deref().map_or(String::new(), |code| [": ", code].concat());
        let what = format!("S3 refused the object{code} (HTTP status {})", self.status);
        Error::new(Reason::Resource, what).at(&response.url.shown())
    }
}

/// What the fuzz targets reach.
#[cfg(fuzzing)]
pub mod fuzz {
    use super::address::Object;

    /// Returns the code of an error document.
    pub fn error_code(document: &[u8]) -> Option<&str> {
        super::error_document::code(document)
    }

    /// Returns the URLs that are asked for the object at `url`: that of its region, if need be, and its own.
    pub fn object_url(url: &str) -> Option<(Option<String>, String)> {
        let object = Object::parse(url).ok()?;
        let region = object.region().unwrap_or("eu-central-1");
        Some((object.bucket_url(object.hint(None), None), object.url(region, None)))
    }
}
