//! Compares partition tables with those of the programs that Debian's users have: sgdisk(8) of the package gdisk, and
//! sfdisk(8) of the package fdisk. All of them work on files, so neither root nor a disk is needed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use glowplug::disks::gpt::{Found, Geometry, Guid, NewPartition, Partition, Table, read, writes};

/// A generator of numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A disk in a file, which is removed with this value.
struct Disk(PathBuf, Geometry);

impl Disk {
    fn new(name: &str, sectors: u64) -> Self {
        let path = std::env::temp_dir().join(format!("glowplug-disks-{}-{name}", std::process::id()));
        File::create(&path).unwrap().set_len(sectors * 512).unwrap();
        Self(path, Geometry { sector: 512, sectors })
    }

    fn read(&self) -> Found {
        read(&File::open(&self.0).unwrap(), self.1).unwrap()
    }

    fn table(&self) -> Table {
        match self.read() {
            Found::Gpt { table, is_whole: true, is_visible: true, array: Some(2) } => table,
            other => panic!("{other:?}"),
        }
    }

    fn replace(&self, new: &Table) {
        let file = File::options().write(true).open(&self.0).unwrap();
        for write in writes(&self.read(), new).unwrap().iter().flatten() {
            file.write_all_at(&write.bytes, write.at).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs a program of `/usr/sbin` on a disk. Returns whether it succeeded, and its output.
fn run(program: &str, arguments: &[&str], disk: &Path) -> (bool, String) {
    let path = Path::new("/usr/sbin").join(program);
    let ended = Command::new(&path).args(arguments).arg(disk).output();
    let ended = ended.unwrap_or_else(|error| panic!("{}: {error}: tests/deps installs it", path.display()));
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn places(table: &Table) -> Vec<(u32, u64, u64, Guid, String)> {
    let place = |made: &Partition| (made.number, made.first, made.last, made.type_guid, made.label());
    table.partitions.iter().map(place).collect()
}

/// sgdisk and glowplug make the same partitions from the same changes, or both refuse.
#[test]
fn changes_give_what_sgdisk_gives() {
    let mut random = Random(11);
    let (mut made, mut refused) = (0, 0);
    for round in 0..5 {
        let disk = Disk::new(&format!("changes-{round}"), 60_000 + random.below(70_000));
        let (done, words) = run("sgdisk", &["--clear"], &disk.0);
        assert!(done, "{words}");
        for _ in 0..12 {
            let mut table = disk.table();
            let number = u32::try_from(random.below(9)).unwrap();
            if random.below(4) == 0 {
                run("sgdisk", &[&format!("--delete={number}")], &disk.0);
                table.remove(number);
                assert_eq!(places(&table), places(&disk.table()));
                continue;
            }
            let number = if table.partition(number).is_some() { 0 } else { number };
            let first = random.below(3).min(1) * (34 + random.below(70_000));
            let sectors = random.below(3).min(1) * (1 + random.below(20_000));
            let argument = format!("--new={number}:{first}:+{sectors}");
            // A number that sgdisk chooses can only be named as 0 in later arguments by 1.0.9 and later.
            let label = format!("--change-name={number}:p{first}");
            let (done, words) = run("sgdisk", &[&argument, &label], &disk.0);
            let label = format!("p{first}");
            let new = NewPartition {
                number,
                first,
                sectors,
                type_guid: Guid::LINUX_DATA,
                guid: Guid::LINUX_DATA,
                attributes: 0,
                label: &label,
            };
            let ours = table.make(&new);
            // For sgdisk, "up to the end" means the end of the largest free block, so it refuses a start in another block.
            if !done && ours.is_ok() && first > 0 && sectors == 0 {
                continue;
            }
            assert_eq!(ours.is_ok(), done, "{argument}: {ours:?}: {words}\n{:?}", places(&disk.table()));
            assert_eq!(places(&table), places(&disk.table()), "{argument}: {words}");
            *(if done { &mut made } else { &mut refused }) += 1;
        }
    }
    assert!(made > 15 && refused > 5, "{made} made, {refused} refused");
}

/// sgdisk and sfdisk find nothing wrong with a table that glowplug has written, at each step of the writes at which the
/// kernel may see it.
#[test]
fn tables_hold_before_sgdisk_and_sfdisk() {
    let disk = Disk::new("verified", 80_000);
    let mut table = Table::new(disk.1, Guid::from_random([7; 16])).unwrap();
    for (number, first, sectors) in [(1, 0, 5000), (2, 0, 10_000), (7, 40_000, 0)] {
        let guid = Guid::from_random([u8::try_from(number).unwrap(); 16]);
        let new = NewPartition {
            number,
            first,
            sectors,
            type_guid: Guid::LINUX_DATA,
            guid,
            attributes: 0,
            label: "x",
        };
        table.make(&new).unwrap();
    }
    disk.replace(&table);
    table.remove(2);
    let file = File::options().write(true).open(&disk.0).unwrap();
    let batches = writes(&disk.read(), &table).unwrap();
    for (index, batch) in batches.iter().enumerate() {
        for write in batch {
            file.write_all_at(&write.bytes, write.at).unwrap();
        }
        let (_, words) = run("sgdisk", &["--verify"], &disk.0);
        let is_switched = index >= 2;
        // At these steps both copies of the table are equal. Between them, only the primary one is right.
        let is_equal = [2, 3, 5].contains(&index);
        assert_eq!(words.contains("No problems found"), is_equal, "batch {index}: {words}");
        let (done, json) = run("sfdisk", &["--json"], &disk.0);
        assert!(
            done && json.matches("\"start\"").count() == if is_switched { 2 } else { 3 },
            "batch {index}: {json}"
        );
    }
    assert_eq!(disk.table(), table);
}
