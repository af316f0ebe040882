//! TFTP: the file of a boot server, over UDP.
//!
//! The client asks for larger blocks, windows and the size of the file (RFC 2347 to 2349, RFC 7440). It gets the file
//! in the old way from a server that ignores or refuses options.

mod packet;
mod transfer;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use glowplug::deadline::Deadline;
use glowplug::error::{Error, Reason, Result, io_words};

use crate::connect;
use crate::context::Context;
use crate::output::Output;
use crate::percent;
use crate::reply::fatal;
use crate::url::Url;
use packet::Offer;
use transfer::{Fault, Step, Transfer};

/// What is asked for. A block fits into an Ethernet frame with any header before it, and a window into the receive
/// buffer of a socket.
const OFFER: Offer = Offer { block: 1408, window: 16 };
/// How long to wait for the next block before the last packet is sent again, for each try.
const PATIENCE: [Duration; 6] = {
    let second = Duration::from_secs;
    [second(1), second(2), second(4), second(5), second(5), second(5)]
};

/// A file on a server.
#[derive(Debug)]
struct Remote {
    /// The URL as messages name it: scheme, host and port.
    shown: String,
    /// The path on the server.
    path: Vec<u8>,
}

/// Fetches the file at `url`, the one of the request.
///
/// # Errors
/// [`Reason::NoHost`] if there was no answer in time, [`Reason::Resource`] if the server refuses the file,
/// [`Reason::BadAnswer`] if the server breaks the protocol or stops in the middle, and those of `output`.
pub(crate) fn fetch(context: &Context<'_>, url: &Url, output: &mut Output) -> Result<()> {
    // TFTP has no queries.
    let path = percent::decode(url.target.split('?').next().unwrap_or_default());
    let path =
        path.ok_or_else(|| Error::new(Reason::Resource, "the URL has a % without two hexadecimal digits"))?;
    let remote = Remote { shown: url.shown(), path };
    let addresses = connect::resolve(&url.host, url.port_or_default(), context.deadline)
        .map_err(|failure| fatal(failure).at(&remote.shown))?;
    get(&remote, &addresses, context.deadline, output)
}

/// Fetches a file. An address that gives no answer is followed by the next one.
fn get(remote: &Remote, addresses: &[SocketAddr], deadline: Deadline, output: &mut Output) -> Result<()> {
    let mut outcome = Err(failed(remote, Reason::NoHost, "the host has no address"));
    for address in addresses {
        outcome = get_from(remote, *address, deadline, output);
        let goes_on = matches!(&outcome, Err(error) if error.reason() == Reason::NoHost);
        if !goes_on || deadline.remaining().is_zero() {
            break;
        }
    }
    outcome
}

/// Fetches a file from one address, with options and if need be without.
fn get_from(remote: &Remote, peer: SocketAddr, deadline: Deadline, output: &mut Output) -> Result<()> {
    for offer in [Some(OFFER), None] {
        // Each request has a port of its own, so that late answers to the one before are not mistaken for answers to
        // it.
        let mut client = Client::new(remote, peer, deadline)?;
        if client.fetch(offer, output).inspect_err(|_| client.stop())? {
            return Ok(());
        }
    }
    Err(failed(remote, Reason::BadAnswer, "the server refuses options that were not asked for"))
}

fn failed(remote: &Remote, reason: Reason, what: &str) -> Error {
    Error::new(reason, what).at(&remote.shown)
}

/// The client's side of one transfer.
struct Client<'a> {
    remote: &'a Remote,
    /// Where the request goes, and after the first answer acknowledgements: a server answers from a port of its own,
    /// and all further packets must come from there.
    peer: SocketAddr,
    socket: UdpSocket,
    deadline: Deadline,
    transfer: Transfer,
    /// The request, until the server answers.
    request: Vec<u8>,
    /// How often the last packet was sent again since the last new one of the server.
    repeats: usize,
    /// When the last packet is sent again. Duplicates and foreign datagrams do not move it, so they cannot hold the
    /// client.
    repeat_at: Instant,
    /// Why the last packet could not be sent. It counts as lost, because the network may still be on its way.
    unsent: Option<io::Error>,
}

impl<'a> Client<'a> {
    fn new(remote: &'a Remote, peer: SocketAddr, deadline: Deadline) -> Result<Self> {
        let any: IpAddr =
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).map_err(|error| Error::system("make a UDP socket", error))?;
        Ok(Self {
            remote,
            peer,
            socket,
            deadline,
            transfer: Transfer::new(None),
            request: Vec::new(),
            repeats: 0,
            repeat_at: Instant::now(),
            unsent: None,
        })
    }

    /// Asks for the file and takes all of it. Returns false if the request must be repeated without options.
    fn fetch(&mut self, offer: Option<Offer>, output: &mut Output) -> Result<bool> {
        self.transfer = Transfer::new(offer);
        self.request = packet::read_request(&self.remote.path, offer)
            .ok_or_else(|| failed(self.remote, Reason::Resource, "TFTP cannot ask for this path"))?;
        self.send();
        self.wait_anew();
        // One byte more than the longest packet, so that a longer one is told from it.
        let mut buffer = [0; OFFER.block as usize + 5];
        loop {
            let (count, from) = self.receive(&mut buffer)?;
            let had_begun = self.transfer.has_begun();
            let step = self.transfer.take(buffer.get(..count).unwrap_or_default());
            let step = step.map_err(|fault| self.fault(fault, from))?;
            if !had_begun && self.transfer.has_begun() {
                self.peer = from;
                self.wait_anew();
                self.transfer.size().map_or(Ok(()), |size| output.size(size))?;
            }
            match step {
                Step::Ignore => {}
                Step::Acknowledge => self.send(),
                Step::AskWithoutOptions => return Ok(false),
                Step::Keep(bytes) => {
                    self.wait_anew();
                    output.write(bytes)?;
                }
                Step::KeepAndAcknowledge(bytes) => {
                    // The server sends the next window while these bytes are written.
                    self.send();
                    output.write(bytes)?;
                    self.wait_anew();
                }
                Step::End(bytes) => {
                    output.write(bytes)?;
                    // If this packet is lost, the server gives up later. That does no harm: the file is complete here.
                    self.send();
                    return Ok(true);
                }
            }
        }
    }

    /// Waits for the next datagram of the server. Sends the last packet again while there is none.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        loop {
            let left = self.deadline.remaining();
            if left.is_zero() {
                return Err(self.silent());
            }
            let pause = self.repeat_at.saturating_duration_since(Instant::now());
            if pause.is_zero() {
                self.repeats = self.repeats.saturating_add(1);
                if self.repeats >= PATIENCE.len() {
                    return Err(self.silent());
                }
                self.send();
                self.set_timer();
                continue;
            }
            // A time of zero would mean to wait for ever.
            let wait = pause.min(left).max(Duration::from_millis(1));
            self.socket
                .set_read_timeout(Some(wait))
                .map_err(|error| Error::system("wait for a datagram", error))?;
            match self.socket.recv_from(buffer) {
                Ok((count, from)) if self.is_server(from) => return Ok((count, from)),
                Ok(_) => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(self.remote, Reason::NoHost, &io_words(&error))),
            }
        }
    }

    /// Returns whether a datagram is from the server of this transfer.
    fn is_server(&self, from: SocketAddr) -> bool {
        from.ip() == self.peer.ip() && (!self.transfer.has_begun() || from.port() == self.peer.port())
    }

    /// Sends what the server waits for: the request, and after the first answer the acknowledgement of what was kept.
    fn send(&mut self) {
        let sent = if self.transfer.has_begun() {
            self.socket.send_to(&self.transfer.acknowledgement(), self.peer)
        } else {
            self.socket.send_to(&self.request, self.peer)
        };
        self.unsent = sent.err();
    }

    /// Tells the server that the transfer is over, so that it does not repeat its last block in vain. The packet may be
    /// lost.
    fn stop(&self) {
        if self.transfer.has_begun() {
            let _ = self.socket.send_to(&packet::error(0, "stopped"), self.peer);
        }
    }

    fn wait_anew(&mut self) {
        self.repeats = 0;
        self.set_timer();
    }

    fn set_timer(&mut self) {
        let patience = PATIENCE.get(self.repeats).copied().unwrap_or_default();
        let now = Instant::now();
        self.repeat_at = now.checked_add(patience).unwrap_or(now);
    }

    /// Returns the error for a server that did not send the next packet in time.
    fn silent(&self) -> Error {
        let (reason, what) = if self.transfer.has_begun() {
            (Reason::BadAnswer, "the server stopped in the middle of the file")
        } else {
            (Reason::NoHost, "the server did not answer in time")
        };
        match &self.unsent {
            Some(error) => failed(self.remote, reason, &format!("{what} ({})", io_words(error))),
            None => failed(self.remote, reason, what),
        }
    }

    fn fault(&self, fault: Fault, from: SocketAddr) -> Error {
        match fault {
            Fault::Malformed(what) => {
                failed(self.remote, Reason::BadAnswer, &format!("the server broke the protocol: {what}"))
            }
            Fault::Options(what) => {
                // RFC 2347 wants the server to be told.
                let _ = self.socket.send_to(&packet::error(8, what), from);
                failed(self.remote, Reason::BadAnswer, &format!("the server broke the protocol: {what}"))
            }
            Fault::Error(code) => {
                // The server's own text is not told, because it may name the file.
                let what = match code {
                    1 => "the server has no such file",
                    2 => "the server forbids access to the file",
                    _ => "the server reported a failure",
                };
                failed(self.remote, Reason::Resource, &format!("{what} (TFTP error {code})"))
            }
        }
    }
}

/// What the fuzz targets reach.
#[cfg(fuzzing)]
pub mod fuzz {
    use super::OFFER;
    use super::transfer::{Step, Transfer};

    /// A client without a socket.
    #[derive(Debug)]
    pub struct Client(Transfer);

    /// What a datagram brought.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Kept {
        /// The bytes of the file.
        pub bytes: Vec<u8>,
        /// Whether to send the acknowledgement.
        pub acknowledge: bool,
        /// Whether the file is complete.
        pub is_end: bool,
    }

    impl Client {
        /// Returns a client that has asked with options, or without.
        pub fn new(options: bool) -> Self {
            Self(Transfer::new(options.then_some(OFFER)))
        }

        /// Takes a datagram. `None` if the transfer is over without the whole file.
        pub fn take(&mut self, datagram: &[u8]) -> Option<Kept> {
            let kept =
                |bytes: &[u8], acknowledge, is_end| Some(Kept { bytes: bytes.to_vec(), acknowledge, is_end });
            match self.0.take(datagram) {
                Ok(Step::Ignore) => Some(Kept::default()),
                Ok(Step::Acknowledge) => kept(b"", true, false),
                Ok(Step::Keep(bytes)) => kept(bytes, false, false),
                Ok(Step::KeepAndAcknowledge(bytes)) => kept(bytes, true, false),
                Ok(Step::End(bytes)) => kept(bytes, true, true),
                Ok(Step::AskWithoutOptions) | Err(_) => None,
            }
        }

        /// Returns the number of the block that is acknowledged; `None` before the server's first packet.
        pub fn acknowledgement(&mut self) -> Option<u16> {
            let [_, _, high, low] = self.0.acknowledgement();
            self.0.has_begun().then_some(u16::from_be_bytes([high, low]))
        }

        /// Returns the size that the server told.
        pub fn size(&self) -> Option<u64> {
            self.0.size()
        }
    }
}
