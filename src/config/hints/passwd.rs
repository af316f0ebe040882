//! Hints about users and groups. The language accepts these values, but with most of them nobody could log in.

/// The types of public keys, and the beginning of the base64 of each.
const KEY_TYPES: &[(&str, &str)] = &[
    ("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5"),
    ("ssh-rsa", "AAAAB3NzaC1yc2E"),
    ("ecdsa-sha2-nistp256", "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY"),
    ("ecdsa-sha2-nistp384", "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQ"),
    ("ecdsa-sha2-nistp521", "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjE"),
    ("sk-ssh-ed25519@openssh.com", "AAAAGnNrLXNzaC1lZDI1NTE5"),
    ("sk-ecdsa-sha2-nistp256@openssh.com", "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTY"),
    ("ssh-dss", "AAAAB3NzaC1kc3M"),
];

/// Returns the hint for the first bad line of `text`, which is to be written into `authorized_keys`.
pub(in super::super) fn for_ssh_key(text: &str) -> Option<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).find_map(for_line)
}

/// Returns the hint for one line.
fn for_line(line: &str) -> Option<String> {
    let what = if line.contains("PRIVATE KEY") || line.starts_with("PuTTY-User-Key") {
        "this is a private key: write the public one, from the file whose name ends in .pub"
    } else if line.starts_with("-----") || line.starts_with("---- ") {
        "sshd reads keys of one line: convert this one with ssh-keygen -i"
    } else if line.contains("://") && !line.contains("AAAA") {
        "keys are not fetched from a URL: write the key itself"
    } else {
        return in_words(line);
    };
    Some(what.to_owned())
}

/// Returns the hint for a line that should have a key's type and its base64, perhaps after options of sshd.
fn in_words(line: &str) -> Option<String> {
    let mut words = Words(line);
    while let Some(word) = words.next() {
        if is_type(word) {
            let has_key = words.next().is_some_and(|next| next.starts_with("AAAA"));
            return (!has_key)
                .then(|| format!("the key itself, which begins with AAAA, is missing after {word}"));
        }
        if word.starts_with("AAAA") {
            let known = KEY_TYPES.iter().find(|(_, start)| word.starts_with(start));
            return Some(match known {
                Some((name, _)) => format!("the key's type is missing: write {name} before it"),
                None => "the key's type is missing, as in ssh-ed25519 AAAA...".to_owned(),
            });
        }
    }
    Some("this is not a public key, which is written as in ssh-ed25519 AAAA...".to_owned())
}

/// Returns whether `word` is the type of a key or of a certificate.
fn is_type(word: &str) -> bool {
    let plain = word.replace("-cert-v01@openssh.com", "");
    KEY_TYPES.iter().any(|(name, _)| {
        *name == word || *name == plain || name.strip_suffix("@openssh.com").is_some_and(|name| name == plain)
    })
}

/// An iterator over words. As in options of sshd, white space between double quotes does not end a word.
struct Words<'t>(&'t str);

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.0.trim_start();
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.find(|c: char| {
            let is_end = !is_quoted && c.is_whitespace();
            is_quoted ^= c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Returns the hint for a text that is not a hash of Debian's crypt(5). Locked and empty fields get none.
pub(in super::super) fn for_password_hash(hash: &str) -> Option<&'static str> {
    // A `!` before a hash locks the account. `*`, `!` and an empty field are written on purpose, so they get no hint.
    let hash = hash.trim_start_matches('!');
    if matches!(hash, "" | "*" | "x") {
        return None;
    }
    let Some(rest) = hash.strip_prefix('$') else {
        return Some(
            "this is not a password hash, and passwords are not hashed here: make a hash with mkpasswd or openssl passwd -6",
        );
    };
    let mut parts = rest.split('$');
    let (method, last) = (parts.next().unwrap_or_default(), rest.rsplit('$').next().unwrap_or_default());
    let count = rest.split('$').count();
    // Each method fixes how many parts a hash has, and how many bytes the last part has.
    let fits = match method {
        "y" | "gy" => count == 4 && last.len() == 43,
        "7" => count >= 3 && last.len() == 43,
        "2a" | "2b" | "2x" | "2y" => count == 3 && last.len() == 53,
        "6" => matches!(count, 3 | 4) && last.len() == 86,
        "5" => matches!(count, 3 | 4) && last.len() == 43,
        "1" => count == 3 && last.len() == 22,
        "3" | "md5" | "sha1" | "sm3" | "sm3crypt" => true,
        _ => return Some("crypt(5) does not know the method of the hash: make a hash with mkpasswd"),
    };
    let is_alphabet = last.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    (!fits || !is_alphabet)
        .then_some("the hash is not whole: take care that a shell does not replace its $ signs")
}

/// Returns the hint for a group that Debian does not have, or not always, although other distributions do.
pub(in super::super) fn for_group(name: &str) -> Option<&'static str> {
    match name {
        "wheel" => Some("Debian has no group wheel: add the user to the group sudo instead"),
        "docker" => Some(
            "the group docker exists only if the package docker.io is installed: otherwise add the group to passwd.groups",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIGgZ0lZ4Qm3Jv0m8W2nYv4dQvVJr4h0mTt0c2Gd1u2a3";

    #[test]
    fn ssh_keys_that_let_nobody_in_get_a_hint() {
        for (key, words) in [
            (BLOB.to_owned(), "write ssh-ed25519 before it"),
            (format!("{BLOB} ann@host"), "write ssh-ed25519 before it"),
            ("AAAAB3NzaC1yc2EAAAADAQABAAABgQ== ann".to_owned(), "write ssh-rsa before it"),
            ("AAAAnonsense".to_owned(), "type is missing"),
            ("ssh-ed25519".to_owned(), "is missing after ssh-ed25519"),
            ("ssh-rsa ann@host".to_owned(), "is missing after ssh-rsa"),
            ("nonsense".to_owned(), "not a public key"),
            ("ann@host".to_owned(), "not a public key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nx".to_owned(), "private key"),
            ("---- BEGIN SSH2 PUBLIC KEY ----".to_owned(), "ssh-keygen -i"),
            ("https://github.com/ann.keys".to_owned(), "not fetched"),
            (format!("ssh-ed25519 {BLOB}\n{BLOB}"), "write ssh-ed25519 before it"),
        ] {
            let hint = for_ssh_key(&key).unwrap_or_default();
            assert!(hint.contains(words), "{key}: {hint}");
            assert!(!hint.contains("AAAAC3") && !hint.contains("ann"), "{hint}");
        }
        for key in [
            format!("ssh-ed25519 {BLOB}"),
            format!("ssh-ed25519 {BLOB} ann@host and more"),
            format!("restrict,command=\"echo \\\"AAAA x\\\" ssh-rsa\" ssh-ed25519 {BLOB}"),
            format!("# a comment\n\nssh-ed25519 {BLOB}\n"),
            format!("ssh-ed25519-cert-v01@openssh.com {BLOB}"),
            format!("sk-ssh-ed25519-cert-v01@openssh.com {BLOB}"),
            format!("sk-ssh-ed25519@openssh.com {BLOB}"),
            String::new(),
        ] {
            assert_eq!(for_ssh_key(&key), None, "{key}");
        }
    }

    #[test]
    fn password_hashes_that_are_none_get_a_hint() {
        let sha512 = format!("$6$salt${}", "x".repeat(86));
        for good in [
            "",
            "*",
            "!",
            "!!",
            "!*",
            &sha512,
            &format!("!{sha512}"),
            &format!("$6$rounds=5000$salt${}", "x".repeat(86)),
            &format!("$5$salt${}", "x".repeat(43)),
            &format!("$1$salt${}", "x".repeat(22)),
            &format!("$y$j9T$salt${}", "x".repeat(43)),
            &format!("$2b$12${}", "x".repeat(53)),
        ] {
            assert_eq!(for_password_hash(good), None, "{good}");
        }
        for (bad, words) in [
            ("secret", "not a password hash"),
            ("password12345", "not a password hash"),
            ("$6$salt", "not whole"),
            ("$6$salt$abc", "not whole"),
            ("$6$salt$", "not whole"),
            (&format!("{sha512}\n"), "not whole"),
            ("$2b$12$short", "not whole"),
            ("$argon2id$v=19$m=65536,t=3,p=4$x$y", "does not know"),
            ("$", "does not know"),
        ] {
            let hint = for_password_hash(bad).unwrap_or_default();
            assert!(hint.contains(words), "{bad}: {hint}");
        }
    }
}
