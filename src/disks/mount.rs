//! Mounting what the files of a config are written to, and taking it down again before the system starts: it mounts its file
//! systems itself.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::filesystems::load_module;
use super::plan::Format;
use super::record::Mount;
use super::resolve::resolve;
use super::step;
use super::tools::Tools;
use crate::config::Storage;
use crate::error::{Error, Reason, Result, errno_words};
use crate::root::Root;

/// Returns the mounts that the files of a config need, from the top of the tree down.
pub fn mounts_of(storage: &Storage<'_>) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for filesystem in &storage.filesystems {
        let Some(format) = Format::of(filesystem) else { continue };
        let path = filesystem.path.as_deref().unwrap_or_default();
        // The root is mounted already.
        if matches!(format, Format::Swap | Format::None) || path.trim_matches('/').is_empty() {
            continue;
        }
        mounts.push(Mount {
            device: filesystem.device.to_string(),
            format: format.name().to_owned(),
            options: filesystem.mount_options.join(","),
            path: path.to_owned(),
        });
    }
    let depth = |mount: &Mount| Path::new(&mount.path).components().count();
    crate::sort::sort(&mut mounts, &|one, other| depth(one).cmp(&depth(other)));
    mounts
}

/// File systems that are mounted below the root. They are taken down when this value is dropped.
pub struct Mounted<'r> {
    root: &'r Root,
    places: Vec<PathBuf>,
}

/// Notes a directory that is about to be made for a mount, by its path in the root.
pub type NoteDirectory<'n> = &'n mut dyn FnMut(&Path) -> Result<()>;

impl<'r> Mounted<'r> {
    /// Returns the mounts of a config that needs none.
    pub fn none(root: &'r Root) -> Self {
        Self { root, places: Vec::new() }
    }

    /// Mounts `mounts` in their order below `root`. Calls `note` before it makes a directory for a mount.
    ///
    /// # Errors
    /// [`Reason::Disk`] for a device that is missing or cannot be mounted, and those of the root and of `note`. What was mounted
    /// is taken down again.
    pub fn mount(
        mounts: &[Mount],
        root: &'r Root,
        tools: Tools<'_>,
        note: NoteDirectory<'_>,
    ) -> Result<Self> {
        let mut mounted = Self::none(root);
        for wanted in mounts {
            mounted.add(wanted, tools, note)?;
        }
        Ok(mounted)
    }

    /// Mounts one more, as [`Mounted::mount`] does.
    ///
    /// # Errors
    /// As for [`Mounted::mount`].
    pub(super) fn add(&mut self, wanted: &Mount, tools: Tools<'_>, note: NoteDirectory<'_>) -> Result<()> {
        let Mount { device, format, options, path } = wanted;
        let (device, what) = if format == Format::Virtiofs.name() {
            (device.clone(), format!("the share {device}"))
        } else {
            let device = resolve(device, tools)?.path();
            let what = device.clone();
            (device, what)
        };
        load_module(format, tools);
        for directory in self.root.missing_directories(Path::new(path))? {
            note(&directory)?;
        }
        let place = self.root.mount_point(Path::new(path))?;
        self.root.forget_looked_into();
        let (flags, data) = parsed(options);
        let data = CString::new(data).map_err(|_| Error::system("mount", Errno::INVAL))?;
        let shown = place.to_string_lossy();
        let told = format!("mounting {device:?} at {shown:?} with type {format:?} and options {options:?}");
        tools.operation("", &told, &mut || {
            step();
            mount(&*device, &place, &**format, flags, data.as_c_str()).map_err(|errno| {
                let words = errno_words(errno);
                Error::new(Reason::Disk, format!("mount {what} as {format} at {path}: {words}")).advise(
                    "Check the format and the mountOptions of this file system in the config, and that the kernel of the image \
                     has the file system's module.",
                )
            })
        })?;
        self.places.push(place);
        Ok(())
    }

    /// Leaves the mounts.
    pub fn leave(mut self) {
        self.places.clear();
    }

    /// Takes the mounts down, the last one first.
    ///
    /// # Errors
    /// [`Reason::Disk`] for the first that cannot be taken down.
    pub fn take_down(mut self) -> Result<()> {
        self.unmount_all()
    }

    fn unmount_all(&mut self) -> Result<()> {
        // The open directory would keep its file system busy.
        self.root.forget_looked_into();
        let mut first = Ok(());
        while let Some(place) = self.places.pop() {
            first = first.and(take_down(&place));
        }
        first
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.unmount_all() {
            log::warn!("{error}");
        }
    }
}

/// Takes `mounts`, which an earlier stage has made, down below the root of `tools`: the last one first.
///
/// # Errors
/// [`Reason::Disk`] for the first that cannot be taken down, and those of the root. The others stay.
pub fn unmount_all(mounts: &[Mount], tools: Tools<'_>) -> Result<()> {
    for Mount { path, .. } in mounts.iter().rev() {
        let place = tools.root().mounted_at(Path::new(path))?;
        tools
            .operation("", &format!("umounting {:?}", place.to_string_lossy()), &mut || take_down(&place))?;
    }
    Ok(())
}

fn take_down(place: &Path) -> Result<()> {
    step();
    unmount(place, UnmountFlags::NOFOLLOW).map_err(|errno| {
        Error::new(Reason::Disk, format!("unmount {}: {}", place.display(), errno_words(errno)))
    })
}

/// Options that mount(8) knows and the kernel does not: they are for programs that read `/etc/fstab`.
const FOR_PROGRAMS: [&str; 10] =
    ["defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev"];
/// How such options begin that have a value or a name of their own.
const FOR_PROGRAMS_BEGIN: [&str; 3] = ["x-", "X-", "comment="];

/// Splits mount options as mount(8) does: into the flags of mount(2), and the rest for the file system. A later option takes
/// an earlier one back, as `dev` does `nodev`.
fn parsed(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data: Vec<&str> = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let set = [
            ("ro", MountFlags::RDONLY),
            ("nosuid", MountFlags::NOSUID),
            ("nodev", MountFlags::NODEV),
            ("noexec", MountFlags::NOEXEC),
            ("sync", MountFlags::SYNCHRONOUS),
            ("dirsync", MountFlags::DIRSYNC),
            ("noatime", MountFlags::NOATIME),
            ("nodiratime", MountFlags::NODIRATIME),
            ("relatime", MountFlags::RELATIME),
            ("strictatime", MountFlags::STRICTATIME),
            ("lazytime", MountFlags::LAZYTIME),
        ];
        let cleared = [
            ("rw", MountFlags::RDONLY),
            ("suid", MountFlags::NOSUID),
            ("dev", MountFlags::NODEV),
            ("exec", MountFlags::NOEXEC),
            ("async", MountFlags::SYNCHRONOUS),
            ("atime", MountFlags::NOATIME),
            ("diratime", MountFlags::NODIRATIME),
            ("norelatime", MountFlags::RELATIME),
            ("nostrictatime", MountFlags::STRICTATIME),
            ("nolazytime", MountFlags::LAZYTIME),
        ];
        let flag_in = |table: &[(&str, MountFlags)]| {
            table.iter().find(|(name, _)| *name == option).map(|(_, flag)| *flag)
        };
        if let Some(flag) = flag_in(&set) {
            flags.insert(flag);
        } else if let Some(flag) = flag_in(&cleared) {
            flags.remove(flag);
        } else if !FOR_PROGRAMS.contains(&option)
            && !FOR_PROGRAMS_BEGIN.iter().any(|begin| option.starts_with(begin))
        {
            data.push(option);
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_as_mount_does() {
        let flags = MountFlags::NOATIME | MountFlags::NODEV;
        assert_eq!(
            parsed(
                "defaults,noatime,ro,subvol=@a,nodev,x-systemd.growfs,rw,nofail,users,comment=a,compress=zstd"
            ),
            (flags, "subvol=@a,compress=zstd".to_owned())
        );
        assert_eq!(parsed(""), (MountFlags::empty(), String::new()));
    }

    #[test]
    fn mounts_go_from_the_top_of_the_tree_down() {
        let text = r#"{"ignition":{"version":"3.4.0"},"storage":{"filesystems":[
            {"device":"/dev/c","format":"xfs","path":"/var/lib/a"},
            {"device":"/dev/a","format":"ext4","path":"/var","mountOptions":["ro","noatime"]},
            {"device":"/dev/s","format":"swap"},{"device":"/dev/n","format":"none"},
            {"device":"/dev/r","format":"ext4","path":"/"}]}}"#;
        let parsed = crate::config::parse(text.as_bytes(), &mut crate::config::Report::default()).unwrap();
        let mounts = mounts_of(&parsed.config.storage);
        let told: Vec<String> =
            mounts.iter().map(|mount| format!("{} {} {}", mount.device, mount.path, mount.options)).collect();
        assert_eq!(told, ["/dev/a /var ro,noatime", "/dev/c /var/lib/a "]);
    }
}
