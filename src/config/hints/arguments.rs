//! Hints about kernel arguments.

/// Returns the hint for an item of `kernelArguments`. `is_added` says which of the two lists it is in.
pub(in super::super) fn for_argument(item: &str, is_added: bool) -> Option<&'static str> {
    let has = |start: &str| item.split(' ').any(|word| word.starts_with(start));
    if item.trim().is_empty() {
        Some("an empty kernel argument changes nothing")
    } else if has("root=") && is_added {
        Some("the boot loader names the root already: of two root= the kernel takes the last one")
    } else if has("root=") {
        Some("without root= the machine does not find its root")
    } else if is_added && (has("ignition.") || has("glowplug.")) {
        Some("the machine is provisioned before it gets this argument, so that the argument changes nothing")
    } else {
        None
    }
}

/// Returns the hint for an item that has a word twice.
pub(in super::super) fn for_repeated_word(item: &str) -> Option<&'static str> {
    /// Longer items are refused at boot.
    const MOST: usize = 2047;
    let mut words = item.split(' ').filter(|word| !word.is_empty() && item.len() <= MOST).enumerate();
    words
        .any(|(count, word)| {
            item.split(' ').filter(|word| !word.is_empty()).take(count).any(|known| known == word)
        })
        .then_some("each word is an argument of its own, and one word stands twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_probably_not_meant_get_a_hint() {
        for (item, is_added, words) in [
            ("root=/dev/vda1", true, "the last one"),
            ("quiet root=UUID=x", false, "does not find"),
            ("ignition.platform.id=qemu", true, "provisioned before"),
            (" ", true, "empty"),
        ] {
            assert!(for_argument(item, is_added).unwrap_or_default().contains(words), "{item}");
        }
        for item in ["quiet", "rootflags=noatime", "hugepagesz=1G hugepages=2 hugepagesz=2M"] {
            assert_eq!((for_argument(item, true), for_repeated_word(item)), (None, None), "{item}");
        }
        assert!(for_repeated_word("a b  a").is_some());
    }
}
