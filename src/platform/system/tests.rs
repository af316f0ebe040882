//! System configs in temporary directories.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::testing::TempDir;

/// Three directories in order of priority, none of which exists yet.
struct Directories {
    base: TempDir,
    all: Vec<PathBuf>,
}

impl Directories {
    fn new() -> Self {
        let base = TempDir::new("system");
        let all = ["run", "etc", "usr"].map(|name| base.join(name)).to_vec();
        Self { base, all }
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.base.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

fn texts(found: &[SystemConfig]) -> Vec<&str> {
    found.iter().map(|found| std::str::from_utf8(&found.text).unwrap()).collect()
}

#[test]
fn the_highest_user_config_wins() {
    let at = Directories::new();
    assert_eq!(user_config_in(&at.all), Ok(None));
    let low = at.write("usr/user.ign", "low");
    assert_eq!(user_config_in(&at.all).unwrap(), Some(SystemConfig { path: low, text: b"low".to_vec() }));
    at.write("etc/user.ign", "");
    assert_eq!(user_config_in(&at.all).unwrap().unwrap().text, b"");
    fs::create_dir_all(at.base.join("run")).unwrap();
    symlink(at.write("elsewhere", "high"), at.base.join("run/user.ign")).unwrap();
    let found = user_config_in(&at.all).unwrap().unwrap();
    assert_eq!((found.path, found.text), (at.base.join("run/user.ign"), b"high".to_vec()));
}

#[test]
fn a_user_config_that_cannot_be_read_hides_no_lower_one() {
    let at = Directories::new();
    at.write("usr/user.ign", "low");
    fs::create_dir_all(at.base.join("run/user.ign")).unwrap();
    let error = user_config_in(&at.all).unwrap_err();
    assert_eq!(error.reason(), Reason::System);
    assert!(error.text().contains("run/user.ign: is a directory"), "{error}");
}

#[test]
fn fragments_are_merged_by_name_from_all_directories() {
    let at = Directories::new();
    assert_eq!(base_configs_in(&at.all, None), Ok(BaseConfigs { common: vec![], platform: vec![] }));
    at.write("usr/base.d/10-b.ign", "usr 10");
    at.write("usr/base.d/20", "usr 20");
    at.write("etc/base.d/20", "etc 20");
    at.write("run/base.d/20", "run 20");
    at.write("run/base.d/.hidden", "hidden");
    at.write("etc/base.d/05.conf~", "etc 05");
    at.write("usr/base.platform.d/qemu/x", "of qemu");
    at.write("usr/base.platform.d/metal/x", "of metal");
    let configs = base_configs_in(&at.all, Platform::named("qemu").ok()).unwrap();
    assert_eq!(texts(&configs.common), ["hidden", "etc 05", "usr 10", "run 20"]);
    assert_eq!(texts(&configs.platform), ["of qemu"]);
    assert_eq!(configs.common[3].path, at.base.join("run/base.d/20"));
    assert_eq!(texts(&base_configs_in(&at.all, None).unwrap().platform), [""; 0]);
}

#[test]
fn what_cannot_be_read_is_an_error_in_base_d_only() {
    let makers: [fn(&Path) -> io::Result<()>; 2] =
        [|path| fs::create_dir_all(path), |path| symlink("nowhere", path)];
    for make in makers {
        let at = Directories::new();
        at.write("usr/base.d/10", "10");
        at.write("usr/base.platform.d/qemu/10", "of qemu");
        make(&at.base.join("usr/base.platform.d/qemu/20")).unwrap();
        let configs = base_configs_in(&at.all, Platform::named("qemu").ok()).unwrap();
        assert_eq!((texts(&configs.common), configs.platform), (vec!["10"], vec![]));
        make(&at.base.join("usr/base.d/20")).unwrap();
        let error = base_configs_in(&at.all, None).unwrap_err();
        assert_eq!(error.reason(), Reason::System);
        assert!(error.text().contains("usr/base.d/20"), "{error}");
    }
    let at = Directories::new();
    at.write("etc/base.d", "a file");
    assert_eq!(base_configs_in(&at.all, None).unwrap_err().reason(), Reason::System);
}

#[test]
fn the_number_of_fragments_is_bounded() {
    let at = Directories::new();
    for number in 0..MOST_CONFIGS {
        at.write(&format!("usr/base.d/{number}"), "");
    }
    assert_eq!(base_configs_in(&at.all, None).unwrap().common.len(), MOST_CONFIGS);
    at.write("usr/base.d/one-more", "");
    assert_eq!(base_configs_in(&at.all, None).unwrap_err().reason(), Reason::BadAnswer);
}
