//! What makes work on disks safe to repeat: a record, in the root, of what was begun and what is done.

use std::fmt;

use rustix::rand::{GetRandomFlags, getrandom};

use super::Ids;
use crate::error::{Error, Result};
use crate::root::Root;
use crate::source::hex;

const SEED: &str = "seed";
const BEGUN: &str = "begun";
const DONE: &str = "done";
const MOUNT: &str = "mount";
const ARRAY: &str = "array";
const VOLUME: &str = "volume";
const KEY: &str = "key";

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

/// A RAID array that the mounts may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// The path of its node.
    pub path: String,
    /// The devices, as the config names them.
    pub devices: Vec<String>,
}

/// An encrypted volume that the mounts may need.
#[derive(Clone, PartialEq, Eq)]
pub struct Volume {
    /// The device, as the config names it.
    pub device: String,
    /// The name, as the config has it.
    pub name: String,
    /// The key.
    pub key: Vec<u8>,
}

/// The key is left out.
impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("device", &self.device)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The record of one provisioning.
#[derive(Debug)]
pub struct Record<'r> {
    root: &'r Root,
    ids: Ids,
    /// By the place in the config, such as `$.storage.filesystems.0`, and sorted by it.
    progress: Vec<(String, Progress)>,
    /// The keys that were made for encrypted volumes, by their places in the config.
    keys: Vec<(String, Vec<u8>)>,
    /// The arrays, in their order.
    pub arrays: Vec<Array>,
    /// The encrypted volumes, in their order.
    pub volumes: Vec<Volume>,
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
        fill_with_random(&mut seed)?;
        let record = Self::new(root, seed);
        record.append(&[SEED, &hex(record.ids.seed())])?;
        Ok(record)
    }

    fn new(root: &'r Root, seed: [u8; 32]) -> Self {
        Self {
            root,
            ids: Ids::new(seed),
            progress: Vec::new(),
            keys: Vec::new(),
            arrays: Vec::new(),
            volumes: Vec::new(),
            mounts: Vec::new(),
        }
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
        let mut record = Self::new(root, seed);
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
                ARRAY => {
                    if let (Some(path), Some(devices)) = (next(), next()) {
                        let devices = devices.lines().map(str::to_owned).collect();
                        record.arrays.push(Array { path, devices });
                    }
                }
                VOLUME => {
                    if let (Some(device), Some(name), Some(key)) = (next(), next(), next()) {
                        record.volumes.push(Volume { device, name, key: unhex(&key)? });
                    }
                }
                KEY => {
                    if let (Some(place), Some(key)) = (next(), next()) {
                        record.keys.push((place, unhex(&key)?));
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

    /// Records an array that is up, unless an interrupted run has recorded it.
    ///
    /// # Errors
    /// Those of the root.
    pub fn keep_array(&mut self, array: Array) -> Result<()> {
        if !self.arrays.contains(&array) {
            self.append(&[ARRAY, &array.path, &array.devices.join("\n")])?;
            self.arrays.push(array);
        }
        Ok(())
    }

    /// Records an encrypted volume with its key, unless an interrupted run has recorded it.
    ///
    /// # Errors
    /// Those of the root.
    pub fn keep_volume(&mut self, volume: Volume) -> Result<()> {
        if !self.volumes.contains(&volume) {
            self.append(&[VOLUME, &volume.device, &volume.name, &hex(&volume.key)])?;
            self.volumes.push(volume);
        }
        Ok(())
    }

    /// Returns the random key for the encrypted volume at `place`, the same one after a power cut. It is 8192 hexadecimal
    /// digits, as the reference's, so that it can be used as text.
    ///
    /// # Errors
    /// Those of the root.
    pub fn key(&mut self, place: &str) -> Result<Vec<u8>> {
        if let Some((_, key)) = self.keys.iter().find(|(known, _)| known == place) {
            return Ok(key.clone());
        }
        let mut random = [0; 4096];
        fill_with_random(&mut random)?;
        let key = hex(&random).into_bytes();
        self.append(&[KEY, place, &hex(&key)])?;
        self.keys.push((place.to_owned(), key.clone()));
        Ok(key)
    }

    fn append(&self, fields: &[&str]) -> Result<()> {
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.bytes().chain([0])).collect();
        self.root.append_disk_record(&bytes)
    }
}

/// Returns the seed of 64 hexadecimal digits.
fn seed_of(digits: &str) -> Option<[u8; 32]> {
    unhex(digits)?.try_into().ok()
}

/// Reads hexadecimal digits.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

fn fill_with_random(mut buffer: &mut [u8]) -> Result<()> {
    while !buffer.is_empty() {
        let count = getrandom(&mut *buffer, GetRandomFlags::empty())
            .map_err(|errno| Error::system("get random bytes", errno))?;
        buffer = buffer.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}
