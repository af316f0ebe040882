use super::*;
use crate::change::memory::Memory;
use crate::config::Dropin;
use crate::testing::warnings_of;

/// A root in memory whose files begin with `-> ` where they are links.
struct Root(Memory);

impl Root {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut root = Memory::default();
        for (path, text) in files {
            match text.strip_prefix("-> ") {
                Some(target) => root.link(path, target),
                None => root.file(path, text),
            }
        }
        Self(root)
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.0.contents(path).map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    /// What is below `/etc/systemd/system`: `name text` of a file, `name -> target` of a link.
    fn links(&self) -> Vec<String> {
        let below = self.0.paths().filter(|path| path.starts_with(load::CONFIG));
        let shown = below.map(|path| {
            let name = path.strip_prefix(load::CONFIG).unwrap().display();
            let path = path.to_str().unwrap();
            match self.0.target(path) {
                Some(target) => format!("{name} -> {}", target.display()),
                None => format!("{name} {}", self.text(path).unwrap()),
            }
        });
        shown.collect()
    }
}

fn unit(name: &'static str) -> Unit<'static> {
    Unit { name: name.into(), ..Unit::default() }
}

fn with(enabled: bool, names: &[&'static str]) -> Vec<Unit<'static>> {
    names.iter().map(|name| Unit { enabled: Some(enabled), ..unit(name) }).collect()
}

fn apply(files: &[(&str, &str)], units: Vec<Unit<'static>>) -> Root {
    let mut root = Root::new(files);
    let systemd = Systemd { units };
    let mut tree = Tree::new(&root.0);
    plan(&systemd, &mut tree).unwrap();
    let ops = tree.into_planned().ops;
    root.0.commit(&ops);
    root
}

fn refusal(units: Vec<Unit<'static>>) -> String {
    let systemd = Systemd { units };
    let root = Root::new(&[]);
    let error = plan(&systemd, &mut Tree::new(&root.0)).unwrap_err();
    assert_eq!(error.reason(), Reason::ConfigInvalid);
    error.to_string()
}

const PRESET: &str = "/etc/systemd/system-preset/20-ignition.preset";
const A: &str = "/usr/lib/systemd/system/a.service";
const T: &str = "/usr/lib/systemd/system/t@.service";
const WANTED: &str = "[Install]\nWantedBy=multi-user.target\n";

#[test]
fn files_replace_what_is_there() {
    let dropin = |name: &'static str, contents: Option<&'static str>| Dropin {
        name: name.into(),
        contents: contents.map(Into::into),
    };
    let dropins = vec![dropin("1.conf", Some("x")), dropin("2.conf", Some("")), dropin("3.conf", None)];
    let a = Unit { contents: Some("new".into()), dropins, ..unit("a.service") };
    let b = Unit { contents: Some("".into()), ..unit("b.service") };
    let root = apply(&[("/etc/systemd/system/a.service", "-> /opt/x"), ("/opt/x", "kept")], vec![a, b]);
    assert_eq!(root.links(), ["a.service new", "a.service.d/1.conf x", "a.service.d/2.conf "]);
    assert_eq!(root.text("/opt/x"), Some("kept"));
    assert_eq!(root.text(PRESET), None);
}

#[test]
fn masks() {
    let mask = |name, mask| Unit { mask: Some(mask), contents: mask.then_some("x".into()), ..unit(name) };
    let etc = |name: &str| format!("/etc/systemd/system/{name}");
    let files = [
        (etc("a.service"), "old"),
        (etc("b.service"), "-> /dev/null"),
        (etc("c.service"), "-> /opt/x"),
        (etc("d.service"), "-> /dev/null"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let units = [("a.service", true), ("b.service", false), ("c.service", false), ("d.service", true)];
    let root = apply(&files, units.map(|(name, masked)| mask(name, masked)).to_vec());
    assert_eq!(root.links(), ["a.service -> /dev/null", "c.service -> /opt/x", "d.service -> /dev/null"]);
}

#[test]
fn enabling_makes_links_and_presets() {
    let files = [(A, "[Install]\nWantedBy=x.target\nAlias=b.service\n"), (T, WANTED)];
    let root = apply(&files, with(true, &["t@y.service", "a.service", "none.service", "t@x.service"]));
    let links = [
        format!("b.service -> {A}"),
        format!("multi-user.target.wants/t@x.service -> {T}"),
        format!("multi-user.target.wants/t@y.service -> {T}"),
        format!("x.target.wants/a.service -> {A}"),
    ];
    assert_eq!(root.links(), links);
    assert_eq!(root.text(PRESET), Some("enable a.service\nenable none.service\nenable t@.service y x\n"));
}

#[test]
fn units_of_the_config_are_seen() {
    let contents = Some("[Install]\nWantedBy=x.target\n".into());
    let root = apply(&[], vec![Unit { contents, enabled: Some(true), ..unit("n.service") }]);
    assert!(root.links().contains(&"x.target.wants/n.service -> /etc/systemd/system/n.service".to_owned()));
}

#[test]
fn a_masked_unit_is_not_enabled() {
    let masked = Unit { mask: Some(true), enabled: Some(true), ..unit("a.service") };
    let root = apply(&[(A, WANTED)], vec![masked]);
    assert_eq!(root.links(), ["a.service -> /dev/null"]);
    assert_eq!(root.text(PRESET), Some("enable a.service\n"));
}

#[test]
fn disabling_is_only_for_what_is_enabled() {
    let wants = "/etc/systemd/system/multi-user.target.wants";
    let link = |name: &str, target: &str| (format!("{wants}/{name}"), format!("-> {target}"));
    let links = [link("a.service", A), link("t@x.service", T), link("t@y.service", T)];
    let mut files: Vec<(&str, &str)> = links.iter().map(|(at, text)| (at.as_str(), text.as_str())).collect();
    files.extend([(A, WANTED), (T, WANTED), ("/usr/lib/systemd/system/off.service", WANTED)]);
    let names = ["a.service", "off.service", "none.service", "t@x.service", "t@z.service"];
    let root = apply(&files, with(false, &names));
    assert_eq!(root.links(), [format!("multi-user.target.wants/t@y.service -> {T}")]);
    assert_eq!(
        root.text(PRESET),
        Some(
            "disable a.service\ndisable none.service\ndisable off.service\ndisable t@.service x z\n\
             disable t@x.service\ndisable t@z.service\n"
        )
    );
}

/// systemd takes the whole of `t@.service x` for a name, so that such a line disables nothing.
#[test]
fn what_presets_would_enable_again_is_disabled_by_its_own_name() {
    let files = [
        (T, "[Install]\nWantedBy=multi-user.target\nDefaultInstance=x\n"),
        ("/usr/lib/systemd/system/u@.service", "[Install]\nWantedBy=multi-user.target\nDefaultInstance=x\n"),
        (A, "[Install]\nAlias=nick.service\n"),
        ("/etc/systemd/system/nick.service", &format!("-> {A}")),
    ];
    let mut units = with(false, &["t@x.service", "u@x.service", "u@y.service", "nick.service"]);
    units.extend(with(true, &["u@z.service"]));
    units.push(Unit { contents: Some(WANTED.into()), ..unit("own@1.service") });
    let root = apply(&files, units);
    let lines: Vec<&str> = root.text(PRESET).unwrap().lines().collect();
    let expected = [
        "disable a.service",
        "disable nick.service",
        "disable own@1.service",
        "disable t@.service x",
        "disable t@.service",
        "disable t@x.service",
        "disable u@.service x y",
        "enable u@.service z",
        "disable u@x.service",
        "disable u@y.service",
    ];
    assert_eq!(lines, expected);
}

/// At a first boot systemd enables what the `Also=` of an enabled unit names, whatever the presets say of that.
#[test]
fn units_that_would_bring_a_disabled_one_back_are_not_enabled_by_presets() {
    let usr = |name: &str| format!("/usr/lib/systemd/system/{name}");
    let files = [
        (A.to_owned(), WANTED.to_owned()),
        (usr("b.service"), format!("{WANTED}Also=a.service\n")),
        (usr("c.service"), format!("{WANTED}Also=b.service d.service\n")),
        (usr("d.service"), format!("{WANTED}Also=c.service\n")),
        (usr("by-alias.service"), "[Install]\nAlso=nick.service\n".to_owned()),
        (usr("nick.service"), "-> a.service".to_owned()),
        (usr("wanted.service"), format!("{WANTED}Also=a.service\n")),
        (usr("other.service"), format!("{WANTED}Also=else.service\n")),
        (usr("real.service"), format!("{WANTED}Alias=no-link.service a.service\n")),
        (usr("also-real.service"), "[Install]\nAlso=real.service\n".to_owned()),
        (
            "/etc/systemd/system/multi-user.target.wants/b.service".to_owned(),
            format!("-> {}", usr("b.service")),
        ),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let disabled = |names: &[&'static str]| {
        let mut units = with(false, names);
        units.extend(with(true, &["wanted.service"]));
        let root = apply(&files, units);
        // No link of another unit goes.
        assert!(root.links().iter().any(|link| link.starts_with("multi-user.target.wants/b.service")));
        root.text(PRESET).unwrap().lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let expected = [
        "disable a.service",
        "disable b.service",
        "disable by-alias.service",
        "disable c.service",
        "disable d.service",
        "enable wanted.service",
    ];
    assert_eq!(disabled(&["a.service"]), expected);
    let expected = [
        "disable also-real.service",
        "disable no-link.service",
        "disable real.service",
        "enable wanted.service",
    ];
    assert_eq!(disabled(&["no-link.service"]), expected);
}

/// Disabling a unit reads all units of the image.
#[test]
fn faults_of_units_are_warned_of_only_where_the_config_names_the_unit() {
    let faulty = "[Install]\nWantedBy='x.target\nAlias=%b.service\nAlias='\n";
    let files = [(A, WANTED), ("/usr/lib/systemd/system/faulty.service", faulty)];
    let warnings = |units: Vec<Unit<'static>>| warnings_of(|| drop(apply(&files, units)));
    assert_eq!(warnings(with(false, &["a.service"])), [""; 0]);
    let unclosed =
        |key| format!("unit faulty.service: its {key}= has a quote that is not closed; the line is ignored");
    assert_eq!(warnings(with(false, &["faulty.service"])), [unclosed("WantedBy"), unclosed("Alias")]);
    let mut units = with(false, &["a.service"]);
    units.extend(with(true, &["faulty.service"]));
    let specifier = "unit faulty.service: its Alias= has a specifier that depends on the running system; the word is \
                     ignored";
    assert_eq!(warnings(units), [&unclosed("WantedBy"), &unclosed("Alias"), specifier]);
}

#[test]
fn presets_are_added_once() {
    let mut units = with(true, &["a.service", "t@.service"]);
    units.extend(with(false, &["s.service"]));
    let files =
        [(PRESET, "enable a.service\ndisable x.service"), ("/usr/lib/systemd/system/s.service", "[X]\n")];
    let root = apply(&files, units);
    let text = "enable a.service\ndisable x.service\ndisable s.service\nenable t@.service\n";
    assert_eq!(root.text(PRESET), Some(text));
}

#[test]
fn circles_end() {
    let many = (0..5000).map(|n| format!("x{n}.service")).collect::<Vec<_>>().join(" ");
    let files = [
        (A, "[Install]\nWantedBy=x.target\nAlso=b.service\n"),
        ("/usr/lib/systemd/system/b.service", "[Install]\nAlso=a.service b.service\n"),
        ("/usr/lib/systemd/system/c.service", "-> d.service"),
        ("/usr/lib/systemd/system/d.service", "-> c.service"),
        ("/usr/lib/systemd/system/e.service", "-> /loop/e.service"),
        ("/loop", "-> /loop"),
        ("/usr/lib/systemd/system/f.service", &format!("[Install]\nWantedBy=x.target\nAlso={many}\n")),
    ];
    let root = apply(&files, with(true, &["a.service", "c.service", "e.service", "f.service"]));
    assert_eq!(root.links(), [format!("x.target.wants/a.service -> {A}")]);
}

#[test]
fn names_are_checked() {
    let long: &'static str = format!("{}.service", "a".repeat(248)).leak();
    for name in ["", "a/b.service", "../a.service", "a.conf", "a\nenable b.service", long] {
        assert!(
            refusal(vec![unit("a.service"), unit(name)]).starts_with("$.systemd.units.1.name: "),
            "{name}"
        );
    }
    assert!(refusal(vec![Unit::default()]).starts_with("$.systemd.units.0.name: "));
    let dropins = vec![Dropin { name: "x.txt".into(), contents: None }];
    let text = refusal(vec![Unit { dropins, ..unit("a.service") }]);
    assert!(text.starts_with("$.systemd.units.0.dropins.0.name: "), "{text}");
}

#[test]
fn masking_another_name_of_a_unit_is_warned_of() {
    let root = Root::new(&[
        ("/usr/lib/systemd/system/ssh.service", WANTED),
        ("/etc/systemd/system/sshd.service", "-> /usr/lib/systemd/system/ssh.service"),
    ]);
    let systemd = Systemd { units: vec![Unit { mask: Some(true), ..unit("sshd.service") }] };
    let mut tree = Tree::new(&root.0);
    plan(&systemd, &mut tree).unwrap();
    let warning = "masking sshd.service does not keep ssh.service from starting, because sshd.service is an alias of \
                   ssh.service: mask ssh.service instead";
    assert_eq!(tree.into_planned().warnings, [warning]);
}
