//! The boot loaders of a root: which ones there are, and what their files shall hold.

use std::path::{Path, PathBuf};

use super::{BOOT_PARTITIONS, BootFiles, Wanted, boot_partitions, entries, extlinux, grub, shell};
use crate::change::{FileKind, View};
use crate::error::{Error, Reason, Result};

/// The most bytes of a boot loader's file. A `grub.cfg` with twenty kernels has 40 KiB.
const MOST_BYTES: u64 = 256 << 10;
/// The most entries of systemd-boot that are read.
const MOST_ENTRIES: usize = 100;

const GRUB_CONFIG: &str = "/boot/grub/grub.cfg";
/// The program that writes `grub.cfg` anew, and the file of ours that it sources, after those of the image.
const GRUB_MKCONFIG: &str = "/usr/sbin/grub-mkconfig";
const GRUB_DROPIN: &str = "/etc/default/grub.d/99-glowplug.cfg";

const EXTLINUX_CONFIG: &str = "/boot/extlinux/extlinux.conf";
/// The same for `extlinux.conf`.
const U_BOOT_UPDATE: &str = "/usr/sbin/u-boot-update";
const U_BOOT_DROPIN: &str = "/etc/u-boot-menu/conf.d/99-glowplug.conf";

/// The file from which kernel-install takes the options of a new entry.
const KERNEL_CMDLINE: &str = "/etc/kernel/cmdline";

/// Where a boot loader would be set by hand.
const ADVICE: &str = "Set the kernel arguments where the kernel is started: in the boot loader, or at the host if the host starts \
                      the kernel (as QEMU's -append does). Or remove $.kernelArguments from the config. Then start again: \
                      nothing was written.";

/// What to do where the boot loader's files are on a file system that is not mounted.
const ADVICE_TO_MOUNT: &str = "Mount the file systems of /boot, /efi and /boot/efi in the root as its /etc/fstab says, then start \
                               again. At a first boot glowplug does that itself.";

/// A file that shall hold a new text.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Where. Links in the path are not resolved.
    pub path: PathBuf,
    /// What it shall hold.
    pub text: Vec<u8>,
    /// Whether the file is glowplug's own, so that nobody else may write it.
    pub is_own: bool,
}

/// Returns what the files of all boot loaders in the root must hold, so that the kernel gets what is `wanted`. A file that is
/// so already is left out. `view` follows the links in all paths.
///
/// # Errors
/// [`Reason::Unsupported`] if there is no boot loader that is known, or if its files are not here. [`Reason::ConfigInvalid`]
/// for a line that becomes too long. [`Reason::RootIo`] for a file that cannot be read or is too large.
pub fn changes(wanted: &Wanted<'_>, view: &dyn View) -> Result<Vec<Change>> {
    refuse_unmounted(view)?;
    let mut changes = Changes { list: Vec::new(), loaders: 0 };
    let failed = |path: &str| {
        let what = format!("{path} in the root starts no kernel that glowplug can give arguments to");
        Err(Error::new(Reason::Unsupported, what).advise(ADVICE))
    };
    if let Some(text) = read(view, Path::new(GRUB_CONFIG))? {
        let config = grub::read(&text, wanted).map_err(|error| error.at(&GRUB_CONFIG))?;
        if config.kernels == 0 {
            return failed(GRUB_CONFIG);
        }
        changes.add_own(view, GRUB_MKCONFIG, GRUB_DROPIN, shell::grub(wanted))?;
        changes.add(GRUB_CONFIG.into(), config.edited);
    }
    if let Some(text) = read(view, Path::new(EXTLINUX_CONFIG))? {
        let config = extlinux::read(&text, wanted).map_err(|error| error.at(&EXTLINUX_CONFIG))?;
        if config.kernels == 0 {
            return failed(EXTLINUX_CONFIG);
        }
        changes.add_own(view, U_BOOT_UPDATE, U_BOOT_DROPIN, shell::u_boot(wanted))?;
        changes.add_kernel_cmdline(view, wanted, None)?;
        changes.add(EXTLINUX_CONFIG.into(), config.edited);
    }
    let mut options = None;
    for (path, text) in boot_entries(view)? {
        options = options.or_else(|| Some(entries::options(&text)));
        let edited = entries::edit(&text, wanted).map_err(|error| error.at(&path.display()))?;
        changes.add(path, edited);
    }
    if let Some(options) = options {
        changes.add_kernel_cmdline(view, wanted, Some(options))?;
    }
    if changes.loaders == 0 {
        return Err(no_loader(view)?);
    }
    Ok(changes.list)
}

/// The changes so far.
struct Changes {
    list: Vec<Change>,
    /// How many files have been found from which a boot loader takes the arguments.
    loaders: usize,
}

impl Changes {
    /// Adds the file of a boot loader.
    fn add(&mut self, path: PathBuf, edited: Option<Vec<u8>>) {
        self.loaders = self.loaders.saturating_add(1);
        self.list.extend(edited.map(|text| Change { path, text, is_own: false }));
    }

    /// Adds the file at `path` with `text`, if the root has the `generator` that sources it.
    fn add_own(&mut self, view: &dyn View, generator: &str, path: &str, text: Vec<u8>) -> Result<()> {
        let has_generator = view.stat(Path::new(generator))?.is_some_and(|stat| stat.kind == FileKind::File);
        if has_generator && read(view, Path::new(path))?.as_ref() != Some(&text) {
            self.list.push(Change { path: path.into(), text, is_own: true });
        }
        Ok(())
    }

    /// Adds `/etc/kernel/cmdline`. If it is missing, it is made from the `options` of an entry.
    fn add_kernel_cmdline(
        &mut self,
        view: &dyn View,
        wanted: &Wanted<'_>,
        options: Option<Vec<u8>>,
    ) -> Result<()> {
        let path = Path::new(KERNEL_CMDLINE);
        if self.list.iter().any(|change| change.path == path) {
            return Ok(());
        }
        let present = read(view, path)?;
        let is_missing = present.is_none();
        let Some(line) = present.or(options) else { return Ok(()) };
        let edited = wanted.edit_line(&line).map_err(|error| error.at(&KERNEL_CMDLINE))?;
        let made = is_missing.then(|| [&line[..], b"\n"].concat());
        let text = edited.map(|line| if is_missing { [&line[..], b"\n"].concat() } else { line }).or(made);
        self.list.extend(text.map(|text| Change { path: path.to_owned(), text, is_own: false }));
        Ok(())
    }
}

/// Returns whether the root itself has a file of GRUB or extlinux. `view` follows the links in all paths.
///
/// # Errors
/// Those of the view.
pub fn is_found(view: &dyn View) -> Result<bool> {
    for path in [GRUB_CONFIG, EXTLINUX_CONFIG] {
        if view.stat(Path::new(path))?.is_some_and(|stat| stat.kind == FileKind::File) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the kernel of GRUB's first entry, if that is the default, and the kernel `release`, each with its initramfs. `view`
/// follows the links in all paths. Only kernels and initramfs images that are there are returned. Other boot loaders have just
/// started the kernel that is running.
///
/// # Errors
/// [`Reason::RootIo`] for a file that cannot be read or is too large.
pub fn boot_files(release: &str, view: &dyn View) -> Result<Vec<(PathBuf, Option<PathBuf>)>> {
    let mut entries = Vec::new();
    if let Some(text) = read(view, Path::new(GRUB_CONFIG))? {
        let config = grub::read(&text, &Wanted::default())?;
        entries.extend(config.first.filter(|_| !config.has_other_default));
    }
    entries.push(BootFiles {
        kernel: format!("/boot/vmlinuz-{release}"),
        initrd: Some(format!("/boot/initrd.img-{release}")),
    });
    let mut found = Vec::new();
    for BootFiles { kernel, initrd } in entries {
        let has_initrd = initrd.is_some();
        let initrd = initrd.map_or(Ok(None), |initrd| find(view, &initrd))?;
        if let Some(kernel) = find(view, &kernel)?.filter(|_| initrd.is_some() || !has_initrd) {
            found.push((kernel, initrd));
        }
    }
    Ok(found)
}

/// Returns the path of the root for the `path` of an entry. With a `/boot` or a subvolume of its own the entry counts from the
/// top of that one.
fn find(view: &dyn View, path: &str) -> Result<Option<PathBuf>> {
    let name = path.rsplit('/').next().unwrap_or_default();
    for place in [path, &["/boot/", name].concat()] {
        let is_path = place.starts_with('/') && !place.contains(['\0', '$']);
        if is_path && view.stat(Path::new(place))?.is_some_and(|stat| stat.kind == FileKind::File) {
            return Ok(Some(place.into()));
        }
    }
    Ok(None)
}

/// Returns the text of the regular file at `path`; `None` if there is none.
fn read(view: &dyn View, path: &Path) -> Result<Option<Vec<u8>>> {
    match view.stat(path)? {
        Some(stat) if stat.kind == FileKind::File => view.read(path, MOST_BYTES).map(Some),
        _ => Ok(None),
    }
}

/// Returns the entries of systemd-boot, each with its path.
fn boot_entries(view: &dyn View) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for partition in BOOT_PARTITIONS {
        let directory = Path::new(partition).join("loader/entries");
        for name in list(view, &directory)? {
            let path = directory.join(name);
            if path.extension().is_none_or(|extension| extension != "conf") {
                continue;
            }
            if found.len() >= MOST_ENTRIES {
                let what =
                    format!("{} in the root has more than {MOST_ENTRIES} entries", directory.display());
                return Err(Error::new(Reason::Unsupported, what).advise(ADVICE));
            }
            found.extend(read(view, &path)?.map(|text| (path, text)));
        }
    }
    found.retain(|(_, text)| entries::starts_kernel(text));
    Ok(found)
}

/// Returns the names in the directory at `path`; none if there is no directory.
fn list(view: &dyn View, path: &Path) -> Result<Vec<std::ffi::OsString>> {
    match view.stat(path)? {
        Some(stat) if stat.kind == FileKind::Directory => {
            Ok(view.list(path)?.into_iter().map(|entry| entry.name).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Refuses a root whose `/boot` is on a file system of its own that is not mounted here. What lies in the directory then is
/// not what the boot loader reads.
fn refuse_unmounted(view: &dyn View) -> Result<()> {
    let unmounted = boot_partitions::unmounted(view)?;
    if unmounted.iter().any(|partition| partition.path == "/boot") { Err(is_unmounted()) } else { Ok(()) }
}

fn is_unmounted() -> Error {
    let what = "/boot is on a file system of its own, which is not mounted in the root: the boot loader's files cannot be changed";
    Error::new(Reason::Unsupported, what).advise(ADVICE_TO_MOUNT)
}

/// Returns the error for a root without a boot loader that is known.
fn no_loader(view: &dyn View) -> Result<Error> {
    let boot = Path::new("/boot");
    let is_directory = view.stat(boot)?.is_some_and(|stat| stat.kind == FileKind::Directory);
    if is_directory && !boot_partitions::is_mounted("/boot", view)? && view.list(boot)?.is_empty() {
        return Ok(is_unmounted());
    }
    let mut has_image = false;
    for partition in BOOT_PARTITIONS {
        let images = list(view, &Path::new(partition).join("EFI/Linux"))?;
        has_image |= images.iter().any(|name| name.as_encoded_bytes().ends_with(b".efi"));
    }
    let what = if has_image {
        "the kernel arguments are inside a unified kernel image (UKI), which cannot be changed here"
    } else {
        "the root has no file of GRUB, systemd-boot or extlinux, in which kernel arguments could be changed"
    };
    let is_mounted = boot_partitions::unmounted(view)?.is_empty();
    Ok(Error::new(Reason::Unsupported, what).advise(if is_mounted { ADVICE } else { ADVICE_TO_MOUNT }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::memory::Memory;

    const LINE: &str = "linux /vmlinuz root=UUID=x ro quiet\ninitrd /initrd.img\n";

    fn planned(root: &Memory, wanted: &str) -> Result<Vec<(String, String)>> {
        let changes = changes(&Wanted::parse(wanted), root)?;
        let shown = |change: Change| {
            (change.path.to_str().unwrap().to_owned(), String::from_utf8(change.text).unwrap())
        };
        Ok(changes.into_iter().map(shown).collect())
    }

    fn paths(root: &Memory) -> Vec<String> {
        planned(root, "+a -quiet").unwrap().into_iter().map(|(path, _)| path).collect()
    }

    fn with(files: &[(&str, &str)]) -> Memory {
        let mut root = Memory::debian();
        for (path, text) in files {
            root.file(path, text);
        }
        root
    }

    #[test]
    fn grub_without_its_generator_has_one_file() {
        let root = with(&[(GRUB_CONFIG, LINE)]);
        let expected = LINE.replace("quiet", "a");
        assert_eq!(planned(&root, "+a -quiet").unwrap(), [(GRUB_CONFIG.to_owned(), expected)]);
        assert_eq!(planned(&root, "+quiet").unwrap(), []);
    }

    #[test]
    fn the_generators_get_a_file_as_well() {
        let mut root = with(&[(GRUB_CONFIG, LINE), (GRUB_MKCONFIG, "")]);
        assert_eq!(paths(&root), [GRUB_DROPIN, GRUB_CONFIG]);
        for (path, text) in planned(&root, "+a -quiet").unwrap() {
            root.file(&path, text);
        }
        assert_eq!(paths(&root), [""; 0], "a second time");
        let root = with(&[(EXTLINUX_CONFIG, "label l\nappend quiet\n"), (U_BOOT_UPDATE, "")]);
        assert_eq!(paths(&root), [U_BOOT_DROPIN, EXTLINUX_CONFIG]);
    }

    #[test]
    fn entries_of_systemd_boot_make_the_file_for_new_ones() {
        let entry = "linux /linux\noptions root=x quiet\n";
        let root = with(&[
            ("/efi/loader/entries/one.conf", entry),
            ("/efi/loader/entries/two.conf", "linux /linux\noptions a\n"),
            ("/efi/loader/entries/windows.conf", "efi /x\n"),
            ("/efi/loader/entries/note.txt", entry),
        ]);
        let planned = planned(&root, "+a -quiet").unwrap();
        let text = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        assert_eq!(
            planned,
            [
                text(
                    "/efi/loader/entries/one.conf",
                    "linux /linux\n#ptions root=x quiet\noptions root=x a\n"
                ),
                text(KERNEL_CMDLINE, "root=x a\n"),
            ]
        );
        let mut root = root;
        root.file(KERNEL_CMDLINE, "ro quiet\n");
        assert!(super::tests::planned(&root, "+a -quiet").unwrap().contains(&text(KERNEL_CMDLINE, "ro a\n")));
    }

    #[test]
    fn a_root_without_a_known_loader_is_refused_by_name() {
        let refused = |root: &Memory| {
            let error = planned(root, "+a").unwrap_err();
            assert_eq!(error.reason(), Reason::Unsupported);
            assert!(error.advice().contains("-append"), "{}", error.advice());
            error.text().to_owned()
        };
        assert!(refused(&with(&[])).contains("GRUB, systemd-boot or extlinux"));
        assert!(refused(&with(&[("/boot/efi/EFI/Linux/debian.efi", "")])).contains("(UKI)"));
        assert!(refused(&with(&[(GRUB_CONFIG, "configfile /x\n")])).starts_with(GRUB_CONFIG));
        assert!(refused(&with(&[(EXTLINUX_CONFIG, "label x\n")])).starts_with(EXTLINUX_CONFIG));
    }

    #[test]
    fn a_boot_partition_that_is_not_mounted_is_refused() {
        let mut empty = with(&[]);
        empty.directory("/boot", 0, 0, 0o755);
        let fstab = "UUID=x / ext4 defaults 0 1\n# /dev/x /boot ext4\nUUID=y  /boot ext4 defaults 0 2\n";
        let stale = with(&[("/etc/fstab", fstab), (GRUB_CONFIG, LINE)]);
        for root in [&empty, &stale] {
            let error = planned(root, "+a").unwrap_err();
            assert!(error.text().contains("not mounted"), "{error}");
        }
        let mut mounted = with(&[("/etc/fstab", fstab)]);
        mounted.next_device();
        mounted.file(GRUB_CONFIG, LINE);
        assert_eq!(paths(&mounted), [GRUB_CONFIG]);
        let own = fstab.replace("UUID=y  /boot ", "UUID=y /boot/efi ");
        assert_eq!(paths(&with(&[("/etc/fstab", &own), (GRUB_CONFIG, LINE)])), [GRUB_CONFIG]);
    }

    #[test]
    fn kernels_are_those_of_the_default_entry_then_the_running_one() {
        let mut root = with(&[
            (GRUB_CONFIG, "linux /@rootfs/boot/vmlinuz-2 ro\ninitrd /@rootfs/boot/initrd.img-2\n"),
            ("/boot/vmlinuz-2", ""),
            ("/boot/initrd.img-2", ""),
            ("/boot/vmlinuz-1", ""),
        ]);
        let found = |root: &Memory| boot_files("1", root).unwrap();
        let pair = |number| {
            (format!("/boot/vmlinuz-{number}").into(), Some(format!("/boot/initrd.img-{number}").into()))
        };
        assert_eq!(found(&root), [pair(2)]);
        root.file("/boot/initrd.img-1", "");
        assert_eq!(found(&root), [pair(2), pair(1)]);
        root.file(GRUB_CONFIG, "set default=1\nlinux /boot/vmlinuz-2 ro\ninitrd /boot/initrd.img-2\n");
        assert_eq!(found(&root), [pair(1)]);
        root.file(GRUB_CONFIG, "linux /boot/vmlinuz-1\n");
        assert_eq!(found(&root), [("/boot/vmlinuz-1".into(), None), pair(1)]);
    }
}
