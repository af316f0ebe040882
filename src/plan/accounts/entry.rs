//! The entries of the six account files, and the format of their lines. A config may make tens of thousands of users, each
//! with an entry in every file, so the entries are small.

use super::number;

/// An entry of an account file. All files share one type, so that the code for their lines exists only once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccountEntry {
    Passwd(Passwd),
    Shadow(Shadow),
    Group(Group),
    Gshadow(Gshadow),
    Range(Range),
}

/// Parses a line without its newline; `None` if it is not an entry.
pub(super) type Parse = fn(&[u8]) -> Option<AccountEntry>;

impl AccountEntry {
    /// Returns the entry as a line without a newline.
    pub(super) fn format(&self) -> Vec<u8> {
        match self {
            Self::Passwd(user) => user.format(),
            Self::Shadow(user) => user.format(),
            Self::Group(group) => group.format(),
            Self::Gshadow(group) => group.format(),
            Self::Range(range) => range.format(),
        }
    }

    /// Returns the name of the user or group of the entry.
    pub(super) fn name(&self) -> &[u8] {
        match self {
            Self::Passwd(Passwd { name, .. })
            | Self::Shadow(Shadow { name, .. })
            | Self::Group(Group { name, .. })
            | Self::Gshadow(Gshadow { name, .. })
            | Self::Range(Range { owner: name, .. }) => name,
        }
    }

    /// Returns the lists of names in a group's entry: the members, and in `gshadow` also the administrators.
    pub(super) fn lists(&self) -> [Option<&Names>; 2] {
        match self {
            Self::Group(group) => [Some(&group.members), None],
            Self::Gshadow(group) => [Some(&group.members), Some(&group.admins)],
            _ => [None, None],
        }
    }

    /// Returns the list with this number for changing it.
    pub(super) fn list_mut(&mut self, list: usize) -> Option<&mut Names> {
        match (self, list) {
            (Self::Group(group), MEMBERS) => Some(&mut group.members),
            (Self::Gshadow(group), MEMBERS) => Some(&mut group.members),
            (Self::Gshadow(group), ADMINS) => Some(&mut group.admins),
            _ => None,
        }
    }
}

/// The number of the list of members.
pub(super) const MEMBERS: usize = 0;
/// The number of the list of administrators.
pub(super) const ADMINS: usize = 1;

/// Names separated by commas. A removed name leaves an empty place, so that the other places keep their numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Names {
    places: Vec<Option<Box<[u8]>>>,
    removed: usize,
}

impl Names {
    /// Parses a list. A comma at the end is not followed by an empty name.
    fn parse(text: &[u8]) -> Self {
        let mut places: Vec<Option<Box<[u8]>>> =
            text.split(|byte| *byte == b',').map(|name| Some(name.into())).collect();
        if text.is_empty() || text.ends_with(b",") {
            places.pop();
        }
        Self { places, removed: 0 }
    }

    fn format(&self) -> Vec<u8> {
        let names: Vec<&[u8]> = self.iter().map(|(_, name)| name).collect();
        names.join(&b',')
    }

    /// Returns each name with the number of its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let names = self.places.iter().enumerate();
        names.filter_map(|(place, name)| Some((place, name.as_deref()?)))
    }

    /// Returns the name in this place.
    pub(super) fn get(&self, place: usize) -> Option<&[u8]> {
        self.places.get(place)?.as_deref()
    }

    /// Returns whether the list has no names.
    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.removed
    }

    /// Appends a name and returns the number of its place.
    pub(super) fn push(&mut self, name: &[u8]) -> usize {
        self.places.push(Some(name.into()));
        self.places.len().saturating_sub(1)
    }

    /// Removes the name from this place.
    pub(super) fn remove(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.removed = self.removed.saturating_add(1);
        }
    }
}

/// A line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passwd {
    pub(super) name: Box<[u8]>,
    pub(super) password: Box<[u8]>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) gecos: Box<[u8]>,
    pub(super) home: Box<[u8]>,
    pub(super) shell: Box<[u8]>,
}

impl Passwd {
    pub(super) fn parse(line: &[u8]) -> Option<AccountEntry> {
        let [name, password, uid, gid, gecos, home, shell] = fields(line)?;
        Some(AccountEntry::Passwd(Self {
            name: name.into(),
            password: password.into(),
            uid: number::id(uid)?,
            gid: number::id(gid)?,
            gecos: gecos.into(),
            home: home.into(),
            shell: shell.into(),
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

/// A line of `shadow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shadow {
    pub(super) name: Box<[u8]>,
    pub(super) password: Box<[u8]>,
    /// The day of the last password change; `None` for an empty field.
    pub(super) last_change: Option<u64>,
    /// The other fields as they are written, separated by colons.
    pub(super) rest: Box<[u8]>,
}

/// The number of fields in [`Shadow::rest`].
const REST: usize = 6;

impl Shadow {
    pub(super) fn parse(line: &[u8]) -> Option<AccountEntry> {
        // Old files may have only the first five fields, or lack the last one.
        let missing: &[u8] = match line.split(|byte| *byte == b':').count() {
            5 => b"::::",
            8 => b":",
            _ => b"",
        };
        let line = [line, missing].concat();
        let [name, password, last_change, rest @ ..] = fields::<9>(&line)?;
        let number = |text: &[u8]| match text {
            b"" => Some(None),
            _ => number::unsigned(text).map(Some),
        };
        let mut numbers = [None; REST];
        for (wanted, text) in numbers.iter_mut().zip(rest) {
            *wanted = number(text)?;
        }
        Some(AccountEntry::Shadow(Self {
            name: name.into(),
            password: password.into(),
            last_change: number(last_change)?,
            rest: Self::rest(numbers),
        }))
    }

    /// Returns the fields behind the last change: the least and the most days between two changes, the days of the warning, the
    /// days until the account becomes inactive, the day on which it expires, and a reserved one. `None` is an empty field.
    pub(super) fn rest(numbers: [Option<u64>; REST]) -> Box<[u8]> {
        numbers
            .map(|number| number.map_or_else(String::new, |number| number.to_string()))
            .join(":")
            .into_bytes()
            .into()
    }

    fn format(&self) -> Vec<u8> {
        let last_change = self.last_change.map_or_else(String::new, |day| day.to_string());
        let fields: [&[u8]; 4] = [&self.name, &self.password, last_change.as_bytes(), &self.rest];
        fields.join(&b':')
    }
}

/// A line of `group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: Box<[u8]>,
    pub(super) password: Box<[u8]>,
    pub(super) gid: u32,
    pub(super) members: Names,
}

impl Group {
    pub(super) fn parse(line: &[u8]) -> Option<AccountEntry> {
        let [name, password, gid, members] = fields(line)?;
        Some(AccountEntry::Group(Self {
            name: name.into(),
            password: password.into(),
            gid: number::id(gid)?,
            members: Names::parse(members),
        }))
    }

    fn format(&self) -> Vec<u8> {
        let (gid, members) = (self.gid.to_string(), self.members.format());
        let fields: [&[u8]; 4] = [&self.name, &self.password, gid.as_bytes(), &members];
        fields.join(&b':')
    }
}

/// A line of `gshadow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gshadow {
    pub(super) name: Box<[u8]>,
    pub(super) password: Box<[u8]>,
    pub(super) admins: Names,
    pub(super) members: Names,
}

impl Gshadow {
    pub(super) fn parse(line: &[u8]) -> Option<AccountEntry> {
        let [name, password, admins, members] = fields(line)?;
        Some(AccountEntry::Gshadow(Self {
            name: name.into(),
            password: password.into(),
            admins: Names::parse(admins),
            members: Names::parse(members),
        }))
    }

    fn format(&self) -> Vec<u8> {
        let (admins, members) = (self.admins.format(), self.members.format());
        let fields: [&[u8]; 4] = [&self.name, &self.password, &admins, &members];
        fields.join(&b':')
    }
}

/// A line of `subuid` or `subgid`.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    // The fields are in the order by which the shadow tools sort.
    pub(super) start: u64,
    pub(super) count: u64,
    pub(super) owner: Box<[u8]>,
}

impl Range {
    pub(super) fn parse(line: &[u8]) -> Option<AccountEntry> {
        let [owner, start, count] = fields(line)?;
        if owner.is_empty() {
            return None;
        }
        let (start, count) = (number::unsigned(start)?, number::unsigned(count)?);
        Some(AccountEntry::Range(Self { start, count, owner: owner.into() }))
    }

    fn format(&self) -> Vec<u8> {
        [&self.owner, format!(":{}:{}", self.start, self.count).as_bytes()].concat()
    }
}

/// Splits a line into exactly `N` fields at colons; `None` if it has more or fewer.
fn fields<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    fields.try_into().ok()
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
