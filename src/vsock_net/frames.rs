//! The stream to and from the host: each ethernet frame after its length, a number of 16 bits whose low byte comes first.

/// The bytes of an ethernet header: two addresses and a type. No frame is shorter.
pub const HEADER: usize = 14;
/// The bytes of the length before a frame.
const PREFIX: usize = 2;
/// How many bytes of whole frames are collected in each direction, beside one frame of the greatest length.
const ROOM: usize = 64 << 10;

/// Why the host's stream cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A frame with a length that no frame can have here.
    Length(usize),
    /// The host has answered the request with an HTTP status instead of frames.
    Status(u16),
}

/// The bytes from the host that are not yet taken as frames.
#[derive(Debug)]
pub struct Incoming {
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    most: usize,
    is_first: bool,
}

impl Incoming {
    /// Returns an empty stream. A frame has at most `most` bytes.
    pub fn new(most: usize) -> Self {
        let buffer = vec![0; ROOM.saturating_add(most).saturating_add(PREFIX)];
        Self { buffer, begin: 0, end: 0, most, is_first: true }
    }

    /// Returns the room for further bytes, which is never empty once [`Incoming::next`] has returned `None`.
    pub fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end = self.end.saturating_sub(self.begin);
        self.begin = 0;
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes `count` bytes that were read into the room.
    pub fn add(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.buffer.len());
    }

    /// Returns the next whole frame, or `None` if more bytes are needed for it.
    ///
    /// # Errors
    /// [`Malformed`]. The stream cannot be used any more then.
    pub fn next(&mut self) -> Result<Option<&[u8]>, Malformed> {
        let bytes = self.buffer.get(self.begin..self.end).unwrap_or_default();
        if self.is_first {
            if let Some(status) = status(bytes) {
                return Err(Malformed::Status(status));
            }
        }
        let Some(([low, high], rest)) = bytes.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        if !(HEADER..=self.most).contains(&length) {
            return Err(Malformed::Length(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let begin = self.begin.saturating_add(PREFIX);
        self.begin = begin.saturating_add(length);
        self.is_first = false;
        Ok(self.buffer.get(begin..self.begin))
    }
}

/// Returns the status if `bytes` begin with that of an HTTP answer: `HTTP/1.1 404`.
fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Frames for the host that are not yet sent.
#[derive(Debug)]
pub struct Outgoing {
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    most: usize,
}

impl Outgoing {
    /// Returns an empty stream. A frame has at most `most` bytes.
    pub fn new(most: usize) -> Self {
        // The place of a frame is one byte longer than the longest frame.
        let buffer = vec![0; ROOM.saturating_add(most).saturating_add(PREFIX).saturating_add(1)];
        Self { buffer, begin: 0, end: 0, most }
    }

    /// Returns the place for one more frame, or `None` while there is no room. The place is one byte longer than the longest
    /// frame, so that a frame that is too long can be told.
    pub fn place(&mut self) -> Option<&mut [u8]> {
        if self.begin == self.end {
            self.begin = 0;
            self.end = 0;
        }
        let begin = self.end.checked_add(PREFIX)?;
        let end = begin.checked_add(self.most)?.checked_add(1)?;
        self.buffer.get_mut(begin..end)
    }

    /// Takes the frame of `length` bytes that was read into the place. Returns false, and takes nothing, if a frame cannot
    /// have this length.
    pub fn add(&mut self, length: usize) -> bool {
        let Some(prefix) = u16::try_from(length).ok().filter(|_| (HEADER..=self.most).contains(&length))
        else {
            return false;
        };
        let begin = self.end.saturating_add(PREFIX);
        if let Some(place) = self.buffer.get_mut(self.end..begin) {
            place.copy_from_slice(&prefix.to_le_bytes());
            self.end = begin.saturating_add(length);
        }
        true
    }

    /// Returns the bytes that are to be sent.
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.begin..self.end).unwrap_or_default()
    }

    /// Takes note that the first `count` of the pending bytes are sent.
    pub fn sent(&mut self, count: usize) {
        self.begin = self.begin.saturating_add(count).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1518;

    /// Puts `bytes` into the stream in pieces of `size`, and returns the frames that came out, and how it ended.
    fn read(bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<Malformed>) {
        let mut incoming = Incoming::new(MOST);
        let mut frames = Vec::new();
        for piece in bytes.chunks(size) {
            incoming.room()[..piece.len()].copy_from_slice(piece);
            incoming.add(piece.len());
            loop {
                match incoming.next() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(malformed) => return (frames, Some(malformed)),
                }
            }
        }
        (frames, None)
    }

    fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut outgoing = Outgoing::new(MOST);
        let mut bytes = Vec::new();
        for frame in frames {
            outgoing.place().unwrap()[..frame.len()].copy_from_slice(frame);
            assert!(outgoing.add(frame.len()));
            bytes.extend_from_slice(outgoing.pending());
            outgoing.sent(usize::MAX);
        }
        bytes
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let lengths = [HEADER, 60, 1500, MOST, 15, 1000];
        let frames: Vec<Vec<u8>> = (1..).zip(lengths).map(|(value, length)| vec![value; length]).collect();
        let bytes = stream(&frames);
        assert_eq!(bytes[..4], [14, 0, 1, 1]);
        for size in [1, 2, 3, 13, 1024, bytes.len()] {
            assert_eq!(read(&bytes, size), (frames.clone(), None), "pieces of {size}");
        }
    }

    #[test]
    fn a_frame_that_is_cut_is_no_frame() {
        let bytes = stream(&[vec![7; 60]]);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], 7), (Vec::new(), None), "{end} bytes");
        }
    }

    #[test]
    fn lengths_that_no_frame_has_end_the_stream() {
        for length in [0, 1, 13, 1519, 4000, 65535] {
            let mut bytes = stream(&[vec![7; 60]]);
            bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
            bytes.extend([0; 100]);
            assert_eq!(read(&bytes, 1), (vec![vec![7; 60]], Some(Malformed::Length(length))));
        }
    }

    #[test]
    fn an_answer_in_http_is_told_from_a_frame() {
        let (frames, why) = read(b"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n", 100);
        assert_eq!((frames.len(), why), (0, Some(Malformed::Status(404))));
        // Only at the beginning, and only if the status is there.
        let mut later = stream(&[vec![7; 60]]);
        later.extend(b"HTTP/1.1 404 Not Found\r\n");
        assert_eq!(read(&later, 100).1, Some(Malformed::Length(0x5448)));
        assert_eq!(read(b"HTTP/1.1 x", 100).1, Some(Malformed::Length(0x5448)));
    }

    #[test]
    fn the_buffers_stay_as_large_as_they_are() {
        let mut outgoing = Outgoing::new(MOST);
        let mut count = 0;
        while let Some(place) = outgoing.place() {
            assert_eq!(place.len(), MOST + 1);
            assert!(outgoing.add(MOST));
            count += 1;
        }
        assert_eq!(count, 1 + ROOM / (MOST + PREFIX));
        assert_eq!(outgoing.pending().len(), count * (MOST + PREFIX));
        outgoing.sent(usize::MAX);
        assert!(outgoing.place().is_some() && outgoing.pending().is_empty());
        for length in [0, 13, MOST + 1, 70_000] {
            assert!(!outgoing.add(length));
        }
        assert!(outgoing.pending().is_empty());

        let mut incoming = Incoming::new(MOST);
        let size = incoming.room().len();
        incoming.add(usize::MAX);
        assert_eq!(incoming.next(), Err(Malformed::Length(0)));
        assert_eq!(size, ROOM + MOST + PREFIX);
    }
}
