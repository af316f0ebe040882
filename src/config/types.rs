//! Every field of Ignition 3.0.0 to 3.7.0-experimental. Strings are borrowed from the config's text.
//!
//! Each field is declared with its key and the minor version of the first spec that has it, in the reference's order.
//! `None` means absent or `null`. An absent list is empty, an absent required string is empty, an absent required
//! number is 0.

use std::borrow::Cow;

use super::merge::{Conflicts as _, Merge};
use super::schema::{Duplicates, Field, Object, Shape, ShapeMut, Value};

/// A string of the config that may be absent.
pub type OptionalText<'a> = Option<Cow<'a, str>>;

/// The unit types of systemd, as the suffixes of unit names.
pub(crate) const UNIT_SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];
/// The suffix of a unit type that systemd no longer has, but that the language still allows.
pub(crate) const DROPPED_UNIT_SUFFIX: &str = ".snapshot";

macro_rules! duplicates {
    () => {
        Duplicates::Refused
    };
    ($kind:ident) => {
        Duplicates::$kind
    };
}

macro_rules! key {
    ($object:expr;) => {
        Cow::Borrowed("")
    };
    ($object:expr; $field:ident) => {
        $object.$field.shape().key()
    };
    ($object:expr; $number:ident or $label:ident) => {
        key_of_partition($object.$number, $object.$label.as_deref())
    };
}

/// Declares the objects of the spec, each as a table of its fields:
/// `Name "Go's name" by field { field, "key", since: type; }`.
///
/// `by` names the field that tells the items of a list apart; it is left out for an object that stands in no list. A
/// list whose [`Duplicates`] are not refused has `Kept` or `Shared` after its version.
macro_rules! objects {
    ($(
        $(#[$about:meta])*
        $name:ident $(<$lifetime:lifetime>)? $go:literal $(by $key_field:ident $(or $other:ident)?)? {
            $( $field:ident, $key:literal, $since:literal $($duplicates:ident)?: $type:ty; )*
        }
    )*) => { $(
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name $(<$lifetime>)? {
            $(
                #[doc = concat!("`", $key, "`, since 3.", $since, ".")]
                pub $field: $type,
            )*
        }

        impl<'a> Object<'a> for $name $(<$lifetime>)? {
            fn name(&self) -> &'static str {
                $go
            }

            fn key(&self) -> Cow<'_, str> {
                key!(self; $($key_field $(or $other)?)?)
            }

            fn fields(&self) -> &'static [Field] {
                const FIELDS: &[Field] = &[$(
                    Field { key: $key, since: $since, duplicates: duplicates!($($duplicates)?) },
                )*];
                FIELDS
            }

            fn field(&self, index: usize) -> Shape<'_, 'a> {
                $(
                    let Some(index) = index.checked_sub(1) else { return self.$field.shape() };
                )*
                let _ = index;
                Shape::Absent
            }

            fn field_mut(&mut self, index: usize) -> Option<ShapeMut<'_, 'a>> {
                $(
                    let Some(index) = index.checked_sub(1) else { return Some(self.$field.shape_mut()) };
                )*
                let _ = index;
                None
            }
        }

        impl<'a> Value<'a> for $name $(<$lifetime>)? {
            fn shape(&self) -> Shape<'_, 'a> {
                Shape::Object(self)
            }

            fn shape_mut(&mut self) -> ShapeMut<'_, 'a> {
                ShapeMut::Object(self)
            }
        }

        impl $(<$lifetime>)? Merge for $name $(<$lifetime>)? {
            fn merge(&mut self, child: &mut Self, _: Duplicates) {
                self.remove_conflicts(child);
                $( self.$field.merge(&mut child.$field, duplicates!($($duplicates)?)); )*
            }
        }
    )* };
}

/// Returns the key of a partition: its number, or its label if the number is 0, the next free one; empty without both.
fn key_of_partition(number: i64, label: Option<&str>) -> Cow<'_, str> {
    match (number, label) {
        (0, Some(label)) => Cow::Owned(format!("label:{label}")),
        (0, None) => Cow::Borrowed(""),
        (number, _) => Cow::Owned(format!("number:{number}")),
    }
}

objects! {
    /// A whole config.
    Config<'a> "Config" {
        ignition, "ignition", 0: Ignition<'a>;
        kernel_arguments, "kernelArguments", 3: KernelArguments<'a>;
        passwd, "passwd", 0: Passwd<'a>;
        storage, "storage", 0: Storage<'a>;
        systemd, "systemd", 0: Systemd<'a>;
    }

    /// `ignition`: the config's version, and how it and its resources are fetched.
    Ignition<'a> "Ignition" {
        config, "config", 0: IgnitionConfig<'a>;
        proxy, "proxy", 1: Proxy<'a>;
        security, "security", 0: Security<'a>;
        timeouts, "timeouts", 0: Timeouts;
        version, "version", 0: Cow<'a, str>;
    }

    /// `ignition.config`: other configs to fetch.
    IgnitionConfig<'a> "IgnitionConfig" {
        merge, "merge", 0: Vec<Resource<'a>>;
        replace, "replace", 0: Resource<'a>;
    }

    /// `ignition.proxy`.
    Proxy<'a> "Proxy" {
        http_proxy, "httpProxy", 1: OptionalText<'a>;
        https_proxy, "httpsProxy", 1: OptionalText<'a>;
        no_proxy, "noProxy", 1: Vec<Cow<'a, str>>;
    }

    /// `ignition.security`.
    Security<'a> "Security" {
        tls, "tls", 0: Tls<'a>;
    }

    /// `ignition.security.tls`.
    Tls<'a> "TLS" {
        certificate_authorities, "certificateAuthorities", 0: Vec<Resource<'a>>;
    }

    /// `ignition.timeouts`, in seconds.
    Timeouts "Timeouts" {
        http_response_headers, "httpResponseHeaders", 0: Option<i64>;
        http_total, "httpTotal", 0: Option<i64>;
    }

    /// The bytes behind a URL. In 3.0, configs and certificates have no `compression`.
    Resource<'a> "Resource" by source {
        compression, "compression", 0: OptionalText<'a>;
        http_headers, "httpHeaders", 1: Vec<HttpHeader<'a>>;
        source, "source", 0: OptionalText<'a>;
        verification, "verification", 0: Verification<'a>;
    }

    /// A header to send with a request.
    HttpHeader<'a> "HTTPHeader" by name {
        name, "name", 1: Cow<'a, str>;
        value, "value", 1: OptionalText<'a>;
    }

    /// The hash that the bytes of a resource must have.
    Verification<'a> "Verification" {
        hash, "hash", 0: OptionalText<'a>;
    }

    /// `kernelArguments`.
    KernelArguments<'a> "KernelArguments" {
        should_exist, "shouldExist", 3 Shared: Vec<Cow<'a, str>>;
        should_not_exist, "shouldNotExist", 3 Shared: Vec<Cow<'a, str>>;
    }

    /// `passwd`.
    Passwd<'a> "Passwd" {
        groups, "groups", 0: Vec<Group<'a>>;
        users, "users", 0: Vec<User<'a>>;
    }

    /// `passwd.groups[]`.
    Group<'a> "PasswdGroup" by name {
        gid, "gid", 0: Option<i64>;
        name, "name", 0: Cow<'a, str>;
        password_hash, "passwordHash", 0: OptionalText<'a>;
        should_exist, "shouldExist", 2: Option<bool>;
        system, "system", 0: Option<bool>;
    }

    /// `passwd.users[]`.
    User<'a> "PasswdUser" by name {
        gecos, "gecos", 0: OptionalText<'a>;
        groups, "groups", 0: Vec<Cow<'a, str>>;
        home_dir, "homeDir", 0: OptionalText<'a>;
        name, "name", 0: Cow<'a, str>;
        no_create_home, "noCreateHome", 0: Option<bool>;
        no_log_init, "noLogInit", 0: Option<bool>;
        no_user_group, "noUserGroup", 0: Option<bool>;
        password_hash, "passwordHash", 0: OptionalText<'a>;
        primary_group, "primaryGroup", 0: OptionalText<'a>;
        ssh_authorized_keys, "sshAuthorizedKeys", 0: Vec<Cow<'a, str>>;
        shell, "shell", 0: OptionalText<'a>;
        should_exist, "shouldExist", 2: Option<bool>;
        system, "system", 0: Option<bool>;
        uid, "uid", 0: Option<i64>;
    }

    /// `storage`.
    Storage<'a> "Storage" {
        directories, "directories", 0 Shared: Vec<Directory<'a>>;
        disks, "disks", 0: Vec<Disk<'a>>;
        files, "files", 0 Shared: Vec<File<'a>>;
        filesystems, "filesystems", 0: Vec<Filesystem<'a>>;
        links, "links", 0 Shared: Vec<Link<'a>>;
        luks, "luks", 2: Vec<Luks<'a>>;
        raid, "raid", 0: Vec<Raid<'a>>;
    }

    /// `storage.directories[]`.
    Directory<'a> "Directory" by path {
        group, "group", 0: NodeGroup<'a>;
        overwrite, "overwrite", 0: Option<bool>;
        path, "path", 0: Cow<'a, str>;
        user, "user", 0: NodeUser<'a>;
        mode, "mode", 0: Option<i64>;
    }

    /// `storage.disks[]`.
    Disk<'a> "Disk" by device {
        device, "device", 0: Cow<'a, str>;
        partitions, "partitions", 0: Vec<Partition<'a>>;
        wipe_table, "wipeTable", 0: Option<bool>;
    }

    /// `storage.disks[].partitions[]`.
    Partition<'a> "Partition" by number or label {
        guid, "guid", 0: OptionalText<'a>;
        label, "label", 0: OptionalText<'a>;
        number, "number", 0: i64;
        resize, "resize", 2: Option<bool>;
        should_exist, "shouldExist", 0: Option<bool>;
        size_mib, "sizeMiB", 0: Option<i64>;
        start_mib, "startMiB", 0: Option<i64>;
        type_guid, "typeGuid", 0: OptionalText<'a>;
        wipe_partition_entry, "wipePartitionEntry", 0: Option<bool>;
    }

    /// `storage.files[]`.
    File<'a> "File" by path {
        group, "group", 0: NodeGroup<'a>;
        overwrite, "overwrite", 0: Option<bool>;
        path, "path", 0: Cow<'a, str>;
        user, "user", 0: NodeUser<'a>;
        append, "append", 0 Kept: Vec<Resource<'a>>;
        contents, "contents", 0: Resource<'a>;
        mode, "mode", 0: Option<i64>;
    }

    /// `storage.filesystems[]`.
    Filesystem<'a> "Filesystem" by device {
        device, "device", 0: Cow<'a, str>;
        format, "format", 0: OptionalText<'a>;
        label, "label", 0: OptionalText<'a>;
        mount_options, "mountOptions", 1 Kept: Vec<Cow<'a, str>>;
        options, "options", 0 Kept: Vec<Cow<'a, str>>;
        path, "path", 0: OptionalText<'a>;
        uuid, "uuid", 0: OptionalText<'a>;
        wipe_filesystem, "wipeFilesystem", 0: Option<bool>;
    }

    /// `storage.links[]`.
    Link<'a> "Link" by path {
        group, "group", 0: NodeGroup<'a>;
        overwrite, "overwrite", 0: Option<bool>;
        path, "path", 0: Cow<'a, str>;
        user, "user", 0: NodeUser<'a>;
        hard, "hard", 0: Option<bool>;
        target, "target", 0: OptionalText<'a>;
    }

    /// `group` of a file, directory or link.
    NodeGroup<'a> "NodeGroup" {
        id, "id", 0: Option<i64>;
        name, "name", 0: OptionalText<'a>;
    }

    /// `user` of a file, directory or link.
    NodeUser<'a> "NodeUser" {
        id, "id", 0: Option<i64>;
        name, "name", 0: OptionalText<'a>;
    }

    /// `storage.luks[]`.
    Luks<'a> "Luks" by name {
        cex, "cex", 5: Cex;
        clevis, "clevis", 2: Clevis<'a>;
        device, "device", 2: OptionalText<'a>;
        discard, "discard", 4: Option<bool>;
        key_file, "keyFile", 2: Resource<'a>;
        label, "label", 2: OptionalText<'a>;
        name, "name", 2: Cow<'a, str>;
        open_options, "openOptions", 4: Vec<Cow<'a, str>>;
        options, "options", 2 Kept: Vec<Cow<'a, str>>;
        uuid, "uuid", 2: OptionalText<'a>;
        wipe_volume, "wipeVolume", 2: Option<bool>;
    }

    /// `storage.luks[].cex`.
    Cex "Cex" {
        enabled, "enabled", 5: Option<bool>;
    }

    /// `storage.luks[].clevis`.
    Clevis<'a> "Clevis" {
        custom, "custom", 2: ClevisCustom<'a>;
        tang, "tang", 2: Vec<Tang<'a>>;
        threshold, "threshold", 2: Option<i64>;
        tpm2, "tpm2", 2: Option<bool>;
    }

    /// `storage.luks[].clevis.custom`.
    ClevisCustom<'a> "ClevisCustom" {
        config, "config", 2: OptionalText<'a>;
        needs_network, "needsNetwork", 2: Option<bool>;
        pin, "pin", 2: OptionalText<'a>;
    }

    /// `storage.luks[].clevis.tang[]`.
    Tang<'a> "Tang" by url {
        advertisement, "advertisement", 4: OptionalText<'a>;
        thumbprint, "thumbprint", 2: OptionalText<'a>;
        url, "url", 2: Cow<'a, str>;
    }

    /// `storage.raid[]`.
    Raid<'a> "Raid" by name {
        devices, "devices", 0: Vec<Cow<'a, str>>;
        level, "level", 0: OptionalText<'a>;
        name, "name", 0: Cow<'a, str>;
        options, "options", 0 Kept: Vec<Cow<'a, str>>;
        spares, "spares", 0: Option<i64>;
    }

    /// `systemd`.
    Systemd<'a> "Systemd" {
        units, "units", 0: Vec<Unit<'a>>;
    }

    /// `systemd.units[]`.
    Unit<'a> "Unit" by name {
        contents, "contents", 0: OptionalText<'a>;
        dropins, "dropins", 0: Vec<Dropin<'a>>;
        enabled, "enabled", 0: Option<bool>;
        mask, "mask", 0: Option<bool>;
        name, "name", 0: Cow<'a, str>;
    }

    /// `systemd.units[].dropins[]`.
    Dropin<'a> "Dropin" by name {
        contents, "contents", 0: OptionalText<'a>;
        name, "name", 0: Cow<'a, str>;
    }
}
