//! The entries of the six account files, and their lines.

use super::number;

/// An entry of an account file.
pub(super) trait Entry: Sized {
    /// The entry that stands in `line` (without its newline), if it is one.
    fn parse(line: &[u8]) -> Option<Self>;
    /// The line, without its newline.
    fn format(&self) -> Vec<u8>;
    /// Whose entry it is.
    fn name(&self) -> &[u8];
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

impl Entry for Passwd {
    fn parse(line: &[u8]) -> Option<Self> {
        let [name, password, uid, gid, gecos, home, shell] = fields(line)?;
        Some(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            uid: number::id(uid)?,
            gid: number::id(gid)?,
            gecos: gecos.to_vec(),
            home: home.to_vec(),
            shell: shell.to_vec(),
        })
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

    fn name(&self) -> &[u8] {
        &self.name
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

impl Entry for Shadow {
    fn parse(line: &[u8]) -> Option<Self> {
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
        Some(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            last_change: number(last_change)?,
            min: number(min)?,
            max: number(max)?,
            warn: number(warn)?,
            inactive: number(inactive)?,
            expire: number(expire)?,
            flag: number(flag)?,
        })
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

    fn name(&self) -> &[u8] {
        &self.name
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

impl Entry for Group {
    fn parse(line: &[u8]) -> Option<Self> {
        let [name, password, gid, members] = fields(line)?;
        Some(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            gid: number::id(gid)?,
            members: list(members),
        })
    }

    fn format(&self) -> Vec<u8> {
        let (gid, members) = (self.gid.to_string(), self.members.join(&b','));
        let fields: [&[u8]; 4] = [&self.name, &self.password, gid.as_bytes(), &members];
        fields.join(&b':')
    }

    fn name(&self) -> &[u8] {
        &self.name
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

impl Entry for Gshadow {
    fn parse(line: &[u8]) -> Option<Self> {
        let [name, password, admins, members] = fields(line)?;
        Some(Self {
            name: name.to_vec(),
            password: password.to_vec(),
            admins: list(admins),
            members: list(members),
        })
    }

    fn format(&self) -> Vec<u8> {
        let (admins, members) = (self.admins.join(&b','), self.members.join(&b','));
        let fields: [&[u8]; 4] = [&self.name, &self.password, &admins, &members];
        fields.join(&b':')
    }

    fn name(&self) -> &[u8] {
        &self.name
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

impl Entry for Range {
    fn parse(line: &[u8]) -> Option<Self> {
        let [owner, start, count] = fields(line)?;
        if owner.is_empty() {
            return None;
        }
        let (start, count) = (number::unsigned(start)?, number::unsigned(count)?);
        Some(Self { start, count, owner: owner.to_vec() })
    }

    fn format(&self) -> Vec<u8> {
        [&self.owner, format!(":{}:{}", self.start, self.count).as_bytes()].concat()
    }

    fn name(&self) -> &[u8] {
        &self.owner
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

    fn same<E: Entry>(line: &str) -> bool {
        E::parse(line.as_bytes()).is_some_and(|entry| entry.format() == line.as_bytes())
    }

    #[test]
    fn a_well_formed_line_comes_back_as_it_was() {
        assert!(same::<Passwd>("root:x:0:0:Root,,,:/root:/bin/bash"));
        assert!(same::<Passwd>("::1:2:::"));
        assert!(same::<Shadow>("root:*:19000:0:99999:7:::"));
        assert!(same::<Shadow>("a:!::::::42:1"));
        assert!(same::<Group>("adm:x:4:a,b"));
        assert!(same::<Group>("adm:x:4:"));
        assert!(same::<Group>("adm:x:4:,,a"));
        assert!(same::<Gshadow>("adm:*:x:a,b"));
        assert!(same::<Range>("core:100000:65536"));
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
