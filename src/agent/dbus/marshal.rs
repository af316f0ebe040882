//! The wire format of D-Bus values ("Marshaling" in the specification), in little-endian order.

use rustix::io::Errno;

/// Marshals values in little-endian order.
#[derive(Default)]
pub struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn length(&mut self, value: usize) -> Result<(), Errno> {
        self.u32(u32::try_from(value).map_err(|_| Errno::TOOBIG)?);
        Ok(())
    }

    pub(super) fn signature(&mut self, text: &str) -> Result<(), Errno> {
        self.0.push(u8::try_from(text.len()).map_err(|_| Errno::TOOBIG)?);
        self.0.extend(text.bytes());
        self.0.push(0);
        Ok(())
    }

    /// Appends a string or an object path.
    ///
    /// # Errors
    /// `E2BIG` for 4 GiB or more.
    pub fn string(&mut self, text: &str) -> Result<(), Errno> {
        self.length(text.len())?;
        self.0.extend(text.bytes());
        self.0.push(0);
        Ok(())
    }

    /// Appends an array of strings.
    ///
    /// # Errors
    /// As for [`Writer::string`].
    pub fn strings(&mut self, texts: &[&str]) -> Result<(), Errno> {
        let mut items = Self::default();
        for text in texts {
            items.string(text)?;
        }
        self.length(items.0.len())?;
        self.0.extend(items.0);
        Ok(())
    }
}

/// Reads values. A missing or malformed value is `EPROTO`.
pub struct Values<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Values<'b> {
    pub(in crate::agent) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn align(&mut self, to: usize) -> Result<(), Errno> {
        self.at = self.at.checked_next_multiple_of(to).ok_or(Errno::PROTO)?;
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Errno> {
        let end = self.at.checked_add(count).ok_or(Errno::PROTO)?;
        let taken = self.bytes.get(self.at..end).ok_or(Errno::PROTO)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Errno> {
        self.take(1)?.first().copied().ok_or(Errno::PROTO)
    }

    /// Reads a 32-bit number.
    ///
    /// # Errors
    /// `EPROTO` if the bytes end before it does.
    pub fn u32(&mut self) -> Result<u32, Errno> {
        self.align(4)?;
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Errno::PROTO)
    }

    /// Reads a 64-bit number.
    ///
    /// # Errors
    /// `EPROTO` if the bytes end before it does.
    pub fn u64(&mut self) -> Result<u64, Errno> {
        self.align(8)?;
        self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| Errno::PROTO)
    }

    pub(super) fn length(&mut self) -> Result<usize, Errno> {
        usize::try_from(self.u32()?).map_err(|_| Errno::PROTO)
    }

    fn text(&mut self, length: usize) -> Result<&'b str, Errno> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Errno::PROTO)?;
        if self.byte()? == 0 { Ok(text) } else { Err(Errno::PROTO) }
    }

    /// Reads a string or an object path.
    ///
    /// # Errors
    /// `EPROTO` if it is malformed or not UTF-8.
    pub fn string(&mut self) -> Result<&'b str, Errno> {
        let length = self.length()?;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Result<&'b str, Errno> {
        let length = self.byte()?;
        self.text(length.into())
    }

    /// Enters a variant, which must hold a value of the type `kind`.
    ///
    /// # Errors
    /// `EPROTO` if it is malformed or holds another type.
    pub fn variant(&mut self, kind: &str) -> Result<&mut Self, Errno> {
        if self.signature()? == kind { Ok(self) } else { Err(Errno::PROTO) }
    }

    /// Reads an array of structures. `item` reads one structure.
    ///
    /// # Errors
    /// `EPROTO` if the array is malformed, and the errors of `item`.
    pub fn structures<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Errno>,
    ) -> Result<Vec<T>, Errno> {
        let length = self.length()?;
        self.align(8)?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Errno::PROTO)?;
        let mut items = Vec::new();
        while self.at < end {
            self.align(8)?;
            items.push(item(self)?);
        }
        if self.at == end { Ok(items) } else { Err(Errno::PROTO) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_structures_are_read_and_anything_cut_is_refused() {
        let mut body = Writer::default();
        body.u32(0);
        for (name, number) in [("one", 1_u64), ("second", u64::MAX)] {
            body.align(8);
            body.string(name).unwrap();
            body.align(8);
            body.0.extend(number.to_le_bytes());
        }
        let length = u32::try_from(body.0.len() - 8).unwrap();
        body.0[..4].copy_from_slice(&length.to_le_bytes());
        let read =
            |bytes: &[u8]| Values::new(bytes).structures(|item| Ok((item.string()?.to_owned(), item.u64()?)));
        let expected = vec![("one".to_owned(), 1), ("second".to_owned(), u64::MAX)];
        assert_eq!(read(&body.0), Ok(expected));
        for end in 0..body.0.len() {
            assert_eq!(read(&body.0[..end]), Err(Errno::PROTO), "cut at {end}");
        }
        for at in 0..body.0.len() {
            let mut bytes = body.0.clone();
            bytes[at] = bytes[at].wrapping_add(0x7f);
            let _ = read(&bytes);
        }
    }
}
