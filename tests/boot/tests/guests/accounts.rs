//! Users and groups: `glowplug apply` must leave the same as Debian's own tools, called as Ignition calls them.
//!
//! Each case runs on two copies of the lab's account files and homes. `glowplug apply` changes one, and the tools change the
//! other, in a mount namespace with the lab's `/usr`. Needs root. `make boot` sets `GLOWPLUG_LAB` and
//! `GLOWPLUG_BIN`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use boot_lab::lab::{self, Lab, Scratch};
use boot_lab::process::{run, run_ok};
use boot_lab::tree;

/// The day of all password changes, whichever program makes them.
const EPOCH: &str = "1767225600";
const LIMIT: Duration = Duration::from_secs(60);

/// The files that the tools read and write, beside the homes.
const COPIED: [&str; 17] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/gshadow",
    "etc/subuid",
    "etc/subgid",
    "etc/login.defs",
    "etc/default/useradd",
    "etc/skel",
    "etc/nsswitch.conf",
    "etc/ld.so.cache",
    "var/mail",
    "root",
    "bin",
    "sbin",
    "lib",
    "lib64",
];

/// The expected differences, each with its reason.
const DIFFERENT: [(&str, &str); 9] = [
    ("/etc/passwd-", "the tools' backup"),
    ("/etc/group-", "the tools' backup"),
    ("/etc/shadow-", "the tools' backup"),
    ("/etc/gshadow-", "the tools' backup"),
    ("/etc/subuid-", "the tools' backup"),
    ("/etc/subgid-", "the tools' backup"),
    ("/etc/.pwd.lock", "the tools' lock"),
    ("/etc/.ignition-result.json", "glowplug's stamp"),
    ("/var/lib/glowplug", "glowplug's state"),
];

/// One comparison.
struct Case {
    /// The name of the case.
    name: &'static str,
    /// A script that a shell runs first, inside both copies.
    before: &'static str,
    /// `passwd` of the config.
    passwd: &'static str,
    /// The calls of the tools, run by a shell inside the second copy.
    tools: &'static str,
}

const fn case(name: &'static str, before: &'static str, passwd: &'static str, tools: &'static str) -> Case {
    Case { name, before, passwd, tools }
}

/// The cases in which both sides leave the same.
const SAME: &[Case] = &[
    case(
        "a user with nothing but a name",
        "",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "podman's users, and their password set twice",
        "",
        r#"{"users": [{"name": "core", "uid": 501, "gecos": "Core User", "groups": ["sudo", "adm"]},
            {"name": "root", "passwordHash": "$y$j9T$x$y"}]}"#,
        "useradd --create-home --password '*' --uid 501 --comment 'Core User' --groups sudo,adm core
         usermod --password '$y$j9T$x$y' root
         usermod --password '$y$j9T$x$y' root",
    ),
    case(
        "every field of a new user",
        "",
        r#"{"users": [{"name": "all", "uid": 1234, "gecos": "J\u00fcrgen, 1/2", "homeDir": "/srv/a/b/all",
            "primaryGroup": "users", "groups": ["staff", "44", "audio"], "shell": "/bin/bash",
            "passwordHash": "$6$a$b", "noLogInit": true}]}"#,
        "useradd --home-dir /srv/a/b/all --create-home --no-log-init --password '$6$a$b' --uid 1234 \
            --comment 'Jürgen, 1/2' --gid users --groups staff,44,audio --shell /bin/bash all
         usermod --password '$6$a$b' all",
    ),
    case(
        "empty strings are no wishes",
        "",
        r#"{"users": [{"name": "core", "gecos": "", "homeDir": "", "primaryGroup": "", "shell": "",
            "passwordHash": ""}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "a home that is not wanted",
        "",
        r#"{"users": [{"name": "core", "noCreateHome": true}]}"#,
        "useradd --no-create-home --password '*' core",
    ),
    case(
        "a user without a group of their own",
        "",
        r#"{"users": [{"name": "core", "noUserGroup": true}]}"#,
        "useradd --create-home --no-user-group --password '*' core",
    ),
    case(
        "a primary group by number",
        "",
        r#"{"users": [{"name": "core", "primaryGroup": "100"}]}"#,
        "useradd --create-home --password '*' --gid 100 core",
    ),
    case(
        "system users count downwards",
        "",
        r#"{"users": [{"name": "one", "system": true}, {"name": "two", "system": true, "noCreateHome": true},
            {"name": "three", "system": true, "uid": 77}]}"#,
        "useradd --create-home --system --password '*' one
         useradd --no-create-home --system --password '*' two
         useradd --create-home --system --password '*' --uid 77 three",
    ),
    case(
        "uids go up beyond the highest, with subordinate ids each",
        "useradd --uid 1005 five",
        r#"{"users": [{"name": "a"}, {"name": "b", "uid": 1002}, {"name": "c"}, {"name": "d", "uid": 70000}]}"#,
        "useradd --create-home --password '*' a
         useradd --create-home --password '*' --uid 1002 b
         useradd --create-home --password '*' c
         useradd --create-home --password '*' --uid 70000 d",
    ),
    case(
        "a user's group gets another number where theirs is taken",
        "",
        r#"{"groups": [{"name": "taken", "gid": 1000}], "users": [{"name": "core"}, {"name": "low", "uid": 600}]}"#,
        "groupadd --gid 1000 taken
         useradd --create-home --password '*' core
         useradd --create-home --password '*' --uid 600 low",
    ),
    case(
        "a full range falls back to its gaps",
        "printf 'UID_MIN 1000\\nUID_MAX 1002\\nGID_MAX 1002\\nUSERGROUPS_ENAB yes\\n' >/etc/login.defs
         useradd --uid 1002 last",
        r#"{"users": [{"name": "a"}, {"name": "b"}]}"#,
        "useradd --create-home --password '*' a
         useradd --create-home --password '*' b",
    ),
    case(
        "login.defs decides",
        "printf '%s\\n' 'UID_MIN 0x7d0' 'GID_MIN 3000' 'SYS_UID_MIN 300' 'SYS_UID_MAX 400' 'SYS_GID_MAX 500' \
            'HOME_MODE 0750' 'PASS_MAX_DAYS 90' 'PASS_MIN_DAYS 1' 'PASS_WARN_AGE -1' 'USERGROUPS_ENAB yes' \
            'SUB_UID_MIN 200000' 'SUB_UID_COUNT 1000' 'SUB_GID_MIN 300000' 'SUB_GID_COUNT 0' >/etc/login.defs",
        r#"{"users": [{"name": "a"}, {"name": "s", "system": true}], "groups": [{"name": "g"}]}"#,
        "groupadd g
         useradd --create-home --password '*' a
         useradd --create-home --system --password '*' s",
    ),
    case(
        "no login.defs and no defaults of useradd",
        "rm /etc/login.defs /etc/default/useradd",
        r#"{"users": [{"name": "a"}, {"name": "s", "system": true}], "groups": [{"name": "g"}]}"#,
        "groupadd g
         useradd --create-home --password '*' a
         useradd --create-home --system --password '*' s",
    ),
    case(
        "the umask makes the home's mode",
        "printf 'UMASK 027\\nMAIL_FILE .mail\\n' >/etc/login.defs
         printf 'CREATE_MAIL_SPOOL=yes\\n' >/etc/default/useradd",
        r#"{"users": [{"name": "a"}]}"#,
        "useradd --create-home --password '*' a",
    ),
    case(
        "the defaults of useradd decide",
        "printf '%s\\n' GROUP=staff GROUPS=audio,nosuch,44 HOME=/srv/homes SHELL=/bin/dash SKEL=/etc/skel2 \
            INACTIVE=14 EXPIRE=2030-01-31 CREATE_MAIL_SPOOL=yes LOG_INIT=no >/etc/default/useradd
         mkdir /etc/skel2; echo hello >/etc/skel2/hello",
        r#"{"users": [{"name": "a"}, {"name": "b", "noUserGroup": true, "groups": ["video"]},
            {"name": "c", "system": true}]}"#,
        "useradd --create-home --password '*' a
         useradd --create-home --no-user-group --password '*' --groups video b
         useradd --create-home --system --password '*' c",
    ),
    case(
        "a mail spool without a group for it",
        "sed -i '/^mail:/d' /etc/group /etc/gshadow
         echo CREATE_MAIL_SPOOL=yes >>/etc/default/useradd; : >/var/mail/b",
        r#"{"users": [{"name": "a"}, {"name": "b"}]}"#,
        "useradd --create-home --password '*' a
         useradd --create-home --password '*' b",
    ),
    case(
        "a skeleton with everything in it",
        "cd /etc/skel; mkdir -p dir/empty; echo x >dir/x; chmod 2750 dir; chmod 4711 dir/x; ln dir/x hard
         ln -s dir/x relative; ln -s /etc/skel/dir absolute; ln -s /nowhere dangling; chown 33:44 dir/x
         mkdir -p /srv/skel; echo more >/srv/skel/.bashrc; echo new >/srv/skel/new; echo USRSKEL=/srv/skel \
            >>/etc/default/useradd",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "a skeleton that is missing, one that is a link",
        "mv /etc/skel /etc/skel3; ln -s skel3 /etc/skel",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "a home that is there stays as it is",
        "mkdir -m 711 /home/core; echo mine >/home/core/.bashrc; chown 7:8 /home/core",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "homes below a link",
        "rmdir /home; mkdir -p /var/home; ln -s var/home /home",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "no shadow files",
        "rm /etc/shadow /etc/gshadow",
        r#"{"groups": [{"name": "g", "passwordHash": "h"}, {"name": "audio", "passwordHash": "i"}],
            "users": [{"name": "core", "passwordHash": "$6$a$b", "groups": ["g"]},
            {"name": "games", "passwordHash": "c"}]}"#,
        "groupadd --password h g
         groupmod --password i audio
         useradd --create-home --password '$6$a$b' --groups g core
         usermod --password '$6$a$b' core
         usermod --password c games
         usermod --password c games",
    ),
    case(
        "no files of subordinate ids",
        "rm -f /etc/subuid /etc/subgid",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "subordinate ids go into holes, and the file is sorted",
        "printf 'b:300000:65536\\na:100000:65536\\nlate:700000000:5\\n' >/etc/subuid
         printf 'core:100000:1000\\nx:50000:60000\\n' >/etc/subgid",
        r#"{"users": [{"name": "core"}, {"name": "d"}]}"#,
        "useradd --create-home --password '*' core
         useradd --create-home --password '*' d",
    ),
    case(
        "lines that are no entries, and NIS lines",
        "printf '# a comment\\n\\nbroken:line\\n+::::::\\n' >>/etc/passwd
         printf '# a comment\\nbad\\n+:::\\n' >>/etc/group
         printf 'broken\\n\\n' >>/etc/shadow; printf '#\\n' >>/etc/gshadow",
        r#"{"groups": [{"name": "g"}], "users": [{"name": "core", "groups": ["audio"]}]}"#,
        "groupadd g
         useradd --create-home --password '*' --groups audio core",
    ),
    case(
        "no newline at the end",
        "for f in passwd group shadow gshadow; do printf %s \"$(cat /etc/$f)\" >/etc/$f.new
            cat /etc/$f.new >/etc/$f; rm /etc/$f.new; done",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "orphans in the shadow files are taken over",
        "echo 'core:$1$old:1:2:3:4:5:6:7' >>/etc/shadow; echo 'core:old:root:games' >>/etc/gshadow",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "names that Debian takes",
        "",
        r#"{"groups": [{"name": "A.b-c_9$"}], "users": [{"name": "9lives"}, {"name": "Upper.Case-x"}]}"#,
        "groupadd 'A.b-c_9$'
         useradd --create-home --password '*' 9lives
         useradd --create-home --password '*' Upper.Case-x",
    ),
    case(
        "an existing user with no wishes",
        "",
        r#"{"users": [{"name": "games"}]}"#,
        "usermod games",
    ),
    case(
        "an existing user's shell, comment and password",
        "useradd -m old",
        r#"{"users": [{"name": "old", "shell": "/bin/dash", "gecos": "New", "passwordHash": "",
            "noCreateHome": true, "system": true, "noUserGroup": true}]}"#,
        "usermod --password '*' --comment New --shell /bin/dash old
         usermod --password '*' old",
    ),
    case(
        "an existing user's groups are replaced",
        "useradd -m -G audio,video,sudo old; gpasswd -A old audio",
        r#"{"users": [{"name": "old", "groups": ["video", "adm", "4"]}]}"#,
        "usermod --groups video,adm,4 old",
    ),
    case(
        "an existing user's uid, and what they own at home",
        "useradd -m old; cd /home/old; mkdir -p d/e; : >d/f; : >suid; : >other; ln -s f d/l; chown -h old:audio d/l
         chown old:old d d/f suid; chown 33:old d/e; chown 33:33 other; chmod 6755 suid
         : >/var/mail/old; chown old:mail /var/mail/old; : >/srv/far; chown old /srv/far",
        r#"{"users": [{"name": "old", "uid": 2222}]}"#,
        "usermod --uid 2222 old",
    ),
    case(
        "an existing user's primary group",
        "useradd -m old; mkdir /home/old/d; chown old:audio /home/old/d",
        r#"{"users": [{"name": "old", "primaryGroup": "staff"}]}"#,
        "usermod --gid staff old",
    ),
    case(
        "a home of someone else is not searched",
        "useradd -m old; chown 33:33 /home/old",
        r#"{"users": [{"name": "old", "uid": 2222, "primaryGroup": "50"}]}"#,
        "usermod --uid 2222 --gid 50 old",
    ),
    case(
        "an existing user's home moves, with a new uid",
        "useradd -m old; echo x >/home/old/x; chown old:old /home/old/x",
        r#"{"users": [{"name": "old", "homeDir": "/srv/new/", "uid": 2222, "primaryGroup": "users"}]}"#,
        "usermod --home /srv/new/ --move-home --uid 2222 --gid users old",
    ),
    case(
        "a home that is missing does not move",
        "useradd -M old",
        r#"{"users": [{"name": "old", "homeDir": "/srv/new"}]}"#,
        "usermod --home /srv/new --move-home old",
    ),
    case(
        "the same home and the same ids are no change",
        "useradd -m -c Old -u 1500 old",
        r#"{"users": [{"name": "old", "homeDir": "/home/old", "uid": 1500, "primaryGroup": "old", "gecos": "Old"}]}"#,
        "usermod --home /home/old --move-home --uid 1500 --comment Old --gid old old",
    ),
    case(
        "a password for a user without an entry in shadow",
        "useradd -m old; sed -i '/^old:/d' /etc/shadow; useradd -m plain
         sed -i 's/^plain:x:/plain:!:/' /etc/passwd",
        r#"{"users": [{"name": "old", "passwordHash": "h"}, {"name": "plain", "passwordHash": "i"}]}"#,
        "usermod --password h old
         usermod --password h old
         usermod --password i plain
         usermod --password i plain",
    ),
    case(
        "a user and all that is theirs goes",
        "useradd -m -G audio,video old; gpasswd -A old,games audio; : >/var/mail/old; chown old /var/mail/old
         useradd stays; echo deep >/home/old/x",
        r#"{"users": [{"name": "old", "shouldExist": false}, {"name": "nosuch", "shouldExist": false}]}"#,
        "userdel --remove old",
    ),
    case(
        "a user goes whose group others use",
        "useradd -m a; useradd -g a b; useradd -m c; usermod -aG c b; useradd -m -g users d; groupadd d",
        r#"{"users": [{"name": "a", "shouldExist": false}, {"name": "c", "shouldExist": false},
            {"name": "d", "shouldExist": false}]}"#,
        "userdel --remove a
         userdel --remove c
         userdel --remove d",
    ),
    case(
        "a user goes but their group stays where the image has no user groups",
        "useradd -M old; sed -i '/^USERGROUPS_ENAB/d' /etc/login.defs",
        r#"{"users": [{"name": "old", "shouldExist": false}]}"#,
        "userdel --remove old",
    ),
    case(
        "new groups",
        "",
        r#"{"groups": [{"name": "a"}, {"name": "b", "gid": 4000}, {"name": "c", "system": true},
            {"name": "d", "system": true, "gid": 5000}, {"name": "e", "passwordHash": "$6$x$y"}, {"name": "f"}]}"#,
        "groupadd a
         groupadd --gid 4000 b
         groupadd --system c
         groupadd --gid 5000 --system d
         groupadd --password '$6$x$y' e
         groupadd f",
    ),
    case(
        "an existing group's number, with the users that have it",
        "groupadd -g 3000 team; useradd -m -g team a; useradd -g team b",
        r#"{"groups": [{"name": "team", "gid": 3500}, {"name": "audio", "passwordHash": "h"}, {"name": "video"}]}"#,
        "groupmod --gid 3500 team
         groupmod --password h audio
         groupmod video",
    ),
    case(
        "a password for a group without an entry in gshadow",
        "groupadd g; useradd -G g u; sed -i '/^g:/d' /etc/gshadow; groupadd p; sed -i 's/^p:x:/p:!:/' /etc/group",
        r#"{"groups": [{"name": "g", "passwordHash": "h"}, {"name": "p", "passwordHash": "i"}]}"#,
        "groupmod --password h g
         groupmod --password i p",
    ),
    case(
        "groups go",
        "groupadd a; useradd -G a u",
        r#"{"groups": [{"name": "a", "shouldExist": false}, {"name": "nosuch", "shouldExist": false}]}"#,
        "groupdel a",
    ),
    case(
        "odd entries are normalized only where they change",
        "useradd -m old; sed -i 's/^old:x:\\([0-9]*\\):/old:x:00\\1:/' /etc/passwd
         printf 'odd:x:0600:a,\\nlike:x:0601:b,\\n' >>/etc/group",
        r#"{"groups": [{"name": "odd"}], "users": [{"name": "old", "shell": "/bin/dash"}]}"#,
        "groupmod odd
         usermod --shell /bin/dash old",
    ),
    case(
        "the log of failed logins",
        "dd if=/dev/zero bs=1000 count=100 status=none | tr '\\0' x >/var/log/faillog; useradd -u 2500 -l old",
        r#"{"users": [{"name": "a", "uid": 2000}, {"name": "b", "uid": 2001, "noLogInit": true},
            {"name": "c", "uid": 60000}, {"name": "old", "uid": 4000}]}"#,
        "useradd --create-home --password '*' --uid 2000 a
         useradd --create-home --no-log-init --password '*' --uid 2001 b
         useradd --create-home --password '*' --uid 60000 c
         usermod --uid 4000 old",
    ),
    case(
        "ssh keys",
        "useradd -m old; mkdir -m 755 /home/old/.ssh; echo was >/home/old/.ssh/authorized_keys",
        r#"{"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 A a", "ssh-ed25519 B b"]},
            {"name": "old", "sshAuthorizedKeys": ["ssh-ed25519 C c"]}]}"#,
        "useradd --create-home --password '*' core
         usermod old
         install -d -o core -g core -m 700 /home/core/.ssh
         printf 'ssh-ed25519 A a\\nssh-ed25519 B b\\n' >/home/core/.ssh/authorized_keys
         echo ssh-ed25519 C c >/home/old/.ssh/authorized_keys
         chmod 600 /home/*/.ssh/authorized_keys
         chown core:core /home/core/.ssh/authorized_keys; chown old:old /home/old/.ssh/authorized_keys",
    ),
];

/// The cases that both sides refuse. Of the tools' calls, the last one fails.
const REFUSED: &[Case] = &[
    case(
        "a uid that is taken",
        "",
        r#"{"users": [{"name": "core", "uid": 33}]}"#,
        "useradd --create-home --password '*' --uid 33 core",
    ),
    case(
        "an existing user's new uid that is taken",
        "",
        r#"{"users": [{"name": "games", "uid": 33}]}"#,
        "usermod --uid 33 games",
    ),
    case("a gid that is taken", "", r#"{"groups": [{"name": "g", "gid": 33}]}"#, "groupadd --gid 33 g"),
    case(
        "an existing group's new gid that is taken",
        "",
        r#"{"groups": [{"name": "audio", "gid": 33}]}"#,
        "groupmod --gid 33 audio",
    ),
    case(
        "a user with the name of a group",
        "",
        r#"{"users": [{"name": "audio"}]}"#,
        "useradd --create-home --password '*' audio",
    ),
    case(
        "an unknown primary group",
        "",
        r#"{"users": [{"name": "core", "primaryGroup": "nosuch"}]}"#,
        "useradd --create-home --password '*' --gid nosuch core",
    ),
    case(
        "an unknown group by number",
        "",
        r#"{"users": [{"name": "core", "groups": ["4711"]}]}"#,
        "useradd --create-home --password '*' --groups 4711 core",
    ),
    case(
        "an unknown group of an existing user",
        "",
        r#"{"users": [{"name": "games", "groups": ["nosuch"]}]}"#,
        "usermod --groups nosuch games",
    ),
    case("a name with a blank", "", r#"{"users": [{"name": "a b"}]}"#, "useradd --password '*' 'a b'"),
    case("a name that is a number", "", r#"{"users": [{"name": "4711"}]}"#, "useradd --password '*' 4711"),
    case("a name with a dash first", "", r#"{"users": [{"name": "-a"}]}"#, "useradd --password '*' -- -a"),
    case(
        "a group's name that is too long",
        "",
        r#"{"groups": [{"name": "abcdefghijklmnopqrstuvwxyz0123456"}]}"#,
        "groupadd abcdefghijklmnopqrstuvwxyz0123456",
    ),
    case(
        "a home that is not absolute",
        "",
        r#"{"users": [{"name": "core", "homeDir": "home"}]}"#,
        "useradd --home-dir home --create-home --password '*' core",
    ),
    case(
        "a comment with a colon",
        "",
        r#"{"users": [{"name": "core", "gecos": "a:b"}]}"#,
        "useradd --create-home --password '*' --comment a:b core",
    ),
    case(
        "a home that moves to where something is",
        "useradd -m old; mkdir /srv/new",
        r#"{"users": [{"name": "old", "homeDir": "/srv/new"}]}"#,
        "usermod --home /srv/new --move-home old",
    ),
    case(
        "a home that moves to where no directory is",
        "useradd -m old",
        r#"{"users": [{"name": "old", "homeDir": "/srv/no/new"}]}"#,
        "usermod --home /srv/no/new --move-home old",
    ),
    case(
        "the removal of someone else's home",
        "useradd -m old; chown 33 /home/old",
        r#"{"users": [{"name": "old", "shouldExist": false}]}"#,
        "userdel --remove old",
    ),
    case(
        "the removal of someone else's mail",
        "useradd -m old; : >/var/mail/old",
        r#"{"users": [{"name": "old", "shouldExist": false}]}"#,
        "userdel --remove old",
    ),
    case(
        "the removal of a home that is a link",
        "useradd -M old; mkdir /srv/real; chown -h old /srv/real; ln -s /srv/real /home/old",
        r#"{"users": [{"name": "old", "shouldExist": false}]}"#,
        "userdel --remove old",
    ),
    case(
        "the removal of a user's primary group",
        "",
        r#"{"groups": [{"name": "games", "shouldExist": false}]}"#,
        "groupdel games",
    ),
    case(
        "two lines of one name",
        "echo 'games:x:4711:4711::/:/bin/sh' >>/etc/passwd",
        r#"{"users": [{"name": "games", "shell": "/bin/dash"}]}"#,
        "usermod --shell /bin/dash games",
    ),
    case(
        "no room for subordinate ids",
        "echo a:0:4000000000 >/etc/subuid",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
    case(
        "no room for a uid",
        "printf 'UID_MIN 1000\\nUID_MAX 1000\\n' >/etc/login.defs; useradd -g users a",
        r#"{"users": [{"name": "core"}]}"#,
        "useradd --create-home --password '*' core",
    ),
];

#[test]
fn accounts_are_as_the_shadow_tools_make_them() {
    check(SAME, |case| {
        let [ours, theirs] = copies(case);
        let applied = apply(&ours.root, case);
        let called = call(&theirs.root, &as_ignition_calls(case.tools));
        let mut wrong = String::new();
        for (who, output) in [("glowplug", &applied), ("the tools", &called)] {
            if !output.status.success() {
                let _ = writeln!(wrong, "{who}: {}", text(output));
            }
        }
        describe(&mut wrong, "the tools", &theirs.root, "glowplug", &ours.root);
        wrong
    });
}

#[test]
fn accounts_are_refused_where_the_shadow_tools_refuse() {
    check(REFUSED, |case| {
        let [ours, theirs] = copies(case);
        let [untouched, _] = copies(case);
        let applied = apply(&ours.root, case);
        let called = call(&theirs.root, &as_ignition_calls(case.tools));
        let mut wrong = String::new();
        for (who, output) in [("glowplug", &applied), ("the tools", &called)] {
            if output.status.success() {
                let _ = writeln!(wrong, "{who} did not refuse");
            }
        }
        if !text(&applied).contains("$.passwd.") {
            let _ = writeln!(wrong, "the place in the config is not named: {}", text(&applied));
        }
        describe(&mut wrong, "before", &untouched.root, "after", &ours.root);
        wrong
    });
}

/// Runs all cases and names each one that went wrong.
fn check(cases: &[Case], run: impl Fn(&Case) -> String) {
    let mut report = String::new();
    for case in cases {
        let wrong = run(case);
        if !wrong.is_empty() {
            let _ = writeln!(report, "--- {}\n{wrong}", case.name);
        }
    }
    assert!(report.is_empty(), "of {} cases:\n{report}", cases.len());
}

/// Makes a tree in which the tools can run.
struct Copied {
    root: PathBuf,
    _scratch: Scratch,
}

fn copies(case: &Case) -> [Copied; 2] {
    [(), ()].map(|()| {
        let scratch = Scratch::new().unwrap();
        let root = scratch.join("root");
        let base = Lab::from_env().unwrap().part("root");
        for folder in ["etc/default", "home", "srv", "tmp", "usr", "dev", "var/log", "var/lib"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let there = COPIED.into_iter().filter(|path| base.join(path).symlink_metadata().is_ok());
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto", "--parents"]).args(there).arg(&root).current_dir(&base);
        run_ok(&mut copy, LIMIT).unwrap();
        let copied = Copied { root, _scratch: scratch };
        if !case.before.is_empty() {
            let prepared = call(&copied.root, case.before);
            assert!(prepared.status.success(), "{}: {}", case.name, text(&prepared));
        }
        copied
    })
}

fn apply(root: &Path, case: &Case) -> Output {
    let config = root.with_extension("ign");
    fs::write(&config, format!(r#"{{"ignition": {{"version": "3.4.0"}}, "passwd": {}}}"#, case.passwd))
        .unwrap();
    let mut command = Command::new(lab::program().unwrap());
    command.args(["apply", "--root"]).args([root, &config]).env("SOURCE_DATE_EPOCH", EPOCH);
    run(&mut command, b"", LIMIT).unwrap()
}

/// Runs `script` by a shell in `root`, with the lab's `/usr`.
fn call(root: &Path, script: &str) -> Output {
    let usr = Lab::from_env().unwrap().part("root").join("usr");
    let inside = r#"mount --bind "$1" "$2/usr" && mount -o remount,bind,ro "$2/usr" && mount --rbind /dev "$2/dev" &&
        exec env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH="$4" chroot "$2" /bin/sh -eu -c "$3""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-eu", "-c", inside, "sh"]);
    command.args([&usr, root]).args([script, EPOCH]);
    run(&mut command, b"", LIMIT).unwrap()
}

/// Adds `--root` to the calls of the tools, as Ignition passes it in every call. It matters: `usermod` refuses a call without
/// any option, but `--root` alone is enough for it.
fn as_ignition_calls(tools: &str) -> String {
    let named = ["useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel"];
    let named = named.map(|tool| format!("{tool}() {{ command {tool} --root / \"$@\"; }}\n"));
    named.concat() + tools
}

/// Returns every path at which the trees differ, with both sides.
fn describe(report: &mut String, one: &str, first: &Path, other: &str, second: &Path) {
    for path in tree::changed(first, second).unwrap() {
        let explained = |known: &str| path == known || path.starts_with(&format!("{known}/"));
        if DIFFERENT.iter().any(|(known, _)| explained(known)) {
            continue;
        }
        let _ = writeln!(report, "{path}");
        for (who, root) in [(one, first), (other, second)] {
            let _ = writeln!(report, "  {who}: {:?}", tree::read(&root.join(&path[1..])).unwrap());
        }
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
