//! The host's side of the guest's agent: requests to its vsock port through the device's socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Doing, Error, Result};
use crate::process::run;

/// Where the agent listens.
pub const PORT: u32 = 1026;

/// How long an answer may take. It takes less than a second, but a guest that is busy with fifty of them is slow.
const LIMIT: Duration = Duration::from_secs(120);

/// What the agent said.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Everything before the body.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Returns the body as JSON, checked against the schema of this name.
    ///
    /// # Errors
    /// When the body is not JSON, or the schema does not allow it.
    pub fn json(&self, schema: &str) -> Result<Value> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../validate-json");
        let output = run(std::process::Command::new(program).arg(schema), self.body.as_bytes(), LIMIT)?;
        if !output.status.success() {
            let [told, error] =
                [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            return Err(Error::new(format!("no {schema}: {told}{error}\n{}", self.body)));
        }
        serde_json::from_str(&self.body).doing("read the answer")
    }
}

/// Connects to `port` of the guest whose vsock device has its sockets in `folder`.
///
/// # Errors
/// When nobody listens there.
pub fn connect(folder: &Path, port: u32) -> Result<UnixStream> {
    let socket = folder.join("v");
    let mut stream = UnixStream::connect(&socket).doing_to("connect to", &socket)?;
    stream.set_read_timeout(Some(LIMIT)).doing("set a time-out")?;
    // The line goes out in one write, because the device takes the first bytes that it reads for the whole line. Bytes that
    // are sent before the device has answered are lost.
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).doing("ask for the port")?;
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).doing(&format!("connect to port {port} of the guest"))?;
        line.extend(byte);
    }
    if line.starts_with(b"OK ") { Ok(stream) } else { Err(Error::new("the device did not connect")) }
}

/// `GET target`.
///
/// # Errors
/// When there is no answer.
pub fn get(folder: &Path, target: &str) -> Result<Answer> {
    request(folder, &format!("GET {target} HTTP/1.1\r\nHost: vm\r\n\r\n"))
}

/// Sends the bytes, reads the answer to its end, and closes the connection.
///
/// # Errors
/// When there is no answer, or it is incomplete.
pub fn request(folder: &Path, text: &str) -> Result<Answer> {
    let mut stream = connect(folder, PORT)?;
    stream.write_all(text.as_bytes()).doing("send the request")?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let count = stream.read(&mut buffer).doing("read the answer")?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some(answer) = parse(&text) {
            return Ok(answer);
        }
        if count == 0 {
            return Err(Error::new(format!("this is no whole answer: {text}")));
        }
    }
}

/// Parses a complete answer, whose head says its length.
pub fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    let is_whole = length.parse() == Ok(body.len());
    is_whole.then(|| Answer { status, head: head.to_owned(), body: body.to_owned() })
}
