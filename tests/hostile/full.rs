//! Disks that run full or break during a run. Either the root is provisioned, or the program gives the reason and leaves
//! the root as it was. Nothing in between is allowed.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::disks::{on, on_with, provisioned};
use crate::manifest::{Tree, changes};
use crate::roots::{CONFIG, outcome, root};
use crate::sandbox::Sandbox;

/// Returns what a run on a disk with enough room leaves.
fn wanted() -> Tree {
    let sandbox = on("");
    assert_eq!(outcome(&sandbox, CONFIG).unwrap().0, "done");
    provisioned(&sandbox)
}

/// Occupies all but about `left` bytes of the file system at `path`.
fn fill(path: &Path, left: u64) {
    let file = File::create(path.join("fill")).unwrap();
    let space = statvfs(path).unwrap();
    let mut length = (space.f_bavail * space.f_frsize).saturating_sub(left);
    // The metadata of the file takes room as well.
    while length > 0 && fallocate(&file, FallocateFlags::empty(), 0, length).is_err() {
        length = length.saturating_sub(space.f_frsize);
    }
}

/// Occupies all but about `left` inodes.
fn fill_inodes(path: &Path, left: u64) {
    fs::create_dir(path.join("fill")).unwrap();
    for number in 0..statvfs(path).unwrap().f_favail.saturating_sub(left) {
        File::create(path.join("fill").join(number.to_string())).unwrap();
    }
}

/// Provisions a root that `make` makes with some number of steps of room left. First finds the least number that suffices,
/// then tries every number around it.
fn sweep(name: &str, wanted: &Tree, steps: u64, make: &dyn Fn(u64) -> Sandbox) {
    let mut problems = Vec::new();
    let mut try_with = |room: u64| {
        let sandbox = make(room);
        match outcome(&sandbox, CONFIG) {
            Ok((word, _)) if word == "no-space" => return false,
            Ok((word, _)) if word == "done" => {
                sandbox.sh("rm -rf root/fill root/*/fill");
                let tree = provisioned(&sandbox);
                if tree == *wanted {
                    return true;
                }
                problems.push(format!("{name}, {room} left: {}", changes(wanted, &tree)));
            }
            other => problems.push(format!("{name}, {room} left: {other:?}")),
        }
        room > steps / 2
    };
    let (mut full, mut enough) = (0, steps);
    assert!(!try_with(full) && try_with(enough), "{name}: the limits are no limits: {problems:?}");
    while enough - full > 1 {
        let middle = u64::midpoint(full, enough);
        if try_with(middle) {
            enough = middle;
        } else {
            full = middle;
        }
    }
    for room in full.saturating_sub(6)..enough + 6 {
        try_with(room);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_blocks_left() {
    let wanted = wanted();
    for (name, script, top, block, steps) in [
        ("ext4", "image root 64M; mkfs.ext4 -q -F -m 0 -b 4096 $disk; attach $disk root", "", 4096, 1024),
        (
            "ext4 with blocks of 1 KiB",
            "image root 64M; mkfs.ext4 -q -F -m 0 -b 1024 $disk; attach $disk root",
            "",
            1024,
            4096,
        ),
        ("xfs", "xfs root", "", 4096, 2048),
        ("btrfs", "image root 64M; mkfs.btrfs -q --mixed $disk; attach $disk root", "", 4096, 4096),
        ("ext4 at /var", "ext4 root; ext4 root/var", "var", 1024, 4096),
        ("xfs at /home", "ext4 root; xfs root/home", "home", 4096, 2048),
    ] {
        sweep(name, &wanted, steps, &|room| {
            let sandbox = on(script);
            fill(&sandbox.root().join(top), room * block);
            sandbox
        });
    }
}

#[test]
fn no_blocks_left_on_tmpfs() {
    let wanted = wanted();
    for (name, script) in [
        ("tmpfs", "mount -t tmpfs -o size=8M none root"),
        ("overlay", "mkdir o; mount -t tmpfs -o size=8M none o; overlay o"),
    ] {
        sweep(name, &wanted, 1024, &|room| {
            let sandbox = on(script);
            fill(&sandbox.root(), room * 4096);
            sandbox
        });
    }
}

#[test]
fn no_inodes_left() {
    let wanted = wanted();
    for (name, script) in [
        ("ext4", "image root 16M; mkfs.ext4 -q -F -m 0 -N 256 $disk; attach $disk root"),
        ("tmpfs", "mount -t tmpfs -o nr_inodes=256 none root"),
    ] {
        sweep(name, &wanted, 100, &|room| {
            let sandbox = on(script);
            fill_inodes(&sandbox.root(), room);
            sandbox
        });
    }
}

/// A quota of btrfs holds for root as well. Writes then fail with EDQUOT.
#[test]
fn no_quota_left() {
    let wanted = wanted();
    sweep("btrfs", &wanted, 4096, &|room| {
        let script = "btrfs o; command btrfs quota enable o; subvolume o/@; mount --bind o/@ root";
        // The quota counts what the subvolume has, which btrfs knows only after a sync.
        on_with(
            script,
            &root(),
            &format!(
                "sync -f root; command btrfs quota rescan -w o >/dev/null
            used=$(command btrfs qgroup show --raw -f root | awk 'END {{ print $2 }}')
            command btrfs qgroup limit $((used + {room} * 4096)) root"
            ),
        )
    });
}

/// zram has memory for only `room` pages, and further writes fail with EIO. Then the disk is mounted again and works. What
/// the program reported as done must be there, and the next run must do the rest.
#[test]
fn a_disk_that_fails_to_write() {
    const SETUP: &str = "
        modprobe -q zram || true
        number=$(cat /sys/class/zram-control/hot_add)
        zram=/sys/block/zram$number
        echo 64M >$zram/disksize
        mknod host/disk b $(tr : ' ' <$zram/dev)
        echo $zram >host/zram
        echo \"echo 1 >$zram/reset; echo $number >/sys/class/zram-control/hot_remove\" >host/end
        mkfs.FS host/disk
        mount host/disk root";
    let wanted = wanted();
    let mut problems = Vec::new();
    // The initramfs does the same before it mounts a root.
    for (mkfs, check) in
        [("ext4 -q -F", "fsck.ext4 -fp host/disk >host/fsck || [ $? -lt 4 ]"), ("btrfs -q --mixed", "")]
    {
        let (mut failed, mut succeeded) = (0, 0);
        for room in (0..48).chain((48..256).step_by(16)) {
            let sandbox = on_with(&SETUP.replace("FS", mkfs), &root(), "sync -f root");
            sandbox.sh(&format!(
                "zram=$(cat host/zram); set -- $(cat $zram/mm_stat); echo $(($3 + {room} * 4096)) >$zram/mem_limit"
            ));
            let first = sandbox.run(CONFIG);
            sandbox.sh(&format!(
                "umount root; echo 0 >$(cat host/zram)/mem_limit\n{check}\nmount host/disk root"
            ));
            let left = sandbox.tree();
            let mut second = sandbox.run(CONFIG);
            if second.reason() == "root-io" {
                // The kernel may tell of a write that failed as late as at the next sync.
                sandbox.sh("umount root; mount host/disk root");
                second = sandbox.run(CONFIG);
            }
            let tree = provisioned(&sandbox);
            sandbox.sh("umount root; sh host/end");
            if first.code == 0 {
                succeeded += 1;
            } else {
                failed += 1;
            }
            let has_stamp = left.contains_key(Path::new("/etc/.ignition-result.json"));
            let named = ["root-io", "no-space", "read-only"].contains(&first.reason());
            if (first.code == 0) != has_stamp
                || (first.code != 0 && !named)
                || second.code != 0
                || tree != wanted
            {
                let differs = changes(&wanted, &tree);
                problems.push(format!("{mkfs}, {room} left: {}then {}{differs}", first.said, second.said));
            }
        }
        assert!(failed > 0 && succeeded > 0, "{mkfs}: {failed} runs failed, {succeeded} succeeded");
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
}
