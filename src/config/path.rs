//! The rules for paths in a config.

/// What is wrong with `path` as a path inside the root, in the reference's words; `None` if nothing is.
pub fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("path not specified")
    } else if !path.starts_with('/') {
        Some("path not absolute")
    } else if path.contains('\0') {
        Some("path contains a NUL byte")
    } else if path != "/" && path.split('/').skip(1).any(|step| matches!(step, "" | "." | "..")) {
        Some("path is not fully simplified")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::path_fault;

    #[test]
    fn only_clean_absolute_paths_pass() {
        for good in ["/", "/a", "/a/b", "/...", "/a b"] {
            assert_eq!(path_fault(good), None, "{good}");
        }
        for bad in ["", "a", "/a/", "//a", "/a/./b", "/a/../b", "/..", "/a\0"] {
            assert!(path_fault(bad).is_some(), "{bad}");
        }
    }
}
