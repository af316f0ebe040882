//! U-Boot's `extlinux.conf`: an `append` line for each label.

use super::Wanted;
use super::entries::values;
use super::wanted::{Edit, apply, words};
use crate::error::Result;

/// What is in an `extlinux.conf`.
#[derive(Debug)]
pub(super) struct ExtlinuxConfig {
    /// The text with the wanted words; `None` if it has them already.
    pub edited: Option<Vec<u8>>,
    /// How many `append` lines there are.
    pub kernels: usize,
}

/// Reads the `text` of an `extlinux.conf` and edits all its `append` lines.
///
/// # Errors
/// Those of [`Wanted::edit`].
pub(super) fn read(text: &[u8], wanted: &Wanted<'_>) -> Result<ExtlinuxConfig> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut kernels: usize = 0;
    for value in values(text, "append") {
        kernels = kernels.saturating_add(1);
        wanted.edit(text, value.start, &words(text, value), &mut edits)?;
    }
    Ok(ExtlinuxConfig { edited: apply(text, &edits), kernels })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the shape that `u-boot-update` writes.
    const DEBIAN: &str = "## /boot/extlinux/extlinux.conf\n\ndefault l1\nmenu title U-Boot menu\nprompt 0\n\n\
        label l0\n\tmenu label Debian 6.12.48\n\tlinux /boot/vmlinuz-6.12.48\n\tinitrd /boot/initrd.img-6.12.48\n\
        \tfdtdir /usr/lib/linux-image-6.12.48/\n\n\tappend root=UUID=x ro quiet\n\n\
        label l1\n\tlinux /boot/vmlinuz-6.12.43\n\tinitrd /boot/initrd.img-6.12.43\n\tappend root=UUID=x ro single\n";

    #[test]
    fn all_labels_are_edited() {
        let found = read(DEBIAN.as_bytes(), &Wanted::parse("+a=1 -quiet")).unwrap();
        let text = String::from_utf8(found.edited.unwrap()).unwrap();
        let expected = DEBIAN.replace(" quiet\n", " a=1\n").replace(" single\n", " single a=1\n");
        assert_eq!((text, found.kernels), (expected.clone(), 2));
        assert!(read(expected.as_bytes(), &Wanted::parse("+a=1 -quiet")).unwrap().edited.is_none());
    }
}
