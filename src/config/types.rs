//! Every field of Ignition 3.0.0 to 3.7.0-experimental. Strings are borrowed from the config's text.
//!
//! Each field stands with its key and the minor version of the first spec that has it. `None` means absent or
//! `null`; an absent list is an empty one.

use std::borrow::Cow;

use super::decode::{Decoder, Object, Value};
use crate::error::Result;

/// A string of the config that may be absent.
pub type Text<'a> = Option<Cow<'a, str>>;

macro_rules! objects {
    ($(
        $(#[$about:meta])*
        $name:ident $(<$lifetime:lifetime>)? { $( $field:ident, $key:literal, $since:literal: $type:ty; )* }
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
            fn field(&mut self, key: &str) -> Option<(&'static str, u8, &mut dyn Value<'a>)> {
                $( if key.eq_ignore_ascii_case($key) {
                    return Some(($key, $since, &mut self.$field));
                } )*
                None
            }
        }

        impl<'a> Value<'a> for $name $(<$lifetime>)? {
            fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
                decoder.object(self)
            }
        }
    )* };
}

objects! {
    /// A whole config.
    Config<'a> {
        ignition, "ignition", 0: Ignition<'a>;
        kernel_arguments, "kernelArguments", 3: KernelArguments<'a>;
        passwd, "passwd", 0: Passwd<'a>;
        storage, "storage", 0: Storage<'a>;
        systemd, "systemd", 0: Systemd<'a>;
    }

    /// `ignition`: what concerns the config itself.
    Ignition<'a> {
        version, "version", 0: Text<'a>;
        config, "config", 0: IgnitionConfig<'a>;
        timeouts, "timeouts", 0: Timeouts;
        security, "security", 0: Security<'a>;
        proxy, "proxy", 1: Proxy<'a>;
    }

    /// `ignition.config`: other configs to fetch.
    IgnitionConfig<'a> {
        merge, "merge", 0: Vec<Reference<'a>>;
        replace, "replace", 0: Reference<'a>;
    }

    /// `ignition.timeouts`, in seconds.
    Timeouts {
        http_response_headers, "httpResponseHeaders", 0: Option<i64>;
        http_total, "httpTotal", 0: Option<i64>;
    }

    /// `ignition.security`.
    Security<'a> {
        tls, "tls", 0: Tls<'a>;
    }

    /// `ignition.security.tls`.
    Tls<'a> {
        certificate_authorities, "certificateAuthorities", 0: Vec<Reference<'a>>;
    }

    /// `ignition.proxy`.
    Proxy<'a> {
        http_proxy, "httpProxy", 1: Text<'a>;
        https_proxy, "httpsProxy", 1: Text<'a>;
        no_proxy, "noProxy", 1: Vec<Cow<'a, str>>;
    }

    /// Bytes behind a URL.
    Resource<'a> {
        source, "source", 0: Text<'a>;
        compression, "compression", 0: Text<'a>;
        http_headers, "httpHeaders", 1: Vec<HttpHeader<'a>>;
        verification, "verification", 0: Verification<'a>;
    }

    /// A [`Resource`] that is a config or a certificate: 3.0 has no compression there.
    Reference<'a> {
        source, "source", 0: Text<'a>;
        compression, "compression", 1: Text<'a>;
        http_headers, "httpHeaders", 1: Vec<HttpHeader<'a>>;
        verification, "verification", 0: Verification<'a>;
    }

    /// A header to send with a request.
    HttpHeader<'a> {
        name, "name", 1: Text<'a>;
        value, "value", 1: Text<'a>;
    }

    /// What the bytes must hash to.
    Verification<'a> {
        hash, "hash", 0: Text<'a>;
    }

    /// `kernelArguments`.
    KernelArguments<'a> {
        should_exist, "shouldExist", 3: Vec<Cow<'a, str>>;
        should_not_exist, "shouldNotExist", 3: Vec<Cow<'a, str>>;
    }

    /// `passwd`.
    Passwd<'a> {
        users, "users", 0: Vec<User<'a>>;
        groups, "groups", 0: Vec<Group<'a>>;
    }

    /// `passwd.users[]`.
    User<'a> {
        name, "name", 0: Text<'a>;
        password_hash, "passwordHash", 0: Text<'a>;
        ssh_authorized_keys, "sshAuthorizedKeys", 0: Vec<Cow<'a, str>>;
        uid, "uid", 0: Option<i64>;
        gecos, "gecos", 0: Text<'a>;
        home_dir, "homeDir", 0: Text<'a>;
        no_create_home, "noCreateHome", 0: Option<bool>;
        primary_group, "primaryGroup", 0: Text<'a>;
        groups, "groups", 0: Vec<Cow<'a, str>>;
        no_user_group, "noUserGroup", 0: Option<bool>;
        no_log_init, "noLogInit", 0: Option<bool>;
        shell, "shell", 0: Text<'a>;
        should_exist, "shouldExist", 2: Option<bool>;
        system, "system", 0: Option<bool>;
    }

    /// `passwd.groups[]`.
    Group<'a> {
        name, "name", 0: Text<'a>;
        gid, "gid", 0: Option<i64>;
        password_hash, "passwordHash", 0: Text<'a>;
        should_exist, "shouldExist", 2: Option<bool>;
        system, "system", 0: Option<bool>;
    }

    /// `storage`.
    Storage<'a> {
        disks, "disks", 0: Vec<Disk<'a>>;
        raid, "raid", 0: Vec<Raid<'a>>;
        filesystems, "filesystems", 0: Vec<Filesystem<'a>>;
        files, "files", 0: Vec<File<'a>>;
        directories, "directories", 0: Vec<Directory<'a>>;
        links, "links", 0: Vec<Link<'a>>;
        luks, "luks", 2: Vec<Luks<'a>>;
    }

    /// `storage.disks[]`.
    Disk<'a> {
        device, "device", 0: Text<'a>;
        wipe_table, "wipeTable", 0: Option<bool>;
        partitions, "partitions", 0: Vec<Partition<'a>>;
    }

    /// `storage.disks[].partitions[]`.
    Partition<'a> {
        label, "label", 0: Text<'a>;
        number, "number", 0: Option<i64>;
        size_mib, "sizeMiB", 0: Option<i64>;
        start_mib, "startMiB", 0: Option<i64>;
        type_guid, "typeGuid", 0: Text<'a>;
        guid, "guid", 0: Text<'a>;
        wipe_partition_entry, "wipePartitionEntry", 0: Option<bool>;
        should_exist, "shouldExist", 0: Option<bool>;
        resize, "resize", 2: Option<bool>;
    }

    /// `storage.raid[]`.
    Raid<'a> {
        name, "name", 0: Text<'a>;
        level, "level", 0: Text<'a>;
        devices, "devices", 0: Vec<Cow<'a, str>>;
        spares, "spares", 0: Option<i64>;
        options, "options", 0: Vec<Cow<'a, str>>;
    }

    /// `storage.filesystems[]`.
    Filesystem<'a> {
        device, "device", 0: Text<'a>;
        format, "format", 0: Text<'a>;
        path, "path", 0: Text<'a>;
        wipe_filesystem, "wipeFilesystem", 0: Option<bool>;
        label, "label", 0: Text<'a>;
        uuid, "uuid", 0: Text<'a>;
        options, "options", 0: Vec<Cow<'a, str>>;
        mount_options, "mountOptions", 1: Vec<Cow<'a, str>>;
    }

    /// `storage.files[]`.
    File<'a> {
        path, "path", 0: Text<'a>;
        overwrite, "overwrite", 0: Option<bool>;
        contents, "contents", 0: Resource<'a>;
        append, "append", 0: Vec<Resource<'a>>;
        mode, "mode", 0: Option<i64>;
        user, "user", 0: NodeOwner<'a>;
        group, "group", 0: NodeOwner<'a>;
    }

    /// `storage.directories[]`.
    Directory<'a> {
        path, "path", 0: Text<'a>;
        overwrite, "overwrite", 0: Option<bool>;
        mode, "mode", 0: Option<i64>;
        user, "user", 0: NodeOwner<'a>;
        group, "group", 0: NodeOwner<'a>;
    }

    /// `storage.links[]`.
    Link<'a> {
        path, "path", 0: Text<'a>;
        overwrite, "overwrite", 0: Option<bool>;
        user, "user", 0: NodeOwner<'a>;
        group, "group", 0: NodeOwner<'a>;
        target, "target", 0: Text<'a>;
        hard, "hard", 0: Option<bool>;
    }

    /// `user` or `group` of a file, directory or link.
    NodeOwner<'a> {
        id, "id", 0: Option<i64>;
        name, "name", 0: Text<'a>;
    }

    /// `storage.luks[]`.
    Luks<'a> {
        name, "name", 2: Text<'a>;
        device, "device", 2: Text<'a>;
        key_file, "keyFile", 2: Resource<'a>;
        label, "label", 2: Text<'a>;
        uuid, "uuid", 2: Text<'a>;
        options, "options", 2: Vec<Cow<'a, str>>;
        wipe_volume, "wipeVolume", 2: Option<bool>;
        clevis, "clevis", 2: Clevis<'a>;
        discard, "discard", 4: Option<bool>;
        open_options, "openOptions", 4: Vec<Cow<'a, str>>;
        cex, "cex", 5: Cex;
    }

    /// `storage.luks[].clevis`.
    Clevis<'a> {
        tang, "tang", 2: Vec<Tang<'a>>;
        tpm2, "tpm2", 2: Option<bool>;
        threshold, "threshold", 2: Option<i64>;
        custom, "custom", 2: ClevisCustom<'a>;
    }

    /// `storage.luks[].clevis.tang[]`.
    Tang<'a> {
        url, "url", 2: Text<'a>;
        thumbprint, "thumbprint", 2: Text<'a>;
        advertisement, "advertisement", 4: Text<'a>;
    }

    /// `storage.luks[].clevis.custom`.
    ClevisCustom<'a> {
        pin, "pin", 2: Text<'a>;
        config, "config", 2: Text<'a>;
        needs_network, "needsNetwork", 2: Option<bool>;
    }

    /// `storage.luks[].cex`.
    Cex {
        enabled, "enabled", 5: Option<bool>;
    }

    /// `systemd`.
    Systemd<'a> {
        units, "units", 0: Vec<Unit<'a>>;
    }

    /// `systemd.units[]`.
    Unit<'a> {
        name, "name", 0: Text<'a>;
        enabled, "enabled", 0: Option<bool>;
        mask, "mask", 0: Option<bool>;
        contents, "contents", 0: Text<'a>;
        dropins, "dropins", 0: Vec<Dropin<'a>>;
    }

    /// `systemd.units[].dropins[]`.
    Dropin<'a> {
        name, "name", 0: Text<'a>;
        contents, "contents", 0: Text<'a>;
    }
}
