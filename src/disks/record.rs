//! What makes work on disks safe to repeat: a record, in the root, of what was begun and what is done.

use rustix::rand::{GetRandomFlags, getrandom};

use super::Ids;
use crate::error::{Error, Result};
use crate::root::Root;
use crate::source::hex;

const SEED: &str = "seed";
const BEGUN: &str = "begun";
const DONE: &str = "done";
const MOUNT: &str = "mount";

/// How far an interrupted run came with one thing that the config wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It was begun on the device with this identity ([`super::Device::identity`]), whose contents are therefore nobody's.
    Begun(String),
    /// It is done.
    Done,
}

/// A mount that the files of the config need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device, as the config names it.
    pub device: String,
    /// The format, as the config names it.
    pub format: String,
    /// The options, separated by commas.
    pub options: String,
    /// The path in the root.
    pub path: String,
}

/// The record of one provisioning.
#[derive(Debug)]
pub struct Record<'r> {
    root: &'r Root,
    ids: Ids,
    /// By the place in the config, such as `$.storage.filesystems.0`, and sorted by it.
    progress: Vec<(String, Progress)>,
    /// The mounts, in their order.
    pub mounts: Vec<Mount>,
}

impl<'r> Record<'r> {
    /// Reads the record of `root`. If there is none, one with a new seed is begun.
    ///
    /// # Errors
    /// Those of the root.
    pub fn open(root: &'r Root) -> Result<Self> {
        let bytes = root.disk_record()?;
        if let Some(record) = Self::parse(root, &bytes) {
            return Ok(record);
        }
        let mut seed = [0; 32];
        getrandom(&mut seed, GetRandomFlags::empty())
            .map_err(|errno| Error::system("get random bytes", errno))?;
        let ids = Ids::new(seed);
        let record = Self { root, ids, progress: Vec::new(), mounts: Vec::new() };
        record.append(&[SEED, &hex(record.ids.seed())])?;
        Ok(record)
    }

    /// Reads the fields of a record. An entry that was not written completely is left out: what it is about had not begun.
    fn parse(root: &'r Root, bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // The last part is empty, or a field that was not written completely.
        let mut fields: Vec<&str> = text.split('\0').collect();
        fields.pop();
        let mut fields = fields.into_iter();
        let seed =
            fields.next().filter(|word| *word == SEED).and_then(|_| fields.next()).and_then(seed_of)?;
        let mut record = Self { root, ids: Ids::new(seed), progress: Vec::new(), mounts: Vec::new() };
        while let Some(word) = fields.next() {
            let mut next = || fields.next().map(str::to_owned);
            match word {
                BEGUN => {
                    let (place, identity) = (next(), next());
                    if let (Some(place), Some(identity)) = (place, identity) {
                        record.set(&place, Progress::Begun(identity));
                    }
                }
                DONE => {
                    if let Some(place) = next() {
                        record.set(&place, Progress::Done);
                    }
                }
                MOUNT => {
                    if let (Some(device), Some(format), Some(options), Some(path)) =
                        (next(), next(), next(), next())
                    {
                        record.mounts.push(Mount { device, format, options, path });
                    }
                }
                _ => return None,
            }
        }
        Some(record)
    }

    /// Returns the identifiers for what this provisioning makes.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Returns how far an interrupted run came with what the config wants at `place`.
    pub fn progress(&self, place: &str) -> Option<&Progress> {
        let at = self.progress.binary_search_by(|(known, _)| known.as_str().cmp(place)).ok()?;
        self.progress.get(at).map(|(_, progress)| progress)
    }

    fn set(&mut self, place: &str, progress: Progress) {
        match self.progress.binary_search_by(|(known, _)| known.as_str().cmp(place)) {
            Ok(at) => {
                if let Some((_, known)) = self.progress.get_mut(at) {
                    *known = progress;
                }
            }
            Err(at) => self.progress.insert(at, (place.to_owned(), progress)),
        }
    }

    /// Records, before anything is written, that the work for `place` begins on the device with this `identity`.
    ///
    /// # Errors
    /// Those of the root.
    pub fn begin(&mut self, place: &str, identity: &str) -> Result<()> {
        self.append(&[BEGUN, place, identity])?;
        self.set(place, Progress::Begun(identity.to_owned()));
        Ok(())
    }

    /// Records that the work for `place` is done and on the disk.
    ///
    /// # Errors
    /// Those of the root.
    pub fn finish(&mut self, place: &str) -> Result<()> {
        self.append(&[DONE, place])?;
        self.set(place, Progress::Done);
        Ok(())
    }

    /// Records the mounts that the files need, in their order, unless an interrupted run has recorded them.
    ///
    /// # Errors
    /// Those of the root.
    pub fn keep_mounts(&mut self, mounts: Vec<Mount>) -> Result<()> {
        if self.mounts == mounts {
            return Ok(());
        }
        for Mount { device, format, options, path } in &mounts {
            self.append(&[MOUNT, device, format, options, path])?;
        }
        self.mounts = mounts;
        Ok(())
    }

    fn append(&self, fields: &[&str]) -> Result<()> {
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.bytes().chain([0])).collect();
        self.root.append_disk_record(&bytes)
    }
}

/// Returns the seed of 64 hexadecimal digits.
fn seed_of(digits: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (index, byte) in seed.iter_mut().enumerate() {
        let at = index.checked_mul(2)?;
        *byte = u8::from_str_radix(digits.get(at..at.checked_add(2)?)?, 16).ok()?;
    }
    Some(seed)
}
