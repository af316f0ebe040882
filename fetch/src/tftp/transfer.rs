//! What a transfer makes of each datagram of its server. No sockets and no clock: those are the caller's.

use super::packet::{self, Agreed, BLOCK, Offer, Packet};

/// What to do after a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Nothing: a duplicate, or a datagram that belongs to nothing.
    Ignore,
    /// Send [`Transfer::acknowledgement`].
    Acknowledge,
    /// Keep the bytes of the next block, which need no acknowledgement yet.
    Keep(&'a [u8]),
    /// Keep the bytes of the next block, and send [`Transfer::acknowledgement`].
    KeepAndAcknowledge(&'a [u8]),
    /// Keep the bytes of the last block, and send [`Transfer::acknowledgement`]. The file is complete.
    End(&'a [u8]),
    /// Ask for the file again without options: the server refuses a request that has some.
    AskWithoutOptions,
}

/// Why a transfer cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server sent an error of this kind.
    Error(u16),
    /// The server broke the protocol.
    Malformed(&'static str),
    /// The server broke the rules of options. RFC 2347 wants it to be told.
    Options(&'static str),
}

/// One file on its way.
///
/// A duplicate is never acknowledged at once. Otherwise a server that answers each acknowledgement with a block would
/// send everything twice from the first duplicate on (the "Sorcerer's Apprentice" of RFC 1123). An acknowledgement that
/// was lost is sent again when the caller's timer runs out.
#[derive(Debug)]
pub(super) struct Transfer {
    /// What was asked for; `None` for a request without options.
    offer: Option<Offer>,
    /// What holds after the first packet of the server.
    agreed: Option<Agreed>,
    /// The number of the last block that was kept. Numbers go from 65535 to 0, so that a file may have any size.
    last: u16,
    /// The blocks that were kept since the last acknowledgement.
    unacknowledged: u16,
    /// Whether a missing block was told to the server already.
    told_gap: bool,
    /// The bytes that were kept.
    received: u64,
}

impl Transfer {
    /// Returns the state after a request with `offer`.
    pub(super) fn new(offer: Option<Offer>) -> Self {
        Self { offer, agreed: None, last: 0, unacknowledged: 0, told_gap: false, received: 0 }
    }

    /// Returns whether the server has begun to answer.
    pub(super) fn has_begun(&self) -> bool {
        self.agreed.is_some()
    }

    /// Returns the size of the file, if the server told it.
    pub(super) fn size(&self) -> Option<u64> {
        self.agreed.and_then(|agreed| agreed.size)
    }

    /// Returns the acknowledgement of everything that was kept so far. The server goes on behind it.
    pub(super) fn acknowledgement(&mut self) -> [u8; 4] {
        self.unacknowledged = 0;
        packet::acknowledgement(self.last)
    }

    /// Takes one datagram of the server.
    ///
    /// # Errors
    /// Why the transfer cannot go on.
    pub(super) fn take<'a>(&mut self, datagram: &'a [u8]) -> Result<Step<'a>, Fault> {
        match Packet::parse(datagram).ok_or(Fault::Malformed("it sent something other than TFTP"))? {
            Packet::Data { block, bytes } => self.block(block, bytes),
            Packet::Options(options) => self.options(options),
            // 8 says that options are refused. Servers from before options say 0 or 4.
            Packet::Error(0 | 4 | 8) if self.offer.is_some() && !self.has_begun() => {
                Ok(Step::AskWithoutOptions)
            }
            Packet::Error(code) => Err(Fault::Error(code)),
        }
    }

    fn options<'a>(&mut self, options: &[u8]) -> Result<Step<'a>, Fault> {
        match (self.agreed, self.offer) {
            (None, Some(offer)) => {
                self.agreed = Some(packet::agree(options, offer).map_err(Fault::Options)?);
                Ok(Step::Acknowledge)
            }
            (None, None) => Err(Fault::Options("it wants options that were not asked for")),
            (Some(_), _) => Ok(Step::Ignore),
        }
    }

    fn block<'a>(&mut self, block: u16, bytes: &'a [u8]) -> Result<Step<'a>, Fault> {
        // A first block without agreement comes from a server that does not know options.
        let agreed = self.agreed.unwrap_or(Agreed { block: BLOCK, window: 1, size: None });
        if bytes.len() > usize::from(agreed.block) {
            return Err(Fault::Malformed("it sent a block that is too long"));
        }
        let ahead = block.wrapping_sub(self.last).wrapping_sub(1);
        if ahead != 0 {
            // A block of this window, but not the next one: the server shall go back to the missing one, once.
            if !self.has_begun() || ahead >= agreed.window || self.told_gap {
                return Ok(Step::Ignore);
            }
            self.told_gap = true;
            return Ok(Step::Acknowledge);
        }
        self.agreed = Some(agreed);
        self.last = block;
        self.told_gap = false;
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        self.received = self.received.saturating_add(bytes.len() as u64);
        let is_last = bytes.len() < usize::from(agreed.block);
        match agreed.size {
            Some(size) if self.received > size || (is_last && self.received < size) => {
                Err(Fault::Malformed("the file has not the size that it told"))
            }
            _ if is_last => Ok(Step::End(bytes)),
            _ if self.unacknowledged >= agreed.window => Ok(Step::KeepAndAcknowledge(bytes)),
            _ => Ok(Step::Keep(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { block: 8, window: 4 };

    fn data(block: u16, bytes: &[u8]) -> Vec<u8> {
        [&[0, 3], &block.to_be_bytes(), bytes].concat()
    }

    /// Returns an acknowledgement of options, with a zero byte for each comma.
    fn options(text: &str) -> Vec<u8> {
        ["\0\x06", text].concat().replace(',', "\0").into_bytes()
    }

    /// Returns a transfer with blocks of 8 bytes and windows of 4.
    fn with_options() -> Transfer {
        let mut transfer = Transfer::new(Some(OFFER));
        assert_eq!(transfer.take(&options("blksize,8,windowsize,4,")), Ok(Step::Acknowledge));
        assert_eq!(transfer.acknowledgement(), packet::acknowledgement(0));
        transfer
    }

    #[test]
    fn a_server_without_options() {
        let mut transfer = Transfer::new(Some(OFFER));
        let block = [7; 512];
        assert_eq!(transfer.take(&data(1, &block)), Ok(Step::KeepAndAcknowledge(&block)));
        assert_eq!(transfer.acknowledgement(), packet::acknowledgement(1));
        // A file whose size is a multiple of the block's ends with an empty block.
        assert_eq!(transfer.take(&data(2, b"")), Ok(Step::End(b"")));
        assert_eq!(transfer.acknowledgement(), packet::acknowledgement(2));
    }

    #[test]
    fn a_window_is_acknowledged_once() {
        let mut transfer = with_options();
        for block in 1..=3 {
            assert_eq!(transfer.take(&data(block, &[0; 8])), Ok(Step::Keep(&[0; 8])));
        }
        assert_eq!(transfer.take(&data(4, &[0; 8])), Ok(Step::KeepAndAcknowledge(&[0; 8])));
        assert_eq!(transfer.acknowledgement(), packet::acknowledgement(4));
        assert_eq!(transfer.take(&data(5, b"end")), Ok(Step::End(b"end")));
    }

    #[test]
    fn a_gap_is_told_once() {
        let mut transfer = with_options();
        assert_eq!(transfer.take(&data(1, &[0; 8])), Ok(Step::Keep(&[0; 8])));
        assert_eq!(transfer.take(&data(3, &[0; 8])), Ok(Step::Acknowledge));
        assert_eq!(transfer.acknowledgement(), packet::acknowledgement(1));
        assert_eq!(transfer.take(&data(4, &[0; 8])), Ok(Step::Ignore));
        assert_eq!(transfer.take(&data(2, &[1; 8])), Ok(Step::Keep(&[1; 8])));
        assert_eq!(transfer.take(&data(4, &[0; 8])), Ok(Step::Acknowledge));
        // Too far ahead for this window.
        assert_eq!(transfer.take(&data(900, &[0; 8])), Ok(Step::Ignore));
    }

    #[test]
    fn duplicates_are_not_acknowledged() {
        let mut transfer = Transfer::new(None);
        assert_eq!(transfer.take(&data(2, b"x")), Ok(Step::Ignore));
        let block = [7; 512];
        assert!(transfer.take(&data(1, &block)).is_ok());
        assert_eq!(transfer.take(&data(1, &block)), Ok(Step::Ignore));
        assert_eq!(transfer.take(&data(0, &block)), Ok(Step::Ignore));
        let mut transfer = with_options();
        assert_eq!(transfer.take(&options("blksize,8,")), Ok(Step::Ignore));
    }

    #[test]
    fn block_numbers_wrap() {
        let mut transfer = Transfer::new(None);
        for number in 1..=200_000_u32 {
            let block = [0; 512];
            let number = u16::try_from(number % 65536).unwrap();
            assert_eq!(transfer.take(&data(number, &block)), Ok(Step::KeepAndAcknowledge(&block)));
            assert_eq!(transfer.acknowledgement(), packet::acknowledgement(number));
        }
        assert_eq!(transfer.received, 200_000 * 512);
    }

    #[test]
    fn the_size_must_be_the_one_that_was_told() {
        let told = |blocks: &[&[u8]]| {
            let mut transfer = Transfer::new(Some(OFFER));
            assert_eq!(transfer.take(&options("blksize,8,tsize,10,")), Ok(Step::Acknowledge));
            assert_eq!(transfer.size(), Some(10));
            let mut number = 0;
            blocks.iter().all(|block| {
                number += 1;
                transfer.take(&data(number, block)).is_ok()
            })
        };
        assert!(told(&[&[0; 8], &[0; 2]]));
        assert!(!told(&[&[0; 8], &[0; 1]]));
        assert!(!told(&[&[0; 8], &[0; 3]]));
        assert!(!told(&[&[0; 8], &[0; 8]]));
    }

    #[test]
    fn what_ends_a_transfer() {
        let mut transfer = Transfer::new(Some(OFFER));
        assert_eq!(transfer.take(b"\0\x05\0\x08no options\0"), Ok(Step::AskWithoutOptions));
        assert_eq!(transfer.take(b"\0\x05\0\x01no file\0"), Err(Fault::Error(1)));
        assert!(matches!(transfer.take(&options("blksize,9,")), Err(Fault::Options(_))));
        assert!(matches!(transfer.take(b"\0\x07"), Err(Fault::Malformed(_))));
        assert!(matches!(transfer.take(&data(1, &[0; 513])), Err(Fault::Malformed(_))));
        let mut transfer = Transfer::new(None);
        assert_eq!(transfer.take(b"\0\x05\0\x08\0"), Err(Fault::Error(8)));
        assert!(matches!(transfer.take(b"\0\x06"), Err(Fault::Options(_))));
        assert!(matches!(with_options().take(&data(1, &[0; 9])), Err(Fault::Malformed(_))));
        assert_eq!(with_options().take(b"\0\x05\0\0"), Err(Fault::Error(0)));
    }
}
