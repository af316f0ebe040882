//! Decompresses gzip (RFC 1952) with a bare inflater. Each member is checked against its length and CRC-32.

use std::borrow::Cow;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::transport::ByteStream;
use crate::crc32::Crc32;

const BUFFER: usize = 16 << 10;

// Flags of a member's header (RFC 1952, section 2.3.1).
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// Decompresses the bytes of `inner`.
pub struct Gunzip<'a> {
    inner: Box<dyn ByteStream + 'a>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    inflater: Box<InflateState>,
    place: MemberPart,
    crc: Crc32,
    length: u32,
}

/// The part of a gzip member that is read next.
#[derive(PartialEq)]
enum MemberPart {
    Header { first: bool },
    Data,
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
            crc: Crc32::new(),
            length: 0,
        }
    }

    /// Returns the buffered compressed bytes, and reads more first if there are none. Empty only at the end.
    fn fill(&mut self) -> Result<&[u8], Cow<'static, str>> {
        if self.start == self.end {
            self.start = 0;
            self.end = self.inner.read(&mut self.buffer)?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn byte(&mut self) -> Result<u8, Cow<'static, str>> {
        let byte = self.fill()?.first().copied().ok_or("the gzip data ends too early")?;
        self.start = self.start.saturating_add(1);
        Ok(byte)
    }

    fn number<const BYTES: usize>(&mut self) -> Result<u32, Cow<'static, str>> {
        let mut number = 0;
        for place in 0..BYTES {
            number |= u32::from(self.byte()?) << (place.saturating_mul(8));
        }
        Ok(number)
    }

    fn until_zero(&mut self) -> Result<(), Cow<'static, str>> {
        while self.byte()? != 0 {}
        Ok(())
    }

    fn header(&mut self) -> Result<(), Cow<'static, str>> {
        if self.number::<3>()? != 0x08_8b1f {
            return Err(Cow::Borrowed("the contents are not gzip data"));
        }
        let flags = self.byte()?;
        if flags & RESERVED != 0 {
            return Err(Cow::Borrowed("the gzip header has unknown flags"));
        }
        // Skips the time, the extra flags and the operating system.
        self.number::<4>()?;
        self.number::<2>()?;
        if flags & EXTRA != 0 {
            for _ in 0..self.number::<2>()? {
                self.byte()?;
            }
        }
        if flags & NAME != 0 {
            self.until_zero()?;
        }
        if flags & COMMENT != 0 {
            self.until_zero()?;
        }
        if flags & HEADER_CRC != 0 {
            self.number::<2>()?;
        }
        self.inflater.reset(DataFormat::Raw);
        (self.crc, self.length) = (Crc32::new(), 0);
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), Cow<'static, str>> {
        let (crc, length) = (self.crc.value(), self.length);
        if self.number::<4>()? != crc || self.number::<4>()? != length {
            return Err(Cow::Borrowed("the gzip data does not match its checksum"));
        }
        Ok(())
    }

    /// Inflates into `out` and returns the number of bytes; 0 at the end of the member's data.
    fn data(&mut self, out: &mut [u8]) -> Result<usize, Cow<'static, str>> {
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
                    return Err(Cow::Borrowed("the gzip data ends too early"));
                }
                Ok(_) | Err(MZError::Buf) => {}
                Err(_) => return Err(Cow::Borrowed("the gzip data is broken")),
            }
        }
    }
}

impl ByteStream for Gunzip<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Cow<'static, str>> {
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

    fn gunzip(packed: &[u8]) -> Result<Vec<u8>, Cow<'static, str>> {
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
