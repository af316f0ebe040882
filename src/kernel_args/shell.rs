//! The files that `grub-mkconfig` and `u-boot-update` source. They keep the arguments when a new kernel makes these programs
//! write the files of the boot loader anew.
//!
//! Both are shell. The words have no character that means anything between single quotes, see [`Wanted::new`].

use super::Wanted;

/// The function that both files use. It prints the list of words in `$1` without the unwanted ones and with the missing
/// ones. With `same` in `$2` it adds a word only if the list gives its key another value, because of two values the kernel
/// takes the last one.
const FUNCTION: &str = r#"glowplug_words() (
    set -f
    for word in $1; do
        case " $glowplug_remove " in *" $word "*) ;; *) printf '%s ' "$word" ;; esac
    done
    for word in $glowplug_add; do
        case "$2 $1 " in
        *" $word "*) ;;
        "all "* | *" ${word%%=*}="*) printf '%s ' "$word" ;;
        esac
    done
)
"#;

/// The lines for GRUB. `GRUB_CMDLINE_LINUX` is in all entries, also in those for recovery. In the others
/// `GRUB_CMDLINE_LINUX_DEFAULT` follows it.
const GRUB: &str = r#"GRUB_CMDLINE_LINUX=$(glowplug_words "${GRUB_CMDLINE_LINUX-}" all)
GRUB_CMDLINE_LINUX_DEFAULT=$(glowplug_words "${GRUB_CMDLINE_LINUX_DEFAULT-}" same)
"#;

/// The lines for `u-boot-update`. Without parameters it takes those of `/etc/kernel/cmdline`, else `ro quiet`.
const U_BOOT: &str = r#"if [ -n "${U_BOOT_PARAMETERS-}" ] || [ ! -f /etc/kernel/cmdline ]; then
    U_BOOT_PARAMETERS=$(glowplug_words "${U_BOOT_PARAMETERS:-ro quiet}" all)
fi
"#;

/// Returns the text of the file that `grub-mkconfig` sources.
pub(super) fn grub(wanted: &Wanted<'_>) -> Vec<u8> {
    text(wanted, "grub-mkconfig", GRUB)
}

/// Returns the text of the file that `u-boot-update` sources.
pub(super) fn u_boot(wanted: &Wanted<'_>) -> Vec<u8> {
    text(wanted, "u-boot-update", U_BOOT)
}

fn text(wanted: &Wanted<'_>, reader: &str, lines: &str) -> Vec<u8> {
    let (add, remove) = (wanted.added().join(" "), wanted.removed().join(" "));
    format!(
        "# The kernel arguments of this machine's Ignition config, for {reader}. glowplug wrote this file.\n\
         glowplug_add='{add}'\nglowplug_remove='{remove}'\n{FUNCTION}{lines}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Sources `before`, then `text` as often as it is said, and returns what the variables hold.
    fn sourced(shell: &str, before: &str, text: &[u8], times: usize, variables: &[&str]) -> Vec<String> {
        let text = String::from_utf8(text.to_vec()).unwrap().repeat(times);
        let print = variables.iter().map(|name| format!("\necho $(printf '%s' \"${{{name}-unset}}\")"));
        let print = print.collect::<Vec<_>>().concat();
        let script = format!("set -e\ncd /etc\n{before}\n{text}\nset -f{print}\n");
        let output = Command::new(shell).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    const VARIABLES: [&str; 2] = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"];

    #[test]
    fn grub_gets_the_words_whatever_the_variables_had() {
        let wanted = Wanted::parse("+a=1 +loglevel=7 +module.x=* -nosmt -quiet");
        for (linux, default, expected) in [
            ("console=ttyS0 nosmt", "quiet splash", ["console=ttyS0 a=1 loglevel=7 module.x=*", "splash"]),
            ("", "", ["a=1 loglevel=7 module.x=*", ""]),
            ("a=12 xa=1", "loglevel=3", ["a=12 xa=1 a=1 loglevel=7 module.x=*", "loglevel=3 loglevel=7"]),
            ("* module.x=*", "loglevel=7 a=2 a=1", ["* module.x=* a=1 loglevel=7", "loglevel=7 a=2 a=1"]),
        ] {
            let before = format!("GRUB_CMDLINE_LINUX='{linux}'\nGRUB_CMDLINE_LINUX_DEFAULT='{default}'");
            for shell in ["sh", "bash"] {
                for times in [1, 2] {
                    assert_eq!(
                        sourced(shell, &before, &grub(&wanted), times, &VARIABLES),
                        expected,
                        "{before}"
                    );
                }
            }
        }
        assert_eq!(sourced("sh", "", &grub(&Wanted::parse("-quiet")), 1, &VARIABLES), ["", ""]);
    }

    #[test]
    fn u_boot_gets_the_words_after_its_own_default() {
        let text = String::from_utf8(u_boot(&Wanted::parse("+a -quiet"))).unwrap();
        let beside = |file: &str| text.replace("/etc/kernel/cmdline", file).into_bytes();
        let [missing, there] = [beside("/proc/no-such-file"), beside("/proc/version")];
        let found =
            |before: &str, text: &[u8], times| sourced("sh", before, text, times, &["U_BOOT_PARAMETERS"]);
        assert_eq!(found("", &missing, 2), ["ro a"]);
        assert_eq!(found("U_BOOT_PARAMETERS='x quiet'", &missing, 1), ["x a"]);
        // u-boot-update reads the file itself then.
        assert_eq!(found("", &there, 1), ["unset"]);
        assert_eq!(found("U_BOOT_PARAMETERS='x quiet'", &there, 2), ["x a"]);
    }
}
