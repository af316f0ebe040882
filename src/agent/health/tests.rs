use super::*;
use crate::agent::json;
use crate::agent::system::Interface;

fn podman(user: &str, uid: u32, api: Api, error: Option<&str>) -> Podman {
    let [user, socket, service] = [user, "active", "inactive"].map(str::to_owned);
    Podman { user, uid, socket, service, api, error: error.map(str::to_owned) }
}

fn good() -> Health {
    let interface = Interface { name: "eth0".into(), addresses: vec!["192.168.127.2".into()] };
    Health {
        version: SCHEMA,
        verdict: HealthVerdict::Ok,
        reasons: Vec::new(),
        system: System { state: "running".into(), ..System::default() },
        provisioning: Provisioning { provisioned: true, ..Provisioning::default() },
        ready: Signal { sent: true, ..Signal::default() },
        ssh: Ssh { service: "active".into(), socket: "not-found".into() },
        podman: vec![podman("root", 0, Api::OnDemand, None), podman("core", 501, Api::Answers, None)],
        network: Network {
            interfaces: vec![interface],
            default_route: false,
            name_servers: Vec::new(),
            is_known: true,
        },
        uptime: 60,
        memory: Amount { total: 1000, available: 500 },
        disk: Amount { total: 1000, available: 20 },
        errors: Vec::new(),
        took: 1,
    }
}

#[test]
fn a_good_machine_is_ok() {
    let mut health = good();
    assert_eq!(health.judge(), []);
    assert_eq!(health.line(), "ok");
    // A socket that is off, and an address of containers beside the own one.
    health.podman[0] = podman("root", 0, Api::Off, None);
    let bridge = Interface { name: "podman0".into(), addresses: vec!["10.88.0.1".into()] };
    health.network.interfaces.insert(0, bridge);
    assert_eq!(health.judge(), []);
    health.network.interfaces.pop();
    assert_eq!(health.judge().len(), 1);
    health = good();
    // Neither installed.
    health.podman.clear();
    health.ssh = Ssh { service: "not-found".into(), socket: "not-found".into() };
    assert_eq!(health.judge(), []);
}

#[test]
fn each_fault_has_its_verdict_and_words() {
    type Break = fn(&mut Health);
    let cases: [(Break, HealthVerdict, &str); 19] = [
        (
            |it| it.system.failed.push("a.service".into()),
            HealthVerdict::Degraded,
            "unit a.service has failed",
        ),
        (
            |it| it.system.more_failed = true,
            HealthVerdict::Degraded,
            "more units have failed: systemctl --failed",
        ),
        (
            |it| it.podman[0] = podman("root", 0, Api::Unknown, Some(&PeerFailure::Stranger.words())),
            HealthVerdict::Degraded,
            "the state of podman of root is unknown: not asked, since another user listens on its socket",
        ),
        (
            |it| {
                it.system.state = "starting".into();
                it.system.emergency = true;
            },
            HealthVerdict::Failed,
            "the machine is in emergency or rescue mode",
        ),
        (|it| it.system.state = "stopping".into(), HealthVerdict::Degraded, "the machine is shutting down"),
        (|it| it.system.state = "starting".into(), HealthVerdict::Starting, "booting"),
        (
            |it| {
                it.system.state = "starting".into();
                it.system.jobs = vec!["a.mount".into(), "b.service".into()];
            },
            HealthVerdict::Starting,
            "waiting for a.mount, b.service",
        ),
        (
            |it| it.system.error = Some("operation timed out".into()),
            HealthVerdict::Degraded,
            "systemd does not answer: operation timed out",
        ),
        (
            |it| it.ssh.service = "failed".into(),
            HealthVerdict::Failed,
            "ssh is not running: the host cannot log in",
        ),
        (
            |it| {
                it.provisioning.error = Some("no stamp".into());
                it.provisioning.is_missing = true;
                it.ready = Signal::default();
            },
            HealthVerdict::Degraded,
            "no stamp",
        ),
        (|it| it.provisioning.error = Some("another root".into()), HealthVerdict::Failed, "another root"),
        (
            |it| it.ready = Signal { reason: Some("trying".into()), ..Signal::default() },
            HealthVerdict::Starting,
            "the host has not taken the ready signal yet",
        ),
        (
            |it| it.ready = Signal { reason: Some("no-host".into()), ..Signal::default() },
            HealthVerdict::Degraded,
            "the host did not take the ready signal: after a reboot from inside the machine, it waits for none",
        ),
        (
            |it| it.ready = Signal { reason: Some("no-device".into()), ..Signal::default() },
            HealthVerdict::Failed,
            "the ready signal was not sent: no-device",
        ),
        (
            |it| it.ready = Signal::default(),
            HealthVerdict::Degraded,
            "the ready signal was not sent: glowplug-ready.service did not run",
        ),
        (
            |it| it.podman[1] = podman("core", 501, Api::Silent, Some("operation timed out")),
            HealthVerdict::Degraded,
            "podman of core does not answer: operation timed out",
        ),
        (
            |it| {
                it.podman[0] = podman("root", 0, Api::Off, None);
                it.podman[0].socket = "failed".into();
            },
            HealthVerdict::Degraded,
            "podman of root has no API: podman.socket has failed",
        ),
        (|it| it.disk.available = 19, HealthVerdict::Degraded, "less than 2 % of the disk is left"),
        (
            |it| it.network.interfaces[0].addresses = vec!["fe80::1".into(), "169.254.3.4".into()],
            HealthVerdict::Degraded,
            "the network has no address",
        ),
    ];
    for (breaks, verdict, words) in cases {
        let mut health = good();
        breaks(&mut health);
        assert_eq!(health.judge(), [(verdict, words.to_owned())]);
    }
}

#[test]
fn what_comes_up_late_is_no_fault_of_a_booting_machine() {
    let mut health = good();
    health.system.state = "starting".into();
    health.ssh.service = "inactive".into();
    health.podman[1] = podman("core", 501, Api::Unknown, Some("no such file or directory"));
    health.network.interfaces.clear();
    health.ready = Signal::default();
    assert_eq!(health.judge(), [(HealthVerdict::Starting, "booting".to_owned())]);
}

#[test]
fn the_gravest_reason_comes_first() {
    let mut health = good();
    health.system.failed.push("a.service".into());
    health.ssh.service = "failed".into();
    health.ready = Signal { reason: Some("trying".into()), ..Signal::default() };
    health.conclude(health.judge());
    assert_eq!(health.verdict, HealthVerdict::Failed);
    let line = "failed: ssh is not running: the host cannot log in; unit a.service has failed; \
        the host has not taken the ready signal yet";
    assert_eq!(health.line(), line);
}

#[test]
fn a_line_shows_no_control_character() {
    let mut health = good();
    health.system.failed.push("a\u{1b}[2J\u{9b}31m\nok.service".into());
    health.conclude(health.judge());
    assert_eq!(health.line(), "degraded: unit a\u{fffd}[2J\u{fffd}31m ok.service has failed");
}

/// With as much of everything as an answer can have that users and containers have a hand in.
#[test]
fn an_answer_is_never_long() {
    let longest = |start: &str| format!("{start}{}.service", "x".repeat(247 - start.len()));
    let mut health = good();
    health.system.failed = (0..MOST_FAILED).map(|number| longest(&number.to_string())).collect();
    health.system.more_failed = true;
    health.system.state = "starting".into();
    health.system.jobs = (0..MOST_JOBS).map(|number| longest(&number.to_string())).collect();
    let error = format!("the user's manager: {}", PeerFailure::Stranger.words());
    health.podman = (0..9).map(|uid| podman(&"u".repeat(32), uid, Api::Unknown, Some(&error))).collect();
    let interface = |number| Interface {
        name: format!("veth{number:011}"),
        addresses: vec!["fe80:1111:2222:3333:4444:5555:6666:7777".into(); 32],
    };
    health.network.interfaces = (0..32).map(interface).collect();
    health.conclude(health.judge());
    let json = json(&health);
    assert!(json.len() < 80 << 10, "{} bytes", json.len());
}

/// On a machine that builds this: without systemd, or with it.
#[test]
fn this_machine_gets_a_verdict() {
    let health = Health::read(PROMPT);
    assert!(health.reasons.is_empty() == (health.verdict == HealthVerdict::Ok), "{health:?}");
}
