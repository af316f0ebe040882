//! No secret of a config shows in a machine: not in the kernel's log, the journal, a console, `/run`, the arguments of a
//! process, or a file that others may read. This holds after a boot that provisioned it, and after runs that fail.

use std::thread::sleep;
use std::time::{Duration, Instant};

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::lab::Lab;
use boot_lab::ready::{After, Ready};

/// The mark that is part of every secret of the config.
const MARK: &str = "Q7zmarkW";

/// Returns a config with passwords, and for each way to write contents a file that only root may read.
fn config() -> String {
    format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"passwd":{{"groups":[{{"name":"web","passwordHash":"$y$j9T${MARK}-group"}}],
        "users":[{{"name":"root","passwordHash":"$6${MARK}-root","sshAuthorizedKeys":["ssh-ed25519 AAAA root"]}},
        {{"name":"core","passwordHash":"$y$j9T${MARK}-core"}}]}},
        "storage":{{"files":[{{"path":"/srv/plain","mode":384,"contents":{{"source":"data:,{MARK}-plain"}}}},
        {{"path":"/srv/encoded","mode":384,"contents":{{"source":"data:;base64,UTd6bWFya1ctYmFzZTY0"}}}},
        {{"path":"/srv/appended","mode":384,"append":[{{"source":"data:,{MARK}-appended"}}]}}]}},
        "systemd":{{"units":[{{"name":"later.service","enabled":true,
        "contents":"[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"}}]}}}}"#
    )
}

/// Prints each place where a mark shows. The pattern does not match itself, because it stands among the arguments.
const LOOK: &str = r#"
    pattern='Q7zm[a]rkW|UTd6bWF[y]a1'
    dmesg | grep -aE "$pattern" && echo 'in the kernel log'
    journalctl --no-pager -a -o export | grep -aE "$pattern" && echo 'in the journal'
    grep -raE "$pattern" /run --exclude-dir=journal && echo 'in /run'
    for process in /proc/[0-9]*; do
        cat $process/cmdline $process/environ 2>/dev/null | grep -aE "$pattern" && echo "in $process"
    done
    for answer in 'health --json' inspect 'diagnostics --json' diagnostics; do
        glowplug-agent $answer | tee -a told | grep -aE "$pattern" && echo "in $answer"
    done
    [ "$(grep -c provisioning told)" -ge 3 ] || echo 'the agent has not answered'
    find / -xdev -type f -cmin -60 -perm /004 -exec grep -laE "$pattern" {} +
    find / -xdev -type f -cmin -60 -perm /040 ! -gid 0 ! -group shadow -exec grep -laE "$pattern" {} +
    find / -xdev -type f -cmin -60 -name 'core*' -perm /400 -exec grep -laE "$pattern" {} +
    find / -xdev -name .glowplug
    true"#;

/// Runs that fail because of the boot's own config or of the root.
const FAIL: &str = r#"
    whole=/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw
    mkdir -p r/etc/systemd/system && cp -a /etc/passwd /etc/group /etc/shadow /etc/gshadow r/etc/
    ulimit -c unlimited
    export IGNITION_CONFIG_FILE=c
    try() { ! glowplug run --root r --platform file 2>>said || echo "done: $1"; }
    at=10
    while [ $at -lt $(cat $whole | wc -c) ]; do
        head -c $at $whole >c; try "cut at $at"
        at=$((at + 60))
    done
    sed 's/data:,/data:,%zz/' $whole >c; try 'a bad URL'
    sed 's/data:;base64,/data:;base64,!/' $whole >c; try 'bad base64'
    sed 's|data:,|https://user:pass@host/|' $whole >c; try 'a source of the network'
    sed 's/3\.4\.0/9.9.9/' $whole >c; try 'a version'
    sed 's/"mode":384/"mode":"x"/' $whole >c; try 'a type'
    sed 's/"name":"core"/"name":"co:re"/' $whole >c; try 'a name'
    sed 's/"name":"core"/"name":"core","primaryGroup":"none"/' $whole >c; try 'a group'
    cat $whole >c; mkdir -p r/srv; echo >r/srv/plain; try 'a conflict'
    rm -r r/srv r/etc/passwd; try 'accounts'
    mkdir t; mount -t tmpfs -o nr_inodes=12 none t; cp -a /etc/passwd /etc/group /etc/shadow t; mkdir t/etc; mv t/[pgs]* t/etc/
    ! glowplug run --root t --platform file 2>>said || echo 'done: no room'
    mkfifo f; IGNITION_CONFIG_FILE=f glowplug run --root r --platform file & exec 3>f; cat $whole >&3; sleep 1; kill -ABRT $!
    wait $!; exec 3>&-
    cut -d: -f2 said | sort | uniq -c
    grep -acE 'Q7zm[a]rkW|UTd6bWF[y]a1' said"#;

/// Returns what `script` prints. The script may take longer than one call of ssh is allowed to.
fn in_background(guest: &Guest, script: &str) -> String {
    let start = format!(
        "umask 077; rm -rf /root/w; mkdir /root/w; cd /root/w; {{ ({script}) >said-all 2>&1; mv said-all ended; }} \
         </dev/null >/dev/null 2>&1 &"
    );
    guest.ask("root", &start).unwrap();
    let began = Instant::now();
    loop {
        let printed = guest.ssh("root", "cat /root/w/ended").unwrap();
        if printed.status.success() {
            return String::from_utf8(printed.stdout).unwrap();
        }
        assert!(began.elapsed() < BOOT, "the script has not ended");
        sleep(Duration::from_secs(3));
    }
}

#[test]
fn no_secret_shows() {
    let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
    let config = machine.key.put_into(&config()).unwrap();
    let file = machine.config_file(&config).unwrap();
    let ready = Ready::port(&machine.ready_socket(), After::Record);
    let mut options = Options::qemu(file);
    options.arguments.push("glowplug.debug".to_owned());
    let mut guest = machine.boot(options).unwrap();
    guest.wait_ready(&ready, BOOT).unwrap();
    guest.wait_ssh("root", BOOT).unwrap();
    // The marks exist. The search finds one in a file that everybody may read, and nowhere else.
    let there = guest
        .ask("root", "cat /srv/plain /srv/encoded /srv/appended; grep -c Q7zm[a]rkW /etc/shadow")
        .unwrap();
    assert_eq!(there, format!("{MARK}-plain{MARK}-base64{MARK}-appended2\n"));
    guest.ask("root", "cp /srv/plain /var/open; chmod 644 /var/open").unwrap();
    assert_eq!(in_background(&guest, LOOK), "/var/open\n");
    guest.ask("root", "rm /var/open").unwrap();

    let told = in_background(&guest, FAIL);
    println!("{told}");
    for reason in [
        "account",
        "config-invalid",
        "config-syntax",
        "config-version",
        "conflict",
        "no-space",
        "unsupported",
    ] {
        assert!(told.lines().any(|line| line.ends_with(&format!(" {reason}"))), "{reason}: {told}");
    }
    assert!(told.ends_with("\n0\n") && !told.contains("done: "), "{told}");
    assert_eq!(in_background(&guest, LOOK), "");
    let count = guest.ask("root", "journalctl --no-pager -k | grep -c 'provisioning failed'").unwrap();
    assert!(count.trim().parse::<u32>().unwrap() > 20, "{count}");
    let console = guest.console.text();
    assert!(console.contains("What failed:") && !console.contains(MARK), "{console}");
    guest.shutdown().unwrap();
}
