//! A RAID array that the config wants, and what stands on its members: whether it is assembled or made, and by which command.

use crate::config::Raid;

/// What mdadm says about a device that is a member of an array.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// The UUID of the array.
    pub uuid: String,
    /// The name of the array, without the host.
    pub name: String,
    /// The level: `raid1`.
    pub level: String,
    /// The number of devices of the array, without spares.
    pub count: String,
}

impl Member {
    /// Reads the output of `mdadm --examine --export`. Returns `None` if the device is no member.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let found = text.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key);
            found.map(|(_, value)| value.to_owned())
        };
        let name = value("MD_NAME").unwrap_or_default();
        Some(Self {
            uuid: value("MD_UUID")?,
            name: name.rsplit_once(':').map_or(name.clone(), |(_, name)| name.to_owned()),
            level: value("MD_LEVEL")?,
            count: value("MD_DEVICES")?,
        })
    }
}

/// Returns whether `members`, what stands on each device of the config's array, are the array that the config wants. Then it is
/// assembled with its data, which the reference never does.
pub fn is_wanted(wanted: &Raid<'_>, members: &[Option<Member>]) -> bool {
    let Some(Some(first)) = members.first() else { return false };
    let name = wanted.name.strip_prefix("/dev/md/").unwrap_or(&wanted.name);
    members.iter().all(|member| member.as_ref() == Some(first))
        && first.name == name
        && first.level == level(wanted)
        && first.count == active(wanted).to_string()
}

/// Returns the level as mdadm calls it.
pub fn level<'a>(wanted: &'a Raid<'_>) -> &'a str {
    match wanted.level.as_deref().unwrap_or_default() {
        "0" | "stripe" => "raid0",
        "1" | "mirror" => "raid1",
        "4" => "raid4",
        "5" => "raid5",
        "6" => "raid6",
        "10" => "raid10",
        level => level,
    }
}

/// Returns the kernel module of the level.
pub fn module(wanted: &Raid<'_>) -> &'static str {
    match level(wanted) {
        "raid0" => "raid0",
        "raid1" => "raid1",
        "raid10" => "raid10",
        "linear" => "linear",
        _ => "raid456",
    }
}

/// Returns the number of devices that are no spares.
fn active(wanted: &Raid<'_>) -> usize {
    let spares = usize::try_from(wanted.spares.unwrap_or_default()).unwrap_or_default();
    wanted.devices.len().saturating_sub(spares)
}

/// Returns the command that makes the array on `devices`, with the config's own options where the reference has them.
pub fn create(wanted: &Raid<'_>, devices: &[String]) -> Vec<String> {
    let mut command: Vec<String> =
        ["mdadm", "--create", &wanted.name, "--force", "--run", "--homehost", "any", "--level"]
            .map(str::to_owned)
            .into();
    command.extend([level(wanted).to_owned(), "--raid-devices".to_owned(), active(wanted).to_string()]);
    if let Some(spares) = wanted.spares.filter(|spares| *spares > 0) {
        command.extend(["--spare-devices".to_owned(), spares.to_string()]);
    }
    command.extend(wanted.options.iter().map(ToString::to_string));
    command.extend_from_slice(devices);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Raid<'static> {
        Raid {
            name: "data".into(),
            level: Some("mirror".into()),
            devices: vec!["/dev/a".into(), "/dev/b".into(), "/dev/c".into()],
            spares: Some(1),
            options: vec!["--assume-clean".into()],
        }
    }

    #[test]
    fn the_command_counts_spares_apart() {
        let devices = ["/dev/vda", "/dev/vdb", "/dev/vdc"].map(str::to_owned);
        assert_eq!(
            create(&wanted(), &devices).join(" "),
            "mdadm --create data --force --run --homehost any --level raid1 --raid-devices 2 --spare-devices 1 \
             --assume-clean /dev/vda /dev/vdb /dev/vdc"
        );
    }

    #[test]
    fn an_array_is_the_wanted_one_if_all_members_agree() {
        let text = "MD_LEVEL=raid1\nMD_DEVICES=2\nMD_NAME=any:data\nMD_UUID=1:2:3:4\n";
        let member = Member::parse(text);
        let other = Member::parse(&text.replace("1:2", "9:2"));
        assert!(is_wanted(&wanted(), &[member.clone(), member.clone(), member.clone()]));
        assert!(!is_wanted(&wanted(), &[member.clone(), other, member.clone()]));
        assert!(!is_wanted(&wanted(), &[member.clone(), None, member.clone()]));
        assert!(!is_wanted(&wanted(), &[]));
        for (from, to) in [("raid1", "raid0"), ("=2", "=3"), ("data", "else")] {
            let member = Member::parse(&text.replace(from, to));
            assert!(!is_wanted(&wanted(), &[member.clone(), member.clone(), member]), "{from}");
        }
        assert_eq!(Member::parse(""), None);
    }
}
