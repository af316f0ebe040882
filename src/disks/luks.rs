//! Encrypted volumes (LUKS2): those that are there are opened, others are made. They are closed again before the system starts,
//! which opens them itself: udev would not know a volume that was opened before it ran.

use super::clevis::{self, Binding};
use super::devices::Device;
use super::filesystems::{refuse_used, sync};
use super::place_of;
use super::probe::Probe;
use super::record::{Progress, Record, Volume};
use super::resolve::{resolve, resolve_now};
use super::tools::Tools;
use crate::config::Luks;
use crate::error::{Error, Problems, Reason, Result};
use crate::plan::Unlock;
use crate::source::{Source, Transport};

/// The most bytes of a key: cryptsetup reads no more from a key file.
const MOST_KEY: u64 = 8 << 20;
/// The modules that an encrypted volume needs. Those of ciphers come first, because dm-crypt needs them when it is loaded.
/// The kernel cannot load them itself at this place in the boot, because it looks for them in the initramfs.
const MODULES: [&str; 9] = [
    "crypto-aes",
    "crypto-xts",
    "crypto-ecb",
    "crypto-cbc",
    "crypto-sha256",
    "crypto-hmac",
    "algif_skcipher",
    "dm-mod",
    "dm-crypt",
];

/// What opens a volume.
pub struct Lock {
    /// The key of the config; `None` if the config has none. Then the volume gets a random key.
    key: Option<Vec<u8>>,
    /// How clevis opens it; `None` if it does not, and if an interrupted run has bound the volume.
    binding: Option<Binding>,
}

/// Encrypted volumes that are open. They are closed when this value is dropped.
pub struct Opened<'r> {
    tools: Tools<'r>,
    names: Vec<String>,
    /// The keys that volumes lose at the end, with the paths of their devices.
    to_remove: Vec<(String, Vec<u8>)>,
}

impl<'r> Opened<'r> {
    /// Returns the volumes of a config that has none.
    pub fn none(tools: Tools<'r>) -> Self {
        Self { tools, names: Vec::new(), to_remove: Vec::new() }
    }

    /// Returns the programs that open the volumes.
    pub fn tools(&self) -> Tools<'r> {
        self.tools
    }

    /// Opens all volumes of a config, in their order, and makes those that are not there. `locks` are those of [`locks`].
    ///
    /// # Errors
    /// [`Reason::Conflict`] for a device that holds something else, or is in use; those of finding the devices, of cryptsetup
    /// and of the record.
    pub fn bring_up(
        luks: &[Luks<'_>],
        locks: Vec<Lock>,
        record: &mut Record<'_>,
        tools: Tools<'r>,
    ) -> Result<(Self, Vec<Unlock>)> {
        let mut opened = Self::none(tools);
        let mut unlocks = Vec::new();
        if !luks.is_empty() {
            load_modules(tools);
        }
        for (index, (wanted, lock)) in luks.iter().zip(locks).enumerate() {
            let place = place_of("luks", index);
            let unlock = opened.one(wanted, &place, lock, record).map_err(|error| error.at(&place))?;
            unlocks.push(unlock);
        }
        Ok((opened, unlocks))
    }

    /// Opens the volumes that were recorded.
    ///
    /// # Errors
    /// Those of finding the devices, and of cryptsetup.
    pub fn again(volumes: &[Volume], tools: Tools<'r>) -> Result<Self> {
        let mut opened = Self::none(tools);
        if !volumes.is_empty() {
            load_modules(tools);
        }
        for Volume { device, name, key, loses_key } in volumes {
            let path = resolve(device, tools)?.path();
            if *loses_key && !has_key(&path, key, tools)? {
                // The machine stopped when the volume had lost its key.
                clevis::unlock(&path, name, tools)?;
                opened.names.push(name.clone());
                continue;
            }
            opened.open(&["luksOpen", &path, name, "--key-file", "-"], name, key)?;
            if *loses_key {
                opened.to_remove.push((path, key.clone()));
            }
        }
        Ok(opened)
    }

    fn one(
        &mut self,
        wanted: &Luks<'_>,
        place: &str,
        Lock { key, binding }: Lock,
        record: &mut Record<'_>,
    ) -> Result<Unlock> {
        let tools = self.tools;
        let name = wanted.device.as_deref().unwrap_or_default();
        let device = resolve(name, tools)?;
        let path = device.path();
        let has_key = key.is_some();
        let loses_key = !has_key && wanted.clevis.is_asked();
        let key = key.map_or_else(|| record.key(place), Ok)?;
        let is_made = match record.progress(place) {
            Some(Progress::Done) => true,
            Some(Progress::Begun(identity)) if *identity == device.identity => false,
            _ => is_there(wanted, &device, has_key, tools)?,
        };
        if !is_made {
            refuse_used(&device, place)?;
            record.begin(place, &device.identity)?;
            make(wanted, &path, &key, tools)?;
            if let Some(binding) = binding {
                binding.bind(&path, &key, tools)?;
            }
            sync(&device)?;
            record.finish(place)?;
        }
        let mut arguments = vec!["luksOpen", &path, &wanted.name, "--key-file", "-", "--persistent"];
        if wanted.discard == Some(true) {
            arguments.push("--allow-discards");
        }
        arguments.extend(wanted.open_options.iter().map(AsRef::as_ref));
        self.open(&arguments, &wanted.name, &key)?;
        let uuid = uuid_of(&path, tools)?;
        let name = wanted.name.to_string();
        record.keep_volume(Volume {
            device: wanted.device.as_deref().unwrap_or_default().to_owned(),
            name: name.clone(),
            key: key.clone(),
            loses_key,
        })?;
        if loses_key {
            self.to_remove.push((path, key.clone()));
        }
        let key = (!loses_key).then_some(key);
        Ok(Unlock { name, uuid, key, needs_network: wanted.clevis.opens_by_network() })
    }

    fn open(&mut self, arguments: &[&str], name: &str, key: &[u8]) -> Result<()> {
        log::info!("open the encrypted volume {name}");
        let mut command = vec!["cryptsetup"];
        command.extend_from_slice(arguments);
        let tools = self.tools;
        let what = format!("opening luks device {name}");
        tools.operation("createLuks: ", &what, &mut || tools.succeed_on(key, &command))?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Removes the keys that volumes lose, because clevis opens them from now on.
    ///
    /// # Errors
    /// Those of cryptsetup.
    pub fn remove_keys(&self) -> Result<()> {
        self.to_remove.iter().try_for_each(|(path, key)| remove_key(path, key, self.tools))
    }

    /// Closes the volumes, the last one first.
    ///
    /// # Errors
    /// That of the first that cannot be closed.
    pub fn close(mut self) -> Result<()> {
        self.close_all()
    }

    /// Leaves the volumes open.
    pub fn leave(mut self) {
        self.names.clear();
    }

    fn close_all(&mut self) -> Result<()> {
        let mut first = Ok(());
        while let Some(name) = self.names.pop() {
            first = first.and(self.tools.succeed(&["cryptsetup", "luksClose", &name]));
        }
        first
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.close_all() {
            log::warn!("{error}");
        }
    }
}

/// Removes the keys that the `volumes` of an interrupted run lose, without opening the volumes: clevis may need a network for
/// one that has lost its key already.
///
/// # Errors
/// Those of reading the devices, and of cryptsetup.
pub fn remove_keys_of(volumes: &[Volume], tools: Tools<'_>) -> Result<()> {
    if volumes.iter().any(|volume| volume.loses_key) {
        load_modules(tools);
    }
    for Volume { device, key, .. } in volumes.iter().filter(|volume| volume.loses_key) {
        match resolve_now(device, &|_| true, tools)? {
            Some(found) => remove_key(&found.path(), key, tools)?,
            None => log::warn!("the generated key of {device} stays there: the device is not here"),
        }
    }
    Ok(())
}

/// Removes the key of the volume at `path`, if the volume has it.
fn remove_key(path: &str, key: &[u8], tools: Tools<'_>) -> Result<()> {
    if !has_key(path, key, tools)? {
        return Ok(());
    }
    log::info!("remove the generated key of {path}: clevis opens it");
    let command = ["cryptsetup", "luksRemoveKey", "--batch-mode", "--key-file", "-", path];
    tools.succeed_on(key, &command)
}

/// Returns what the system needs to open the volumes of a config that stand already. `key_of` returns the key for a name.
///
/// # Errors
/// Those of `key_of`, of finding the devices and of cryptsetup.
pub fn unlocks_of(
    luks: &[Luks<'_>],
    key_of: &dyn Fn(&str) -> Result<Vec<u8>>,
    tools: Tools<'_>,
) -> Result<Vec<Unlock>> {
    let mut unlocks = Vec::new();
    for (index, wanted) in luks.iter().enumerate() {
        let unlock = || {
            let key = key_of(&wanted.name)?;
            let device = resolve(wanted.device.as_deref().unwrap_or_default(), tools)?;
            let uuid = uuid_of(&device.path(), tools)?;
            Ok(Unlock { name: wanted.name.to_string(), uuid, key: Some(key), needs_network: false })
        };
        unlocks.push(unlock().map_err(|error: Error| error.at(&place_of("luks", index)))?);
    }
    Ok(unlocks)
}

/// Returns the UUID in the header of the volume at `path`.
fn uuid_of(path: &str, tools: Tools<'_>) -> Result<String> {
    Ok(read(&["cryptsetup", "luksUUID", path], tools)?.trim().to_owned())
}

/// Checks the devices of volumes that are there already and that `stays` accepts: nothing changes them before the volumes are
/// made. `locks` are those of [`locks`].
///
/// # Errors
/// [`Reason::Conflict`] for devices that hold something else, or are in use, all at once; those of finding the devices and of
/// cryptsetup.
pub fn check(
    luks: &[Luks<'_>],
    locks: &[Lock],
    stays: &dyn Fn(&Device) -> bool,
    record: &Record<'_>,
    tools: Tools<'_>,
) -> Result<()> {
    let mut problems = Problems::default();
    for (index, (wanted, lock)) in luks.iter().zip(locks).enumerate() {
        let place = place_of("luks", index);
        if record.progress(&place).is_some() {
            continue;
        }
        let Some(device) = resolve_now(wanted.device.as_deref().unwrap_or_default(), stays, tools)? else {
            continue;
        };
        let checked = match is_there(wanted, &device, lock.key.is_some(), tools) {
            Ok(false) => refuse_used(&device, &place),
            there => there.map(drop),
        };
        problems.take(checked.map_err(|error| error.at(&place)));
    }
    problems.finish()
}

/// Returns what opens each volume: reads the key files, and lets clevis show for each volume that an interrupted run has not
/// made that it can bind it.
///
/// # Errors
/// Those of the sources, of the network and of clevis, all at once.
pub fn locks(
    luks: &[Luks<'_>],
    record: &Record<'_>,
    tools: Tools<'_>,
    transport: &dyn Transport,
) -> Result<Vec<Lock>> {
    let mut problems = Problems::default();
    let mut locks = Vec::new();
    clevis::load_modules(luks, tools);
    for (index, wanted) in luks.iter().enumerate() {
        let place = place_of("luks", index);
        let read = |source: Source<'_>| source.open()?.read_all(MOST_KEY);
        let key = Source::new(&wanted.key_file, &format!("{place}.keyFile"), transport)
            .and_then(|source| source.map(read).transpose());
        let key = problems.take(key).flatten();
        let binding = match record.progress(&place) {
            Some(Progress::Done) => Ok(None),
            _ => binding(wanted, &place, tools, transport),
        };
        locks.push(Lock { key, binding: problems.take(binding).flatten() });
    }
    problems.finish().map(|()| locks)
}

/// Returns how clevis binds the volume, and lets it show that it can.
fn binding(
    wanted: &Luks<'_>,
    place: &str,
    tools: Tools<'_>,
    transport: &dyn Transport,
) -> Result<Option<Binding>> {
    let Some(binding) = Binding::of(wanted, place, transport)? else { return Ok(None) };
    binding.check(tools).map_err(|error| error.at(&format!("{place}.clevis")))?;
    Ok(Some(binding))
}

/// Loads the modules. Some may be a part of the kernel; cryptsetup tells what is missing.
fn load_modules(tools: Tools<'_>) {
    for module in MODULES {
        super::filesystems::load_module(module, tools);
    }
}

/// Returns whether the volume that the config wants is there already. The rules are the reference's.
///
/// # Errors
/// [`Reason::Conflict`] if something else stands on the device, and the config does not say that it may be lost.
fn is_there(wanted: &Luks<'_>, device: &Device, has_key: bool, tools: Tools<'_>) -> Result<bool> {
    if wanted.wipe_volume == Some(true) {
        return Ok(false);
    }
    let path = device.path();
    let probe = Probe::of(device, tools)?;
    if probe.is_empty() {
        return Ok(false);
    }
    let is_luks = tools.run(&["cryptsetup", "isLuks", "--type", "luks2", &path])?.code == 0;
    let differs = if !is_luks || probe.is_ambiguous {
        Some("it is no LUKS2 volume")
    } else if wanted.clevis.is_asked() {
        Some("the config wants clevis to open it, which only a new volume can be made for")
    } else if !has_key {
        Some("the config has no keyFile that could open it")
    } else if wanted.label.as_deref().is_some_and(|label| label != probe.label) {
        Some("its label differs from the config's")
    } else if wanted.uuid.as_deref().is_some_and(|uuid| !uuid.eq_ignore_ascii_case(&probe.uuid)) {
        Some("its uuid differs from the config's")
    } else if allows_discards(&path, tools)? != (wanted.discard == Some(true)) {
        Some("it differs from the config in discard")
    } else {
        None
    };
    let Some(why) = differs else { return Ok(true) };
    let what = format!("{path} holds {}, which cannot be used: {why}", probe.word());
    Err(Error::new(Reason::Conflict, what).advise(
        "Set wipeVolume in the config if everything on this device may be lost. Otherwise name another device, or change \
         the config to what is there.",
    ))
}

/// Returns whether the header says that discards are passed on.
fn allows_discards(path: &str, tools: Tools<'_>) -> Result<bool> {
    let dump = read(&["cryptsetup", "luksDump", path], tools)?;
    Ok(dump.lines().any(|line| line.starts_with("Flags:") && line.contains("allow-discards")))
}

/// Returns what a program writes that must succeed.
fn read(arguments: &[&str], tools: Tools<'_>) -> Result<String> {
    let output = tools.run(arguments)?;
    if output.code == 0 { Ok(output.text) } else { Err(output.error(arguments)) }
}

/// Returns whether `key` opens the volume.
fn has_key(path: &str, key: &[u8], tools: Tools<'_>) -> Result<bool> {
    let command = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", path];
    let output = tools.run_on(key, &command)?;
    match output.code {
        0 => Ok(true),
        // No key slot has this key.
        2 => Ok(false),
        _ => Err(output.error(&command)),
    }
}

/// Makes the volume over whatever is on the device at `path`.
fn make(wanted: &Luks<'_>, path: &str, key: &[u8], tools: Tools<'_>) -> Result<()> {
    tools.succeed(&["wipefs", "--all", path])?;
    log::info!("encrypt {path}");
    let mut command = vec!["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--key-file", "-"];
    for (option, value) in [("--label", &wanted.label), ("--uuid", &wanted.uuid)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            command.extend([option, value]);
        }
    }
    command.extend(wanted.options.iter().map(AsRef::as_ref));
    command.push(path);
    let what = format!("creating {:?}", wanted.name);
    tools.operation("createLuks: ", &what, &mut || tools.succeed_on(key, &command))
}
