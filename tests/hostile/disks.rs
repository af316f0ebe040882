//! Real file systems below the root. When one refuses a change, the program gives the reason and leaves the root as it
//! was.

use std::fs;
use std::path::Path;

use crate::manifest::{Tree, changes};
use crate::roots::{CONFIG, outcome, root};
use crate::sandbox::Sandbox;

/// Shell functions that put a file system of its own at a directory.
pub const SETUP: &str = "\
image() {
    disk=host/$(echo $1 | tr / -).disk
    truncate -s $2 $disk
    mkdir -p $1
}
ext4() { image $1 64M; mkfs.ext4 -q -F -m 0 $disk; attach $disk $1; }
xfs() { image $1 400M; mkfs.xfs -q $disk; attach $disk $1; }
btrfs() { image $1 256M; mkfs.btrfs -q $disk; attach $disk $1; }
attach() { mount -o loop$3 $1 $2; }
subvolume() { command btrfs -q subvolume create $1; }
overlay() {
    mkdir -p $1/upper $1/work lower
    mount -t overlay -o lowerdir=lower,upperdir=$1/upper,workdir=$1/work none root
}
";

/// Makes a root of Debian's files on the file systems that `script` mounts.
pub fn on(script: &str) -> Sandbox {
    on_with(script, &root(), "")
}

/// As [`on`], with the root `tree`. The script `then` runs afterwards.
pub fn on_with(script: &str, tree: &Tree, then: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.sh(&format!("{SETUP}{script}"));
    crate::disk::write(&sandbox.root(), tree).unwrap();
    sandbox.sh(&format!("{SETUP}{then}"));
    sandbox.add_devices();
    sandbox
}

/// Returns what an undisturbed run leaves, without the stamp and without what file systems themselves add.
pub fn provisioned(sandbox: &Sandbox) -> Tree {
    let mut tree = sandbox.tree();
    let ours = ["lost+found", ".ignition-result.json", "fill"];
    tree.retain(|path, _| !ours.iter().any(|name| path.ends_with(name)));
    tree
}

#[test]
fn a_root_on_every_file_system() {
    let plain = on("");
    assert_eq!(outcome(&plain, CONFIG).unwrap().0, "done");
    let wanted = provisioned(&plain);
    drop(plain);
    for script in [
        "ext4 root",
        "xfs root",
        "btrfs root",
        "overlay o",
        "ext4 o; overlay o",
        "ext4 root; ext4 root/var; xfs root/home",
        "xfs root; btrfs root/var; ext4 root/opt",
        "ext4 root; xfs root/home/ann; mkdir root/opt; mount -t tmpfs none root/opt",
        "btrfs o; subvolume o/@; subvolume o/home
         mount --bind o/@ root; mkdir root/home; mount --bind o/home root/home",
        "ext4 o; mkdir o/a; mount --bind o/a root; mkdir root/home o/b; mount --bind o/b root/home",
    ] {
        let sandbox = on(script);
        match outcome(&sandbox, CONFIG) {
            Ok((word, _)) if word == "done" => {}
            other => panic!("{script}: {other:?}"),
        }
        let tree = provisioned(&sandbox);
        assert!(tree == wanted, "{script}: {}", changes(&wanted, &tree));
    }
}

/// A mount point can neither be removed nor replaced, and no hard link leads out of a file system.
#[test]
fn mount_points_in_the_way() {
    let mut problems = Vec::new();
    for (name, script, then) in [
        ("/srv of its own, with a hard link to /etc/issue", "ext4 root; ext4 root/srv", ""),
        ("/opt/over of its own, to be emptied", "ext4 root; ext4 root/opt/over", ""),
        (
            "a mount in /opt/over, to be emptied",
            "ext4 root; mkdir -p root/opt/over; ext4 root/opt/over/in",
            "",
        ),
        ("/etc/passwd bound to itself", "ext4 root", "mount --bind root/etc/passwd root/etc/passwd"),
        (
            "/etc/shadow bound to a file outside",
            "ext4 root",
            "cp -p root/etc/shadow host/s; mount --bind host/s root/etc/shadow",
        ),
        (
            "/etc/motd, to be replaced, bound to itself",
            "ext4 root",
            "mount --bind root/etc/motd root/etc/motd",
        ),
        (
            "/etc/localtime, to be a link, is a mount point",
            "ext4 root",
            ": >root/etc/localtime; mount --bind root/etc/motd root/etc/localtime",
        ),
    ] {
        let sandbox = on_with(script, &root(), then);
        match outcome(&sandbox, CONFIG) {
            Ok((word, _)) if word != "done" => {}
            other => problems.push(format!("{name}: {other:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What cannot be written to is found before anything else is.
#[test]
fn what_is_read_only() {
    let mut problems = Vec::new();
    for (name, script, then) in [
        ("the disk", "ext4 root", "umount root; attach host/root.disk root ,ro"),
        ("the file system at /var", "ext4 root; ext4 root/var", "mount -o remount,ro root/var"),
        ("the file system at /home", "ext4 root; xfs root/home", "mount -o remount,ro root/home"),
        ("the mount at /home alone", "ext4 root; ext4 root/home", "mount -o remount,bind,ro root/home"),
        ("the file system at /etc", "ext4 root; ext4 root/etc", "mount -o remount,ro root/etc"),
        (
            "an overlay without an upper directory",
            "ext4 o; mkdir o/lower o/empty; mount --bind o/lower root",
            "mount -t overlay -o lowerdir=o/lower:o/empty none root",
        ),
        (
            "the btrfs subvolume",
            "btrfs o; subvolume o/@; mount --bind o/@ root",
            "command btrfs property set root ro true",
        ),
        ("/ is immutable", "ext4 root", "chattr +i root"),
        ("/etc is immutable", "ext4 root", "chattr +i root/etc"),
        ("/etc is append-only", "ext4 root", "chattr +a root/etc"),
        ("/etc/passwd is immutable", "ext4 root", "chattr +i root/etc/passwd"),
        ("/etc/passwd is append-only", "ext4 root", "chattr +a root/etc/passwd"),
        ("/etc/motd, to be replaced, is immutable", "ext4 root", "chattr +i root/etc/motd"),
        ("/etc/issue, to be changed, is immutable", "ext4 root", "chattr +i root/etc/issue"),
        ("/etc/issue, to be changed, is append-only", "ext4 root", "chattr +a root/etc/issue"),
        ("/etc/hosts, to be appended to, is append-only", "ext4 root", "chattr +a root/etc/hosts"),
        ("/etc/systemd/system is immutable", "ext4 root", "chattr +i root/etc/systemd/system"),
        (
            "/etc/systemd/system/multi-user.target.wants is immutable",
            "ext4 root",
            "chattr +i root/etc/systemd/system/multi-user.target.wants",
        ),
        ("/home is immutable", "ext4 root", "chattr +i root/home"),
        ("/home/ann/.ssh is immutable", "ext4 root", "chattr +i root/home/ann/.ssh"),
        ("/srv is immutable", "ext4 root", "chattr +i root/srv"),
        ("/opt/over, to be emptied, is immutable", "ext4 root", "chattr +i root/opt/over"),
        ("/opt/over, to be emptied, is append-only", "ext4 root", "chattr +a root/opt/over"),
        ("/opt/over/old, to be removed, is immutable", "ext4 root", "chattr +i root/opt/over/old"),
        ("/var/lib is immutable on xfs", "xfs root", "chattr +i root/var/lib"),
        ("/etc is immutable on btrfs", "btrfs root", "chattr +i root/etc"),
        ("/etc/passwd is immutable on btrfs", "btrfs root", "chattr +i root/etc/passwd"),
    ] {
        let sandbox = on_with(script, &root(), then);
        match outcome(&sandbox, CONFIG) {
            Ok((word, _)) if word == "read-only" => {}
            other => problems.push(format!("{name}: {other:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A read-only file system on which nothing has to change is no error, and stays read-only.
#[test]
fn what_may_be_read_only() {
    for (script, then) in [
        ("ext4 root", "mount -o remount,ro root"),
        ("xfs root", "mount -o remount,ro root"),
        ("btrfs root", "mount -o remount,ro root"),
        (
            "ext4 root",
            "chattr +i root/usr root/root root/etc/default/useradd root/etc/skel root/etc/login.defs",
        ),
        ("ext4 root; ext4 root/usr", "mount -o remount,ro root/usr"),
    ] {
        let sandbox = on_with(script, &root(), then);
        let flags = |sandbox: &Sandbox| rustix::fs::statvfs(sandbox.root()).unwrap().f_flag;
        let before = flags(&sandbox);
        assert_eq!(
            outcome(&sandbox, CONFIG).map(|(word, _)| word).as_deref(),
            Ok("done"),
            "{script}; {then}"
        );
        assert_eq!(flags(&sandbox), before, "{script}; {then}");
    }
}

/// btrfs knows that a block of a file is damaged, and reading it fails with EIO.
#[test]
fn what_cannot_be_read() {
    for (file, reason) in [
        ("etc/passwd", "root-io"),
        ("etc/group", "root-io"),
        ("etc/shadow", "root-io"),
        ("etc/subuid", "root-io"),
        ("etc/login.defs", "root-io"),
        ("etc/default/useradd", "root-io"),
        ("etc/hosts", "root-io"),
        ("etc/skel/.profile", "root-io"),
        ("usr/lib/systemd/system/b.service", "root-io"),
        ("etc/motd", "done"),
    ] {
        let mut sandbox = Sandbox::new();
        sandbox.sh(&format!("{SETUP}btrfs root"));
        crate::disk::write(&sandbox.root(), &root()).unwrap();
        // btrfs keeps short files in the metadata, of which there are two copies.
        let path = sandbox.root().join(file);
        let text = fs::read(&path).unwrap();
        let text = [text, format!("# {}\n", "m".repeat(8000)).into_bytes()].concat();
        fs::write(&path, &text).unwrap();
        sandbox.sh("umount root");
        damage(&sandbox.host("root.disk"), &text);
        sandbox.sh(&format!("{SETUP}attach host/root.disk root"));
        assert_eq!(fs::read(&path).unwrap_err().raw_os_error(), Some(libc::EIO));
        sandbox.add_devices();
        let (word, done) = outcome(&sandbox, CONFIG).unwrap();
        assert_eq!(word, reason, "{file}: {done:?}");
        if reason != "done" {
            let told = format!("/{file} in the root: input/output error");
            assert!(done.said.contains(&told), "{done:?}");
        }
    }
}

/// An overlay cannot rename a directory that comes from a lower layer, so a home there is copied.
#[test]
fn a_home_of_a_lower_layer_moves() {
    let below = "mkdir -p lower/home/ann; echo below >lower/home/ann/below; chown -R 1000:1000 lower/home/ann; overlay o";
    let sandbox = on(below);
    let config =
        r#"{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"ann","homeDir":"/home/moved"}]}}"#;
    let (word, done) = outcome(&sandbox, config).unwrap();
    assert_eq!(word, "done", "{done:?}");
    let tree = provisioned(&sandbox);
    assert!(tree.contains_key(Path::new("/home/moved/below")) && !tree.contains_key(Path::new("/home/ann")));
}

/// Nothing can be renamed into a directory whose files belong to another quota project. That is found before the commit.
#[test]
fn a_directory_of_another_quota_project() {
    let config = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/srv/new","contents":{"source":"data:,x"}}]}}"#;
    for (flags, wanted) in [("-p 42 +P", "unsupported"), ("-p 42", "done")] {
        let sandbox = on_with("xfs root", &root(), &format!("mkdir -p root/srv; chattr {flags} root/srv"));
        let (word, done) = outcome(&sandbox, config).unwrap();
        assert_eq!(word, wanted, "{done:?}");
        assert_eq!(done.said.contains("the quota project 42"), wanted != "done", "{done:?}");
    }
}

/// Changes a byte of the block of `image` that begins with `text`.
fn damage(image: &Path, text: &[u8]) {
    let mut bytes = fs::read(image).unwrap();
    let found = (0..bytes.len()).step_by(4096).find(|at| bytes[*at..].starts_with(&text[..4096]));
    bytes[found.unwrap() + 4000] = b'x';
    fs::write(image, bytes).unwrap();
}
