//! The rules for paths in a config.

/// Returns what is wrong with `path` as a path inside the root, in the reference's words; `None` for a good path. A
/// good path is absolute and has no `.`, no `..`, no double slash and no slash at its end.
pub fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("path not specified")
    } else if !path.starts_with('/') {
        Some("path not absolute")
    } else if path != "/" && path.split('/').skip(1).any(|step| matches!(step, "" | "." | "..")) {
        Some("path is not fully simplified")
    } else {
        None
    }
}

/// Returns `path` without double slashes, `.` and `..`, as Go's `path.Clean` does; `.` for an empty path. A `..` at the
/// root stays at the root.
pub fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => drop(steps.pop()),
            ".." if is_absolute => {}
            step => steps.push(step),
        }
    }
    let joined = steps.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_absolute_paths_pass() {
        for good in ["/", "/a", "/a/b", "/...", "/a b"] {
            assert_eq!(path_fault(good), None, "{good}");
        }
        for bad in ["", "a", "/a/", "//a", "/a/./b", "/a/../b", "/.."] {
            assert!(path_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn cleaning_never_leaves_the_root() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("/../a//b/./c/..", "/a/b"),
            ("a/../../b", "../b"),
            ("a/..", "."),
            ("//", "/"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
