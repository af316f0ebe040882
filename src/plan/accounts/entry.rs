//! The entries of the six account files, and their lines.

use super::number;

/// An entry of an account file. One type for all files, so that what is done with their lines is there once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Passwd(Passwd),
    Shadow(Shadow),
    Group(Group),
    Gshadow(Gshadow),
    Range(Range),
}

/// The entry that stands in a line (without its newline), if it is one.
pub(super) type Parse = fn(&[u8]) -> Option<Entry>;

impl Entry {
    /// The line, without its newline.
    pub(super) fn format(&self) -> Vec<u8> {
        match self {
            Self::Passwd(user) => user.format(),
            Self::Shadow(user) => user.format(),
            Self::Group(group) => group.format(),
            Self::Gshadow(group) => group.format(),
            Self::Range(range) => range.format(),
        }
    }

    /// Whose entry it is.
    pub(super) fn name(&self) -> &[u8] {
        match self {
            Self::Passwd(Passwd { name, .. })
            | Self::Shadow(Shadow { name, .. })
            | Self::Group(Group { name, .. })
            | Self::Gshadow(Gshadow { name, .. })
            | Self::Range(Range { owner: name, .. }) => name,
        }
    }

    /// The name of a group and its members.
    pub(super) fn members(&mut self) -> Option<(&[u8], &mut Vec<Vec<u8>>)> {
        match self {
            Self::Group(Group { name, members, .. }) | Self::Gshadow(Gshadow { name, members, .. }) => {
                Some((name, members))
            }
            _ => None,
        }
    }
}

/// A line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passwd {
    pub(super) name: Vec<u8>,
    pub(super) password: Vec<u8>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) gecos: Vec<u8>,
    pub(super) home: Vec<u8>,
    pub(super) shell: Vec<u8>,
}

impl Passwd {
    pub(super) fn parse(line: &[u8]) -> Option<Entry> {
        let [name, password, uid, gid, gecos, home, shell] = fields(line)?;
        Some(Entry::Passwd(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            uid: number::id(uid)?,
            gid: number::id(gid)?,
            gecos: gecos.to_vec(),
            home: home.to_vec(),
            shell: shell.to_vec(),
        }))
    }

    fn format(&self) -> Vec<u8> {
        let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
        let fields: [&[u8]; 7] = [
            &self.name,
            &self.password,
            uid.as_bytes(),
            gid.as_bytes(),
            &self.gecos,
            &self.home,
            &self.shell,
        ];
        fields.join(&b':')
    }
}

/// A line of `shadow`. A number that is not there is an empty field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shadow {
    pub(super) name: Vec<u8>,
    pub(super) password: Vec<u8>,
    pub(super) last_change: Option<u64>,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) warn: Option<u64>,
    pub(super) inactive: Option<u64>,
    pub(super) expire: Option<u64>,
    pub(super) flag: Option<u64>,
}

impl Shadow {
    pub(super) fn parse(line: &[u8]) -> Option<Entry> {
        // Old files have only the first five fields, or lack the last one.
        let missing: &[u8] = match line.split(|byte| *byte == b':').count() {
            5 => b"::::",
            8 => b":",
            _ => b"",
        };
        let line = [line, missing].concat();
        let [name, password, last_change, min, max, warn, inactive, expire, flag] = fields(&line)?;
        let number = |text: &[u8]| match text {
            b"" => Some(None),
            _ => number::unsigned(text).map(Some),
        };
        Some(Entry::Shadow(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            last_change: number(last_change)?,
            min: number(min)?,
            max: number(max)?,
            warn: number(warn)?,
            inactive: number(inactive)?,
            expire: number(expire)?,
            flag: number(flag)?,
        }))
    }

    fn format(&self) -> Vec<u8> {
        let mut line = [self.name.as_slice(), b":", &self.password].concat();
        for number in [self.last_change, self.min, self.max, self.warn, self.inactive, self.expire, self.flag]
        {
            line.push(b':');
            if let Some(number) = number {
                line.extend_from_slice(number.to_string().as_bytes());
            }
        }
        line
    }
}

/// A line of `group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: Vec<u8>,
    pub(super) password: Vec<u8>,
    pub(super) gid: u32,
    pub(super) members: Vec<Vec<u8>>,
}

impl Group {
    pub(super) fn parse(line: &[u8]) -> Option<Entry> {
        let [name, password, gid, members] = fields(line)?;
        Some(Entry::Group(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            gid: number::id(gid)?,
            members: list(members),
        }))
    }

    fn format(&self) -> Vec<u8> {
        let (gid, members) = (self.gid.to_string(), self.members.join(&b','));
        let fields: [&[u8]; 4] = [&self.name, &self.password, gid.as_bytes(), &members];
        fields.join(&b':')
    }
}

/// A line of `gshadow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gshadow {
    pub(super) name: Vec<u8>,
    pub(super) password: Vec<u8>,
    pub(super) admins: Vec<Vec<u8>>,
    pub(super) members: Vec<Vec<u8>>,
}

impl Gshadow {
    pub(super) fn parse(line: &[u8]) -> Option<Entry> {
        let [name, password, admins, members] = fields(line)?;
        Some(Entry::Gshadow(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            admins: list(admins),
            members: list(members),
        }))
    }

    fn format(&self) -> Vec<u8> {
        let (admins, members) = (self.admins.join(&b','), self.members.join(&b','));
        let fields: [&[u8]; 4] = [&self.name, &self.password, &admins, &members];
        fields.join(&b':')
    }
}

/// A line of `subuid` or `subgid`.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    // In the order by which the shadow tools sort.
    pub(super) start: u64,
    pub(super) count: u64,
    pub(super) owner: Vec<u8>,
}

impl Range {
    pub(super) fn parse(line: &[u8]) -> Option<Entry> {
        let [owner, start, count] = fields(line)?;
        if owner.is_empty() {
            return None;
        }
        let (start, count) = (number::unsigned(start)?, number::unsigned(count)?);
        Some(Entry::Range(Self { start, count, owner: owner.to_vec() }))
    }

    fn format(&self) -> Vec<u8> {
        [&self.owner, format!(":{}:{}", self.start, self.count).as_bytes()].concat()
    }
}

/// Adds `name` to a list of members that may have it already.
pub(super) fn add_member(members: &mut Vec<Vec<u8>>, name: &[u8]) {
    if !has_member(members, name) {
        members.push(name.to_vec());
    }
}

/// Whether `name` is in the list.
pub(super) fn has_member(members: &[Vec<u8>], name: &[u8]) -> bool {
    members.iter().any(|member| member == name)
}

/// Exactly `N` fields between colons.
fn fields<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    fields.try_into().ok()
}

/// The names between commas; nothing after the last comma is no name.
fn list(text: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = text.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect();
    if names.last().is_some_and(Vec::is_empty) {
        names.pop();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(parse: Parse, line: &str) -> bool {
        parse(line.as_bytes()).is_some_and(|entry| entry.format() == line.as_bytes())
    }

    #[test]
    fn a_well_formed_line_comes_back_as_it_was() {
        assert!(same(Passwd::parse, "root:x:0:0:Root,,,:/root:/bin/bash"));
        assert!(same(Passwd::parse, "::1:2:::"));
        assert!(same(Shadow::parse, "root:*:19000:0:99999:7:::"));
        assert!(same(Shadow::parse, "a:!::::::42:1"));
        assert!(same(Group::parse, "adm:x:4:a,b"));
        assert!(same(Group::parse, "adm:x:4:"));
        assert!(same(Group::parse, "adm:x:4:,,a"));
        assert!(same(Gshadow::parse, "adm:*:x:a,b"));
        assert!(same(Range::parse, "core:100000:65536"));
    }

    #[test]
    fn a_broken_line_is_no_entry() {
        for line in ["", "# comment", "a:x:1:2:g:/h", "a:x:1:2:g:/h:/s:", "a:x::2:g:/h:/s", "a:x:1:z:g:/h:/s"]
        {
            assert_eq!(Passwd::parse(line.as_bytes()), None, "{line:?}");
        }
        for line in ["", "a:x", "a:*:x::::::", "a:*:1:2:3:4", "a:*:1:::::::"] {
            assert_eq!(Shadow::parse(line.as_bytes()), None, "{line:?}");
        }
        for line in ["", "a:x::", "a:x:1", "a:x:1:b:"] {
            assert_eq!(Group::parse(line.as_bytes()), None, "{line:?}");
        }
        for line in ["", ":1:2", "a:1", "a::1", "a:1:2:3"] {
            assert_eq!(Range::parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn what_the_shadow_tools_normalize_is_normalized() {
        assert_eq!(Passwd::parse(b"a:x:01:002:::").unwrap().format(), b"a:x:1:2:::");
        assert_eq!(Shadow::parse(b"a:*:1:2:3").unwrap().format(), b"a:*:1:2:3::::");
        assert_eq!(Shadow::parse(b"a:*:1:2:3:4:5:6").unwrap().format(), b"a:*:1:2:3:4:5:6:");
        assert_eq!(Group::parse(b"a:x:1:b,").unwrap().format(), b"a:x:1:b");
    }
}
