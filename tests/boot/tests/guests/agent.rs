//! Looking in from the host: compares the answers of the guest's agent with what the guest itself says.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use boot_lab::agent::{self, Answer};
use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::host::{self, Config, Manner};
use boot_lab::lab::Lab;
use boot_lab::process::{Running, run_ok, wait_for};
use boot_lab::ready::{After, Ready};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(90);

fn get(machine: &Machine, target: &str) -> Answer {
    agent::get(machine.folder(), target).unwrap()
}

fn json(machine: &Machine, target: &str, schema: &str) -> Value {
    let answer = get(machine, target);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json(schema).unwrap()
}

fn health(machine: &Machine) -> Value {
    json(machine, "/health", "health")
}

fn reasons(health: &Value) -> Vec<&str> {
    health["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect()
}

/// Asks for the health until `is_so` accepts it.
fn health_that(machine: &Machine, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = wait_for(SOON, || {
        last = health(machine);
        is_so(&last).then_some(())
    });
    assert!(found.is_some(), "{what}: {last:#}");
    last
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn a_healthy_machine(machine: &Machine, guest: &Guest) {
    // Names the unit, if one has failed.
    let ask = "systemctl is-system-running --wait || { systemctl --failed --no-legend; journalctl -b -p 4 --no-pager; }";
    let state = guest.ask_within(BOOT, "root", ask).unwrap();
    assert_eq!(state.trim(), "running");
    let health = health_that(machine, "a healthy machine", |health| health["verdict"] == "ok");
    assert_eq!(reasons(&health), <[&str; 0]>::default());
    assert_eq!(health["system"]["state"], "running");
    assert_eq!(health["ready"]["sent"], true);
    assert_eq!(health["ready"]["to"], "vsock 2:1025");
    assert_eq!(health["ssh"]["service"], "active");
    assert_eq!(health["errors"], Value::Array(Vec::new()));
    assert_eq!(health["provisioning"]["platform"], "applehv");
    let sum = guest
        .ask("root", "sed -n 's/.*\"configSHA512\": \"\\(.*\\)\",/\\1/p' /etc/.ignition-result.json")
        .unwrap();
    assert_eq!(health["provisioning"]["configSHA512"], sum.trim());
    let users: Vec<&Value> =
        health["podman"].as_array().unwrap().iter().map(|podman| &podman["user"]).collect();
    assert_eq!(users, ["root", "core"]);
    let addresses = guest.ask("root", "hostname -I").unwrap();
    for address in words(&addresses) {
        assert!(health["network"].to_string().contains(&format!("\"{address}\"")), "{address}: {health:#}");
    }
    let by_hand = guest.ask("root", "glowplug-agent health").unwrap();
    assert_eq!(by_hand, "ok\n");
    let user = guest.ssh("core", "glowplug-agent health").unwrap();
    assert_eq!(user.status.code(), Some(1), "{user:?}");
}

fn inspection(machine: &Machine, guest: &Guest) {
    let size: u64 = guest.ask("root", "stat -c %s /usr/bin/glowplug-agent").unwrap().trim().parse().unwrap();
    assert!(size <= 600 << 10, "the agent has {size} bytes");
    let inspection = json(machine, "/inspect", "inspect");
    assert_eq!(inspection["hostname"], guest.ask("root", "uname -n").unwrap().trim());
    assert_eq!(inspection["kernel"]["release"], guest.ask("root", "uname -r").unwrap().trim());
    assert_eq!(inspection["generator"]["name"], "initramfs-tools");
    assert!(inspection["system"].as_str().unwrap().starts_with("Debian GNU/Linux 13"), "{inspection:#}");
    let list =
        guest.ask("root", "dpkg-query -W -f '${db:Status-Status} ${Package} ${Version} ${Architecture}\\n'");
    let list = list.unwrap();
    let installed: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    let packages = inspection["packages"].as_array().unwrap().iter();
    let told: Vec<String> = packages
        .map(|it| ["name", "version", "architecture"].map(|key| it[key].as_str().unwrap()).join(" "))
        .collect();
    assert_eq!(told, installed);
    let users = inspection["users"].as_array().unwrap();
    let core = users.iter().find(|user| user["name"] == "core").expect("core");
    let groups: Vec<&str> =
        core["groups"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(groups, words(&guest.ask("root", "id -Gn core").unwrap()));
    let mounts = inspection["mounts"].as_array().unwrap();
    let root = mounts.iter().find(|mount| mount["target"] == "/").expect("the root");
    assert_eq!(
        (&root["type"], &root["source"], &root["readOnly"]),
        (&"ext4".into(), &"/dev/vda".into(), &false.into())
    );
}

fn diagnostics_and_journal(machine: &Machine, guest: &Guest) {
    let diagnostics = json(machine, "/diagnostics", "diagnostics");
    let (initramfs, boot) =
        (diagnostics["initramfs"].as_u64().unwrap(), diagnostics["boot"].as_u64().unwrap());
    assert!(initramfs > 1000 && boot > initramfs, "{diagnostics:#}");
    let log = diagnostics["log"].as_array().unwrap();
    let provisioned = |line: &Value| line["message"].as_str().unwrap().contains("provisioned in");
    assert!(log.iter().any(provisioned), "{diagnostics:#}");
    let ssh =
        diagnostics["units"].as_array().unwrap().iter().find(|unit| unit["name"] == "ssh.service").unwrap();
    assert!(ssh["active"] == "active" && ssh["since"].as_u64().unwrap() > initramfs, "{ssh}");

    let request = "GET /diagnostics HTTP/1.1\r\nHost: vm\r\nAccept: text/plain\r\n\r\n";
    let text = agent::request(machine.folder(), request).unwrap();
    assert!(text.head.contains("Content-Type: text/plain"), "{}", text.head);
    for words in [
        "health: ok\n",
        "kernel and initramfs: ",
        "\nssh.service active at ",
        "provisioned in",
        "\nsystem: running\n",
    ] {
        assert!(text.body.contains(words), "{words:?}: {}", text.body);
    }

    let refused = |target: &str| {
        let answer = get(machine, target);
        assert_eq!(answer.status, 403, "{answer:?}");
        answer.json("error").unwrap()["error"].as_str().unwrap().to_owned()
    };
    let off = refused("/journal?unit=ssh.service&lines=3");
    assert!(off.contains("/etc/glowplug/agent.d/journal in the machine turns it on"), "{off}");
    guest.ask("root", "mkdir -p /etc/glowplug/agent.d && touch /etc/glowplug/agent.d/journal").unwrap();
    let journal = json(machine, "/journal?unit=ssh.service&lines=3", "journal");
    let told: Vec<&str> =
        journal["lines"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 3, "{journal:#}");
    let all = guest.ask("root", "journalctl -b -u ssh.service -o cat").unwrap();
    assert!(told.iter().all(|message| all.contains(message)), "{told:?}\n{all}");
    let none = get(machine, "/journal?unit=no-such.service");
    assert_eq!(none.status, 404, "{none:?}");
    none.json("error").unwrap();

    // The lines of users have a switch of their own.
    let of_user = "/journal?unit=user@501.service";
    let off = refused(of_user);
    assert!(off.contains("/etc/glowplug/agent.d/journal-users in the machine turns it on"), "{off}");
    guest.ask("root", "touch /etc/glowplug/agent.d/journal-users").unwrap();
    let lines = json(machine, of_user, "journal");
    assert!(!lines["lines"].as_array().unwrap().is_empty(), "{lines:#}");
    guest.ask("root", "rm /etc/glowplug/agent.d/journal-users").unwrap();
    refused(of_user);
}

/// Every user may log, under any identifier.
fn lines_of_others(machine: &Machine, guest: &Guest) {
    let echo = "--quiet --wait -p SyslogIdentifier=glowplug echo";
    guest.ask("core", "logger -t glowplug forged-by-logger").unwrap();
    guest.ask("core", &format!("systemd-run --user {echo} forged-by-core")).unwrap();
    guest.ask("root", &format!("systemd-run {echo} forged-by-root")).unwrap();
    let all = guest.ask("root", "journalctl --sync; journalctl -b -o cat -t glowplug").unwrap();
    for mark in ["forged-by-logger", "forged-by-core", "forged-by-root", "provisioned in"] {
        assert!(all.contains(mark), "{mark}: {all}");
    }
    let diagnostics = json(machine, "/diagnostics", "diagnostics");
    let log = diagnostics["log"].to_string();
    assert!(log.contains("provisioned in") && !log.contains("forged"), "{log}");
}

/// The user core puts obstacles for the agent into directories of the user's own. Every answer must come in time, be short,
/// and say that this user was not asked or did not answer.
fn a_user_who_means_no_good(machine: &Machine, guest: &Guest) {
    let folder = "/run/user/501/systemd";
    let aside = format!("mv {folder}/private {folder}/private.real");
    let back = format!("rm -f {folder}/private; mv {folder}/private.real {folder}/private");
    let listen = |program: &str| {
        let socat = format!("socat UNIX-LISTEN:{folder}/private,fork EXEC:{program}");
        let is_there = format!("while ! [ -S {folder}/private ]; do sleep 0.1; done");
        format!("{aside}; {socat} >/dev/null 2>&1 & echo $! >/run/user/501/listener; {is_there}")
    };
    let end = format!("kill $(cat /run/user/501/listener); rm /run/user/501/listener; {back}");
    let endless = "#!/bin/sh\nhead -c 26 >/dev/null\nprintf 'OK 0\\r\\n'\ncat /dev/zero\n";
    guest.ask("root", &format!("printf %s \"{endless}\" >/tmp/endless; chmod 0755 /tmp/endless")).unwrap();
    let manager = "$(pgrep -u core -x systemd)";
    let attacks = [
        (
            "core",
            format!("mv {folder} {folder}.real; ln -s {folder}.real {folder}"),
            "not asked, since a symbolic link",
            format!("rm {folder}; mv {folder}.real {folder}"),
        ),
        (
            "core",
            format!("{aside}; ln -s /run/systemd/private {folder}/private"),
            "not asked, since a symbolic link",
            back.clone(),
        ),
        (
            "root",
            format!("mount -t tmpfs none {folder}"),
            "not asked, since a mount",
            format!("umount {folder}"),
        ),
        ("root", listen("/bin/cat"), "not asked, since another user", end.clone()),
        // On a busy machine the time is over before the line is too long.
        ("core", listen("/tmp/endless"), "rotocol error|timed out", end.clone()),
        ("core", format!("kill -STOP {manager}"), "timed out", format!("kill -CONT {manager}")),
    ];
    for (user, attack, words, undo) in attacks {
        guest.ask(user, &attack).unwrap();
        // On an emulated processor, an answer is late now and then.
        let health = health_that(machine, &format!("{words:?} after {attack}"), |health| {
            let podman = health["podman"].as_array().unwrap().iter().find(|it| it["user"] == "core");
            let error = |podman: &Value| {
                let error = podman["error"].as_str().unwrap_or_default();
                words.split('|').any(|words| error.contains(words))
            };
            podman.is_some_and(|podman| podman["api"] == "unknown" && error(podman))
                && health["took"].as_u64().unwrap() < 300
        });
        println!("/health after {attack}: {} ms", health["took"]);
        assert!(health.to_string().len() < 80 << 10, "{health:#}");
        assert_eq!(health["verdict"], "degraded");
        guest.ask(user, &undo).unwrap();
        health_that(machine, "as before", |health| health["verdict"] == "ok");
    }
}

/// No text for people has a control character, whatever names users choose.
fn control_characters(machine: &Machine, guest: &Guest) {
    let faults = r"printf 'evil \033[2J\033]0;owned\007 \302\2332J \342\200\256 end\n' >/run/glowplug/faults";
    guest.ask("root", faults).unwrap();
    let request = "GET /diagnostics HTTP/1.1\r\nHost: vm\r\nAccept: text/plain\r\n\r\n";
    let host = agent::request(machine.folder(), request).unwrap().body;
    let by_hand = guest.ask("root", "glowplug-agent diagnostics").unwrap();
    let json = get(machine, "/diagnostics").body;
    for text in [host, by_hand, json] {
        let is_shown = |it: char| it == '\n' || !(it.is_control() || it == '\u{202e}');
        assert!(text.contains("owned") && text.chars().all(is_shown), "{text:?}");
    }
    guest.ask("root", "rm /run/glowplug/faults").unwrap();
}

/// Checks how confined the units are, by systemd's own measure: 0 is best, 10 is worst.
fn units_are_restricted(guest: &Guest) {
    for unit in ["glowplug-agent.service", "glowplug-agent-console.service", "glowplug-ready.service"] {
        let told = guest.ask("root", &format!("systemd-analyze security --no-pager {unit}; true")).unwrap();
        let level = told.lines().find_map(|line| line.split_once("exposure level for ")?.1.split_once(": "));
        let level = level.unwrap_or_else(|| panic!("{told}")).1.split(' ').next().unwrap();
        println!("{unit}: {level}");
        assert!(level.parse::<f64>().unwrap() <= 2.5, "{told}");
    }
}

fn idle(guest: &Guest) {
    wait_for(SOON, || guest.ssh("root", "pgrep glowplug-agent").unwrap().stdout.is_empty().then_some(()))
        .expect("idle without a process");
}

fn requests_that_are_refused(machine: &Machine, guest: &Guest) {
    let long = format!("GET /{} HTTP/1.1\r\nHost: vm\r\n\r\n", "a".repeat(20_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: vm\r\n\r\n", 404),
        ("GET /../etc/shadow HTTP/1.1\r\nHost: vm\r\n\r\n", 404),
        ("GET /health?x=y HTTP/1.1\r\nHost: vm\r\n\r\n", 400),
        ("GET /journal HTTP/1.1\r\nHost: vm\r\n\r\n", 400),
        ("GET /journal?unit=--all HTTP/1.1\r\nHost: vm\r\n\r\n", 400),
        ("POST /health HTTP/1.1\r\nHost: vm\r\n\r\n", 405),
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("garbage\r\n\r\n", 400),
        (&long, 431),
        // The request never ends, so the deadline must end it.
        ("GET /health HTTP/1.1\r\nHost: vm\r\n", 408),
    ] {
        let answer = agent::request(machine.folder(), request).unwrap();
        assert_eq!(answer.status, status, "{request:.60}: {answer:?}");
        answer.json("error").unwrap();
    }
    // A client that does not take its answer is given up, and delays nobody else.
    let mut deaf = agent::connect(machine.folder(), agent::PORT).unwrap();
    deaf.write_all(b"GET /inspect HTTP/1.1\r\nHost: vm\r\n\r\n").unwrap();
    assert_eq!(get(machine, "/").status, 404);
    idle(guest);
    drop(deaf);
    // A client that leaves before or in the middle of its request does no harm.
    for bytes in ["", "GET /hea"] {
        let mut stream = agent::connect(machine.folder(), agent::PORT).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
    }
}

/// Asks 200 times at once, which is more than are answered at once. The rest must wait, and none may be closed.
fn a_flood(machine: &Machine, guest: &Guest) {
    let begin = Instant::now();
    let failed: Vec<String> = thread::scope(|scope| {
        let asked: Vec<_> = (0..200).map(|_| scope.spawn(|| agent::get(machine.folder(), "/"))).collect();
        let answers = asked.into_iter().map(|asked| asked.join().unwrap());
        answers
            .filter(|it| !it.as_ref().is_ok_and(|it| it.status == 404))
            .map(|it| format!("{it:?}"))
            .collect()
    });
    println!("200 requests at once: {:?}; {}", begin.elapsed(), counts(guest));
    assert_eq!(failed, <[String; 0]>::default());
    // Connections without a request take five seconds each, and delay others for no longer.
    let silent: Vec<_> = (0..40).map(|_| agent::connect(machine.folder(), agent::PORT).unwrap()).collect();
    assert_eq!(get(machine, "/").status, 404);
    for mut stream in silent {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        assert!(text.starts_with("HTTP/1.1 408 "), "{text:?}");
    }
    let told =
        guest.ask("root", "journalctl --sync; journalctl -b -o cat -u glowplug-agent.service").unwrap();
    let late = "glowplug-agent: the host sent no complete request within 5 s";
    assert!(told.lines().filter(|line| *line == late).count() >= 40, "{told}");
    health_that(machine, "an answer after the flood", |health| health["verdict"] == "ok");
}

/// Returns what systemd counts at the agent's socket, in one line. systemd itself accepts and refuses nothing there.
fn counts(guest: &Guest) -> String {
    let show = "systemctl show -p NAccepted -p NRefused -p Result glowplug-agent.socket";
    let counts = guest.ask("root", show).unwrap();
    let counts = words(&counts).join(" ");
    assert!(counts.contains("NRefused=0") && counts.contains("Result=success"), "{counts}");
    counts
}

/// Asks with curl, as people do.
fn by_curl(machine: &Machine) {
    let folder = machine.folder();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/vsock-connect");
    let socket = folder.join("vm.sock_1026");
    let listen = format!("UNIX-LISTEN:{},fork", socket.display());
    let connect = format!("EXEC:{} {} 1026", script.display(), folder.join("v").display());
    let _bridge = Running::start(Path::new("socat"), &[listen, connect], &folder.join("socat.log")).unwrap();
    wait_for(SOON, || socket.exists().then_some(())).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--unix-socket"]);
    curl.arg(&socket).arg("http://vm/health");
    // On an emulated processor, the manager of a user can be late.
    let mut health = Value::Null;
    let is_ok = wait_for(SOON, || {
        health = serde_json::from_slice(&run_ok(&mut curl, SOON).unwrap()).unwrap();
        (health["verdict"] == "ok").then_some(())
    });
    assert!(is_ok.is_some(), "{health:#}");
}

fn a_failed_unit(machine: &Machine, guest: &Guest) {
    // The verdict has a line of its own, although the login prompt may come before or after it.
    let last = || {
        let console = machine.second_console().unwrap();
        console.lines().rfind(|line| line.starts_with("glowplug: health: ")).map(str::to_owned)
    };
    wait_for(SOON, || (last()? == "glowplug: health: ok").then_some(()))
        .unwrap_or_else(|| panic!("{:?}", last()));
    // systemd's own lines name the agent's socket if the journal does not run yet.
    let console = machine.second_console().unwrap();
    let mut verdicts = console.lines().filter(|line| line.starts_with("glowplug: health: "));
    assert!(verdicts.all(|line| !line.contains("glowplug-agent")), "it waits for itself: {console}");
    guest.ssh("root", "systemd-run --quiet --unit=broken --wait false").unwrap();
    let failed = |health: &Value| reasons(health) == ["unit broken.service has failed"];
    let health = health_that(machine, "a failed unit", failed);
    assert_eq!(health["verdict"], "degraded");
    assert_eq!(health["system"]["failed"], serde_json::from_str::<Value>("[\"broken.service\"]").unwrap());
    let by_hand = guest.ssh("root", "glowplug-agent health").unwrap();
    assert_eq!(by_hand.status.code(), Some(4));
    assert_eq!(by_hand.stdout, b"degraded: unit broken.service has failed\n");
    // The console shows the failure as well, and that it is over.
    let line = "glowplug: health: degraded: unit broken.service has failed\n";
    let is_shown = |line: &str| machine.second_console().unwrap().matches(line).count() == 1;
    wait_for(SOON, || is_shown(line).then_some(())).expect("the line on the console");
    guest.ask("root", "systemctl reset-failed broken.service").unwrap();
    health_that(machine, "nothing failed", |health| health["verdict"] == "ok");
    let after = || {
        let console = machine.second_console().unwrap();
        let after = console.split_once(line).map(|(_, after)| after.to_owned()).unwrap();
        after.contains("glowplug: health: ok\n").then_some(())
    };
    wait_for(SOON, after).expect("the line that it is over");
}

/// podman's API runs, and does not answer.
fn a_hung_podman(machine: &Machine, guest: &Guest) {
    for (user, socket, systemctl) in [
        ("root", "/run/podman/podman.sock", "systemctl"),
        ("core", "/run/user/501/podman/podman.sock", "systemctl --user"),
    ] {
        let ping = format!(
            "printf 'GET /_ping HTTP/1.0\\r\\nHost: d\\r\\n\\r\\n' | socat -t 90 - UNIX-CONNECT:{socket}"
        );
        // The connection stays open, as that of a client that goes on using the API.
        let hold =
            format!("(while sleep 1; do {ping}; done) >/dev/null 2>&1 & echo $! >/tmp/hold-{user}; {ping}");
        assert!(guest.ask_within(BOOT, user, &hold).unwrap().ends_with("OK"));
        let is = |api: &'static str| {
            move |health: &Value| {
                health["podman"].as_array().unwrap().iter().any(|it| it["user"] == user && it["api"] == api)
            }
        };
        health_that(machine, "an API that answers", is("answers"));
        guest.ask(user, &format!("{systemctl} kill --signal=STOP podman.service")).unwrap();
        let health = health_that(machine, "an API that hangs", is("silent"));
        assert_eq!(health["verdict"], "degraded");
        assert!(
            reasons(&health)
                .contains(&format!("podman of {user} does not answer: operation timed out").as_str()),
            "{health:#}"
        );
        // An emulated processor, shared with another guest, is late now and then.
        let prompt = health_that(machine, "an answer within 300 ms", |health| {
            is("silent")(health) && health["took"].as_u64().unwrap() < 300
        });
        println!("/health with podman of {user} hung: {} ms", prompt["took"]);
        guest
            .ask(
                user,
                &format!("kill $(cat /tmp/hold-{user}); {systemctl} kill --signal=CONT podman.service"),
            )
            .unwrap();
    }
    health_that(machine, "nothing hangs", |health| health["verdict"] == "ok");
}

/// Asks over the loopback of vsock, and from another guest of the same host. Neither may get an answer.
fn others_are_refused(machine: &Machine, guest: &Guest) {
    let ask = "printf 'GET /health HTTP/1.1\\r\\nHost: vm\\r\\n\\r\\n' | socat -t 30 - VSOCK-CONNECT:";
    let local = guest.ask("root", &format!("modprobe vsock_loopback && {ask}1:1026")).unwrap();
    let answer = agent::parse(&local).unwrap_or_else(|| panic!("{local}"));
    assert_eq!(answer.status, 403, "{answer:?}");
    answer.json("error").unwrap();

    let neighbour = Machine::new(&Lab::from_env().unwrap()).unwrap();
    // The other guest is not provisioned, and runs only a shell.
    let arguments = ["init=/bin/sh", "ignition.firstboot=0", "quiet"].map(str::to_owned).into();
    let socket = Some(machine.neighbour_socket());
    let options = Options { vsock: false, neighbour_of: socket, arguments, rescue: true, ..Options::vsock() };
    let mut other = neighbour.boot(options).unwrap();
    other.wait_console("# ", BOOT).unwrap();
    other
        .type_text(&format!("modprobe vmw_vsock_virtio_transport; {ask}3:1026; echo asked-$((6 * 7))\n"))
        .unwrap();
    other.wait_console("asked-42", SOON).unwrap();
    let console = other.console.text();
    assert!(console.contains("HTTP/1.1 403 Forbidden"), "{console}");
    let refused = guest.ask("root", "journalctl -b -o cat -t glowplug-agent").unwrap();
    for cid in [1, 4] {
        assert!(refused.contains(&format!("vsock CID {cid} asked, which is not the host")), "{refused}");
    }
    assert!(!refused.contains("Landlock"), "it may write: {refused}");
}

/// Asks 50 times at once. `AGENT_REQUESTS` in the environment is the number of requests in all.
fn many_requests(machine: &Machine, guest: &Guest) {
    // One connection in some thousands was seen to close without a byte. No reason for it was found.
    const LOST: usize = 3;
    let count = std::env::var("AGENT_REQUESTS").map_or(250, |count| count.parse().unwrap());
    let each: usize = count / 50;
    let [good, lost, slowest] = [(); 3].map(|()| AtomicUsize::new(0));
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                for number in 0..each {
                    let asked = Instant::now();
                    // Most connections send no request, because only their number matters.
                    let (target, status) = if number % 4 == 0 { ("/health", 200) } else { ("/", 404) };
                    let asked_again = |error| {
                        println!("{target} after {:?}: {error}", asked.elapsed());
                        lost.fetch_add(1, Ordering::Relaxed);
                        agent::get(machine.folder(), target)
                    };
                    match agent::get(machine.folder(), target).or_else(asked_again) {
                        Ok(answer) if answer.status == status => drop(good.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => println!("{answer:?}"),
                        Err(error) => println!("{target} after {:?}: {error}", asked.elapsed()),
                    }
                    let took = usize::try_from(asked.elapsed().as_millis()).unwrap();
                    slowest.fetch_max(took, Ordering::Relaxed);
                }
            });
        }
    });
    let (took, counts) = (begin.elapsed(), counts(guest));
    println!("{count} requests, 50 at once: {took:?}, the slowest {} ms; {counts}", slowest.into_inner());
    let told = "for of in _PID=1 _COMM=sd-executor SYSLOG_IDENTIFIER=glowplug-agent; do \
        journalctl -b -o short-monotonic -p notice $of | tail -n 40; done";
    let lost = lost.into_inner();
    if lost > 0 {
        println!(
            "{lost} were asked for a second time; the guest's journal:\n{}",
            guest.ask("root", told).unwrap()
        );
    }
    assert_eq!(good.into_inner(), 50 * each);
    assert!(lost <= LOST, "{lost} of {count} were not answered at once");
}

/// In emergency mode there is no ssh, but the agent still answers.
fn emergency_mode(machine: &Machine, guest: &Guest) {
    guest.ask("root", "systemd-run --quiet --on-active=1 systemctl isolate emergency.target").unwrap();
    let health = health_that(machine, "emergency mode", |health| health["system"]["state"] == "maintenance");
    assert_eq!(health["verdict"], "failed");
    assert_eq!(reasons(&health)[0], "the machine is in emergency or rescue mode");
}

/// Boots a podman machine that the host can look into, with a neighbour if another guest of the host asks as well.
fn booted(with_neighbour: bool) -> (Machine, Guest, Ready) {
    let machine = Machine::new(&Lab::podman_machine().unwrap()).unwrap();
    let config = host::without_shares(&host::config("6.0-applehv-default.ign").unwrap()).unwrap();
    let config = machine.key.put_into(&config).unwrap();
    let _served = Config::serve(machine.folder(), config.into_bytes(), Manner::Podman).unwrap();
    let ready = Ready::vsock(machine.folder(), After::Record).unwrap();
    let options =
        Options { gvproxy: true, second_console: true, with_neighbour, memory: 2048, ..Options::vsock() };
    let mut guest = machine.boot(options).unwrap();
    guest.wait_ready(&ready, BOOT).unwrap();
    guest.wait_ssh("root", BOOT).unwrap();
    (machine, guest, ready)
}

/// No request has left a process or a failed unit behind.
fn as_before(machine: &Machine, guest: &Guest, ready: &Ready) {
    let health = health_that(machine, "as before", |health| health["verdict"] == "ok");
    assert_eq!(health["system"]["failed"], Value::Array(Vec::new()));
    idle(guest);
    assert_eq!(ready.lines().len(), 1);
}

#[test]
fn the_host_looks_in() {
    let (machine, guest, ready) = booted(true);
    a_healthy_machine(&machine, &guest);
    by_curl(&machine);
    inspection(&machine, &guest);
    diagnostics_and_journal(&machine, &guest);
    requests_that_are_refused(&machine, &guest);
    lines_of_others(&machine, &guest);
    control_characters(&machine, &guest);
    units_are_restricted(&guest);
    a_flood(&machine, &guest);
    a_failed_unit(&machine, &guest);
    others_are_refused(&machine, &guest);
    as_before(&machine, &guest, &ready);
    emergency_mode(&machine, &guest);
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn users_who_mean_no_good_and_a_podman_that_hangs() {
    let (machine, guest, ready) = booted(false);
    a_healthy_machine(&machine, &guest);
    a_user_who_means_no_good(&machine, &guest);
    a_hung_podman(&machine, &guest);
    many_requests(&machine, &guest);
    as_before(&machine, &guest, &ready);
}

/// A boot that never reaches ssh. podman would wait without end and say nothing.
#[test]
fn a_stuck_machine_says_what_it_waits_for() {
    let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
    let config = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/glowplug/agent.d/journal",
        "contents":{"source":"data:,"}}]},"systemd":{"units":[{"name":"stuck.service","enabled":true,"contents":
        "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo it hangs; sleep infinity'\n[Install]\nWantedBy=sysinit.target\n"}]}}"#;
    let _served = Config::serve(machine.folder(), config.into(), Manner::Podman).unwrap();
    let guest = machine.boot(Options::vsock()).unwrap();
    let answered = wait_for(BOOT, || agent::get(machine.folder(), "/health").ok());
    let answered = answered.unwrap_or_else(|| panic!("{}", guest.failed("no answer")));
    assert_eq!(answered.status, 200);
    let health =
        health_that(&machine, "a stuck machine", |health| reasons(health) == ["waiting for stuck.service"]);
    assert_eq!(health["verdict"], "starting");
    assert_eq!(health["provisioning"]["provisioned"], true);
    assert_eq!(health["ready"]["sent"], false);
    let mut diagnostics = Value::Null;
    let logged = wait_for(SOON, || {
        diagnostics = json(&machine, "/diagnostics", "diagnostics");
        diagnostics["log"].to_string().contains("provisioned in").then_some(())
    });
    assert!(logged.is_some(), "{diagnostics:#}");
    assert_eq!(diagnostics["boot"], Value::Null);
    let mut rest = String::new();
    let told = wait_for(SOON, || {
        rest.clear();
        let mut stream = agent::connect(machine.folder(), agent::PORT).unwrap();
        stream.write_all(b"GET /journal?unit=stuck.service HTTP/1.0\r\n\r\n").unwrap();
        stream.read_to_string(&mut rest).unwrap();
        rest.contains("it hangs").then_some(())
    });
    assert!(told.is_some(), "{rest}");
}
