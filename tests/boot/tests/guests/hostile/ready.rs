//! The ready signal to a host that hardly listens: many signals in one boot.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use boot_lab::guest::{BOOT, Guest, Machine, Options};
use boot_lab::host::{Config, Manner, socket_path};
use boot_lab::hostile::{Behaviour, Host, Peer};
use boot_lab::lab::Lab;
use boot_lab::process::wait_for;
use boot_lab::ready::{self, After, Ready};

const CONFIG: &str = r#"{"ignition":{"version":"3.0.0"},"passwd":{"users":[
    {"name":"root","sshAuthorizedKeys":["ssh-ed25519 AAAA root@host"]}]}}"#;

/// Sends the signal COUNT times, each as if it were the first in this boot. Prints how often COMMAND succeeded, how often it
/// failed because the host did not take the signal, and how often something else happened.
const SIGNALS: &str = r#"
sent=0 refused=0 other=0
for _ in $(seq COUNT); do
    rm -f /run/glowplug/ready.json
    code=0
    COMMAND 2>/run/said || code=$?
    read -r record </run/glowplug/ready.json
    case "$code $record" in
    '0 {"sent":true,'*) sent=$((sent + 1)) ;;
    '10 {"sent":false,"reason":"no-host"}') refused=$((refused + 1)) ;;
    *) other=$((other + 1)) && echo "$code $record" && cat /run/said ;;
    esac
done
echo "$sent $refused $other"
"#;
const PROGRAM: &str = "/usr/bin/glowplug-ready";
const UNIT: &str = "systemctl restart glowplug-ready.service";

/// What the host received.
#[derive(Default)]
struct Tally {
    whole: AtomicUsize,
    /// Connections that ended otherwise than with a line.
    broken: AtomicUsize,
}

impl Tally {
    /// Reads the line, and closes at once.
    fn take(&self, peer: &mut Peer) -> io::Result<()> {
        let line = peer.read_until(b"\n");
        let is_whole = line.as_ref().is_ok_and(|line| line == "Ready\n");
        let count = if is_whole { &self.whole } else { &self.broken };
        count.fetch_add(1, Ordering::Relaxed);
        line.map(drop)
    }

    fn counts(&self) -> (usize, usize) {
        (self.whole.load(Ordering::Relaxed), self.broken.load(Ordering::Relaxed))
    }
}

/// How many signals succeeded, how many the host refused, and how many ended in any other way.
type Sent = (usize, usize, usize);

/// A provisioned guest.
struct Fire {
    machine: Machine,
    guest: Guest,
    signals: usize,
}

impl Fire {
    fn boot() -> Self {
        let machine = Machine::new(&Lab::from_env().unwrap()).unwrap();
        let config = machine.key.put_into(CONFIG).unwrap();
        let _served = Config::serve(machine.folder(), config.into_bytes(), Manner::Podman).unwrap();
        let ready = Ready::vsock(machine.folder(), After::Stop).unwrap();
        let mut guest = machine.boot(Options::vsock()).unwrap();
        guest.wait_ready(&ready, BOOT).unwrap();
        guest.wait_ssh("root", BOOT).unwrap();
        Self { machine, guest, signals: 0 }
    }

    fn host(&self, behaviour: Arc<Behaviour>) -> Host {
        Host::start(self.machine.folder(), ready::PORT, behaviour).unwrap()
    }

    fn send(&self, count: usize, command: &str) -> Sent {
        let script = SIGNALS.replace("COUNT", &count.to_string()).replace("COMMAND", command);
        let printed = self.guest.ask_within(BOOT * 2, "root", &script).unwrap();
        let last = printed.lines().last().unwrap_or_default();
        let counts: Vec<usize> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [sent, refused, other] = counts[..] else { panic!("{printed}") };
        assert_eq!(other, 0, "{printed}");
        (sent, refused, other)
    }

    /// Sends signals to a host that takes every line, and causes `trouble` over and over meanwhile. Each signal must count as
    /// sent and come exactly once, and no connection may be without a signal.
    fn all_taken(&mut self, name: &str, count: usize, command: &str, trouble: fn(&Self)) {
        let tally = Arc::new(Tally::default());
        let theirs = tally.clone();
        let host = self.host(Arc::new(move |_, peer| theirs.take(peer)));
        self.signals += count;
        let said = meanwhile(|| trouble(self), || self.send(count, command));
        // The last one may still be on its way.
        wait_for(Duration::from_secs(10), || (tally.counts().0 == count).then_some(()));
        println!(
            "{name}: {said:?}, at the host {:?} of {}; {:.0} s after the start",
            tally.counts(),
            host.accepted(),
            self.guest.begin.elapsed().as_secs_f32()
        );
        assert_eq!((said, tally.counts(), host.accepted()), ((count, 0, 0), (count, 0), count), "{name}");
    }

    /// The host closes every other connection before it reads anything, so not every line arrives. The lines that it took must
    /// count as sent, and none may be half a line.
    fn hangs_up(&mut self, name: &str, count: usize, command: &str) {
        let tally = Arc::new(Tally::default());
        let theirs = tally.clone();
        let host =
            self.host(Arc::new(move |number, peer| if number % 2 == 0 { Ok(()) } else { theirs.take(peer) }));
        self.signals += count;
        let said = self.send(count, command);
        let taken = || (tally.counts().0 >= host.accepted() / 2).then_some(());
        wait_for(Duration::from_secs(10), taken);
        println!("{name}: {said:?}, at the host {:?} of {}", tally.counts(), host.accepted());
        assert_eq!((said, tally.counts()), ((count, 0, 0), (host.accepted() / 2, 0)));
        assert!(host.accepted() >= count && tally.counts().0 <= count);
    }

    /// Nobody listens, which the program must report. Once somebody listens, no old signal may arrive.
    fn nobody(&mut self, count: usize) {
        self.signals += count;
        assert_eq!(self.send(count, &format!("{PROGRAM} 1")), (0, count, 0));
        let host = self.host(Arc::new(|_, _| Ok(())));
        thread::sleep(Duration::from_secs(1));
        assert_eq!(host.accepted(), 0);
        drop(host);
        println!("nobody listens: {count} refused");
        // The unit stops trying, and counts as done: nobody listens after a reboot from inside the machine.
        let folder = "/run/systemd/system/glowplug-ready.service.d";
        let shorter =
            format!("printf '[Service]\\nExecStart=\\nExecStart={PROGRAM} 2\\n' >{folder}/shorter.conf");
        let restart = format!(
            "rm /run/glowplug/ready.json; mkdir -p {folder}; {shorter}; systemctl daemon-reload; {UNIT}"
        );
        let show = "sleep 6; systemctl show -p ActiveState,NRestarts,Result glowplug-ready.service";
        let shown =
            self.guest.ask("root", &format!("{restart}; {show}; glowplug-agent health; true")).unwrap();
        assert!(shown.starts_with("Result=success\nNRestarts=0\nActiveState=active\n"), "{shown}");
        assert!(shown.contains("\ndegraded: the host did not take the ready signal: "), "{shown}");
    }
}

/// Nobody listens, then somebody does.
fn gap(fire: &Fire) {
    let socket = socket_path(fire.machine.folder(), ready::PORT);
    let away = socket.with_extension("away");
    fs::rename(&socket, &away).unwrap();
    thread::sleep(Duration::from_secs(3));
    fs::rename(&away, &socket).unwrap();
    thread::sleep(Duration::from_secs(4));
}

/// The host is too busy to run its device.
fn stall(fire: &Fire) {
    fire.guest.stall_vsock(Duration::from_secs(4)).unwrap();
    thread::sleep(Duration::from_secs(1));
}

/// The host runs normally.
fn calm(_: &Fire) {
    thread::sleep(Duration::from_millis(100));
}

/// Calls `act` over and over until `work` is done.
fn meanwhile<R>(act: impl Fn() + Sync + Send, work: impl FnOnce() -> R) -> R {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                act();
            }
        });
        let _stop = Stop(&stop);
        work()
    })
}

/// Sends as many signals in each situation as `counts` says.
fn signals(counts: [usize; 8]) {
    let [taken, taken_of_unit, gaps, gaps_of_unit, stalls, hang_ups, hang_ups_of_unit, nobody] = counts;
    let mut fire = Fire::boot();
    fire.all_taken("takes each line", taken, PROGRAM, calm);
    fire.all_taken("takes each line, which the unit sends", taken_of_unit, UNIT, calm);
    fire.all_taken("is not there now and then", gaps, PROGRAM, gap);
    fire.all_taken("is not there now and then, for the unit", gaps_of_unit, UNIT, gap);
    fire.all_taken("stalls", stalls, PROGRAM, stall);
    fire.hangs_up("hangs up on every other", hang_ups, PROGRAM);
    fire.hangs_up("hangs up on every other, for the unit", hang_ups_of_unit, UNIT);
    fire.nobody(nobody);
    let unit = fire.guest.ask("root", "systemctl show -p NRestarts,Result glowplug-ready.service").unwrap();
    assert_eq!(unit, "Result=success\nNRestarts=0\n");
    println!("{} signals", fire.signals);
}

#[test]
fn a_hundred_signals_to_a_host_that_hardly_listens() {
    signals([70, 3, 8, 1, 3, 10, 2, 3]);
}

#[test]
#[ignore = "by hand: `make boot-more`"]
fn a_thousand_signals_to_a_host_that_hardly_listens() {
    signals([837, 10, 36, 4, 8, 90, 10, 5]);
}
