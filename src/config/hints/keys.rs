//! Hints for keys that an object does not have: other spellings, newer versions, and keys of other languages.

use super::super::schema::{Field, Object, Shape};
use crate::go::same_key;

/// Keys of other languages and common slips. Each row has the name of the object's type (empty for any), the key in
/// lower case without `_` and `-`, and the hint.
const KNOWN: &[(&str, &str, &str)] = &[
    ("Config", "variant", "this is a Butane config: translate it with the program butane first"),
    (
        "Config",
        "networkd",
        "this key is of spec 2: write files below /etc/systemd/network with storage.files",
    ),
    ("Config", "kind", "this is a manifest of Kubernetes: glowplug takes the Ignition config inside it"),
    (
        "Config",
        "apiversion",
        "this is a manifest of Kubernetes: glowplug takes the Ignition config inside it",
    ),
    ("Config", "ignitionversion", "this key is of spec 1: write \"ignition\": {\"version\": \"3.6.0\"}"),
    ("Config", "bootdevice", BUTANE),
    ("Config", "grub", BUTANE),
    ("Config", "metadata", BUTANE),
    ("Config", "openshift", BUTANE),
    ("IgnitionConfig", "append", "this key is of spec 2: is merge meant?"),
    ("Resource", "inline", "this key is Butane's: write the text as a data URL, \"source\": \"data:,text\""),
    (
        "Resource",
        "local",
        "this key is Butane's: write the file's text as a data URL, \"source\": \"data:,text\"",
    ),
    ("Resource", "remote", "this key is of Container Linux: write its url as the source"),
    ("Resource", "url", "is source meant?"),
    ("Resource", "hash", "is verification.hash meant?"),
    ("Storage", "trees", "this key is Butane's: write every file of the tree to storage.files"),
    ("Storage", "arrays", "is raid meant?"),
    ("Storage", "symlinks", "is links meant?"),
    ("Filesystem", "withmountunit", "this key is Butane's: write the mount unit to systemd.units"),
    ("Filesystem", "mount", "this key is of spec 2: write its fields into the file system itself"),
    ("Unit", "contentslocal", "this key is Butane's: write the unit's text to contents"),
    ("Dropin", "contentslocal", "this key is Butane's: write the drop-in's text to contents"),
    ("Unit", "enable", "is enabled meant?"),
    ("Unit", "masked", "is mask meant?"),
    ("PasswdUser", "sshauthorizedkeyslocal", "this key is Butane's: write the keys to sshAuthorizedKeys"),
    ("PasswdUser", "sshkeys", "is sshAuthorizedKeys meant?"),
    ("PasswdUser", "authorizedkeys", "is sshAuthorizedKeys meant?"),
    ("PasswdUser", "sshauthorizedkey", "is sshAuthorizedKeys meant?"),
    ("PasswdUser", "sshpublickeys", "is sshAuthorizedKeys meant?"),
    ("PasswdUser", "password", PASSWORD),
    ("PasswdUser", "passwd", PASSWORD),
    ("PasswdUser", "hashedpasswd", PASSWORD),
    ("PasswdUser", "create", "this key is of spec 2: write its fields into the user itself"),
    ("PasswdUser", "home", "is homeDir meant?"),
    ("PasswdUser", "homedirectory", "is homeDir meant?"),
    ("PasswdUser", "sudo", "add the group sudo to groups, or write a file below /etc/sudoers.d"),
    ("PasswdGroup", "password", PASSWORD),
    ("PasswdGroup", "id", "is gid meant?"),
    ("PasswdUser", "id", "is uid meant?"),
    ("PasswdGroup", "members", "list the group in the groups of each user"),
    ("File", "filesystem", "this key is of spec 2: remove it, because paths count from the root"),
    ("Directory", "filesystem", "this key is of spec 2: remove it, because paths count from the root"),
    ("Link", "filesystem", "this key is of spec 2: remove it, because paths count from the root"),
    ("Link", "source", "is target meant?"),
    ("", "permissions", "is mode meant?"),
    ("", "owner", "is user.name meant?"),
    ("", "uid", "is user.id meant?"),
    ("", "gid", "is group.id meant?"),
];

const BUTANE: &str = "this key is Butane's: translate the config with the program butane first";
const PASSWORD: &str = "is passwordHash meant? It takes a hash, which mkpasswd or openssl passwd -6 makes";

/// Returns the hint for `key`, which `object` of 3.`minor` does not have or spells otherwise; `None` if no key is like
/// it.
pub(in super::super) fn for_unused_key(key: &str, object: &dyn Object<'_>, minor: u8) -> Option<String> {
    let fields = object.fields();
    let joined: String = key.chars().filter(|c| !matches!(c, '_' | '-')).collect();
    if let Some(field) = fields.iter().find(|field| same_key(field.key, &joined)) {
        return Some(if field.since > minor {
            let key = if field.key == key { "the key" } else { field.key };
            format!("{key} exists from 3.{}.0 on: raise ignition.version", field.since)
        } else if same_key(field.key, key) {
            format!("the key is accepted, but its correct spelling is {}", field.key)
        } else {
            meant(field.key)
        });
    }
    let is_this = |(of, known, _): &&(&str, &str, &str)| {
        (of.is_empty() || *of == object.name()) && joined.eq_ignore_ascii_case(known)
    };
    if let Some((_, _, hint)) = KNOWN.iter().find(is_this) {
        return Some((*hint).to_owned());
    }
    let near = fields.iter().filter(|field| field.since <= minor && is_near(&joined, field.key));
    near.into_iter().next().map(|field| meant(field.key)).or_else(|| one_level_up(&joined, object, minor))
}

/// Returns the hint for a key that belongs into one of the objects that `object` holds: for `files` at the top level it
/// names `storage.files`.
fn one_level_up(key: &str, object: &dyn Object<'_>, minor: u8) -> Option<String> {
    if !matches!(object.name(), "Config" | "File" | "Ignition") {
        return None;
    }
    for (index, field) in object.fields().iter().enumerate().filter(|(_, field)| field.since <= minor) {
        let Shape::Object(inner) = object.field(index) else { continue };
        let known = |inner: &&Field| inner.since <= minor && same_key(inner.key, key);
        if let Some(inner) = inner.fields().iter().find(known) {
            return Some(meant(&format!("{}.{}", field.key, inner.key)));
        }
    }
    None
}

fn meant(key: &str) -> String {
    format!("is {key} meant?")
}

/// Returns whether the two differ in one letter that is added, missing or wrong, or in two that are swapped. Case does
/// not count.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = one.iter().zip(other).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let (Some(one), Some(other)) = (one.get(same..), other.get(same..)) else { return false };
    let after = |text: &[u8]| text.get(1..).map(<[u8]>::to_ascii_lowercase);
    let swapped = |text: &[u8]| match text {
        [a, b, rest @ ..] => [&[*b, *a], rest].concat().to_ascii_lowercase(),
        _ => Vec::new(),
    };
    after(one).is_some_and(|rest| rest == other.to_ascii_lowercase() || Some(rest) == after(other))
        || after(other).is_some_and(|rest| rest == one.to_ascii_lowercase())
        || (!one.is_empty() && swapped(one) == other.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::super::types::{Config, File, Filesystem, Resource, Storage, Unit, User};
    use super::*;

    #[test]
    fn near_keys_are_found() {
        for (key, near) in [
            ("fiels", true),
            ("flies", true),
            ("filess", true),
            ("file", true),
            ("links", false),
            ("", false),
        ] {
            assert_eq!(is_near(key, "files"), near, "{key}");
        }
    }

    #[test]
    fn keys_of_other_languages_get_a_hint() {
        let hint = |object: &dyn Object<'_>, key: &str, minor| {
            for_unused_key(key, object, minor).unwrap_or_default()
        };
        let (user, file, config) = (User::default(), File::default(), Config::default());
        let filesystem = Filesystem::default();
        assert_eq!(
            hint(&filesystem, "mountOptions", 0),
            "the key exists from 3.1.0 on: raise ignition.version"
        );
        assert_eq!(
            hint(&filesystem, "mount_options", 0),
            "mountOptions exists from 3.1.0 on: raise ignition.version"
        );
        assert_eq!(hint(&file, "Path", 0), "the key is accepted, but its correct spelling is path");
        assert_eq!(hint(&file, "paht", 0), "is path meant?");
        assert_eq!(hint(&file, "nonsense", 0), "");
        for (key, meant) in [
            ("ssh_authorized_keys", "sshAuthorizedKeys"),
            ("ssh-authorized-keys", "sshAuthorizedKeys"),
            ("SSH_KEYS", "sshAuthorizedKeys"),
            ("home_dir", "homeDir"),
            ("no_create_home", "noCreateHome"),
            ("primary_group", "primaryGroup"),
            ("password_hash", "passwordHash"),
        ] {
            assert_eq!(hint(&user, key, 3), format!("is {meant} meant?"), "{key}");
        }
        assert_eq!(hint(&config, "files", 0), "is storage.files meant?");
        assert_eq!(hint(&config, "version", 0), "is ignition.version meant?");
        assert_eq!(hint(&config, "kernel_arguments", 3), "is kernelArguments meant?");
        assert_eq!(hint(&file, "source", 0), "is contents.source meant?");
        assert_eq!(hint(&file, "owner", 0), "is user.name meant?");
        for (object, key) in [
            (&Resource::default() as &dyn Object<'_>, "inline"),
            (&Resource::default(), "local"),
            (&Storage::default(), "trees"),
            (&filesystem, "with_mount_unit"),
            (&Unit::default(), "contents_local"),
            (&user, "ssh_authorized_keys_local"),
            (&config, "boot_device"),
            (&config, "variant"),
        ] {
            assert!(hint(object, key, 7).contains("Butane"), "{key}");
        }
    }
}
