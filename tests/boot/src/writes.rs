//! The writes of a guest to its disk, as QEMU's blklogwrites logs them, and what a power cut leaves of them.
//!
//! The log is that of the kernel's dm-log-writes (admin-guide/device-mapper/log-writes): a superblock, then entries of
//! a sector each, and after each entry its data.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::error::{Doing, Error, Result};

/// The unit of all numbers in the log. The test asks QEMU for this size.
pub const SECTOR: u64 = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    flags: u64,
    /// Where it is on the disk, in bytes.
    to: u64,
    /// Where its data is in the log.
    from: u64,
    length: u64,
}

/// A log of writes.
#[derive(Debug)]
pub struct Writes {
    log: File,
    entries: Vec<Entry>,
}

/// Choices that a seed repeats.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Returns the choices that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns the next number below `end`, by xorshift. `end` must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }
}

impl Writes {
    /// Reads the log at `path`. Only complete entries count, because QEMU may have been killed.
    ///
    /// # Errors
    /// When it is no such log.
    pub fn read(path: &Path) -> Result<Self> {
        let mut log = File::open(path).doing_to("open", path)?;
        let mut head = [0; 32];
        log.read_exact(&mut head).doing_to("read", path)?;
        if number(&head, 0) != MAGIC || number(&head, 8) != 1 {
            return Err(Error::new(format!("{} is no log of writes", path.display())));
        }
        let size = log.metadata().doing_to("look at", path)?.len();
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while at + SECTOR <= size {
            let mut head = [0; 32];
            log.read_exact_at(&mut head, at).doing_to("read", path)?;
            let flags = number(&head, 16);
            let length = number(&head, 8) * SECTOR;
            let from = at + SECTOR;
            let next = if flags & DISCARD == 0 { from + length } else { from };
            if next > size {
                break;
            }
            entries.push(Entry { flags, to: number(&head, 0) * SECTOR, from, length });
            at = next;
        }
        Ok(Self { log, entries })
    }

    /// Returns how many entries end within the first `bytes` of the log.
    pub fn within(&self, bytes: u64) -> usize {
        self.entries.iter().take_while(|entry| entry.from + entry.length <= bytes).count()
    }

    /// Changes `disk`, which is in the state before the first entry, to what a power cut after `count` entries leaves. That
    /// is everything before the last flush. Of the later writes, `chance` decides which sectors are there.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn cut(&self, disk: &Path, count: usize, chance: &mut Chance) -> Result<()> {
        let file = File::options().write(true).open(disk).doing_to("open", disk)?;
        let entries = self.entries.get(..count).unwrap_or(&self.entries);
        let flushed = entries.iter().rposition(|entry| entry.flags & FLUSH != 0).unwrap_or(0);
        for (index, entry) in entries.iter().enumerate() {
            let mut kept = entry.length;
            if index > flushed && entry.flags & FUA == 0 {
                // The whole write, nothing of it, or its first sectors.
                kept = match chance.below(3) {
                    0 => 0,
                    1 => kept,
                    _ => chance.below(usize::try_from(kept / SECTOR).unwrap_or(0)) as u64 * SECTOR,
                };
            }
            let mut data = vec![0; usize::try_from(kept).unwrap_or(0)];
            if entry.flags & DISCARD == 0 {
                self.log.read_exact_at(&mut data, entry.from).doing("read the log of writes")?;
            }
            file.write_all_at(&data, entry.to).doing_to("write", disk)?;
        }
        Ok(())
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Makes the empty file that QEMU logs into.
///
/// # Errors
/// When it cannot be made.
pub fn new_log(path: &Path) -> Result<()> {
    fs::write(path, b"").doing_to("make", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scratch;

    fn entry(sector: u64, sectors: u64, flags: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [sector, sectors, flags, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.resize(512, 0);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn what_is_flushed_stays_and_the_rest_is_chance() {
        let dir = Scratch::new().unwrap();
        let (path, disk) = (dir.join("log"), dir.join("disk"));
        let mut log: Vec<u8> = [MAGIC, 1, 4, 512].iter().flat_map(|number| number.to_le_bytes()).collect();
        log.resize(512, 0);
        log.extend(entry(1, 1, 0, &[b'a'; 512]));
        log.extend(entry(0, 0, FLUSH, b""));
        let flushed = log.len() as u64;
        log.extend(entry(2, 2, 0, &[b'b'; 1024]));
        log.extend(entry(3, 1, FUA, &[b'c'; 512]));
        // The log ended in the middle of this entry.
        log.extend(&entry(0, 1, 0, &[b'd'; 512])[..700]);
        fs::write(&path, &log).unwrap();
        let writes = Writes::read(&path).unwrap();
        assert_eq!((writes.entries.len(), writes.within(flushed)), (4, 2));
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            fs::write(&disk, [0; 4 * 512]).unwrap();
            writes.cut(&disk, 4, &mut Chance::new(seed)).unwrap();
            let sectors: Vec<u8> = fs::read(&disk).unwrap().chunks(512).map(|sector| sector[511]).collect();
            assert_eq!((sectors[0], sectors[1], sectors[3]), (0, b'a', b'c'), "{seed}");
            seen.insert(sectors[2]);
        }
        assert_eq!(seen.len(), 2, "both happen");
        fs::write(&disk, [0; 4 * 512]).unwrap();
        writes.cut(&disk, 1, &mut Chance::new(1)).unwrap();
        fs::write(&path, "x").unwrap();
        assert!(Writes::read(&path).is_err());
    }
}
