//! Compares partition tables with those of the programs that Debian's users have: sgdisk(8) of the package gdisk, and
//! sfdisk(8) of the package fdisk. Other formats are made by their own programs, and compared with what blkid(8) says about
//! them. All of them work on files, so neither root nor a disk is needed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use glowplug::config::{Disk as DiskConfig, Filesystem, Partition as PartitionConfig};
use glowplug::disks::gpt::{Found, Geometry, Guid, NewPartition, Partition, Table, read, writes};
use glowplug::disks::plan::{Action, Before, DiskState, Format, decide, plan_table};
use glowplug::disks::{BLKID, Ids, Probe, WIPEFS, has_formats};

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

/// sgdisk and sfdisk accept what glowplug makes of tables that sgdisk wrote, and what glowplug leaves alone stays as it was.
#[test]
fn tables_of_sgdisk_can_be_changed() {
    let mut random = Random(12);
    let mut changed = 0;
    for round in 0..10 {
        let disk = Disk::new(&format!("foreign-{round}"), 100_000);
        for number in 1..=1 + random.below(5) {
            let new = format!("--new={number}:0:+{}", 1 + random.below(15_000));
            let name = format!("--change-name={number}:p {number}");
            let attributes = format!("--attributes={number}:set:{}", [0, 2, 60, 63][number as usize % 4]);
            let (done, words) = run("sgdisk", &["--set-alignment=8", &new, &name, &attributes], &disk.0);
            assert!(done, "{words}");
        }
        let before = disk.table();
        let mut after = before.clone();
        after.remove(u32::try_from(1 + random.below(5)).unwrap());
        let kept = after.partitions.clone();
        for byte in 0..=u8::try_from(random.below(3)).unwrap() {
            let new = NewPartition {
                number: 0,
                first: 0,
                sectors: random.below(2) * (1 + random.below(9000)),
                type_guid: Guid::LINUX_DATA,
                guid: Guid::from_random([byte; 16]),
                attributes: 0,
                label: "made",
            };
            changed += u32::from(after.make(&new).is_ok());
        }
        // A first partition directly behind the table and another one up to the end of the disk leave no room.
        if writes(&disk.read(), &after).is_none() {
            continue;
        }
        disk.replace(&after);
        assert_eq!(disk.table(), after);
        assert!(kept.iter().all(|partition| after.partitions.contains(partition)));
        let (_, words) = run("sgdisk", &["--verify"], &disk.0);
        assert!(words.contains("No problems found"), "{words}");
        let (done, words) = run("sfdisk", &["--verify"], &disk.0);
        assert!(done && words.contains("No errors detected"), "{words}");
    }
    assert!(changed > 8, "{changed}");
}

/// Whichever sectors of a batch have reached the disk, sgdisk and sfdisk read the old table or the new one, as glowplug does.
#[test]
fn a_power_cut_leaves_a_table_that_others_read() {
    let disk = Disk::new("cut", 60_000);
    let (done, words) = run("sgdisk", &["--new=1:0:+4M", "--new=2:0:+4M", "--new=3:0:+4M"], &disk.0);
    assert!(done, "{words}");
    let old = disk.table();
    let mut new = old.clone();
    new.remove(2);
    let starts =
        |table: &Table| -> Vec<u64> { table.partitions.iter().map(|partition| partition.first).collect() };
    let (old, expected) = (starts(&old), starts(&new));
    let file = File::options().write(true).open(&disk.0).unwrap();
    let mut random = Random(13);
    let mut seen = [0, 0];
    for batch in writes(&disk.read(), &new).unwrap() {
        let sectors = batch.iter().flat_map(|write| {
            let places = (write.at..).step_by(512);
            places.zip(write.bytes.chunks(512).map(<[u8]>::to_vec))
        });
        let mut rest: Vec<(u64, Vec<u8>)> = sectors.collect();
        // Some sectors at a time, in any order, until all of the batch is on the disk.
        while !rest.is_empty() {
            for _ in 0..rest.len().div_ceil(3) {
                let index = usize::try_from(random.below(rest.len() as u64)).unwrap();
                let (at, bytes) = rest.swap_remove(index);
                file.write_all_at(&bytes, at).unwrap();
            }
            let Found::Gpt { table, array: Some(_), .. } = disk.read() else { panic!("{:?}", disk.read()) };
            let ours = starts(&table);
            seen[usize::from(ours == expected)] += 1;
            assert!(ours == old || ours == expected, "{ours:?}");
            let (done, json) = run("sfdisk", &["--json"], &disk.0);
            let of_sfdisk: Vec<u64> = (json.split("\"start\":").skip(1))
                .map(|rest| rest.split(',').next().unwrap().trim().parse().unwrap())
                .collect();
            assert!(done && of_sfdisk == ours, "{ours:?}: {json}");
            let (done, words) = run("sgdisk", &["--print"], &disk.0);
            let count = words.lines().filter(|line| line.trim_end().ends_with(" 8300")).count();
            assert!(done && count == ours.len(), "{ours:?}: {words}");
        }
    }
    assert_eq!(starts(&disk.table()), expected);
    assert!(seen.iter().all(|count| *count > 3), "{seen:?}");
}

/// How a format is put on a disk.
enum Made {
    /// By a command for sh. `$disk` is the disk, and `$key` a file with a key.
    By(&'static str),
    /// By bytes: for each piece, where it begins. The argument is the size of the disk.
    Of(fn(u64) -> Vec<(u64, Vec<u8>)>),
}

/// The formats, with the word that blkid has for each.
const FORMATS: [(&str, Made); 23] = [
    ("ext2", Made::By("mke2fs -qF -t ext2 -L 'my data/ü' $disk 60M")),
    ("ext3", Made::By("mke2fs -qF -t ext3 -U 11111111-2222-3333-4444-5555555555ab $disk 60M")),
    ("ext4", Made::By("mke2fs -qF -t ext4 -L 16_bytes_at_most $disk 60M")),
    ("xfs", Made::By("mkfs.xfs -qf -L 'x \"s\"' $disk")),
    ("btrfs", Made::By("mkfs.btrfs -qf -L 'b \\x41 $(id)' -U 11111111-2222-3333-4444-5555555555ab $disk")),
    ("vfat", Made::By("mkfs.fat -F 12 -n 'MY DATA' -i abcd1234 $disk 16000")),
    ("vfat", Made::By("mkfs.fat -F 16 $disk")),
    ("vfat", Made::By("mkfs.fat -F 32 -n LABEL --mbr=y $disk")),
    ("swap", Made::By("mkswap -f -L 'a swap' $disk")),
    (
        "crypto_LUKS",
        Made::By("cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 $disk $key"),
    ),
    (
        "crypto_LUKS",
        Made::By(
            "cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label 'my \"ü\"' $disk $key",
        ),
    ),
    ("linux_raid_member", Made::Of(|size| md_0_90((size & !0xffff) - 0x1_0000))),
    ("linux_raid_member", Made::Of(|size| md_1((size - 0x2000) & !0xfff))),
    ("linux_raid_member", Made::Of(|_| md_1(0))),
    ("linux_raid_member", Made::Of(|_| md_1(4096))),
    ("LVM2_member", Made::Of(|_| lvm(512))),
    ("LVM2_member", Made::Of(|_| lvm(1536))),
    ("iso9660", Made::Of(|_| vec![(0x8000, b"\x01CD001\x01".to_vec())])),
    ("squashfs", Made::Of(|_| vec![(0, vec![0; 512]), (0, b"hsqs".to_vec()), (28, vec![4])])),
    ("a partition table (sun)", Made::By("echo start=2048,size=20480 | sfdisk -q --label sun $disk")),
    ("a partition table (sgi)", Made::By("echo start=4096,size=20480 | sfdisk -q --label sgi $disk")),
    ("a partition table (dos)", Made::By("echo start=2048,size=20480 | sfdisk -q --label dos $disk")),
    (
        "several formats at once",
        Made::By(
            "mke2fs -qF -t ext4 $disk 60M; printf hsqs | dd of=$disk conv=notrunc
             printf '\\4\\0\\0\\0' | dd of=$disk bs=1 seek=28 conv=notrunc",
        ),
    ),
];

/// Returns a label of LVM at a sector of the first four.
fn lvm(at: u64) -> Vec<(u64, Vec<u8>)> {
    let mut label =
        b"LABELONE\x01\0\0\0\0\0\0\0\x24\xed\x14\xc5\x20\0\0\0LVM2 001glowplugglowplugglowplugglowplug"
            .to_vec();
    label[8] = u8::try_from(at / 512).unwrap();
    label.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0]);
    // Its checksum covers the whole sector.
    label.resize(512, 0);
    vec![(at, label)]
}

/// Returns a superblock of md, format 0.90.
fn md_0_90(at: u64) -> Vec<(u64, Vec<u8>)> {
    let mut words = vec![0_u32; 1024];
    for (index, word) in
        [(0, 0xa92b_4efc), (2, 90), (5, 1), (7, 1), (9, 2), (10, 2), (13, 2), (14, 3), (15, 4)]
    {
        words[index] = word;
    }
    words[8] = u32::try_from(at / 1024).unwrap();
    words[38] = checksum(&words);
    vec![(at, words.iter().flat_map(|word| word.to_le_bytes()).collect())]
}

/// Returns a superblock of md, format 1.
fn md_1(at: u64) -> Vec<(u64, Vec<u8>)> {
    let mut words = vec![0_u32; 64];
    for (index, word) in [(0, 0xa92b_4efc), (1, 1), (4, 7), (5, 8), (18, 1), (20, 1000), (23, 2), (34, 1000)]
    {
        words[index] = word;
    }
    // The name is "host:dat".
    words[8] = u32::from_le_bytes(*b"host");
    words[9] = u32::from_le_bytes(*b":dat");
    words[36] = u32::try_from(at / 512).unwrap();
    words[54] = checksum(&words);
    vec![(at, words.iter().flat_map(|word| word.to_le_bytes()).collect())]
}

/// Returns the checksum of a superblock of md.
fn checksum(words: &[u32]) -> u32 {
    let sum: u64 = words.iter().copied().map(u64::from).sum();
    u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap()
}

/// Puts a format on a disk.
fn make(made: &Made, disk: &Disk, key: &Path) {
    match made {
        Made::By(command) => {
            let mut shell = Command::new("sh");
            shell.args(["-eu", "-c", command]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
            let ended = shell.env("disk", &disk.0).env("key", key).output().unwrap();
            assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        }
        Made::Of(bytes) => {
            let file = File::options().write(true).open(&disk.0).unwrap();
            for (at, bytes) in bytes(disk.1.sectors * 512) {
                file.write_all_at(&bytes, at).unwrap();
            }
        }
    }
}

/// Returns what stands on a disk, after comparing it with the values that blkid prints one by one.
fn probe(disk: &Path) -> Probe {
    let ended = Command::new("/usr/sbin/blkid").args(&BLKID[1..]).arg(disk).output().unwrap();
    let mut probe =
        Probe::of_output(ended.status.code().unwrap(), &String::from_utf8_lossy(&ended.stdout)).unwrap();
    // blkid of util-linux 2.38 tells of several formats. That of 2.41 finds nothing then, and glowplug asks wipefs.
    let (done, words) = run("wipefs", &WIPEFS[1..], disk);
    assert!(done, "{words}");
    if probe.is_empty() {
        probe.is_ambiguous = has_formats(&words);
    }
    if !probe.is_ambiguous {
        for (name, ours) in
            [("TYPE", &probe.kind), ("UUID", &probe.uuid), ("LABEL", &probe.label), ("PTTYPE", &probe.table)]
        {
            let (_, value) = run("blkid", &["--probe", "--output", "value", "--match-tag", name], disk);
            assert_eq!(ours, value.trim_end_matches('\n'), "{name} of {probe:?}");
        }
    }
    probe
}

/// Everything that stands on a device is seen as blkid sees it, and none of it is lost without a flag that says so: neither
/// to a file system nor to partitions, and also if an older partition table has left its backup.
#[test]
fn nothing_that_stands_on_a_device_is_lost_without_a_flag() {
    let key = Disk::new("key", 1);
    for (index, (word, made)) in FORMATS.iter().enumerate() {
        for has_table in [false, true] {
            // mkfs.xfs makes nothing below 300 MB.
            let disk = Disk::new(
                &format!("format-{index}-{has_table}"),
                if *word == "xfs" { 640_000 } else { 262_144 },
            );
            if has_table {
                let (done, words) = run("sgdisk", &["--new=1:0:+20M"], &disk.0);
                assert!(done, "{words}");
            }
            make(made, &disk, &key.0);
            let probe = probe(&disk.0);
            let found = disk.read();
            let context = format!("format {index}, {word}, over a table: {has_table}: {probe:?}, {found:?}");
            assert_eq!(probe.word(), *word, "{context}");

            for name in ["ext4", "xfs", "btrfs", "vfat", "swap", "none"] {
                let wanted = Filesystem { format: Some(name.into()), ..Filesystem::default() };
                let format = Format::of(&wanted).unwrap();
                let decided = decide(&wanted, format, &probe, "here");
                let expected = (name == *word).then_some(Action::Keep);
                assert_eq!(decided.as_ref().ok().copied(), expected, "{name}: {decided:?}: {context}");
                let wiped = Filesystem { wipe_filesystem: Some(true), ..wanted };
                assert_eq!(decide(&wiped, format, &probe, "here").unwrap(), Action::Make);
            }

            let state = DiskState {
                geometry: disk.1,
                signature: probe.foreign(),
                is_member: probe.is_member,
                is_in_use: false,
                in_use: Vec::new(),
                found,
                before: Before::Nothing,
            };
            let partition = PartitionConfig { number: 5, size_mib: Some(1), ..PartitionConfig::default() };
            let mut wanted = DiskConfig { partitions: vec![partition], ..DiskConfig::default() };
            let planned = plan_table(&wanted, "here", &state, &Ids::new([1; 32]));
            // Some formats leave a table whole that was there before. Then the kernel sees its partitions.
            let is_seen = matches!(state.found, Found::Gpt { is_visible: true, .. }) && !state.is_member;
            assert!(!is_seen || (has_table && *word == "iso9660"), "{context}");
            assert_eq!(planned.is_ok(), is_seen, "{planned:?}: {context}");
            wanted.wipe_table = Some(true);
            assert!(plan_table(&wanted, "here", &state, &Ids::new([1; 32])).unwrap().is_new, "{context}");
        }
    }
}
