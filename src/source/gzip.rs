//! Decompresses gzip (RFC 1952) with a bare inflater. Each member is checked against its length and CRC-32. A read goes on
//! where an earlier one had no more bytes, at any byte of a member.

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::transport::{ByteStream, StreamError};
use crate::crc32::Crc32;

const BUFFER: usize = 16 << 10;

// Flags of a member's header (RFC 1952, section 2.3.1).
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// The steps of a member's header (RFC 1952, section 2.3). The ten bytes before them are steps of their own.
const EXTRA_LENGTH: u8 = 10;
const EXTRA_LENGTH_HIGH: u8 = 11;
const EXTRA_BYTES: u8 = 12;
const NAME_BYTES: u8 = 13;
const COMMENT_BYTES: u8 = 14;
const HEADER_CRC_LOW: u8 = 15;
const HEADER_CRC_HIGH: u8 = 16;

/// Decompresses the bytes of `inner`.
pub struct Gunzip<'a> {
    inner: Box<dyn ByteStream + 'a>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    inflater: Box<InflateState>,
    place: MemberPart,
    /// How far the header or trailer has been read: its next step.
    step: u8,
    /// The flags of the header.
    flags: u8,
    /// How many bytes of the header's extra field are left.
    extra: u16,
    /// What has been read of the trailer.
    trailer: u64,
    crc: Crc32,
    length: u32,
}

/// The part of a gzip member that is read next.
#[derive(PartialEq)]
enum MemberPart {
    Header { first: bool },
    Data,
    Trailer,
    End,
}

impl<'a> Gunzip<'a> {
    /// Returns a stream of the decompressed bytes of `inner`.
    pub fn new(inner: Box<dyn ByteStream + 'a>) -> Self {
        Self {
            inner,
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            inflater: InflateState::new_boxed(DataFormat::Raw),
            place: MemberPart::Header { first: true },
            step: 0,
            flags: 0,
            extra: 0,
            trailer: 0,
            crc: Crc32::new(),
            length: 0,
        }
    }

    /// Returns the buffered compressed bytes, and reads more first if there are none. Empty only at the end.
    fn fill(&mut self) -> Result<&[u8], StreamError> {
        if self.start == self.end {
            self.end = self.inner.read(&mut self.buffer)?;
            self.start = 0;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn byte(&mut self) -> Result<u8, StreamError> {
        let byte = self.fill()?.first().copied().ok_or("the gzip data ends too early")?;
        self.start = self.start.saturating_add(1);
        Ok(byte)
    }

    /// Reads the rest of a header. Each step reads at most one byte, so that nothing is lost if that has not come yet.
    fn header(&mut self) -> Result<(), StreamError> {
        loop {
            let has = |flag: u8, gunzip: &Self| gunzip.flags & flag != 0;
            match self.step {
                0..EXTRA_LENGTH => {
                    let byte = self.byte()?;
                    match (self.step, byte) {
                        (0, 0x1f) | (1, 0x8b) | (2, 8) | (4.., _) => {}
                        (3, flags) if flags & RESERVED == 0 => self.flags = flags,
                        (3, _) => return Err("the gzip header has unknown flags".into()),
                        _ => return Err("the contents are not gzip data".into()),
                    }
                }
                EXTRA_LENGTH if has(EXTRA, self) => self.extra = self.byte()?.into(),
                EXTRA_LENGTH_HIGH if has(EXTRA, self) => self.extra |= u16::from(self.byte()?) << 8,
                EXTRA_BYTES if self.extra > 0 => {
                    self.byte()?;
                    self.extra = self.extra.saturating_sub(1);
                    continue;
                }
                NAME_BYTES | COMMENT_BYTES => {
                    let flag = if self.step == NAME_BYTES { NAME } else { COMMENT };
                    if has(flag, self) && self.byte()? != 0 {
                        continue;
                    }
                }
                HEADER_CRC_LOW | HEADER_CRC_HIGH if has(HEADER_CRC, self) => {
                    self.byte()?;
                }
                EXTRA_LENGTH..=HEADER_CRC_HIGH => {}
                _ => break,
            }
            self.step = self.step.saturating_add(1);
        }
        self.inflater.reset(DataFormat::Raw);
        (self.step, self.crc, self.length) = (0, Crc32::new(), 0);
        Ok(())
    }

    /// Reads the rest of a trailer, and compares it with what was decompressed.
    fn trailer(&mut self) -> Result<(), StreamError> {
        while self.step < 8 {
            self.trailer = (u64::from(self.byte()?) << 56) | (self.trailer >> 8);
            self.step = self.step.saturating_add(1);
        }
        self.step = 0;
        if self.trailer != (u64::from(self.length) << 32) | u64::from(self.crc.value()) {
            return Err("the gzip data does not match its checksum".into());
        }
        Ok(())
    }

    /// Inflates into `out` and returns the number of bytes; 0 at the end of the member's data.
    fn data(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        loop {
            self.fill()?;
            let input = self.buffer.get(self.start..self.end).unwrap_or_default();
            let at_end = input.is_empty();
            let result = inflate(&mut self.inflater, input, out, MZFlush::None);
            self.start = self.start.saturating_add(result.bytes_consumed);
            if result.bytes_written > 0 {
                let written = out.get(..result.bytes_written).unwrap_or_default();
                self.crc.update(written);
                let length = u32::try_from(result.bytes_written).unwrap_or(u32::MAX);
                self.length = self.length.wrapping_add(length);
                return Ok(result.bytes_written);
            }
            match result.status {
                Ok(MZStatus::StreamEnd) => return Ok(0),
                Ok(_) | Err(MZError::Buf) if at_end => {
                    return Err("the gzip data ends too early".into());
                }
                Ok(_) | Err(MZError::Buf) => {}
                Err(_) => return Err("the gzip data is broken".into()),
            }
        }
    }
}

impl ByteStream for Gunzip<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        loop {
            match self.place {
                MemberPart::Header { first } => {
                    if !first && self.fill()?.is_empty() {
                        self.place = MemberPart::End;
                    } else {
                        self.header()?;
                        self.place = MemberPart::Data;
                    }
                }
                MemberPart::Data => {
                    let count = self.data(out)?;
                    if count > 0 {
                        return Ok(count);
                    }
                    self.place = MemberPart::Trailer;
                }
                MemberPart::Trailer => {
                    self.trailer()?;
                    self.place = MemberPart::Header { first: false };
                }
                MemberPart::End => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::data_url::DataUrlDecoder;
    use super::*;

    /// A stream whose bytes come one at a time, and whose every second read finds none.
    struct Dripping<'b>(&'b [u8], bool);

    impl ByteStream for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
            self.1 = !self.1;
            match self.0 {
                _ if self.1 => Err(StreamError::NotYet),
                [] => Ok(0),
                [byte, rest @ ..] => {
                    (buffer[0], self.0) = (*byte, rest);
                    Ok(1)
                }
            }
        }
    }

    /// The header has every field that gzip knows: extra, name, comment and its own checksum.
    #[test]
    fn bytes_may_come_one_at_a_time() {
        let head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x02\0ab\
            name\0comment\0\0\0";
        let data = b"\xcb\xcfK\x05\0\xf1\x86lz\x03\0\0\0";
        let packed = [head.as_slice(), data, head, data].concat();
        let mut reader = Gunzip::new(Box::new(Dripping(&packed, false)));
        let (mut unpacked, mut waits) = (Vec::new(), 0);
        let mut buffer = [0; 64];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => unpacked.extend_from_slice(&buffer[..count]),
                Err(StreamError::NotYet) => waits += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!((unpacked.as_slice(), waits), (b"oneone".as_slice(), packed.len() + 1));
    }

    /// A large text that gzip(1) has compressed is read with odd buffer sizes.
    #[test]
    fn what_gzip_makes_is_read_whole() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| format!("{n} ").into_bytes()).collect();
        let mut gzip = Command::new("gzip")
            .args(["-N", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = gzip.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let text = text.clone();
            move || stdin.write_all(&text).unwrap()
        });
        let packed = gzip.wait_with_output().unwrap().stdout;
        writer.join().unwrap();
        assert_eq!(gunzip(&packed).unwrap(), text);
        for end in [0, 3, 9, 10, 100, packed.len() - 9, packed.len() - 1] {
            assert!(gunzip(&packed[..end]).is_err(), "cut at {end}");
        }
        assert!(gunzip(&[packed.as_slice(), b"garbage"].concat()).is_err());
    }

    fn gunzip(packed: &[u8]) -> Result<Vec<u8>, StreamError> {
        let escapes: Vec<String> = packed.iter().map(|byte| format!("%{byte:02x}")).collect();
        let url = format!("data:,{}", escapes.concat());
        let mut reader = Gunzip::new(Box::new(DataUrlDecoder::new(&url).unwrap()));
        let mut unpacked = Vec::new();
        let mut buffer = [0; 777];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(unpacked),
                count => unpacked.extend_from_slice(&buffer[..count]),
            }
        }
    }
}
