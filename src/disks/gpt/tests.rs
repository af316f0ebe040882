use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::*;
use crate::testing::TempDir;

/// A generator of numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }

    fn guid(&mut self) -> Guid {
        let half = |random: &mut Self| ((random.below(1 << 31) << 32) | random.below(1 << 31)).to_be_bytes();
        let (one, other) = (half(self), half(self));
        Guid::from_random([one, other].concat().try_into().unwrap())
    }
}

/// A disk in a file.
struct Disk {
    folder: TempDir,
    geometry: Geometry,
}

impl Disk {
    fn new(sector: u32, sectors: u64) -> Self {
        let disk = Self { folder: TempDir::new("gpt"), geometry: Geometry { sector, sectors } };
        let file = File::create_new(disk.folder.join("disk")).unwrap();
        file.set_len(u64::from(sector) * sectors).unwrap();
        disk
    }

    fn file(&self) -> File {
        File::options().read(true).write(true).open(self.folder.join("disk")).unwrap()
    }

    fn read(&self) -> Found {
        read(&self.file(), self.geometry).unwrap()
    }

    fn write(&self, write: &Write) {
        self.file().write_all_at(&write.bytes, write.at).unwrap();
    }

    fn write_all(&self, batch: &[Write]) {
        for write in batch {
            self.write(write);
        }
    }

    fn replace(&self, new: &Table) {
        for batch in writes(&self.read(), new).unwrap() {
            self.write_all(&batch);
        }
    }
}

fn new_partition(number: u32, first: u64, sectors: u64, guid: Guid) -> NewPartition<'static> {
    NewPartition { number, first, sectors, type_guid: Guid::LINUX_DATA, guid, attributes: 4, label: "däta" }
}

/// Changes `table` at random, as far as its rules allow it.
fn change(table: &mut Table, random: &mut Random) {
    for _ in 0..random.below(5) {
        let number = u32::try_from(random.below(6)).unwrap();
        if random.below(3) == 0 {
            table.remove(number);
        } else {
            let (first, sectors) =
                (random.below(2) * random.below(9000), random.below(2) * random.below(5000));
            let _ = table.make(&new_partition(number, first, sectors, random.guid()));
        }
    }
}

#[test]
fn what_is_written_is_read() {
    for sector in [512, 4096] {
        let disk = Disk::new(sector, 20_000);
        assert_eq!(disk.read(), Found::Nothing);
        let mut random = Random(1);
        let mut table = Table::new(disk.geometry, random.guid()).unwrap();
        table.make(&new_partition(3, 0, 1000, random.guid())).unwrap();
        assert_eq!(table.make(&new_partition(0, 0, 0, random.guid())), Ok(1));
        disk.replace(&table);
        assert_eq!(
            disk.read(),
            Found::Gpt { table: table.clone(), is_whole: true, is_visible: true, array: Some(2) }
        );
        assert_eq!(
            table.partition(3).map(|made| (made.first, made.label())),
            Some(((1 << 20) / u64::from(sector), "däta".to_owned()))
        );
        assert!(Table::new(Geometry { sector, sectors: 8 }, Guid::default()).is_none());
    }
}

/// At every instant, whichever sectors of the current batch have reached the disk, the primary copy is whole and is the
/// old table or the new one. Without an old table there is none until the last write.
#[test]
fn a_power_cut_leaves_the_old_table_or_the_new_one() {
    let mut random = Random(2);
    let mut seen = [0, 0];
    for round in 0..40 {
        let disk = Disk::new(512, 12_000);
        let mut old = Table::new(disk.geometry, random.guid()).unwrap();
        change(&mut old, &mut random);
        let is_new = round % 5 == 0;
        if !is_new {
            disk.replace(&old);
        }
        let mut new = old.clone();
        change(&mut new, &mut random);
        let Some(batches) = writes(&disk.read(), &new) else { continue };
        for batch in &batches {
            for _ in 0..4 {
                for write in batch {
                    for (index, sector) in write.bytes.chunks(512).enumerate() {
                        if random.below(3) == 0 {
                            disk.write(&Write { at: write.at + index as u64 * 512, bytes: sector.to_vec() });
                        }
                    }
                }
                match disk.read() {
                    Found::Nothing if is_new => seen[0] += 1,
                    Found::Gpt { table, array: Some(_), .. } => {
                        seen[1] += 1;
                        assert!([&old.partitions, &new.partitions].contains(&&table.partitions), "{table:?}");
                    }
                    other => panic!("{other:?}"),
                }
            }
            disk.write_all(batch);
        }
        assert_eq!(disk.read(), Found::Gpt { table: new, is_whole: true, is_visible: true, array: Some(2) });
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn a_table_whose_primary_copy_is_damaged_is_read_from_the_backup() {
    let disk = Disk::new(512, 12_000);
    let mut random = Random(3);
    let mut table = Table::new(disk.geometry, random.guid()).unwrap();
    table.make(&new_partition(1, 0, 100, random.guid())).unwrap();
    disk.replace(&table);
    let whole = |at: u64, bytes: &[u8]| disk.write(&Write { at, bytes: bytes.to_vec() });
    whole(512 + 40, b"x");
    assert_eq!(
        disk.read(),
        Found::Gpt { table: table.clone(), is_whole: false, is_visible: false, array: None }
    );
    let batches = writes(&disk.read(), &table).unwrap();
    for batch in batches {
        disk.write_all(&batch);
        assert!(matches!(disk.read(), Found::Gpt { table: read, .. } if read == table));
    }
    assert!(matches!(disk.read(), Found::Gpt { is_whole: true, .. }));
    whole(1024, b"x");
    assert!(matches!(disk.read(), Found::Gpt { array: None, .. }));
    whole(11_999 * 512 + 40, b"x");
    assert_eq!(disk.read(), Found::Damaged("the checksum of its entries is wrong"));
    whole(510, &[0, 0]);
    assert!(matches!(disk.read(), Found::Damaged(_)));
}

/// A backup that was left behind counts only if nothing was written over the start of the disk since.
#[test]
fn what_was_made_over_a_table_is_not_taken_for_one() {
    let disk = Disk::new(512, 12_000);
    let mut random = Random(5);
    let mut table = Table::new(disk.geometry, random.guid()).unwrap();
    table.make(&new_partition(1, 0, 100, random.guid())).unwrap();
    disk.replace(&table);
    disk.write(&Write { at: 0, bytes: vec![0; 34 * 512] });
    let backup_only = Found::Gpt { table: table.clone(), is_whole: false, is_visible: false, array: None };
    assert_eq!(disk.read(), backup_only);
    for at in [0, 1024, 33 * 512 + 511] {
        disk.write(&Write { at, bytes: vec![1] });
        assert!(matches!(disk.read(), Found::Damaged(_)), "{at}");
        disk.write(&Write { at, bytes: vec![0] });
    }
    // A master boot record that protects a table protects what is left of its entries, but not another header.
    disk.write(&writes(&disk.read(), &table).unwrap()[0][0]);
    disk.write(&Write { at: 1024, bytes: vec![1] });
    assert_eq!(disk.read(), backup_only);
    disk.write(&Write { at: 512, bytes: b"LABELONE".into() });
    assert!(matches!(disk.read(), Found::Damaged(_)));
    disk.write(&Write { at: 0, bytes: vec![0; 3 * 512] });
    // Repairing it can be interrupted after any subset of the sectors of each batch.
    for batch in writes(&disk.read(), &table).unwrap() {
        for _ in 0..50 {
            for write in &batch {
                for (index, sector) in write.bytes.chunks(512).enumerate() {
                    if random.below(20) == 0 {
                        disk.write(&Write { at: write.at + index as u64 * 512, bytes: sector.to_vec() });
                    }
                }
            }
            assert!(matches!(disk.read(), Found::Gpt { table: read, .. } if read == table));
        }
        disk.write_all(&batch);
    }
    assert!(matches!(disk.read(), Found::Gpt { is_whole: true, is_visible: true, .. }));
}

#[test]
fn other_tables_are_named() {
    let disk = Disk::new(512, 12_000);
    let entry = |kind: u8, at: u64| {
        disk.write(&Write { at: 446 + at * 16 + 4, bytes: vec![kind] });
        disk.write(&Write { at: 510, bytes: vec![0x55, 0xaa] });
    };
    entry(0, 0);
    assert_eq!(disk.read(), Found::Nothing);
    entry(0x83, 1);
    assert_eq!(disk.read(), Found::Other("an MBR partition table"));
    let table = Table::new(disk.geometry, Guid::LINUX_DATA).unwrap();
    for batch in writes(&disk.read(), &table).unwrap() {
        assert!(matches!(disk.read(), Found::Other(_)));
        disk.write_all(&batch);
    }
    assert!(matches!(disk.read(), Found::Gpt { is_whole: true, .. }));
    entry(0x83, 1);
    assert!(matches!(disk.read(), Found::Other(what) if what.starts_with("a hybrid MBR")));
    // The partitions of a hybrid MBR are there without the GUID partition table, too.
    disk.write(&Write { at: 512, bytes: vec![0; 512] });
    disk.write(&Write { at: 11_999 * 512, bytes: vec![0; 512] });
    assert!(matches!(disk.read(), Found::Other(what) if what.starts_with("a hybrid MBR")));
    // The boot sector of a file system is no partition table.
    disk.write(&Write { at: 446, bytes: vec![0xc3; 64] });
    assert_eq!(disk.read(), Found::Nothing);
}

#[test]
fn an_enlarged_disk_can_be_used_to_its_end() {
    let mut disk = Disk::new(512, 12_000);
    let mut random = Random(4);
    let mut table = Table::new(disk.geometry, random.guid()).unwrap();
    table.make(&new_partition(1, 0, 0, random.guid())).unwrap();
    disk.replace(&table);
    disk.geometry.sectors = 40_000;
    disk.file().set_len(40_000 * 512).unwrap();
    let Found::Gpt { table: mut larger, is_whole: false, is_visible: true, array: Some(2) } = disk.read()
    else {
        panic!()
    };
    larger.use_whole_disk();
    assert_eq!(larger.last_usable, 40_000 - 34);
    assert_eq!(larger.make(&new_partition(0, 0, 0, random.guid())), Ok(2));
    disk.replace(&larger);
    assert_eq!(disk.read(), Found::Gpt { table: larger, is_whole: true, is_visible: true, array: Some(2) });
}

/// The rules as sgdisk 1.0.9 and 1.0.10 were seen to follow them; `tests/disks.rs` compares with sgdisk itself.
#[test]
fn partitions_lie_where_sgdisk_puts_them() {
    let geometry = Geometry { sector: 512, sectors: 200_000 };
    let empty = Table::new(geometry, Guid::default()).unwrap();
    let place = |table: &mut Table, number, first, sectors| {
        let number = table.make(&new_partition(number, first, sectors, Guid::LINUX_DATA))?;
        Ok(table.partition(number).map(|made| (made.first, made.last)).unwrap())
    };
    let mut table = empty.clone();
    assert_eq!(place(&mut table, 1, 2049, 4096), Ok((2048, 6144)));
    assert_eq!(place(&mut table, 2, 100_000, 20_000), Ok((98_304, 119_999)));
    assert_eq!(place(&mut table, 3, 0, 0), Ok((8192, 98_303)));
    assert_eq!(place(&mut table, 0, 0, 0), Ok((120_832, 199_966)));
    assert_eq!(place(&mut table, 9, 5000, 10), Err(NoSpace::Sectors { first: 5000, last: 5009 }));
    assert_eq!(place(&mut table, 129, 0, 10), Err(NoSpace::Number));
    assert_eq!(place(&mut table, 1, 0, 10), Err(NoSpace::Taken));
    let mut table = empty.clone();
    assert_eq!(place(&mut table, 1, 0, 0), Ok((2048, 199_966)));
    assert_eq!(place(&mut table, 0, 0, 0).map(|_| ()), Ok(()));
    let mut table = empty;
    table.make(&new_partition(1, 0, 1, Guid::LINUX_DATA)).unwrap();
    table.partitions[0].first = 100;
    table.partitions[0].last = 100;
    assert_eq!(place(&mut table, 2, 2001, 50), Ok((2000, 2050)));
}
