//! Names of units: which are valid, and what their parts are.

use std::path::Path;

use crate::config::UNIT_SUFFIXES;

/// The most bytes of a name, as the kernel allows.
pub(super) const MAX_LENGTH: usize = 255;

/// A valid unit name: `PREFIX.SUFFIX`, or `PREFIX@INSTANCE.SUFFIX`. An empty instance makes it a template.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitName<'n> {
    /// The part before the `@`; before the suffix if there is no `@`.
    pub prefix: &'n str,
    /// The part between the `@` and the suffix; `None` if there is no `@`.
    pub instance: Option<&'n str>,
    /// The unit type, with its dot.
    pub suffix: &'n str,
}

impl<'n> UnitName<'n> {
    /// Parses `name`; `None` if systemd would not accept it as a unit name.
    pub fn parse(name: &'n str) -> Option<Self> {
        let (stem, suffix) = name.split_at(name.rfind('.')?);
        let valid = name.len() <= MAX_LENGTH && UNIT_SUFFIXES.contains(&suffix) && valid_instance(stem);
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        (valid && !prefix.is_empty()).then_some(Self { prefix, instance, suffix })
    }

    /// Returns whether this is a template, such as `x@.service`.
    pub fn is_template(self) -> bool {
        self.instance == Some("")
    }

    /// Returns whether this is an instance, such as `x@y.service`.
    pub fn is_instance(self) -> bool {
        self.instance.is_some_and(|instance| !instance.is_empty())
    }

    /// Returns the name with the given instance; `None` unless this is a template or an instance, and `instance` is
    /// valid.
    pub fn with_instance(self, instance: &str) -> Option<String> {
        (self.instance.is_some() && valid_instance(instance))
            .then(|| format!("{}@{instance}{}", self.prefix, self.suffix))
    }

    /// Returns the template of an instance, or the template itself.
    pub fn template(self) -> Option<String> {
        self.instance.map(|_| format!("{}@{}", self.prefix, self.suffix))
    }

    /// Returns whether units of this type may have aliases.
    pub fn may_alias(self) -> bool {
        matches!(self.suffix, ".service" | ".socket" | ".target" | ".device" | ".timer" | ".path")
    }

    /// Returns whether units of this type may be templates.
    pub fn may_template(self) -> bool {
        self.suffix != ".device" && self.may_alias()
    }

    /// Returns whether a link of this name may be an alias of `target`: both have the same type and the same
    /// instance.
    pub fn may_stand_for(self, target: Self) -> bool {
        let propagates = self.is_instance() && target.is_template();
        self.may_alias()
            && (self.instance.is_none() || self.may_template())
            && (self.instance == target.instance || propagates)
            && self.suffix == target.suffix
    }
}

/// Returns the last component of `path`, which is a unit's name; empty if there is none or if it is not UTF-8.
pub(super) fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Returns whether the text is not empty and has only characters that an instance may have.
pub(super) fn valid_instance(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    !text.is_empty() && text.bytes().all(valid)
}

/// Expands the specifiers in `format` for the unit `name`. `None` if a specifier depends on the running system (its
/// host name, its machine ID, ...).
pub(super) fn expand(format: &str, name: &str, default_instance: Option<&str>) -> Option<String> {
    let parts = UnitName::parse(name)?;
    let instance = match (parts.instance, default_instance) {
        (Some(""), Some(default)) => Some(default),
        (instance, _) => instance,
    };
    let mut text = String::with_capacity(format.len());
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let specifier = rest.next();
        match specifier {
            Some('i') => text.push_str(instance.unwrap_or_default()),
            Some('j') => text.push_str(parts.prefix.rsplit('-').next().unwrap_or_default()),
            Some('p') => text.push_str(parts.prefix),
            Some('n' | 'N') => {
                text.push_str(parts.prefix);
                if let Some(instance) = instance {
                    text.push('@');
                    text.push_str(instance);
                }
                if specifier == Some('n') {
                    text.push_str(parts.suffix);
                }
            }
            // Units of the system manager run as root.
            Some('u' | 'g') => text.push_str("root"),
            Some('U' | 'G') => text.push('0'),
            Some('%') | None => text.push('%'),
            Some('a' | 'A' | 'b' | 'B' | 'H' | 'l' | 'm' | 'M' | 'o' | 'q' | 'T' | 'v' | 'V' | 'w' | 'W') => {
                return None;
            }
            Some(other) => {
                text.push('%');
                text.push(other);
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let name = UnitName::parse("a-b@c.d.service").unwrap();
        assert_eq!((name.prefix, name.instance, name.suffix), ("a-b", Some("c.d"), ".service"));
        assert!(name.is_instance() && !name.is_template());
        assert_eq!(name.template().unwrap(), "a-b@.service");
        assert_eq!(name.with_instance("e").unwrap(), "a-b@e.service");
        assert!(UnitName::parse("a@.socket").unwrap().is_template());
        assert_eq!(UnitName::parse("mnt-a\\x20b.mount").unwrap().prefix, "mnt-a\\x20b");
        let long = format!("{}.service", "a".repeat(248));
        for bad in
            ["", ".service", "@.service", "a", "a.conf", "a b.service", "a/b.service", "ä.service", &long]
        {
            assert!(UnitName::parse(bad).is_none(), "{bad}");
        }
        assert!(UnitName::parse(&long[1..]).is_some());
    }

    #[test]
    fn standing_for() {
        let yes = [("a.service", "b.service"), ("a@.service", "b@.service"), ("a@x.service", "b@.service")];
        for (link, target) in yes {
            assert!(
                UnitName::parse(link).unwrap().may_stand_for(UnitName::parse(target).unwrap()),
                "{link} {target}"
            );
        }
        let no = [
            ("a.service", "b.socket"),
            ("a.mount", "b.mount"),
            ("a.service", "b@.service"),
            ("a@x.service", "b@y.service"),
            ("a@.device", "b@.device"),
        ];
        for (link, target) in no {
            assert!(
                !UnitName::parse(link).unwrap().may_stand_for(UnitName::parse(target).unwrap()),
                "{link} {target}"
            );
        }
    }

    #[test]
    fn specifiers() {
        let all = "%p|%i|%j|%n|%N|%%|%u";
        assert_eq!(expand(all, "a-b.service", None).unwrap(), "a-b||b|a-b.service|a-b|%|root");
        assert_eq!(expand(all, "a@x.service", Some("d")).unwrap(), "a|x|a|a@x.service|a@x|%|root");
        assert_eq!(expand(all, "a@.service", Some("d")).unwrap(), "a|d|a|a@d.service|a@d|%|root");
        assert_eq!(expand(all, "a@.service", None).unwrap(), "a||a|a@.service|a@|%|root");
        assert_eq!(expand("%H", "a.service", None), None);
        assert_eq!(expand("%y%", "a.service", None).unwrap(), "%y%");
    }
}
