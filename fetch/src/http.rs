//! HTTP and HTTPS: one request and its answer, with redirects, proxies and repeated tries.
//!
//! Other schemes build on it so: make an [`HttpRequest`] with [`HttpRequest::get`] and change its fields, then call [`get`].
//! The [`Response`] has any status but 500 to 599, the fields of its head, and its body piece by piece, or whole by
//! [`Response::text`]. [`Retry`] says which failures are tried again, and for how long. A file is better fetched with
//! [`crate::download::fetch`], which also continues a body that is cut.

use std::time::Duration;

use glowplug::deadline::{Backoff, Deadline};
use glowplug::error::{Error, Reason, Result};
use glowplug::http::{AnswerReader, Failure};

use crate::connect::{Link, Stream, Timer};
use crate::context::Context;
use crate::proxy;
use crate::reply::Connection;
pub use crate::reply::Response;
use crate::url::Url;

/// How many redirects are followed. The reference has no limit and may turn in a circle until its time is over.
const MOST_REDIRECTS: u32 = 20;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a server may be silent within a body.
const SILENCE: Duration = Duration::from_secs(60);
/// The first pause before another try, and the longest.
pub(crate) const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How much of a body is read at once. Larger reads wake the reader of the body less often.
const BUFFER: usize = 128 << 10;
/// The most bytes of the head of a request.
const MOST_HEAD: usize = 256 << 10;

/// The fields that every request has unless its own headers replace them. The reference's version is there for servers that
/// look for it.
const DEFAULTS: [(&str, &str); 3] = [
    ("User-Agent", concat!("Ignition/2.26.0 glowplug/", env!("CARGO_PKG_VERSION"))),
    ("Accept", "application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1"),
    // What is verified is then the file as it lies on the server.
    ("Accept-Encoding", "identity"),
];
/// Fields that only the program itself sets, because they say how the connection is used.
const RESERVED: [&str; 5] = ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Trailer"];

/// Which failures are tried again. A certificate that cannot be trusted, and an answer that is not HTTP, never are.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// How many tries there are. After each, a pause follows: 200 ms at first, doubling up to 5 s.
    pub tries: u32,
    /// The statuses that are tried again beside 500 to 599.
    pub statuses: &'static [u16],
    /// How long all tries together may take, if the request as a whole has more time.
    pub within: Duration,
}

impl Retry {
    /// Tries until the time of the whole request is over, as the reference does.
    pub const UNTIL_DEADLINE: Self = Self { tries: u32::MAX, statuses: &[], within: Duration::MAX };
}

/// One request, which has no body.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET`, `HEAD` or `PUT`.
    pub method: &'static str,
    /// The URL, whose scheme is `http` or `https`.
    pub url: Url,
    /// Fields of the head. They replace the defaults of the same name, and are not sent to the target of a redirect.
    pub headers: Vec<(String, String)>,
    /// Whether redirects are followed.
    pub follow: bool,
    /// Whether the server is asked without the proxies of the config.
    pub direct: bool,
    /// Which failures are tried again.
    pub retry: Retry,
    /// From which byte on the body is wanted, and the `ETag` or date that the file must still have.
    pub resume: Option<(u64, String)>,
}

impl HttpRequest {
    /// Returns a GET request without fields of its own, which follows redirects and tries until the deadline.
    pub fn get(url: Url) -> Self {
        let retry = Retry::UNTIL_DEADLINE;
        Self { method: "GET", url, headers: Vec::new(), follow: true, direct: false, retry, resume: None }
    }
}

/// Returns the server's answer to `request`, whatever its status, unless that is 500 to 599 or one that `request.retry` names.
///
/// # Errors
/// [`Reason::NoHost`] if there was none in time, or after the last try; [`Reason::Certificate`];
/// [`Reason::BadAnswer`] for an answer that is not HTTP, and for too many redirects; [`Reason::Resource`] for a request that the
/// config makes impossible. The text names scheme and host.
pub fn get(context: &Context<'_>, request: &HttpRequest) -> Result<Response> {
    let deadline = context.deadline.or_sooner(Deadline::after(request.retry.within));
    let mut pauses = Backoff::between(PAUSES.0, PAUSES.1);
    let mut tries: u32 = 0;
    loop {
        tries = tries.saturating_add(1);
        let ask = |method, url: &Url, headers: &[_]| {
            let resume = request.resume.as_ref();
            Hop { context, method, url, headers, direct: request.direct, resume, deadline }.ask()
        };
        let last = match follow(request, &ask) {
            Ok(response) => {
                let status = response.status();
                if !(500..=599).contains(&status) && !request.retry.statuses.contains(&status) {
                    return Ok(response);
                }
                format!("{}: the host answered HTTP status {status}", response.url.shown())
            }
            Err((at, Failure::Final(error))) => return Err(error.at(&at)),
            Err((at, Failure::Passing(what))) => format!("{at}: {what}"),
        };
        if tries >= request.retry.tries || !pauses.wait(deadline) {
            let what =
                format!("no answer within {} and {tries} tries; the last one: {last}", words(deadline));
            return Err(Error::new(Reason::NoHost, what).at(&request.url.shown()).advise(
                "Check that the server, the name server and the network are there, then start again.",
            ));
        }
        context.note(&format!("try {tries}: {last}"));
    }
}

fn words(deadline: Deadline) -> String {
    match deadline.patience() {
        Duration::MAX => "the time".to_owned(),
        time if time.as_secs() == 0 => format!("{} ms", time.as_millis()),
        time => format!("{} s", time.as_secs()),
    }
}

/// Sends a request with this method and these own fields to the server of a URL, and returns its answer.
type Ask<'a> = dyn Fn(&'static str, &Url, &[(String, String)]) -> std::result::Result<Response, Failure> + 'a;

/// Asks once, and follows redirects. A failure comes with the place, scheme and host, where it happened.
pub(crate) fn follow(
    request: &HttpRequest,
    ask: &Ask<'_>,
) -> std::result::Result<Response, (String, Failure)> {
    let (mut method, mut url) = (request.method, request.url.clone());
    let mut headers = request.headers.as_slice();
    for redirects in 0..=MOST_REDIRECTS {
        let mut response = ask(method, &url, headers).map_err(|failure| (url.shown(), failure))?;
        response.redirects = redirects;
        let status = response.status();
        let location = response
            .field("location")
            .filter(|place| !place.is_empty() && matches!(status, 301 | 302 | 303 | 307 | 308));
        let Some(location) = location.filter(|_| request.follow) else { return Ok(response) };
        let next = redirect(&url, location).map_err(|failure| (url.shown(), failure))?;
        url = next;
        // Credentials are for the first server alone, and the reference drops all fields.
        headers = &[];
        if !matches!(status, 307 | 308) && method != "HEAD" {
            method = "GET";
        }
    }
    let what = format!("more than {MOST_REDIRECTS} redirects, the last one to {}", url.shown());
    Err((request.url.shown(), Failure::bad(what)))
}

/// Returns the target of a redirect.
fn redirect(from: &Url, location: &[u8]) -> std::result::Result<Url, Failure> {
    let bad = |words| Failure::bad(format!("the host redirects to a place that is malformed: {words}"));
    let location = std::str::from_utf8(location).map_err(|_| bad("it is not UTF-8"))?;
    let target = from.join(location).map_err(bad)?;
    let refuse = |what: String| Err(Failure::Final(Error::new(Reason::Resource, what)));
    match (from.scheme.as_str(), target.scheme.as_str()) {
        ("https", "http") => refuse(format!(
            "the host redirects to {}, where anybody on the way could change the file",
            target.shown()
        )),
        (_, "http" | "https") => Ok(target),
        _ => refuse("the host redirects to a URL that is neither http nor https".to_owned()),
    }
}

/// One request to one server.
struct Hop<'h> {
    context: &'h Context<'h>,
    method: &'static str,
    url: &'h Url,
    headers: &'h [(String, String)],
    direct: bool,
    resume: Option<&'h (u64, String)>,
    deadline: Deadline,
}

impl Hop<'_> {
    fn ask(&self) -> std::result::Result<Response, Failure> {
        let proxy = if self.direct {
            None
        } else {
            proxy::for_url(self.context, self.url).map_err(Failure::Final)?
        };
        let timer = Timer::new(self.deadline);
        let mut stream = self.connect(proxy.as_ref(), &timer)?;
        let head = self.head(proxy.as_ref().filter(|_| self.url.scheme == "http")).map_err(Failure::Final)?;
        timer.begin(self.deadline, SILENCE);
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|e| Failure::io("send the request", &e))?;
        self.begin_answer(&timer);
        let mut answer = AnswerReader::buffered(Connection::new(stream, timer.clone()), BUFFER);
        let head = answer.head()?;
        timer.begin(self.deadline, SILENCE);
        Response::new(self.url.clone(), head, answer, self.method != "HEAD")
    }

    /// Connects, by way of the proxy if there is one, and begins TLS if the URL asks for it.
    fn connect(&self, proxy: Option<&Url>, timer: &Timer) -> std::result::Result<Box<dyn Stream>, Failure> {
        let first = proxy.unwrap_or(self.url);
        let through = |failure| match (failure, proxy) {
            (Failure::Passing(what), Some(proxy)) => {
                Failure::passing(format_args!("the proxy {}: {what}", proxy.shown()))
            }
            (Failure::Final(error), Some(proxy)) => {
                Failure::Final(error.at(&format_args!("the proxy {}", proxy.shown())))
            }
            (failure, None) => failure,
        };
        let link = Link::connect(&first.host, first.port_or_default(), self.deadline, timer.clone());
        let mut stream: Box<dyn Stream> = Box::new(link.map_err(through)?);
        if first.scheme == "https" {
            stream = self.begin_tls(stream, first, timer).map_err(through)?;
        }
        match proxy {
            Some(proxy) if self.url.scheme == "https" => {
                stream = self.tunnel(stream, proxy, timer).map_err(through)?;
                self.begin_tls(stream, self.url, timer)
            }
            _ => Ok(stream),
        }
    }

    fn begin_tls(
        &self,
        stream: Box<dyn Stream>,
        to: &Url,
        timer: &Timer,
    ) -> std::result::Result<Box<dyn Stream>, Failure> {
        let trust = self.context.trust().map_err(Failure::Final)?;
        timer.begin(self.deadline.or_sooner(Deadline::after(HANDSHAKE)), Duration::MAX);
        trust.begin(stream, to.host_without_zone().trim_end_matches('.'))
    }

    /// Gives the server its time to begin an answer.
    fn begin_answer(&self, timer: &Timer) {
        let time = self.context.response_headers_time();
        timer.begin(self.deadline.or_sooner(Deadline::after(time)), Duration::MAX);
    }

    /// Asks a proxy for a connection to the server (RFC 9110, section 9.3.6).
    fn tunnel(
        &self,
        mut stream: Box<dyn Stream>,
        proxy: &Url,
        timer: &Timer,
    ) -> std::result::Result<Box<dyn Stream>, Failure> {
        let host = self.url.host_without_zone();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let place = format!("{host}:{}", self.url.port_or_default());
        let mut head =
            format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nUser-Agent: {}\r\n", DEFAULTS[0].1);
        push_user(&mut head, "Proxy-Authorization", proxy);
        head.push_str("\r\n");
        timer.begin(self.deadline, SILENCE);
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|e| Failure::io("ask for a connection", &e))?;
        self.begin_answer(timer);
        let mut answer = AnswerReader::new(Connection::new(stream, timer.clone()));
        let refused = |what: &str| Failure::Final(Error::new(Reason::Resource, what));
        match answer.head()?.status {
            200..=299 if answer.has_more() => Err(Failure::bad("it speaks before the server is asked")),
            200..=299 => Ok(answer.into_stream().into_inner()),
            407 => Err(refused("it asks for another user or password than the config has")),
            status @ 400..=499 => {
                Err(refused(&format!("it refuses the connection with HTTP status {status}")))
            }
            status => Err(Failure::passing(format_args!("it answered HTTP status {status}"))),
        }
    }

    /// Returns the head of the request. A request by way of a proxy without a tunnel names the whole URL.
    fn head(&self, proxy: Option<&Url>) -> Result<String> {
        let target = &self.url.target;
        let mut head = match proxy {
            Some(_) => format!("{} http://{}{target} HTTP/1.1\r\n", self.method, self.url.authority()),
            None => format!("{} {target} HTTP/1.1\r\n", self.method),
        };
        push(&mut head, "Host", &self.url.authority());
        let is_own = |name: &str| self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        for (name, value) in DEFAULTS.iter().filter(|(name, _)| !is_own(name)) {
            push(&mut head, name, value);
        }
        for (number, (name, value)) in self.headers.iter().enumerate() {
            check_field(name, value)?;
            let mut later = self.headers.iter().skip(number.saturating_add(1));
            let is_replaced = later.any(|(other, _)| other.eq_ignore_ascii_case(name));
            let is_resume = self.resume.is_some() && name.eq_ignore_ascii_case("range");
            if !is_replaced
                && !is_resume
                && !RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
            {
                push(&mut head, &canonical(name), value);
            }
        }
        if !is_own("Authorization") {
            push_user(&mut head, "Authorization", self.url);
        }
        if let Some(proxy) = proxy {
            push_user(&mut head, "Proxy-Authorization", proxy);
        }
        if let Some((from, validator)) = self.resume {
            push(&mut head, "Range", &format!("bytes={from}-"));
            push(&mut head, "If-Range", validator);
        }
        if self.method == "PUT" {
            push(&mut head, "Content-Length", "0");
        }
        push(&mut head, "Connection", "close");
        head.push_str("\r\n");
        if head.len() > MOST_HEAD {
            return Err(Error::new(Reason::Resource, "the headers in the config are too large"));
        }
        Ok(head)
    }
}

/// Returns the name of a field as the reference sends it: capital letters at the beginning and after each hyphen. Servers
/// should not care, but some do.
fn canonical(name: &str) -> String {
    let mut is_first = true;
    let capital = |letter: char| {
        let is_capital = std::mem::replace(&mut is_first, letter == '-');
        if is_capital { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
    };
    name.chars().map(capital).collect()
}

fn push(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

/// Appends the user and password of `url`, if it has them.
fn push_user(head: &mut String, name: &str, url: &Url) {
    if let Some(user) = &url.user {
        push(head, name, &proxy::basic(user));
    }
}

/// Refuses a header field that could become another one, or that has no value, which the reference refuses.
fn check_field(name: &str, value: &str) -> Result<()> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_bad = name.is_empty()
        || !name.bytes().all(is_token)
        || value.is_empty()
        || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
    if is_bad {
        return Err(Error::new(
            Reason::Resource,
            "a header of the config has a name or a value that HTTP cannot send",
        ));
    }
    Ok(())
}
