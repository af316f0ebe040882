//! Reading a stamp with the reader that configs are read with: serde's would be 20 KB more of the initramfs.

use super::{Details, Stamp};
use crate::json::fields::{bool, number, object, set, start, string, unless_null};
use crate::json::{JsonKind, JsonReader};

/// Parses the text of a stamp. Fields with other names are passed over.
///
/// Returns none for what is no stamp: other JSON, a field that is missing or stands twice, or a string with escapes,
/// which no stamp has.
pub(super) fn parse(text: &[u8]) -> Option<Stamp<'_>> {
    let mut reader = JsonReader::new(text);
    let (mut boot_id, mut date, mut provided, mut glowplug) = (None, None, None, None);
    object(&mut reader, &mut |reader, key| match key {
        "provisioningBootID" => set(&mut boot_id, string(reader)?),
        "provisioningDate" => set(&mut date, string(reader)?),
        "userConfigProvided" => set(&mut provided, bool(reader)?),
        "glowplug" => set(&mut glowplug, unless_null(reader, &details)?),
        _ => reader.skip().ok(),
    })?;
    reader.end().ok()?;
    Some(Stamp {
        boot_id: boot_id?,
        date: date?,
        user_config_provided: provided?,
        glowplug: glowplug.flatten(),
    })
}

fn details<'a>(reader: &mut JsonReader<'a>) -> Option<Details<'a>> {
    let (mut version, mut platform, mut spec_version, mut config_sha512) = (None, None, None, None);
    let (mut arguments, mut adopted, mut inode, mut born) = (None, None, None, None);
    object(reader, &mut |reader, key| match key {
        "version" => set(&mut version, string(reader)?),
        "platform" => set(&mut platform, string(reader)?),
        "specVersion" => set(&mut spec_version, string(reader)?),
        "configSHA512" => set(&mut config_sha512, string(reader)?),
        "kernelArguments" => set(&mut arguments, string(reader)?),
        "adopted" => set(&mut adopted, unless_null(reader, &string)?),
        "inode" => set(&mut inode, number(reader)?),
        "born" => set(&mut born, seconds_and_nanoseconds(reader)?),
        _ => reader.skip().ok(),
    })?;
    Some(Details {
        version: version?,
        platform: platform?,
        spec_version: spec_version?,
        config_sha512: config_sha512?,
        kernel_arguments: arguments.unwrap_or_default(),
        adopted: adopted.flatten(),
        inode: inode?,
        born: born?,
    })
}

fn seconds_and_nanoseconds(reader: &mut JsonReader<'_>) -> Option<(i64, u32)> {
    start(reader, JsonKind::Array)?;
    reader.enter().ok()?;
    let seconds = reader.next_item(true).ok()?.then(|| number(reader))??;
    let nanoseconds = reader.next_item(false).ok()?.then(|| number(reader))??;
    let is_end = !reader.next_item(false).ok()?;
    is_end.then_some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{FileIdentity, adopted};

    const STAMP: &str = r#"{"provisioningBootID":"b","provisioningDate":"d","userConfigProvided":true"#;
    const DETAILS: &str =
        r#""version":"1","platform":"","specVersion":"3.2.0","configSHA512":"00","inode":7"#;

    fn with_details(fields: &str) -> String {
        format!("{STAMP},\"glowplug\":{{{DETAILS}{fields}}}}}")
    }

    #[test]
    fn every_field_is_read() {
        let text = with_details(
            ",\"born\":[-5,6],\"adopted\":\"a\",\"more\":{\"born\":[]},\"kernelArguments\":\"+a -b\"",
        );
        let stamp = parse(text.as_bytes()).unwrap();
        assert_eq!((stamp.boot_id, stamp.date, stamp.user_config_provided), ("b", "d", true));
        let details = stamp.glowplug.unwrap();
        assert_eq!((details.version, details.platform, details.spec_version), ("1", "", "3.2.0"));
        assert_eq!((details.config_sha512, details.adopted), ("00", Some("a")));
        assert_eq!(details.kernel_arguments, "+a -b");
        assert_eq!(details.file(), FileIdentity { inode: 7, born: (-5, 6) });
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = FileIdentity { inode: u64::MAX, born: (i64::MIN, 999_999_999) };
        let text = adopted(None, "boot", file);
        let stamp = parse(text.as_bytes()).unwrap();
        assert_eq!(stamp.to_text(), text);
        assert_eq!(stamp.glowplug.unwrap().file(), file);
    }

    #[test]
    fn null_is_no_value() {
        let text = format!("{STAMP},\"glowplug\":null}}");
        assert!(parse(text.as_bytes()).unwrap().glowplug.is_none());
        let text = with_details(",\"born\":[0,0],\"adopted\":null");
        assert!(parse(text.as_bytes()).unwrap().glowplug.unwrap().adopted.is_none());
    }

    #[test]
    fn anything_else_is_no_stamp() {
        let mut texts: Vec<String> =
            ["", "{}", "[]", "null", "{\"provisioningBootID\":\"b\"}"].map(String::from).into();
        texts.extend([
            STAMP.to_owned(),
            format!("{STAMP}}} {{}}"),
            format!("{STAMP},}}"),
            format!("{STAMP},\"userConfigProvided\":true}}"),
            format!("{STAMP},\"glowplug\":{{}}}}"),
            format!("{STAMP},\"glowplug\":[]}}"),
            format!("{STAMP},\"other\":nul}}"),
            STAMP.replace("\"b\"", "\"\\u0062\"") + "}",
            STAMP.replace("true", "1") + "}",
        ]);
        let borns =
            ["", "null", "5", "[]", "[1]", "[1,2,3]", "[1,-2]", "[1.0,2]", "[1,4294967296]", "[\"1\",2]"];
        texts.extend(borns.map(|born| with_details(&format!(",\"born\":{born}"))));
        texts.push(with_details(",\"born\":[1,2],\"born\":[1,2]"));
        texts.push(with_details(",\"born\":[1,2],\"adopted\":7"));
        texts.push(with_details(",\"born\":[1,2]").replace("\"inode\":7", "\"inode\":-7"));
        for text in texts {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(parse(format!("{STAMP}}}").as_bytes()).is_some());
    }
}
