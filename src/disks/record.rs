//! What makes work on disks safe to repeat: a record, in the root, of what was begun and what is done.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

use super::Ids;
use crate::crc32::Crc32;
use crate::error::{Error, Result};
use crate::root::Root;
use crate::source::hex;

/// The first entry: the seed, and the SHA-512 of the config.
const HEAD: (&str, usize) = ("seed", 2);
const BEGUN: &str = "begun";
const DONE: &str = "done";
const MOUNT: &str = "mount";
const ARRAY: &str = "array";
const VOLUME: &str = "volume";
const KEY: &str = "key";
const MADE: &str = "made";
/// The last field of a volume that loses its key at the end.
const LOSES_KEY: &str = "loses";
/// The other entries: their words, and how many fields follow.
const KINDS: [(&str, usize); 7] =
    [(BEGUN, 2), (DONE, 1), (MOUNT, 4), (ARRAY, 2), (VOLUME, 4), (KEY, 2), (MADE, 1)];

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
    /// Whether the volume loses this key at the end, because clevis opens it at later boots.
    pub loses_key: bool,
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
    /// The root that has the record; `None` for a record that is not kept.
    root: Option<&'r Root>,
    ids: Ids,
    /// The SHA-512 of the user's config that the record is about, in hexadecimal.
    config: String,
    /// Whether the root has the record. It gets one with the first entry, so that a config that is refused leaves none.
    is_written: bool,
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
    /// The directories that were made for the mounts.
    pub made: Vec<PathBuf>,
}

impl<'r> Record<'r> {
    /// Reads the record of `root`. If there is none about the user's config with this SHA-512, a new one is begun: the entries
    /// of another config stand at other places.
    ///
    /// # Errors
    /// Those of the root.
    pub fn open(root: &'r Root, config: &str) -> Result<Self> {
        match Self::read(root)? {
            Some(record) if record.config == config => return Ok(record),
            Some(_) => root.forget_disk_record()?,
            None => {}
        }
        Ok(Self::new(Some(root), random_seed()?, config))
    }

    /// Begins a record that is not kept: for a stage of the reference, which has no record, and which runs before the root is
    /// mounted.
    ///
    /// # Errors
    /// [`Reason::System`](crate::error::Reason::System) if the kernel gives no random bytes.
    pub fn unkept() -> Result<Self> {
        Ok(Self::new(None, random_seed()?, ""))
    }

    /// Reads the record of `root`, whatever config it is about; `None` if there is none.
    ///
    /// # Errors
    /// Those of the root.
    pub fn read(root: &'r Root) -> Result<Option<Self>> {
        let bytes = root.disk_record()?;
        let Some((record, whole)) = Self::parse(root, &bytes) else { return Ok(None) };
        if whole < bytes.len() {
            // The next entry must not follow a part of one.
            root.shorten_disk_record(bytes.len().saturating_sub(whole))?;
        }
        Ok(Some(record))
    }

    fn new(root: Option<&'r Root>, seed: [u8; 32], config: &str) -> Self {
        Self {
            root,
            ids: Ids::new(seed),
            config: config.to_owned(),
            is_written: false,
            progress: Vec::new(),
            keys: Vec::new(),
            arrays: Vec::new(),
            volumes: Vec::new(),
            mounts: Vec::new(),
            made: Vec::new(),
        }
    }

    /// Reads the entries of a record, up to the first that is not whole: what that one is about had not begun.
    fn parse(root: &'r Root, bytes: &[u8]) -> Option<(Self, usize)> {
        let mut entries = Entries { rest: bytes };
        let [seed, config] = entries.next(HEAD)?.try_into().ok()?;
        let mut record = Self::new(Some(root), seed_of(&seed)?, &config);
        let mut whole = entries.rest.len();
        while record.read_entry(&mut entries).is_some() {
            whole = entries.rest.len();
        }
        record.is_written = true;
        Some((record, bytes.len().saturating_sub(whole)))
    }

    fn read_entry(&mut self, entries: &mut Entries<'_>) -> Option<()> {
        let word = entries.word()?;
        let (kind, count) = KINDS.iter().find(|(kind, _)| *kind == word)?;
        let mut fields = entries.next((kind, *count))?.into_iter();
        let mut next = || fields.next();
        match *kind {
            BEGUN => {
                let (place, identity) = (next()?, next()?);
                self.set(&place, Progress::Begun(identity));
            }
            DONE => self.set(&next()?, Progress::Done),
            MOUNT => {
                let [device, format, options] = [next()?, next()?, next()?];
                self.set_mount(Mount { device, format, options, path: next()? });
            }
            ARRAY => self
                .arrays
                .push(Array { path: next()?, devices: next()?.lines().map(str::to_owned).collect() }),
            VOLUME => self.volumes.push(Volume {
                device: next()?,
                name: next()?,
                key: unhex(&next()?)?,
                loses_key: next()? == LOSES_KEY,
            }),
            KEY => self.keys.push((next()?, unhex(&next()?)?)),
            _ => self.made.push(next()?.into()),
        }
        Some(())
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

    /// Records the mounts that the files need, in their order. Those that an interrupted run has recorded come first in it,
    /// and are not recorded twice: a resumed commit would mount them twice, which the kernel refuses. For the same reason
    /// there is one mount for each path: `/etc/fstab` may have changed since then.
    ///
    /// # Errors
    /// Those of the root.
    pub fn keep_mounts(&mut self, mounts: Vec<Mount>) -> Result<()> {
        for mount in mounts {
            if !self.mounts.contains(&mount) {
                let Mount { device, format, options, path } = &mount;
                self.append(&[MOUNT, device, format, options, path])?;
                self.set_mount(mount);
            }
        }
        Ok(())
    }

    fn set_mount(&mut self, mount: Mount) {
        match self.mounts.iter_mut().find(|known| known.path == mount.path) {
            Some(known) => *known = mount,
            None => self.mounts.push(mount),
        }
    }

    /// Records a directory that is about to be made for a mount. The next run would take it for one of the image.
    ///
    /// # Errors
    /// Those of the root.
    pub fn keep_made(&mut self, directory: &Path) -> Result<()> {
        if !self.made.iter().any(|made| made == directory) {
            self.append(&[MADE, &directory.to_string_lossy()])?;
            self.made.push(directory.to_owned());
        }
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
            let last = if volume.loses_key { LOSES_KEY } else { "" };
            self.append(&[VOLUME, &volume.device, &volume.name, &hex(&volume.key), last])?;
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

    fn append(&mut self, fields: &[&str]) -> Result<()> {
        let Some(root) = self.root else { return Ok(()) };
        let mut bytes = if self.is_written {
            Vec::new()
        } else {
            encoded(&[HEAD.0, &hex(self.ids.seed()), &self.config])
        };
        bytes.append(&mut encoded(fields));
        root.append_disk_record(&bytes)?;
        self.is_written = true;
        Ok(())
    }
}

/// Returns an entry: its fields, each with a NUL byte, and their CRC-32 as the last field.
fn encoded(fields: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.bytes().chain([0])).collect();
    let crc = Crc32::of(&bytes);
    bytes.extend_from_slice(format!("{crc:08x}\0").as_bytes());
    bytes
}

/// The entries of a record that have not been read yet.
struct Entries<'b> {
    rest: &'b [u8],
}

impl Entries<'_> {
    /// Returns the first word of the next entry.
    fn word(&self) -> Option<&str> {
        std::str::from_utf8(self.rest.split(|byte| *byte == 0).next()?).ok()
    }

    /// Reads an entry of this kind: its word, and the number of fields after it. Returns `None` if it is not whole.
    fn next(&mut self, (word, count): (&str, usize)) -> Option<Vec<String>> {
        let mut parts = self.rest.split(|byte| *byte == 0);
        let mut fields = Vec::new();
        for _ in 0..=count {
            fields.push(std::str::from_utf8(parts.next()?).ok()?.to_owned());
        }
        let texts: Vec<&str> = fields.iter().map(String::as_str).collect();
        let expected = encoded(&texts);
        self.rest = self.rest.strip_prefix(expected.as_slice())?;
        (fields.remove(0) == word).then_some(fields)
    }
}

fn random_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    fill_with_random(&mut seed)?;
    Ok(seed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn mount() -> Mount {
        let [device, format, options, path] = ["/dev/vdb", "ext4", "", "/srv"].map(str::to_owned);
        Mount { device, format, options, path }
    }

    #[test]
    fn the_next_run_reads_what_was_recorded() {
        let temp = TempDir::new("record");
        let root = Root::open(temp.path()).unwrap();
        let mut record = Record::open(&root, "sha").unwrap();
        assert!(root.disk_record().unwrap().is_empty(), "a record without entries is not written");
        let key = record.key("$.storage.luks.0").unwrap();
        assert_eq!((key.len(), record.key("$.storage.luks.0").unwrap()), (8192, key.clone()));
        record.begin("$.storage.filesystems.1", "pci#1").unwrap();
        record.begin("$.storage.filesystems.0", "pci#2").unwrap();
        record.finish("$.storage.filesystems.1").unwrap();
        let array = Array {
            path: "/dev/md/a".to_owned(),
            devices: vec!["/dev/vdb".to_owned(), "/dev/vdc".to_owned()],
        };
        let volume = |name: &str, loses_key| Volume {
            device: "/dev/vdd".to_owned(),
            name: name.to_owned(),
            key: b"\0\xffx".to_vec(),
            loses_key,
        };
        let volumes = [volume("v", false), volume("w", true)];
        record.keep_array(array.clone()).unwrap();
        for volume in &volumes {
            record.keep_volume(volume.clone()).unwrap();
        }
        record.keep_mounts(vec![mount()]).unwrap();
        record.keep_made(Path::new("/srv")).unwrap();
        for _ in 0..2 {
            let mut again = Record::open(&root, "sha").unwrap();
            assert_eq!(again.ids(), record.ids());
            assert_eq!(again.progress("$.storage.filesystems.1"), Some(&Progress::Done));
            assert_eq!(again.progress("$.storage.filesystems.0"), Some(&Progress::Begun("pci#2".to_owned())));
            assert_eq!(again.progress("$.storage.filesystems.2"), None);
            assert_eq!((&again.arrays, &again.mounts), (&vec![array.clone()], &vec![mount()]));
            assert_eq!(again.made, [Path::new("/srv")]);
            assert!(again.volumes == volumes && again.key("$.storage.luks.0").unwrap() == key);
            // What is recorded already is not recorded again.
            let before = root.disk_record().unwrap();
            again.keep_array(array.clone()).unwrap();
            again.keep_volume(volumes[1].clone()).unwrap();
            again.keep_mounts(vec![mount()]).unwrap();
            again.keep_made(Path::new("/srv")).unwrap();
            assert_eq!(root.disk_record().unwrap(), before);
        }
    }

    #[test]
    fn mounts_are_recorded_once_if_the_machine_stops_between_them() {
        let temp = TempDir::new("record-mounts");
        let root = Root::open(temp.path()).unwrap();
        let below = Mount { path: "/srv/below".to_owned(), ..mount() };
        Record::open(&root, "sha").unwrap().keep_mounts(vec![mount()]).unwrap();
        Record::open(&root, "sha").unwrap().keep_mounts(vec![mount(), below.clone()]).unwrap();
        assert_eq!(Record::open(&root, "sha").unwrap().mounts, [mount(), below.clone()]);
        // The next run finds another device at the path.
        let other = Mount { device: "/dev/vdc".to_owned(), ..mount() };
        let mut record = Record::open(&root, "sha").unwrap();
        record.keep_mounts(vec![other.clone(), below.clone()]).unwrap();
        assert_eq!(record.mounts, [other.clone(), below.clone()]);
        assert_eq!(Record::open(&root, "sha").unwrap().mounts, [other, below]);
    }

    #[test]
    fn an_entry_that_a_power_cut_tore_counts_as_none() {
        let temp = TempDir::new("record-torn");
        let root = Root::open(temp.path()).unwrap();
        let mut record = Record::open(&root, "sha").unwrap();
        record.begin("a", "pci").unwrap();
        let whole = root.disk_record().unwrap();
        record.finish("a").unwrap();
        let longer = root.disk_record().unwrap();
        // Without its last byte, an entry that zeros follow is whole.
        for end in whole.len()..longer.len() - 1 {
            for tail in [&[][..], &[0; 100]] {
                let torn = [&longer[..end], tail].concat();
                let (record, length) = Record::parse(&root, &torn).unwrap();
                assert_eq!(record.progress("a"), Some(&Progress::Begun("pci".to_owned())), "{end}");
                assert_eq!(length, whole.len());
            }
        }
        assert_eq!(Record::parse(&root, &longer).unwrap().0.progress("a"), Some(&Progress::Done));
        for end in 0..whole.len() {
            assert!(
                Record::parse(&root, &whole[..end]).is_none_or(|(record, _)| record.progress("a").is_none())
            );
        }
        // The next run cuts the part of an entry off, and writes after it.
        let file = temp.join(".glowplug/disks");
        let all = std::fs::read(&file).unwrap();
        std::fs::write(&file, &all[..all.len() - 3]).unwrap();
        let mut again = Record::open(&root, "sha").unwrap();
        again.finish("b").unwrap();
        let last = Record::open(&root, "sha").unwrap();
        assert_eq!(
            (last.progress("a"), last.progress("b")),
            (Some(&Progress::Begun("pci".to_owned())), Some(&Progress::Done))
        );
    }

    #[test]
    fn a_record_that_is_not_kept_remembers_until_its_end() {
        let mut record = Record::unkept().unwrap();
        assert_ne!(record.ids(), Record::unkept().unwrap().ids());
        record.begin("a", "pci").unwrap();
        record.finish("a").unwrap();
        assert_eq!(record.progress("a"), Some(&Progress::Done));
        let key = record.key("b").unwrap();
        assert_eq!(record.key("b").unwrap(), key);
    }

    #[test]
    fn the_record_of_another_config_is_not_used() {
        let temp = TempDir::new("record-other");
        let root = Root::open(temp.path()).unwrap();
        let mut record = Record::open(&root, "one").unwrap();
        record.finish("$.storage.filesystems.0").unwrap();
        let other = Record::open(&root, "two").unwrap();
        assert_eq!(other.progress("$.storage.filesystems.0"), None);
        assert_ne!(other.ids(), record.ids());
        assert!(root.disk_record().unwrap().is_empty());
    }
}
