//! Asks whether podman's API answers, without starting it. systemd listens on the API's socket and starts the API for
//! a client, so the state of the units is asked first.

use std::time::Duration;

use rustix::io::Errno;
use serde::Serialize;

use super::deadline::Deadline;
use super::peer::{Directory, PeerFailure};
use super::systemd::{Manager, UnitState};

/// podman's socket below the runtime directory of a user.
const API: &str = "podman/podman.sock";
const SOCKET: &str = "podman.socket";
const SERVICE: &str = "podman.service";
/// The least time for the API, however long the user's manager took.
const LEAST: Duration = Duration::from_millis(40);
/// The question, and how the answer of podman 5 begins.
const REQUEST: &[u8] = b"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 ";

/// podman's API for one user.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Podman {
    /// The name of the user whose API this is.
    pub user: String,
    /// The user id.
    pub uid: u32,
    /// The active state of `podman.socket`, in systemd's words.
    pub socket: String,
    /// The active state of `podman.service`, in systemd's words.
    pub service: String,
    /// What a client would meet.
    pub api: Api,
    /// What is wrong, if the state is a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a client of podman's API would meet.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Api {
    /// The API runs and answers.
    Answers,
    /// The API does not run, but systemd starts it for the next client.
    OnDemand,
    /// The API runs, but gives an error or no answer in time.
    Silent,
    /// Nothing listens on the API's socket.
    Off,
    /// The state is unknown: the user's manager or the API gave no answer, or the path of a socket cannot be trusted.
    Unknown,
}

/// Asks for the API of one user. Returns `None` if podman is not installed. The user's manager must answer by
/// `deadline`. Manager and API together may take `patience`; for root, whose manager is systemd itself, `patience` is
/// for the API alone.
pub fn ask(user: String, uid: u32, deadline: Deadline, patience: Duration) -> Option<Podman> {
    ask_in(&Directory::of(uid), (user, uid), deadline, patience)
}

fn ask_in(
    directory: &Result<Directory, PeerFailure>,
    (user, uid): (String, u32),
    deadline: Deadline,
    patience: Duration,
) -> Option<Podman> {
    let of_both = Deadline::after(patience);
    let of_manager = if uid == 0 { deadline } else { deadline.or_sooner(of_both) };
    let directory = directory.as_ref().map_err(|failure| *failure);
    let units =
        directory.and_then(|directory| Ok(Manager::open(directory, of_manager)?.units(&[SOCKET, SERVICE])?));
    let ping = || ping(directory?, Deadline::after(of_both.left().unwrap_or_default().max(LEAST)));
    of_units((user, uid), units, ping)
}

fn of_units(
    (user, uid): (String, u32),
    units: Result<Vec<UnitState>, PeerFailure>,
    ping: impl FnOnce() -> Result<(), PeerFailure>,
) -> Option<Podman> {
    let mut podman =
        Podman { user, uid, socket: String::new(), service: String::new(), api: Api::Unknown, error: None };
    let units = match units {
        Ok(units) => units,
        Err(failure) => {
            podman.error = Some(format!("the user's manager: {}", failure.words()));
            return Some(podman);
        }
    };
    let find = |name| units.iter().find(|unit| unit.name == name);
    let (socket, service) = (find(SOCKET)?, find(SERVICE)?);
    if !socket.is_there() && !service.is_there() {
        return None;
    }
    if !socket.is_known() || !service.is_known() {
        podman.error = Some("the user's manager does not answer as systemd does".to_owned());
        return Some(podman);
    }
    podman.socket.clone_from(&socket.active);
    podman.service.clone_from(&service.active);
    if service.active == "active" {
        match ping() {
            Ok(()) => podman.api = Api::Answers,
            Err(failure @ PeerFailure::Errno(_)) => {
                podman.api = Api::Silent;
                podman.error = Some(failure.words());
            }
            Err(failure) => podman.error = Some(failure.words()),
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

/// Sends one request to the API and checks the answer.
fn ping(directory: &Directory, deadline: Deadline) -> Result<(), PeerFailure> {
    let mut stream = directory.connect(API, deadline)?;
    stream.write_all(REQUEST)?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer)?;
    if answer == ANSWER { Ok(()) } else { Err(Errno::PROTO.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;
    use crate::testing::TempDir;

    fn found(socket: &str, service: &str, answer: Result<(), Errno>) -> Option<Podman> {
        let load = |active: &str| if active == "none" { "not-found" } else { "loaded" }.to_owned();
        let units = vec![
            UnitState::of(SOCKET, &load(socket), socket),
            UnitState::of(SERVICE, &load(service), service),
        ];
        of_units(("core".into(), 501), Ok(units), || Ok(answer?))
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
        let unknown = of_units(("core".into(), 501), Err(Errno::CONNREFUSED.into()), || Ok(()));
        assert_eq!(unknown.unwrap().api, Api::Unknown);
    }

    #[test]
    fn a_socket_that_is_not_the_users_is_not_asked_and_that_is_said() {
        let active =
            || vec![UnitState::of(SOCKET, "loaded", "active"), UnitState::of(SERVICE, "loaded", "active")];
        for failure in [PeerFailure::Link, PeerFailure::Mount, PeerFailure::Stranger] {
            let manager = of_units(("core".into(), 501), Err(failure), || Ok(())).unwrap();
            let api = of_units(("core".into(), 501), Ok(active()), || Err(failure)).unwrap();
            for podman in [manager, api] {
                assert_eq!(podman.api, Api::Unknown, "{podman:?}");
                assert!(podman.error.as_ref().unwrap().contains("not asked"), "{podman:?}");
            }
        }
    }

    /// Plays a program that a user runs in place of the user's manager: it answers the question for the units with
    /// `state`, and then says nothing more.
    fn with_manager(state: &str, pause: Duration) -> (Option<Podman>, Duration) {
        let temp = TempDir::new("manager");
        std::fs::create_dir(temp.join("systemd")).unwrap();
        let listener = UnixListener::bind(temp.join("systemd/private")).unwrap();
        let body = units_as_systemd_sends_them(state);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            std::thread::sleep(pause);
            // The client may have closed the connection already.
            let _ = stream.write_all(b"OK 0\r\n");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&body);
            let _ = stream.read(&mut [0; 1024]);
        });
        let begin = Instant::now();
        let uid = rustix::process::getuid().as_raw();
        // The uid of the question decides whether the directory is root's, so this one is not trusted.
        let directory = Directory::open(temp.path(), uid);
        let patience = Duration::from_millis(200);
        let found = ask_in(&directory, ("core".into(), 501), Deadline::after(PATIENT), patience);
        let took = begin.elapsed();
        server.join().unwrap();
        (found, took)
    }

    const PATIENT: Duration = Duration::from_secs(5);

    fn units_as_systemd_sends_them(state: &str) -> Vec<u8> {
        let mut body = vec![0; 4];
        let pad = |body: &mut Vec<u8>, to: usize| body.resize(body.len().next_multiple_of(to), 0);
        let string = |body: &mut Vec<u8>, text: &str| {
            pad(body, 4);
            body.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            body.extend(text.bytes());
            body.push(0);
        };
        for name in [SOCKET, SERVICE] {
            pad(&mut body, 8);
            for text in [name, "", "loaded", state, "", "", "/"] {
                string(&mut body, text);
            }
            pad(&mut body, 4);
            body.extend([0; 4]);
            string(&mut body, "");
            string(&mut body, "/");
        }
        let length = u32::try_from(body.len() - 8).unwrap();
        body[..4].copy_from_slice(&length.to_le_bytes());
        let mut message = vec![b'l', 2, 1, 1];
        message.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        message.extend([7, 0, 0, 0, 8, 0, 0, 0, 5, 1, b'u', 0, 1, 0, 0, 0]);
        message.extend(body);
        message
    }

    #[test]
    fn a_manager_of_a_user_is_asked_for_states_and_no_longer_than_the_answer_may_take() {
        let (inactive, _) = with_manager("inactive", Duration::ZERO);
        assert_eq!(inactive.unwrap().api, Api::Off);
        let (late, took) = with_manager("inactive", Duration::from_secs(1));
        let late = late.unwrap();
        assert_eq!(late.api, Api::Unknown);
        // The error text is the C library's.
        assert!(late.error.as_ref().unwrap().ends_with("timed out"), "{late:?}");
        assert!(took < Duration::from_millis(800), "{took:?}");
    }

    #[test]
    fn a_manager_of_a_user_cannot_make_the_answer_long() {
        for length in [9, 5_000, 3 << 20] {
            let (found, _) = with_manager(&"x".repeat(length), Duration::ZERO);
            let found = found.unwrap();
            assert_eq!(found.api, Api::Unknown, "{length}");
            let json = crate::agent::json(&found);
            assert!(json.len() < 300, "{} bytes", json.len());
        }
    }

    #[test]
    fn an_answer_is_one_that_says_200() {
        let temp = TempDir::new("ping");
        std::fs::create_dir(temp.join("podman")).unwrap();
        let listener = UnixListener::bind(temp.join(API)).unwrap();
        let directory = Directory::open(temp.path(), rustix::process::getuid().as_raw()).unwrap();
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.0 200 OK\r\n\r\nOK", "HTTP/1.0 500 Internal Server Error\r\n\r\n", ""] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; REQUEST.len()];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            // The connection stays open, but nothing is sent.
            listener.accept().unwrap()
        });
        let ping = |milliseconds| ping(&directory, Deadline::after(Duration::from_millis(milliseconds)));
        let failed = |errno| Err(PeerFailure::Errno(errno));
        assert_eq!(
            [ping(60_000), ping(60_000), ping(60_000), ping(200)],
            [Ok(()), failed(Errno::PROTO), failed(Errno::CONNRESET), failed(Errno::TIMEDOUT)]
        );
        server.join().unwrap();
    }
}
