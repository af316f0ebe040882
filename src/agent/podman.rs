//! Whether podman's API answers, without starting it: systemd listens for it, and starts it for who connects.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::Serialize;

use super::deadline::{Deadline, Stream};
use super::systemd::{Manager, Unit};
use crate::error::errno_words;

const SOCKET: &str = "podman.socket";
const SERVICE: &str = "podman.service";
/// However long the manager took, the API has so much.
const LEAST: Duration = Duration::from_millis(40);
/// How podman 5's answer begins, and how it ends.
const REQUEST: &[u8] = b"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 ";

/// podman's API for one user.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Podman {
    /// Whose it is.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// What systemd says of `podman.socket`.
    pub socket: String,
    /// What systemd says of `podman.service`.
    pub service: String,
    /// What a client would find.
    pub api: Api,
    /// Why it is so, where that is a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a client of podman's API would find.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Api {
    /// It runs and answers.
    Answers,
    /// It does not run, and is started for the next client.
    OnDemand,
    /// It runs and does not answer in time, or with an error.
    Silent,
    /// Nothing listens.
    Off,
    /// The user's manager could not be asked.
    Unknown,
}

/// Asks for the API of one user; none where podman is not installed. The user's manager has until `deadline`,
/// manager and API together have `patience`.
pub fn ask(user: String, uid: u32, deadline: Deadline, patience: Duration) -> Option<Podman> {
    let begin = Instant::now();
    let runtime = if uid == 0 { "/run".to_owned() } else { format!("/run/user/{uid}") };
    let manager = format!("{runtime}/systemd/private");
    let socket = PathBuf::from(runtime).join("podman/podman.sock");
    let units =
        Manager::open(manager.as_ref(), deadline).and_then(|mut manager| manager.units(&[SOCKET, SERVICE]));
    let ping = || ping(&socket, Deadline::after(patience.saturating_sub(begin.elapsed()).max(LEAST)));
    of_units(user, uid, units, ping)
}

fn of_units(
    user: String,
    uid: u32,
    units: Result<Vec<Unit>, Errno>,
    ping: impl FnOnce() -> Result<(), Errno>,
) -> Option<Podman> {
    let mut podman =
        Podman { user, uid, socket: String::new(), service: String::new(), api: Api::Unknown, error: None };
    let units = match units {
        Ok(units) => units,
        Err(errno) => {
            podman.error = Some(format!("ask the user's manager: {}", errno_words(errno)));
            return Some(podman);
        }
    };
    let find = |name| units.iter().find(|unit| unit.name == name);
    let (socket, service) = (find(SOCKET)?, find(SERVICE)?);
    if !socket.is_there() && !service.is_there() {
        return None;
    }
    podman.socket.clone_from(&socket.active);
    podman.service.clone_from(&service.active);
    if service.active == "active" {
        match ping() {
            Ok(()) => podman.api = Api::Answers,
            Err(errno) => {
                podman.api = Api::Silent;
                podman.error = Some(errno_words(errno));
            }
        }
    } else if service.active == "failed" {
        podman.api = Api::Silent;
        podman.error = Some(format!("{SERVICE} has failed"));
    } else if socket.active == "active" {
        podman.api = Api::OnDemand;
    } else {
        podman.api = Api::Off;
    }
    Some(podman)
}

/// One question to the API.
fn ping(socket: &Path, deadline: Deadline) -> Result<(), Errno> {
    let mut stream = Stream::connect(socket, deadline)?;
    stream.write_all(REQUEST)?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer)?;
    if answer == ANSWER { Ok(()) } else { Err(Errno::PROTO) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::agent::tests::Folder;

    fn found(socket: &str, service: &str, answer: Result<(), Errno>) -> Option<Podman> {
        let load = |active: &str| if active == "none" { "not-found" } else { "loaded" }.to_owned();
        let units = vec![Unit::of(SOCKET, &load(socket), socket), Unit::of(SERVICE, &load(service), service)];
        of_units("core".into(), 501, Ok(units), || answer)
    }

    #[test]
    fn what_a_client_would_find() {
        assert!(found("none", "none", Ok(())).is_none());
        for (socket, service, answer, api) in [
            ("active", "inactive", Err(Errno::IO), Api::OnDemand),
            ("active", "active", Ok(()), Api::Answers),
            ("active", "active", Err(Errno::TIMEDOUT), Api::Silent),
            ("inactive", "active", Ok(()), Api::Answers),
            ("inactive", "inactive", Ok(()), Api::Off),
            ("failed", "failed", Ok(()), Api::Silent),
        ] {
            let podman = found(socket, service, answer).unwrap();
            assert_eq!(podman.api, api, "{podman:?}");
            assert_eq!(podman.error.is_some(), api == Api::Silent, "{podman:?}");
        }
        let unknown = of_units("core".into(), 501, Err(Errno::CONNREFUSED), || Ok(()));
        assert_eq!(unknown.unwrap().api, Api::Unknown);
    }

    #[test]
    fn an_answer_is_one_that_says_200() {
        let folder = Folder::new("ping");
        let path = folder.path("podman.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.0 200 OK\r\n\r\nOK", "HTTP/1.0 500 Internal Server Error\r\n\r\n", ""] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; REQUEST.len()];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            // Kept open, without a word.
            listener.accept().unwrap()
        });
        let ping = |milliseconds| ping(&path, Deadline::after(Duration::from_millis(milliseconds)));
        assert_eq!(
            [ping(60_000), ping(60_000), ping(60_000), ping(200)],
            [Ok(()), Err(Errno::PROTO), Err(Errno::CONNRESET), Err(Errno::TIMEDOUT)]
        );
        server.join().unwrap();
    }
}
