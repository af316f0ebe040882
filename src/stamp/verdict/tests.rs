use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::*;
use crate::stamp::Details;
use crate::testing::TempDir;

/// A root with an empty file in the place of its stamp.
struct Scratch(TempDir);

impl Scratch {
    fn new(name: &str) -> Self {
        let root = TempDir::new(&format!("stamp-{name}"));
        fs::create_dir(root.join("etc")).unwrap();
        File::create(root.join("etc/.ignition-result.json")).unwrap();
        Self(root)
    }

    fn path(&self) -> PathBuf {
        self.0.join("etc/.ignition-result.json")
    }

    /// The stamp in place, so that inode and birth time stay.
    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path(), text).unwrap();
    }

    fn is_on_overlay(&self) -> bool {
        fstatfs(File::open(self.path()).unwrap()).unwrap().f_type == OVERLAYFS
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity::of(File::open(self.path()).unwrap()).unwrap()
    }

    /// The verdict in a word, or the fault.
    fn judged(&self) -> Result<&'static str, StampFault> {
        judge(File::open(self.0.path()).unwrap(), &mut [0; LIMIT]).map(|verdict| match verdict {
            StampVerdict::Missing => "missing",
            StampVerdict::Ours(_) => "ours",
            StampVerdict::Reference(_) => "reference",
        })
    }
}

fn stamp(file: FileIdentity) -> String {
    let details = Details {
        version: "1",
        platform: "applehv",
        spec_version: "3.2.0",
        config_sha512: "00",
        kernel_arguments: "",
        adopted: None,
        inode: file.inode,
        born: file.born,
    };
    Stamp { boot_id: "b", date: "d", user_config_provided: true, glowplug: Some(details) }.to_text()
}

fn reference(boot_id: &str) -> String {
    format!(r#"{{"provisioningBootID":"{boot_id}","provisioningDate":"d","userConfigProvided":true}}"#)
}

#[test]
fn a_stamp_is_of_the_file_that_it_names() {
    let root = Scratch::new("ours");
    let file = root.identity();
    root.write(stamp(file));
    assert_eq!(root.judged(), Ok("ours"));
    root.write(stamp(FileIdentity { born: (0, 0), ..file }));
    assert_eq!(root.judged(), Ok("ours"), "an unknown birth time");
    // On an overlay, the number or the birth time is enough. Debian's builders often have their folders there.
    let half = || if root.is_on_overlay() { Ok("ours") } else { Err(StampFault::Copied) };
    for (other, expected) in [
        (FileIdentity { inode: file.inode + 1, ..file }, half()),
        (FileIdentity { inode: file.inode + 1, born: (0, 0) }, Err(StampFault::Copied)),
        (FileIdentity { born: (file.born.0 - 1, 0), ..file }, half()),
    ] {
        root.write(stamp(other));
        assert_eq!(root.judged(), expected, "{other:?}");
    }
    root.write(stamp(file));
    let copy = root.0.join("copy");
    fs::copy(root.path(), &copy).unwrap();
    fs::rename(copy, root.path()).unwrap();
    assert_eq!(root.judged(), Err(StampFault::Copied));
}

#[test]
fn a_stamp_of_the_reference_is_trusted_in_its_own_boot_only() {
    let root = Scratch::new("reference");
    root.write(reference(&boot_id().unwrap()));
    assert_eq!(root.judged(), Ok("reference"));
    for other in ["b", "", "2e2a9c1c-0000-4000-8000-000000000000"] {
        root.write(reference(other));
        assert_eq!(root.judged(), Err(StampFault::ReferenceOfAnotherBoot), "{other}");
    }
}

#[test]
fn what_is_no_stamp_is_broken() {
    let root = Scratch::new("broken");
    for text in ["", "{}", "[", "Ready", "{\"provisioningBootID\":1}"] {
        root.write(text);
        assert_eq!(root.judged(), Err(StampFault::Broken), "{text}");
    }
    root.write(" ".repeat(LIMIT));
    assert_eq!(root.judged(), Err(StampFault::Unreadable(STAMP, Errno::FBIG)));
    let replace = |put: &dyn Fn(&Path)| {
        fs::remove_file(root.path()).unwrap();
        put(&root.path());
        root.judged()
    };
    fs::write(root.0.join("elsewhere"), reference(&boot_id().unwrap())).unwrap();
    let link = |at: &Path| std::os::unix::fs::symlink("/elsewhere", at).unwrap();
    assert_eq!(replace(&link), Err(StampFault::Broken));
    let fifo = |at: &Path| {
        rustix::fs::mknodat(rustix::fs::CWD, at, FileType::Fifo, Mode::RUSR, 0).unwrap();
    };
    assert_eq!(replace(&fifo), Err(StampFault::Broken));
    assert_eq!(replace(&|at| fs::create_dir(at).unwrap()), Err(StampFault::Broken));
}

#[test]
fn where_nothing_can_stand_there_is_no_stamp() {
    let root = Scratch::new("missing");
    fs::remove_file(root.path()).unwrap();
    assert_eq!(root.judged(), Ok("missing"));
    fs::remove_dir(root.0.join("etc")).unwrap();
    assert_eq!(root.judged(), Ok("missing"));
    fs::write(root.0.join("etc"), "").unwrap();
    assert_eq!(root.judged(), Ok("missing"));
}

#[test]
fn only_the_own_root_is_the_own_root() {
    let scratch = Scratch::new("own-root");
    assert!(is_own_root(File::open("/").unwrap().as_fd()).unwrap());
    assert!(!is_own_root(File::open(scratch.0.path()).unwrap().as_fd()).unwrap());
}
