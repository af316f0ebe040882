//! The packets of TFTP (RFC 1350) with options (RFC 2347).

/// The block size without the option `blksize`, in bytes.
pub(super) const BLOCK: u16 = 512;
/// The longest request that RFC 2347 allows, in bytes.
const LONGEST_REQUEST: usize = 512;
/// The most options of an acknowledgement that are looked at.
const MOST_OPTIONS: usize = 16;

/// What the client asks for beside the file. The server may lower both numbers, or ignore them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// The bytes of a block (RFC 2348).
    pub(super) block: u16,
    /// The blocks that the server sends before it waits for an acknowledgement (RFC 7440).
    pub(super) window: u16,
}

/// What the server agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) block: u16,
    pub(super) window: u16,
    /// The size of the file in bytes (RFC 2349).
    pub(super) size: Option<u64>,
}

/// A packet that a server may send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A block of the file.
    Data { block: u16, bytes: &'a [u8] },
    /// A failure, by the number of its kind. Its text is not kept, because it may name the file.
    Error(u16),
    /// The options to which the server agrees: names and values, each ended by a zero byte.
    Options(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// Parses a datagram. Returns `None` for one that no server of TFTP sends.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (kind, rest) = number(datagram)?;
        match kind {
            3 => number(rest).map(|(block, bytes)| Self::Data { block, bytes }),
            5 => number(rest).map(|(code, _)| Self::Error(code)),
            6 => Some(Self::Options(rest)),
            _ => None,
        }
    }
}

/// Splits the number at the beginning of `bytes` off.
fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Returns the request to read `path`. Options are left out if the request is too long with them. Returns `None` if
/// `path` cannot be asked for: it holds a zero byte, or is too long.
pub(super) fn read_request(path: &[u8], offer: Option<Offer>) -> Option<Vec<u8>> {
    let mut request = [&[0, 1], path, b"\0octet\0".as_slice()].concat();
    if path.contains(&0) || request.len() > LONGEST_REQUEST {
        return None;
    }
    if let Some(Offer { block, window }) = offer {
        let options = format!("blksize\0{block}\0tsize\00\0windowsize\0{window}\0");
        if request.len().saturating_add(options.len()) <= LONGEST_REQUEST {
            request.extend_from_slice(options.as_bytes());
        }
    }
    Some(request)
}

/// Returns the acknowledgement of the block with the number `block`.
pub(super) fn acknowledgement(block: u16) -> [u8; 4] {
    let [high, low] = block.to_be_bytes();
    [0, 4, high, low]
}

/// Returns the packet that ends a transfer because of a failure of kind `code`.
pub(super) fn error(code: u16, text: &str) -> Vec<u8> {
    [&[0, 5], &code.to_be_bytes(), text.as_bytes(), b"\0"].concat()
}

/// Parses the options of an acknowledgement. RFC 2347 allows a server to name only options that were asked for, and
/// values that are no larger than those in `offer`.
///
/// # Errors
/// What is wrong with the options.
pub(super) fn agree(options: &[u8], offer: Offer) -> Result<Agreed, &'static str> {
    const BROKEN: &str = "its option acknowledgement is malformed";
    let mut agreed = Agreed { block: BLOCK, window: 1, size: None };
    let Some(options) = options.strip_suffix(b"\0") else {
        return if options.is_empty() { Ok(agreed) } else { Err(BROKEN) };
    };
    let mut words = options.split(|byte| *byte == 0);
    for _ in 0..MOST_OPTIONS {
        let Some(name) = words.next() else {
            return Ok(agreed);
        };
        let value = words.next().and_then(decimal).ok_or(BROKEN)?;
        let up_to = |most: u16| u16::try_from(value).ok().filter(|value| *value <= most);
        if name.eq_ignore_ascii_case(b"blksize") {
            // RFC 2348 has no block of less than 8 bytes.
            agreed.block =
                up_to(offer.block).filter(|block| *block >= 8).ok_or("it wants another block size")?;
        } else if name.eq_ignore_ascii_case(b"windowsize") {
            agreed.window =
                up_to(offer.window).filter(|window| *window > 0).ok_or("it wants another window")?;
        } else if name.eq_ignore_ascii_case(b"tsize") {
            // Some servers say 0 when they do not know the size.
            agreed.size = (value > 0).then_some(value);
        } else {
            return Err("it wants an option that was not asked for");
        }
    }
    Err(BROKEN)
}

/// Parses a decimal number without a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { block: 1428, window: 16 };

    /// Returns `text` with a zero byte for each comma.
    fn zeros(text: &str) -> Vec<u8> {
        text.replace(',', "\0").into_bytes()
    }

    #[test]
    fn requests_have_the_layout_of_the_rfcs() {
        assert_eq!(
            read_request(b"/a b", None).unwrap(),
            [b"\0\x01".as_slice(), &zeros("/a b,octet,")].concat()
        );
        assert_eq!(
            read_request(b"x", Some(OFFER)).unwrap(),
            [b"\0\x01".as_slice(), &zeros("x,octet,blksize,1428,tsize,0,windowsize,16,")].concat()
        );
        assert_eq!(acknowledgement(0x1234), *b"\0\x04\x12\x34");
        assert_eq!(error(8, "no"), b"\0\x05\0\x08no\0");
    }

    #[test]
    fn a_path_that_cannot_be_asked_for() {
        assert_eq!(read_request(b"a\0b", Some(OFFER)), None);
        assert_eq!(read_request(&[b'a'; 504], None), None);
        // The longest path is asked for without options.
        assert_eq!(read_request(&[b'a'; 503], Some(OFFER)).unwrap().len(), 512);
    }

    #[test]
    fn packets_of_a_server() {
        assert_eq!(Packet::parse(b"\0\x03\x01\x02abc"), Some(Packet::Data { block: 0x102, bytes: b"abc" }));
        assert_eq!(Packet::parse(b"\0\x03\0\x01"), Some(Packet::Data { block: 1, bytes: b"" }));
        assert_eq!(Packet::parse(b"\0\x05\0\x01secret"), Some(Packet::Error(1)));
        assert_eq!(Packet::parse(b"\0\x06a\0b\0"), Some(Packet::Options(b"a\0b\0")));
        for datagram in
            [b"".as_slice(), b"\0", b"\0\x03", b"\0\x03\0", b"\0\x04\0\x01", b"\0\x01x", b"\x03\0\0\x01"]
        {
            assert_eq!(Packet::parse(datagram), None, "{datagram:?}");
        }
    }

    #[test]
    fn a_server_may_lower_what_was_offered() {
        let agreed = |block, window, size| Ok(Agreed { block, window, size });
        assert_eq!(agree(b"", OFFER), agreed(512, 1, None));
        assert_eq!(
            agree(&zeros("BLKSIZE,1428,windowsize,16,tsize,4294967296,"), OFFER),
            agreed(1428, 16, Some(1 << 32))
        );
        assert_eq!(agree(&zeros("blksize,8,tsize,0,windowsize,1,"), OFFER), agreed(8, 1, None));
    }

    #[test]
    fn a_server_may_not_ask_for_more() {
        for options in [
            "blksize,1429,",
            "blksize,7,",
            "blksize,65544,",
            "windowsize,17,",
            "windowsize,0,",
            "blksize,-1,",
            "blksize,,",
            "blksize,",
            "blksize,512",
            "tsize,18446744073709551616,",
            "tsize,+1,",
            "timeout,1,",
            ",,",
            ",",
        ] {
            assert!(agree(&zeros(options), OFFER).is_err(), "{options:?}");
        }
        assert!(agree(&zeros("tsize,1,").repeat(1000), OFFER).is_err());
    }
}
