use super::*;

fn string(text: &str) -> Result<Cow<'_, str>> {
    JsonReader::new(text.as_bytes()).string()
}

#[test]
fn strings_are_borrowed_unless_escaped() {
    assert!(matches!(string("\"plain\""), Ok(Cow::Borrowed("plain"))));
    assert_eq!(string(r#""a\n\u0026\/b""#).unwrap(), "a\n&/b");
    assert_eq!(string(r#""\ud83d\ude00""#).unwrap(), "\u{1f600}");
    assert_eq!(string(r#""\ud83dx""#).unwrap(), "\u{fffd}x");
    assert_eq!(string(r#""\ud83d\u0041""#).unwrap(), "\u{fffd}A");
    assert_eq!(string(r#""\udc00""#).unwrap(), "\u{fffd}");
    assert_eq!(JsonReader::new(b"\"a\xffb\"").string().unwrap(), "a\u{fffd}b");
    assert_eq!(JsonReader::new(b"\"\xe2\x82\"").string().unwrap(), "\u{fffd}\u{fffd}");
}

#[test]
fn broken_strings_are_errors_with_their_offset() {
    assert_eq!(string("\"ab").unwrap_err().offset, 3);
    assert_eq!(string("\"a\nb\"").unwrap_err().offset, 2);
    assert_eq!(string(r#""a\qb""#).unwrap_err().offset, 3);
    assert_eq!(string(r#""\u12g4""#).unwrap_err().offset, 5);
}

/// A string is looked at in words: what ends its plain run is found at every place in one, with all bytes around it.
#[test]
fn the_end_of_a_plain_run_is_found_at_every_offset() {
    for before in 0..20 {
        for filler in [" ", "!", "#", "[", "]", "\u{7f}", "\u{80}", "\u{a2}", "\u{7ff}"] {
            let plain = filler.repeat(before);
            let end = 1 + plain.len();
            assert_eq!(string(&format!("\"{plain}\"########")).unwrap(), plain.as_str());
            assert_eq!(string(&format!("\"{plain}\\n#######\"")).unwrap(), format!("{plain}\n#######"));
            assert_eq!(string(&format!("\"{plain}\u{1f}########")).unwrap_err().offset, end);
            assert_eq!(string(&format!("\"{plain}\0########")).unwrap_err().offset, end);
        }
    }
}

#[test]
fn skip_checks_whole_values() {
    for good in
        ["null", "[]", "{}", "[1,-2.5e+3,\"x\"]", "{\"a\":{\"b\":[true,false,{}]}}", " 0 ", "[[],[{}]]"]
    {
        let mut reader = JsonReader::new(good.as_bytes());
        assert_eq!(reader.skip().and_then(|()| reader.end()), Ok(()), "{good}");
    }
    for bad in [
        "",
        "nul",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":1,}",
        "01",
        "1.",
        "-",
        "[1 2]",
        "1 2",
        "\u{feff}{}",
        "{1:2}",
        "[}",
    ] {
        let mut reader = JsonReader::new(bad.as_bytes());
        assert!(reader.skip().and_then(|()| reader.end()).is_err(), "{bad}");
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let deep = "[".repeat(MAX_DEPTH + 1);
    let error = JsonReader::new(deep.as_bytes()).skip().unwrap_err();
    assert_eq!(error.to_string(), "invalid character '[' exceeded max depth");
    let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(JsonReader::new(fits.as_bytes()).skip(), Ok(()));
}

#[test]
fn errors_are_in_the_words_of_go() {
    for (text, words) in [
        ("", "unexpected end of JSON input"),
        ("[1,", "unexpected end of JSON input"),
        ("\"ab", "unexpected end of JSON input"),
        ("tru", "invalid character ' ' in literal true (expecting 'e')"),
        ("-", "invalid character ' ' in numeric literal"),
        ("nuxl", "invalid character 'x' in literal null (expecting 'l')"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
        ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("\"\\q\"", "invalid character 'q' in string escape code"),
        ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("'a'", "invalid character '\\'' looking for beginning of value"),
    ] {
        let mut reader = JsonReader::new(text.as_bytes());
        let error = reader.skip().and_then(|()| reader.end()).unwrap_err();
        assert_eq!(error.to_string(), words, "{text}");
    }
}
