//! The reasons of failures.

/// Defines the reasons: each has its name, its word and its exit code in one row.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $word:literal $code:literal,)*) => {
        /// Why a run failed. The word is stable: scripts may match it, and it decides the exit code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All reasons, by exit code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the stable word, which the log and the manual use.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// Returns the exit code. `glowplug(8)` lists all of them.
            pub fn exit_code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// The command line is wrong.
    Usage "usage" 2,
    /// A call on the running system, outside of the root, failed.
    System "system" 3,
    /// The host gave no config before the deadline, or a server could not be reached.
    NoHost "no-host" 10,
    /// The host answered, but not with a config: HTTP status, malformed, cut or oversized answer.
    BadAnswer "bad-answer" 11,
    /// The certificate of a server cannot be trusted.
    Certificate "certificate" 12,
    /// The network did not come up in its time.
    NoNetwork "no-network" 13,
    /// The config is not JSON of the right shape.
    ConfigSyntax "config-syntax" 20,
    /// The config's `ignition.version` is missing or not one of those known.
    ConfigVersion "config-version" 21,
    /// The config contradicts itself, or breaks a rule of the language.
    ConfigInvalid "config-invalid" 22,
    /// The config asks for something that this program does not support.
    Unsupported "unsupported" 23,
    /// The bytes behind a URL of the config could not be fetched or decoded.
    Resource "resource" 30,
    /// The bytes behind a URL have another hash than the config says.
    Verification "verification" 31,
    /// Something in the root is in the way of the config.
    Conflict "conflict" 40,
    /// The root's account files do not allow what the config asks for.
    Account "account" 41,
    /// A disk could not be changed as the config asks.
    Disk "disk" 42,
    /// Reading or writing the root failed.
    RootIo "root-io" 50,
    /// The root file system is full.
    NoSpace "no-space" 51,
    /// The root cannot be written to.
    ReadOnly "read-only" 52,
    /// This user lacks the permission to read or change the root.
    Denied "denied" 53,
    /// The commit that an interrupted run began cannot be completed.
    Journal "journal" 54,
    /// Another process is changing the root.
    Busy "busy" 55,
    /// The stamp cannot be read.
    StampUnreadable "stamp-unreadable" 61,
    /// What stands at the path of the stamp is not a stamp.
    StampBroken "stamp-broken" 62,
    /// The stamp was written for another root, or nobody can tell for which one.
    StampForeign "stamp-foreign" 63,
}

impl Reason {
    /// Returns the advice for a failure that has none of its own. It must hold for every failure of this reason, on every
    /// platform.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Usage => {
                "Correct the command line or the kernel command line: glowplug(8) lists the arguments."
            }
            Self::NoHost => "Check that the named source of the config is there, then start again.",
            Self::BadAnswer => "Check what serves the config, then start again.",
            Self::Certificate => {
                "Check the certificate of the server that is named, the CA certificates of the config and of the image, and \
                 the clock of the machine. Then start again."
            }
            Self::NoNetwork => {
                "Check the network of the machine: cable, interface, DHCP, and ip= on the kernel command line. Then start \
                 again."
            }
            Self::ConfigSyntax | Self::ConfigVersion | Self::ConfigInvalid => {
                "Correct the config, then start again: nothing was written."
            }
            Self::Unsupported => {
                "Remove what is named here: it stands in the config, on the kernel command line or in the image. Then start \
                 again: nothing was written."
            }
            Self::Resource | Self::Verification => {
                "Correct the source or its hash in the config, then start again: nothing was written."
            }
            Self::Conflict => "Change the config, or what stands in the root at this path, then start again.",
            Self::Account => {
                "Correct the user or group in the config, or the image's account files, then start again: \
                 nothing was written."
            }
            Self::Disk => "Check the disk that is named, and what the config asks of it, then start again.",
            Self::RootIo => "Check the root file system at the path that is named, then start again.",
            Self::NoSpace => "Make the disk larger or the config smaller, then start again.",
            Self::ReadOnly => {
                "Make the root file system, or the file that is named, writable, then start again."
            }
            Self::Denied => {
                "Run it as root. If it runs as root, look for what forbids the change: an immutable file (lsattr(1)) or a \
                 security module."
            }
            Self::Journal => {
                "The root may be provisioned in part. Give it the disks that it had, or make the machine anew; \"glowplug \
                 clean\" makes it forget the interrupted run."
            }
            Self::Busy => "Wait until the other process is done, then start again.",
            Self::StampUnreadable => {
                "Check the disk, and the root file system with fsck(8), then start again."
            }
            Self::StampBroken | Self::StampForeign => {
                "If this root is to be provisioned anew, run \"glowplug clean --root DIR\". If this root is provisioned \
                 already, as one restored from a backup is, run \"glowplug adopt --root DIR\". Then start again."
            }
            Self::System => "Check the part of the running system that is named: it is missing or broken.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_of_a_reason_holds_on_every_platform() {
        for reason in Reason::ALL {
            for word in ["vsock", "podman", "host", "port", "initramfs", "QEMU"] {
                assert!(!reason.advice().contains(word), "{reason:?}: {}", reason.advice());
            }
        }
    }

    #[test]
    fn the_manual_lists_every_reason_with_its_exit_code() {
        let manual = include_str!("../../man/glowplug.8");
        for reason in Reason::ALL {
            let row = format!("\n{}\t{}\t", reason.exit_code(), reason.word().replace('-', "\\-"));
            assert!(manual.contains(&row), "man/glowplug.8 lacks the row of {reason:?}");
        }
    }

    #[test]
    fn no_two_reasons_share_a_word_or_an_exit_code() {
        for (at, one) in Reason::ALL.iter().enumerate() {
            for other in &Reason::ALL[..at] {
                assert_ne!(one.word(), other.word());
                assert_ne!(one.exit_code(), other.exit_code());
            }
        }
    }
}
