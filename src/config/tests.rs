use super::*;

fn parse(text: &[u8]) -> Result<Parsed<'_>> {
    super::parse(text, &mut Report::default())
}

/// Returns the lines of the report on `text`.
fn report(text: &str) -> Vec<String> {
    let mut report = Report::default();
    drop(super::parse(text.as_bytes(), &mut report));
    report.to_string().lines().map(str::to_owned).collect()
}

fn refusal(text: &str) -> (Reason, String) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.reason(), error.text().to_owned())
}

#[test]
fn every_supported_version_parses() {
    for version in ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0-experimental"] {
        let text = format!(r#"{{"ignition":{{"version":"{version}"}}}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap().version.text(), version);
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    for version in ["2.3.0", "3.99.0", "3.7.0", "3.3.1", "3.6.0-experimental", "3.3.0+b1"] {
        let (reason, text) = refusal(&format!(r#"{{"ignition":{{"version":"{version}"}}}}"#));
        assert_eq!(reason, Reason::ConfigVersion);
        assert!(text.starts_with("unsupported config version"), "{version}: {text}");
    }
    for text in [r#"{"ignition":{"version":"three"}}"#, "{}", r#"{"ignitionVersion":1}"#] {
        let (reason, text) = refusal(text);
        assert_eq!(reason, Reason::ConfigVersion);
        assert!(text.starts_with("invalid config version"), "{text}");
    }
}

#[test]
fn errors_name_place_line_and_column() {
    let (reason, text) =
        refusal("{\"ignition\":{\"version\":\"3.2.0\"},\n\"storage\":{\"files\":[{\"mode\":4.0}]}}");
    assert_eq!(reason, Reason::ConfigSyntax);
    let words = "config is not valid: error at line 2 col 32: json: cannot unmarshal number into Go struct \
                 field File.storage.files.mode of type int ($.storage.files.0.mode must be an integer of 64 bits)";
    assert_eq!(text, words);
    let (reason, text) = refusal("{\"ignition\":{\"version\":\"3.2.0\"}} x ");
    assert_eq!(reason, Reason::ConfigSyntax);
    assert_eq!(
        text,
        "config is not valid: error at line 1 col 35: invalid character 'x' after top-level value (the config is one \
         JSON object: remove what follows it)"
    );
    assert_eq!(refusal("\u{feff}{}").0, Reason::ConfigSyntax);
    assert_eq!(refusal("").1, "not a config (empty)");
    let (reason, text) = refusal(
        r#"{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"a"},{"path":"/b","mode":-1}]}}"#,
    );
    assert_eq!(reason, Reason::ConfigInvalid);
    assert_eq!(
        text,
        "config is not valid: error at $.storage.files.0.path, line 1 col 61: path not absolute (begin the path with a \
         slash)"
    );
}

#[test]
fn syntax_counts_before_the_version_and_that_before_types() {
    assert_eq!(refusal(r#"{"storage":1,"ignition":{"version":"9.0.0"}"#).0, Reason::ConfigSyntax);
    assert_eq!(refusal(r#"{"storage":1,"ignition":{"version":"9.0.0"}}"#).0, Reason::ConfigVersion);
    assert_eq!(refusal(r#"{"storage":1,"ignition":{"version":"3.0.0"}}"#).0, Reason::ConfigSyntax);
    // A field that the version does not have may be of any type.
    assert_eq!(
        report(r#"{"kernelArguments":1,"ignition":{"version":"3.2.0"}}"#),
        ["warning at $.kernelArguments, line 1 col 2: unused key kernelArguments"]
    );
}

#[test]
fn keys_that_are_not_used_are_told() {
    let text =
        r#"{"ignition":{"version":"3.1.0"},"kernelArguments":{"shouldExist":["a"]},"Passwd":{"users":null}}"#;
    let parsed = parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.config.kernel_arguments, KernelArguments::default());
    assert_eq!(
        report(text),
        [
            "warning at $.kernelArguments, line 1 col 33: unused key kernelArguments",
            "warning at $.Passwd, line 1 col 73: unused key Passwd",
        ]
    );
}

#[test]
fn null_in_place_of_an_object_is_told() {
    let line = report(r#"{"ignition":{"version":"3.0.0"},"storage":null}"#).join("\n");
    assert!(line.starts_with("warning at $.storage, line 1 col 43: context tree does not match"), "{line}");
    // In 3.2 the reference has pointers here, which may be null.
    for (version, lines) in [("3.2.0", 0), ("3.3.0", 1)] {
        let text = format!(
            r#"{{"ignition":{{"version":"{version}"}},"storage":{{"luks":[{{"name":"a","device":"/dev/x","clevis":null}}]}}}}"#
        );
        assert_eq!(report(&text).len(), lines, "{version}");
    }
}

#[test]
fn a_key_that_stands_twice_is_merged() {
    let text = br#"{"ignition":{"version":"3.0.0","proxy":1},"ignition":{"config":{}},
        "storage":{"files":[{"path":"/a","mode":1},{"path":"/c"}]},"storage":{"links":[{"path":"/b"}],"files":[{"path":"/d"}]}}"#;
    let storage = parse(text).unwrap().config.storage;
    assert_eq!(storage.links.len(), 1);
    // Go decodes the items of the second list into those of the first.
    let files: Vec<_> = storage.files.iter().map(|file| (file.path.as_ref(), file.mode)).collect();
    assert_eq!(files, [("/d", Some(1))]);
}

#[test]
fn what_the_report_shows_of_keys_that_stand_twice_is_the_last() {
    let text = r#"{"x":1,"ignition":{"version":"3.0.0","y":1},"x":2,"ignition":{"version":"3.0.0"}}"#;
    assert_eq!(report(text), ["warning at $.x, line 1 col 45: unused key x"]);
}

#[test]
fn a_small_text_cannot_ask_for_much_memory() {
    let lists = "[{}".to_owned() + &",{}".repeat(60_000) + "]";
    let files = format!(r#"{{"append":{lists}}},{{"append":{lists}}}"#);
    let text = format!(r#"{{"ignition":{{"version":"3.0.0"}},"storage":{{"files":[{files}]}}}}"#);
    assert!(refusal(&text).1.contains("100,000 items"));
    let unknown = (0..20_000).map(|key| format!(r#""x{key}":0,"#)).collect::<Vec<_>>().concat();
    let text = format!(r#"{{{unknown}"ignition":{{"version":"3.0.0"}}}}"#);
    let lines = report(&text);
    assert_eq!(lines.len(), 10_001);
    assert_eq!(lines.last().unwrap(), "and 10000 more");
}

#[test]
fn keys_may_stand_twice_but_not_without_end() {
    let passwd = r#""passwd":{},"#;
    let text = |count| format!(r#"{{{}"ignition":{{"version":"3.0.0"}}}}"#, passwd.repeat(count));
    assert!(parse(text(1_001).as_bytes()).is_ok());
    assert!(refusal(&text(1_002)).1.contains("stand twice"));
}

#[test]
fn versions_are_compared_as_numbers() {
    for good in ["3.0.0", "03.0.0", "3.7.0-experimental"] {
        assert!(parse(format!(r#"{{"ignition":{{"version":"{good}"}}}}"#).as_bytes()).is_ok(), "{good}");
    }
    for bad in ["3.0", "3.0.0.0", "v3.0.0", "3.0.0 ", "", "-3.0.0", "3.0.0-exp_"] {
        let (reason, text) = refusal(&format!(r#"{{"ignition":{{"version":"{bad}"}}}}"#));
        assert_eq!(reason, Reason::ConfigVersion);
        assert!(text.starts_with("invalid config version"), "{bad}: {text}");
    }
}

#[test]
fn special_bits_need_3_6() {
    let mode = |version: &str| {
        let text = format!(
            r#"{{"ignition":{{"version":"{version}"}},"storage":{{"files":[{{"path":"/a","mode":2541}}]}}}}"#
        );
        parse(text.as_bytes()).unwrap().config.storage.files[0].mode
    };
    assert_eq!(mode("3.5.0"), Some(0o755));
    assert_eq!(mode("3.6.0"), Some(0o4755));
}

/// Every path in the reference's list of fields is a field here, and since the same version.
#[test]
fn every_field_of_the_reference_is_known() {
    const FIELDS: &str = include_str!("../../tests/fields.txt");
    let mut count = 0;
    for line in FIELDS.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split_whitespace();
        let (path, kind, minor) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        let minor: u8 = minor.parse().unwrap();
        let accepted = |minor: u8, key_is_used: bool| {
            let version = ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"][usize::from(minor)];
            let text = config_with(path, kind, version);
            let lines = report(&text).join("\n");
            assert!(!lines.contains("json: "), "{text}: {lines}");
            assert_eq!(!lines.contains("unused key"), key_is_used, "{path} in {version}: {text}: {lines}");
        };
        accepted(minor, true);
        if minor > 0 {
            accepted(minor - 1, false);
        }
        count += 1;
    }
    assert_eq!(count, 176);
}

/// Returns a config that has only the field at `path`. `LISTS` says which of its steps are lists.
fn config_with(path: &str, kind: &str, version: &str) -> String {
    const LISTS: [&str; 16] = [
        "merge",
        "certificateAuthorities",
        "httpHeaders",
        "disks",
        "partitions",
        "raid",
        "filesystems",
        "files",
        "append",
        "directories",
        "links",
        "luks",
        "tang",
        "units",
        "dropins",
        "users",
    ];
    let mut value = match kind {
        "string" => r#""x""#.to_owned(),
        "integer" => "1".to_owned(),
        "boolean" => "true".to_owned(),
        "strings" => r#"["x"]"#.to_owned(),
        "object" => "{}".to_owned(),
        _ => "[{}]".to_owned(),
    };
    let steps: Vec<&str> = path.split('.').collect();
    for (depth, step) in steps.iter().enumerate().rev() {
        let is_list = LISTS.contains(step) || steps[..=depth] == ["passwd", "groups"];
        if depth + 1 < steps.len() && is_list {
            value = format!("[{value}]");
        }
        value = format!("{{\"{step}\":{value}}}");
    }
    if path == "ignition" || path == "ignition.version" {
        return format!(r#"{{"ignition":{{"version":"{version}"}}}}"#);
    }
    let inner = value.strip_prefix('{').unwrap();
    format!(r#"{{"ignition":{{"version":"{version}"}},{inner}"#)
}

/// Returns what `glowplug validate` prints for a config of 3.`minor` with `rest` after `ignition`.
fn with_hints(minor: u8, rest: &str) -> String {
    let text = format!(r#"{{"ignition":{{"version":"3.{minor}.0"}},{rest}}}"#);
    let mut report = Report::default();
    drop(super::parse(text.as_bytes(), &mut report));
    report.with_hints()
}

#[test]
fn a_mode_that_looks_octal_gets_one_hint_in_every_version() {
    for minor in 0..=6 {
        for (mode, hint) in [
            ("644", "644 is 01204 in octal; is 420 (0644) meant?"),
            ("400", "400 is 0620 in octal; is 256 (0400) meant?"),
            ("4755", "4755 is 011223 in octal; is 2541 (04755) meant?"),
        ] {
            for list in ["files", "directories"] {
                let text =
                    with_hints(minor, &format!(r#""storage":{{"{list}":[{{"path":"/a","mode":{mode}}}]}}"#));
                assert_eq!(text.matches(hint).count(), 1, "{text}");
                assert_eq!(text.matches("hint").count(), 1, "{text}");
                // A hint without a finding shows the place that a finding would show.
                let place = format!("hint at $.storage.{list}.0.mode, line 1 col ");
                assert!(text.starts_with(&place) || text.contains("\n  hint: "), "{text}");
            }
        }
        let text = with_hints(minor, r#""storage":{"files":[{"path":"/a","mode":420}]}"#);
        assert_eq!(text, "");
    }
    assert!(with_hints(5, r#""storage":{"files":[{"path":"/a","mode":2541}]}"#).contains("to 3.6.0"));
}

#[test]
fn values_of_the_wrong_type_get_a_hint() {
    for (rest, hint) in [
        (r#""storage":{"files":[{"mode":"0644"}]}"#, "write 420 for 0644, without quotes"),
        (r#""storage":{"files":[{"mode":"644"}]}"#, "write 420 for 644, without quotes"),
        (r#""storage":{"files":[{"mode":"0o755"}]}"#, "write 493 for 0o755, without quotes"),
        (r#""storage":{"files":[{"mode":"u=rw"}]}"#, "write a decimal number without quotes"),
        (r#""storage":{"files":[{"mode":0644}]}"#, "JSON has no octal numbers: write 420 for 0644"),
        (r#""storage":{"files":[{"contents":"x"}]}"#, "data:,text"),
        (r#""storage":{"files":[{"user":"root"}]}"#, "{\"name\": \"root\"}"),
        (r#""storage":{"files":{"path":"/a"}}"#, "between [ and ]"),
        (r#""passwd":{"users":[{"uid":"1000"}]}"#, "the number without quotes"),
        (r#""passwd":{"users":[{"system":"true"}]}"#, "true or false without quotes"),
        (r#""passwd":{"users":[{"name":1}]}"#, "between double quotes"),
        (r#""passwd":[{"name":"a"}]"#, "remove the [ and ]"),
    ] {
        let text = with_hints(4, rest);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains(hint), "{rest}: {text}");
        // The error of a boot has the same hint.
        let text = format!(r#"{{"ignition":{{"version":"3.4.0"}},{rest}}}"#);
        assert!(refusal(&text).1.contains(hint), "{text}");
    }
    assert!(refusal(r#"{"ignition":{"version":3.4}}"#).1.contains("double quotes"));
    assert!(refusal(r#""{\"ignition\":{}}""#).1.contains("one quoted string"));
    assert!(refusal("[{}]").1.contains("one object"));
}

#[test]
fn what_the_reference_passes_over_gets_a_hint_with_its_place() {
    for (rest, line) in [
        (r#""storage":{"files":[{"path":"~/a"}]}"#, "~ is not expanded"),
        (r#""storage":{"files":[{"path":"/~/a"}]}"#, "hint at $.storage.files.0.path, line 1 col "),
        (r#""storage":{"directories":[{"path":"home/a"}]}"#, "  hint: begin the path with a slash"),
        (
            r#""storage":{"links":[{"path":"/a","target":"/b"},{"path":"$HOME/x","target":"/b"}]}"#,
            "variables",
        ),
        (
            r#""passwd":{"users":[{"name":"a","homeDir":"~a"}]}"#,
            "hint at $.passwd.users.0.homeDir, line 1 col ",
        ),
        (
            r#""passwd":{"users":[{"name":"a","passwordHash":"secret"}]}"#,
            "hint at $.passwd.users.0.passwordHash, ",
        ),
        (
            r#""passwd":{"groups":[{"name":"a","passwordHash":"secret"}]}"#,
            "hint at $.passwd.groups.0.passwordHash, ",
        ),
        (
            r#""passwd":{"users":[{"name":"a","sshAuthorizedKeys":["AAAAC3NzaC1lZDI1NTE5AAAA"]}]}"#,
            "hint at $.passwd.users.0.sshAuthorizedKeys.0, line 1 col ",
        ),
        (
            r#""passwd":{"users":[{"name":"s"}]},"storage":{"files":[{"path":"/home/s/.config/x"}]}"#,
            "/home/s/.config will belong to root",
        ),
    ] {
        let text = with_hints(4, rest);
        assert!(text.contains(line), "{rest}: {text}");
        assert_eq!(text.matches("hint").count(), 1, "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn hints_stand_in_the_errors_that_the_boot_shows() {
    for (text, hint) in [
        ("{\"ignition\":{},}", "(remove the comma at line 1 col 15: no item follows it)"),
        ("variant: fcos\nversion: 1.5.0\n", "Butane"),
        ("#cloud-config\n", "cloud-init"),
        ("kind: MachineConfig\n", "MachineConfig"),
        ("<html>", "HTML"),
        ("{'ignition':{}}", "double quotes"),
        ("{} x", "remove what follows it"),
        (r#"{"ignition":{"version":"2.2.0"}}"#, "ignition.version is \"2.2.0\""),
        (r#"{"ignition":{"version":"3.4"}}"#, "write 3.4.0"),
    ] {
        assert!(refusal(text).1.contains(hint), "{}", refusal(text).1);
    }
    let error = parse(b"\x1f\x8b\x08\0\0\0\0\0").unwrap_err();
    assert!(error.text().contains("gzip"), "{error}");
    let error = parse(b"\xff\xfe{\0}\0").unwrap_err();
    assert!(error.text().contains("UTF-16"), "{error}");
}

/// A hint that two findings share is printed once.
#[test]
fn nothing_is_said_twice() {
    let text = r#"{"ignition":{"version":"3.4.0","config":{"merge":[{"source":"x:y"}]}}}"#;
    let mut report = Report::default();
    assert!(super::parse(text.as_bytes(), &mut report).is_err());
    let lines = report.with_hints();
    assert_eq!(lines.matches("error at").count(), 2, "{lines}");
    assert_eq!(lines.matches("hint:").count(), 1, "{lines}");
}

#[test]
fn what_is_decoded_beside_the_text_is_bounded() {
    let config = |string: &[u8]| {
        let before = br#"{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"a","gecos":""#;
        [before.as_slice(), string, br#""}]}}"#].concat()
    };
    let within = |text: &[u8], bytes: u64| {
        let mut room = Room::new(bytes);
        let parsed = parse_within(text, &mut Report::default(), &mut room);
        (parsed.map(|parsed| parsed.config.passwd.users[0].gecos.as_deref().unwrap().len()), room.bytes)
    };
    // A plain string takes no room, an invalid byte takes three bytes, an escape takes what it stands for.
    assert_eq!(within(&config(b"plain"), 0), (Ok(5), 0));
    assert_eq!(within(&config(&[0xff; 100]), 300), (Ok(300), 0));
    assert_eq!(within(&config(br"\u00e9\n"), 3), (Ok(3), 0));
    for (string, bytes) in [(vec![0xff; 100], 299), (br"\n\n".to_vec(), 1), (b"\xff\\n".to_vec(), 3)] {
        let (refused, _) = within(&config(&string), bytes);
        let error = refused.unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigSyntax);
        assert!(error.text().starts_with("the config is too large: its strings, decoded"), "{error}");
    }
    // Keys take room as well.
    let key = [br#"{"ignition":{"version":"3.4.0"},""#.as_slice(), &[0xff; 100], br#"":1}"#].concat();
    assert!(parse_within(&key, &mut Report::default(), &mut Room::new(299)).is_err());
    // A remark on a key is dropped if there is no room for it.
    let key = [br#"{"ignition":{"version":"3.4.0"},""#.as_slice(), &[b'k'; 100], br#"":1}"#].concat();
    let mut report = Report::default();
    assert!(parse_within(&key, &mut report, &mut Room::new(399)).is_ok());
    assert_eq!((report.findings.len(), report.left_off), (0, 1));
}
