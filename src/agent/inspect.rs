//! The configuration of the machine, its resources, and its installed packages.

use serde::Serialize;

use super::packages::{self, Package};
use super::system::{self, Account, Amount, FactReader};
use super::{Provisioning, SCHEMA, json};

/// The most mounts in the answer. A machine with many containers has some hundreds.
const MOST_MOUNTS: usize = 1000;
/// The initramfs generators that glowplug supports.
const GENERATORS: [&str; 2] = ["initramfs-tools", "dracut"];

/// The answer to `GET /inspect`: `docs/schema/inspect.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection<'t> {
    version: u32,
    hostname: String,
    /// `PRETTY_NAME` of os-release(5).
    system: String,
    kernel: Kernel,
    provisioning: Provisioning,
    /// The package of the initramfs generator.
    generator: Option<&'t Package<'t>>,
    users: Vec<Account>,
    mounts: Vec<Mount>,
    resources: Resources,
    packages: &'t [Package<'t>],
    errors: Vec<String>,
}

/// The kernel, as uname(2) describes it.
#[derive(Debug, Serialize)]
struct Kernel {
    release: String,
    version: String,
    machine: String,
}

#[derive(Debug, Serialize)]
struct Resources {
    processors: usize,
    /// The load average of the last minute.
    load: f64,
    /// Seconds since the kernel's start.
    uptime: u64,
    /// Memory, in bytes.
    memory: Amount,
    /// Swap, in bytes.
    swap: Amount,
    /// The file system of `/`, in bytes.
    disk: Amount,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Mount {
    source: String,
    target: String,
    #[serde(rename = "type")]
    kind: String,
    /// Whether the file system itself is read-only, not only this mount of it.
    read_only: bool,
}

impl Inspection<'_> {
    /// Collects the answer and returns it as JSON.
    pub fn read() -> String {
        let mut reader = FactReader::default();
        let database = reader.or_note("dpkg's database", packages::database()).unwrap_or_default();
        let packages = packages::installed(&database);
        let (passwd, group) = (reader.text("/etc/passwd"), reader.text("/etc/group"));
        let uname = rustix::system::uname();
        let [release, version, machine] = [uname.release(), uname.version(), uname.machine()]
            .map(|text| text.to_string_lossy().into_owned());
        json(&Inspection {
            version: SCHEMA,
            hostname: system::host_name(),
            system: system_name(&mut reader),
            kernel: Kernel { release, version, machine },
            provisioning: Provisioning::read(),
            generator: packages.iter().find(|package| GENERATORS.contains(&package.name)),
            users: system::accounts(&passwd, &group),
            mounts: mounts(&reader.text("/proc/self/mountinfo")),
            resources: resources(&mut reader),
            packages: &packages,
            errors: reader.errors,
        })
    }
}

fn system_name(reader: &mut FactReader) -> String {
    let text = reader.text("/etc/os-release");
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

fn resources(reader: &mut FactReader) -> Resources {
    let (memory, swap) = system::memory(reader);
    let load = reader.text("/proc/loadavg");
    Resources {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        load: load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        uptime: system::uptime(),
        memory,
        swap,
        disk: system::disk(reader),
    }
}

/// Parses `proc_pid_mountinfo(5)` and returns the uppermost mount of each mount point. Only the first option is
/// shown, `ro` or `rw`, because the others can contain passwords.
fn mounts(mountinfo: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(target), [kind, source, options]) = (left.split(' ').nth(4), &right[..]) else { continue };
        let mount = Mount {
            source: unescaped(source),
            target: unescaped(target),
            kind: (*kind).to_owned(),
            read_only: options.split(',').next() == Some("ro"),
        };
        mounts.retain(|other| other.target != mount.target);
        if mounts.len() < MOST_MOUNTS {
            mounts.push(mount);
        }
    }
    mounts
}

/// Decodes the octal escapes of mountinfo: a space is written as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (digits, part.get(3..)) {
            (Some(byte), Some(rest)) if byte.is_ascii() => {
                out.push(char::from(byte));
                out.push_str(rest);
            }
            _ => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_without_their_options() {
        let text = "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda3 rw,errors=remount-ro\n\
            30 22 0:5 / /mnt/a\\040b ro,nosuid shared:2 master:3 - cifs //host/share ro,password=secret\n\
            31 22 0:6 / / ro - overlay over rw\nbroken line\n";
        let mounts = mounts(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].target.as_str(), mounts[0].read_only), ("/mnt/a b", true));
        assert_eq!((mounts[1].kind.as_str(), mounts[1].read_only), ("overlay", false));
        assert!(!json(&mounts).contains("secret"));
        assert_eq!(unescaped("a\\134b\\9\\04"), "a\\b\\9\\04");
    }

    #[test]
    fn this_machine_can_be_inspected() {
        let text = Inspection::read();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], SCHEMA);
        assert!(value["mounts"].as_array().unwrap().iter().any(|mount| mount["target"] == "/"), "{text}");
        assert!(value["users"].as_array().unwrap().iter().any(|user| user["name"] == "root"), "{text}");
    }
}
