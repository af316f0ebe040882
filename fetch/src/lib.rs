//! The parts of the program `glowplug-fetch`: it reads one request ([`glowplug::fetch_request`]) on standard input and
//! writes the bytes behind its URL to standard output. It runs without privileges: see [`sandbox`].
//!
//! Schemes build on [`http::get`], which asks once for an answer, and on [`download::fetch`], which streams an answer's
//! body to standard output and continues it when it is cut.

#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

mod azure;
mod checksum;
mod connect;
pub mod context;
pub mod download;
#[cfg(fuzzing)]
pub mod fuzz;
mod gs;
pub mod http;
mod metadata;
pub mod output;
mod percent;
mod proxy;
mod reply;
mod s3;
pub mod sandbox;
mod tftp;
mod time;
mod tls;
pub mod url;

use glowplug::error::{Error, Reason, Result};
use glowplug::fetch_request::FetchRequest;

use context::Context;
use output::Output;
use url::Url;

/// Fetches what `request` asks for, and writes it to standard output.
///
/// # Errors
/// [`Reason::Unsupported`] for a scheme that is not supported; otherwise those of the scheme. The text names scheme and host
/// of the URL, and no other part of it.
pub fn fetch(request: &FetchRequest<'_>) -> Result<()> {
    let context = Context::new(request);
    let mut output = Output::new(request.limit);
    let url = &*request.url;
    let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let parse = || Url::parse(url).map_err(|words| Error::new(Reason::Resource, words));
    match scheme.as_str() {
        "s3" | "arn" => s3::fetch(&context, &mut output),
        "gs" => gs::fetch(&context, &mut output),
        "tftp" => tftp::fetch(&context, &parse()?, &mut output),
        "http" | "https" => {
            let url = parse()?;
            if let Some(done) = azure::fetch(&context, &url, &mut output) {
                return done;
            }
            let ask = || http::HttpRequest {
                headers: context.own_headers(),
                ..http::HttpRequest::get(url.clone())
            };
            download::fetch(&context, &ask, &mut output)
        }
        _ => {
            let is_word =
                !scheme.is_empty() && scheme.len() < 16 && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
            let named = if is_word { scheme.as_str() } else { "of this URL" };
            Err(Error::new(Reason::Unsupported, format!("the scheme {named} is not supported")))
        }
    }
}
