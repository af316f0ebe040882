use super::*;
use crate::config::{Config, Report, parse};

const MIB: u64 = 2048;

/// Returns a disk of 100 MiB with the partitions 1 (10 MiB), 2 (20 MiB) and 3 (the rest).
fn state() -> DiskState {
    let geometry = Geometry { sector: 512, sectors: 100 * MIB };
    let mut table = Table::new(geometry, Guid::LINUX_DATA).unwrap();
    for (number, mib) in [(1, 10), (2, 20), (3, 0)] {
        let guid = Guid::from_random([u8::try_from(number).unwrap(); 16]);
        let new = NewPartition {
            number,
            first: 0,
            sectors: mib * MIB,
            type_guid: Guid::LINUX_DATA,
            guid,
            attributes: 4,
            label: ["one", "two", "three"][number as usize - 1],
        };
        table.make(&new).unwrap();
    }
    let found = Found::Gpt { table, is_whole: true, is_visible: true, array: Some(2) };
    DiskState {
        geometry,
        found,
        signature: None,
        is_member: false,
        is_in_use: false,
        in_use: Vec::new(),
        before: Before::Nothing,
    }
}

fn empty() -> DiskState {
    DiskState { found: Found::Nothing, ..state() }
}

/// Plans `partitions`, a JSON list, and `more` keys of the disk.
fn plan_more(partitions: &str, more: &str, state: &DiskState) -> Result<TablePlan> {
    let text = format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"disks":[{{"device":"/dev/vdb"{more},"partitions":{partitions}}}]}}}}"#
    );
    let config: Config<'_> = parse(text.as_bytes(), &mut Report::default()).unwrap().config;
    plan_table(&config.storage.disks[0], "$.storage.disks.0", state, &Ids::new([5; 32]))
}

fn plan(partitions: &str, state: &DiskState) -> Result<TablePlan> {
    plan_more(partitions, "", state)
}

/// Returns the changes: for each its number, and first MiB, MiB and label before and afterwards.
type Place = Option<(u64, u64, String)>;
fn changes(plan: &TablePlan) -> Vec<(u32, Place, Place)> {
    let place = |partition: &Option<Partition>| {
        partition.as_ref().map(|it| (it.first / MIB, it.sectors() / MIB, it.label()))
    };
    let number = |change: &Change| change.new.as_ref().or(change.old.as_ref()).unwrap().number;
    plan.changes.iter().map(|change| (number(change), place(&change.old), place(&change.new))).collect()
}

fn at(first: u64, mib: u64, label: &str) -> Place {
    let place = (first, mib, label.to_owned());
    place.into()
}

fn refused(partitions: &str, state: &DiskState) -> String {
    let error = plan(partitions, state).unwrap_err();
    assert_eq!(error.reason(), Reason::Conflict);
    error.to_string()
}

#[test]
fn an_empty_disk_gets_a_table() {
    let partitions =
        r#"[{"label":"a","sizeMiB":10},{"number":2,"startMiB":50,"sizeMiB":5},{"label":"rest"}]"#;
    let plan = plan(partitions, &empty()).unwrap();
    assert!(plan.is_new && plan.is_changed);
    // Number 2 comes first, and then the open ones take the largest free block each.
    assert_eq!(
        changes(&plan),
        [(1, None, at(1, 10, "a")), (2, None, at(50, 5, "")), (3, None, at(55, 44, "rest"))]
    );
    assert_eq!(plan.table.guid, Ids::new([5; 32]).guid("$.storage.disks.0"));
}

/// A disk on which the config wants no partitions gets no table, so that a file system can be made on all of it. A table that is
/// there goes only with wipeTable, and only once.
#[test]
fn a_disk_without_partitions_gets_no_table() {
    for partitions in ["[]", r#"[{"number":1,"shouldExist":false}]"#] {
        for (wipe, state, is_changed) in [
            ("", empty(), false),
            (
                "",
                DiskState { signature: Some("linux_raid_member".to_owned()), is_in_use: true, ..empty() },
                false,
            ),
            (r#","wipeTable":true"#, empty(), true),
            (r#","wipeTable":true"#, state(), true),
            (r#","wipeTable":true"#, DiskState { signature: Some("ext4".to_owned()), ..empty() }, true),
            (r#","wipeTable":true"#, DiskState { before: Before::Begun, ..state() }, true),
            (
                r#","wipeTable":true"#,
                DiskState { before: Before::Removed, is_in_use: true, ..state() },
                false,
            ),
        ] {
            let plan = plan_more(partitions, wipe, &state).unwrap();
            assert_eq!((plan.is_bare, plan.is_changed), (true, is_changed), "{wipe}: {state:?}");
            assert!(plan.table.partitions.is_empty() && plan.changes.is_empty());
        }
    }
    let kept = plan("[]", &state()).unwrap();
    assert!(!kept.is_bare && !kept.is_changed && kept.table.partitions.len() == 3);
    let emptied = [1, 2, 3]
        .map(|number| format!(r#"{{"number":{number},"shouldExist":false,"wipePartitionEntry":true}}"#));
    let emptied = plan(&format!("[{}]", emptied.join(",")), &state()).unwrap();
    assert!(!emptied.is_bare && emptied.is_changed && emptied.table.partitions.is_empty());
}

#[test]
fn what_matches_is_kept() {
    let exact = r#"[{"number":1,"startMiB":1,"sizeMiB":10,"label":"one","typeGuid":"0fc63daf-8483-4772-8e79-3d69d8477de4"},
        {"number":2},{"number":3,"sizeMiB":0},{"number":9,"shouldExist":false},{"number":2,"wipePartitionEntry":true}]"#;
    let partitions = exact.replace(r#",{"number":2,"wipePartitionEntry":true}"#, "");
    let plan = plan(&partitions, &state()).unwrap();
    assert_eq!((plan.is_changed, plan.changes), (false, Vec::new()));
}

#[test]
fn every_row_of_the_matrix() {
    let one = |partition: &str| plan(&format!("[{partition}]"), &state()).map(|plan| changes(&plan));
    let gone = at(11, 20, "two");
    assert_eq!(
        one(r#"{"number":2,"shouldExist":false,"wipePartitionEntry":true}"#),
        Ok(vec![(2, gone.clone(), None)])
    );
    assert!(
        refused(r#"[{"number":2,"shouldExist":false}]"#, &state())
            .contains("must not, at $.storage.disks.0.partitions.0")
    );
    let error = refused(r#"[{"number":2,"sizeMiB":5,"label":"x"}]"#, &state());
    assert!(error.starts_with("/dev/vdb: partition 2 exists and has another label, sizeMiB, at"), "{error}");
    assert_eq!(
        one(r#"{"number":2,"sizeMiB":5,"label":"x","wipePartitionEntry":true}"#),
        Ok(vec![(2, gone.clone(), at(11, 5, "x"))])
    );
    let shrunk = plan(r#"[{"number":2,"sizeMiB":5,"resize":true}]"#, &state()).unwrap();
    assert_eq!(changes(&shrunk), [(2, gone, at(11, 5, "two"))]);
    let change = &shrunk.changes[0];
    assert!(change.is_resize());
    assert_eq!(
        change.new.as_ref().map(|new| (new.attributes, new.guid)),
        change.old.as_ref().map(|old| (old.attributes, old.guid))
    );
    // Another label is no matter of the size.
    assert!(refused(r#"[{"number":2,"sizeMiB":5,"label":"x","resize":true}]"#, &state()).contains("label"));
    let error = refused(r#"[{"number":2,"sizeMiB":25,"resize":true}]"#, &state());
    assert!(error.contains("from 11 to 36 MiB is not free (free, in MiB: 11 to 31)"), "{error}");
}

#[test]
fn a_partition_in_use_can_only_grow() {
    let used = DiskState { in_use: vec![2], ..state() };
    let is_kept =
        |partition: &str| refused(&format!("[{partition}]"), &used).contains("partition 2 is in use");
    assert!(is_kept(r#"{"number":2,"shouldExist":false,"wipePartitionEntry":true}"#));
    assert!(is_kept(r#"{"number":2,"sizeMiB":5,"resize":true}"#));
    assert!(is_kept(r#"{"number":2,"label":"x","wipePartitionEntry":true}"#));
    let grown = r#"[{"number":3,"shouldExist":false,"wipePartitionEntry":true},{"number":2,"sizeMiB":0,"resize":true}]"#;
    let plan = plan(grown, &used).unwrap();
    assert_eq!(changes(&plan), [(2, at(11, 20, "two"), at(11, 88, "two")), (3, at(31, 68, "three"), None)]);
    let wiped = plan_more("[]", r#","wipeTable":true"#, &used).unwrap_err();
    assert!(wiped.to_string().contains("cannot be wiped: partition 2 is in use"), "{wiped}");
    let whole = DiskState { is_in_use: true, ..state() };
    assert!(refused("[]", &whole).contains("in use as a whole"));
}

#[test]
fn foreign_disks_are_left_alone_without_a_wish_to_wipe_them() {
    for (found, signature, words) in [
        (Found::Other("an MBR partition table"), None, "no GUID partition table: an MBR"),
        (Found::Damaged("the checksum of its header is wrong"), None, "checksum"),
        (Found::Nothing, Some("an LVM physical volume"), "the whole disk holds an LVM physical volume"),
    ] {
        let state = DiskState { found, signature: signature.map(str::to_owned), ..state() };
        let error = refused(r#"[{"number":1}]"#, &state);
        assert!(error.contains(words), "{error}");
        let wiped = plan_more(r#"[{"number":1,"sizeMiB":5}]"#, r#","wipeTable":true"#, &state).unwrap();
        assert!(wiped.is_new);
        assert_eq!(changes(&wiped), [(1, None, at(1, 5, ""))]);
    }
}

/// What else stands on a whole disk counts, unless the kernel sees the table and nothing says that the table belongs to another
/// device.
#[test]
fn a_table_beside_another_format_is_not_always_one() {
    for (is_visible, is_member, words) in [
        (true, false, None),
        (true, true, Some("the whole disk holds ext4, so its partitions belong to the device")),
        (
            false,
            false,
            Some("the whole disk holds ext4, and only a part of an older partition table is left"),
        ),
        (false, true, Some("the whole disk holds ext4, so its partitions belong to the device")),
    ] {
        let Found::Gpt { table, array, .. } = state().found else { panic!() };
        let found = Found::Gpt { table, is_whole: is_visible, is_visible, array };
        let state = DiskState { found, signature: Some("ext4".to_owned()), is_member, ..state() };
        let planned = plan(r#"[{"number":1}]"#, &state);
        assert_eq!(planned.is_ok(), words.is_none(), "{planned:?}");
        if let Some(words) = words {
            let error = planned.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}

#[test]
fn a_table_that_the_kernel_cannot_see_is_written_again() {
    let Found::Gpt { table, .. } = state().found else { panic!() };
    for array in [None, Some(2)] {
        let found = Found::Gpt { table: table.clone(), is_whole: false, is_visible: false, array };
        let plan = plan(r#"[{"number":1}]"#, &DiskState { found, ..state() }).unwrap();
        assert_eq!((plan.is_changed, plan.is_new, &plan.table), (true, false, &table));
        assert_eq!(plan.changes, []);
    }
}

/// A second run of the same provisioning finds everything done, whatever the config asks to wipe.
#[test]
fn what_an_interrupted_run_has_made_is_done() {
    let partitions = r#"[{"number":1,"sizeMiB":7,"wipePartitionEntry":true,"label":"x"},{"label":"new","sizeMiB":9},{"label":"last"}]"#;
    for (before, more) in [(state(), ""), (empty(), ""), (state(), r#","wipeTable":true"#)] {
        let partitions = if more.is_empty() && before.found != Found::Nothing {
            partitions.replace(r#",{"label":"last"}"#, "").replace(r#""sizeMiB":9"#, r#""sizeMiB":2"#)
        } else {
            partitions.to_owned()
        };
        let first = plan_more(&partitions, more, &before).unwrap();
        let found =
            Found::Gpt { table: first.table.clone(), is_whole: true, is_visible: true, array: Some(2) };
        let again =
            plan_more(&partitions, more, &DiskState { found, before: Before::Begun, ..state() }).unwrap();
        assert_eq!((again.is_changed, &again.table), (false, &first.table));
        // If the interrupted run has not written all of the table, it is written again. A table that somebody else left
        // so stays as it is.
        for (was_begun, before) in [(true, Before::Begun), (false, Before::Nothing)] {
            let found =
                Found::Gpt { table: first.table.clone(), is_whole: false, is_visible: true, array: Some(2) };
            let torn = plan_more(&partitions, more, &DiskState { found, before, ..state() }).unwrap();
            assert_eq!((torn.is_changed, torn.is_new, &torn.table), (was_begun, false, &first.table));
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let error = refused(
        r#"[{"number":1,"shouldExist":false},{"number":2,"label":"x"},{"number":200},{"number":4,"sizeMiB":9223372036854775807}]"#,
        &state(),
    );
    for words in ["partition 1 exists", "partition 2 exists", "only 128 numbers", "is no size on a disk"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn a_disk_without_room_for_a_table_may_stay_without_one() {
    let tiny = DiskState { geometry: Geometry { sector: 512, sectors: 8 }, ..empty() };
    for (partitions, more) in
        [("[]", ""), (r#"[{"number":1,"shouldExist":false}]"#, ""), ("[]", r#","wipeTable":true"#)]
    {
        let plan = plan_more(partitions, more, &tiny).unwrap();
        assert!(plan.is_bare && plan.is_changed != more.is_empty(), "{plan:?}");
    }
    let error = plan_more(r#"[{"number":1}]"#, "", &tiny).unwrap_err().to_string();
    assert!(error.contains("too small for a partition table"), "{error}");
}
