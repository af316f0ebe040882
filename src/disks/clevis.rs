//! Clevis: an encrypted volume is bound to servers (tang), to the machine (its TPM) or to any other pin of the root's clevis, so
//! that the system opens the volume without a key.

use std::path::Path;

use rustix::io::Errno;

use super::filesystems::load_module;
use super::step;
use super::tools::Tools;
use crate::config::{Luks, Tang, quote};
use crate::error::{Error, Problems, Reason, Result};
use crate::fd;
use crate::json::{self, JsonKind, JsonReader};
use crate::source::{Source, Transport};

/// The name servers of the initramfs. Those of the root, if it has any, are for later.
const NAME_SERVERS: &str = "/etc/resolv.conf";
/// The most bytes of that file, and of an advertisement. Linux takes at most 128 KiB as one argument of a program.
const MOST_BYTES: u64 = 16 << 10;
/// The modules of TPMs. They may be a part of the kernel; clevis tells if there is no TPM.
const TPM_MODULES: [&str; 2] = ["tpm_crb", "tpm_tis"];

/// What begins each of the scripts that the root's shell runs: it gives the program the name servers in `$1`. The root's own
/// `/etc/resolv.conf` may be missing, or a link to nothing, so the program gets a copy of `/etc`. The mounts are those of the
/// program alone (`in_root`), with empty directories in memory at `/run` and `/tmp`.
const BEGIN: &str = "set -e
umask 077
if [ -n \"$1\" ]; then
    cp -a /etc /run/etc
    rm -f /run/etc/resolv.conf
    printf %s \"$1\" >/run/etc/resolv.conf
    mount --bind /run/etc /etc
fi
";
/// Encrypts something by the pin `$2` with the config `$3`.
const ENCRYPT: &str = "clevis encrypt \"$2\" \"$3\" >/run/encrypted\n";
/// Decrypts it.
const DECRYPT: &str = "clevis decrypt </run/encrypted >/run/decrypted\n";
/// Binds the volume `$4`. clevis reads only one line of its standard input, and a key may have more. So the key gets into a file
/// in memory.
const BIND: &str = "cat >/run/key\nclevis luks bind -f -k /run/key -d \"$4\" \"$2\" \"$3\"\n";
/// Opens the volume `$2` under the name `$3`.
const UNLOCK: &str = "clevis luks unlock -d \"$2\" -n \"$3\"\n";

/// How one volume is bound.
pub struct Binding {
    /// The name of clevis' pin.
    pin: String,
    /// The config of the pin, a JSON object.
    config: String,
    /// Whether the pin can be asked to decrypt here, as the system will at its boots.
    can_decrypt: bool,
}

impl Binding {
    /// Returns how the volume `wanted` is bound; `None` if it is not. `place` is the place of the volume in the config. Brings up
    /// the network and fetches the advertisements of tang servers, where the config needs that.
    ///
    /// # Errors
    /// Those of the network and of fetching; [`Reason::BadAnswer`] for an answer that is not an advertisement.
    pub fn of(wanted: &Luks<'_>, place: &str, transport: &dyn Transport) -> Result<Option<Self>> {
        let clevis = &wanted.clevis;
        if !clevis.is_asked() {
            return Ok(None);
        }
        if let Some(pin) = clevis.custom_pin() {
            if clevis.custom.needs_network == Some(true) {
                transport.bring_up()?;
            }
            let config = clevis.custom.config.as_deref().unwrap_or_default();
            return Ok(Some(Self { pin: pin.to_owned(), config: config.to_owned(), can_decrypt: false }));
        }
        let threshold = clevis.threshold_or_one();
        let mut config = format!("{{\"t\":{threshold},\"pins\":{{");
        // A server whose advertisement is in the config may not be there now. The others and the TPM are.
        let mut reachable = i64::from(clevis.tpm2 == Some(true));
        for (index, tang) in clevis.tang.iter().enumerate() {
            config.push_str(if index == 0 { "\"tang\":[" } else { "," });
            let known = tang.known_advertisement().map(|text| Ok(text.to_owned()));
            reachable = reachable.saturating_add(i64::from(known.is_none()));
            let place = format!("{place}.clevis.tang.{index}.url");
            let advertisement = known.unwrap_or_else(|| fetch(tang, &place, transport))?;
            config.push_str("{\"url\":");
            quote(&tang.url, &mut config);
            config.push_str(",\"thp\":");
            quote(tang.thumbprint.as_deref().unwrap_or_default(), &mut config);
            config.push_str(",\"adv\":");
            config.push_str(&advertisement);
            config.push('}');
        }
        if !clevis.tang.is_empty() {
            config.push(']');
        }
        if clevis.tpm2 == Some(true) {
            config.push_str(if clevis.tang.is_empty() { "\"tpm2\":{}" } else { ",\"tpm2\":{}" });
        }
        config.push_str("}}");
        Ok(Some(Self { pin: "sss".to_owned(), config, can_decrypt: reachable >= threshold }))
    }

    /// Lets clevis encrypt something, and decrypt it if that is possible here, before anything is written to a disk: the volume
    /// must be opened so at each boot.
    ///
    /// # Errors
    /// [`Reason::Disk`] if clevis cannot do it.
    pub fn check(&self, tools: Tools<'_>) -> Result<()> {
        log::info!("let clevis encrypt by its pin {}: nothing is written yet", self.pin);
        let decrypt = if self.can_decrypt { DECRYPT } else { "" };
        let script = [BEGIN, ENCRYPT, decrypt].concat();
        let done =
            tools.run_script("clevis", &script, b"glowplug", &[&name_servers()?, &self.pin, &self.config]);
        done.map_err(|error| {
            error.advise(
                "Look at the thumbprints and advertisements of the config, whether the tang servers answer, and whether the \
                 machine has a TPM 2.0, then start again: nothing was written to this disk.",
            )
        })
    }

    /// Binds the volume on the device at `path`, which `key` opens.
    ///
    /// # Errors
    /// Those of clevis.
    pub fn bind(&self, path: &str, key: &[u8], tools: Tools<'_>) -> Result<()> {
        log::info!("bind {path} by clevis' pin {}", self.pin);
        step();
        let script = [BEGIN, BIND].concat();
        tools.run_script("clevis", &script, key, &[&name_servers()?, &self.pin, &self.config, path])
    }
}

/// Opens the volume on the device at `path` by clevis alone.
///
/// # Errors
/// Those of clevis.
pub fn unlock(path: &str, name: &str, tools: Tools<'_>) -> Result<()> {
    step();
    let script = [BEGIN, UNLOCK].concat();
    tools.run_script("clevis", &script, &[], &[&name_servers()?, path, name]).map_err(|error| {
        error.advise("Only clevis can open this volume. It may need a tang server, and so the network.")
    })
}

/// Returns the programs that binding the volumes needs, each with Debian's package.
pub fn programs(luks: &[Luks<'_>]) -> Vec<(&'static str, &'static str)> {
    let mut programs = Vec::new();
    if luks.iter().any(|wanted| wanted.clevis.is_asked()) {
        // Its package depends on that of clevis itself.
        programs.push(("clevis-luks-bind", "clevis-luks"));
    }
    if luks.iter().any(|wanted| wanted.clevis.uses_tpm()) {
        programs.push(("clevis-encrypt-tpm2", "clevis-tpm2"));
    }
    programs
}

/// Refuses a root that lacks what the volumes need.
///
/// # Errors
/// [`Reason::Unsupported`], for all that is missing; those of the root.
pub fn require(luks: &[Luks<'_>], tools: Tools<'_>) -> Result<()> {
    let mut problems = Problems::default();
    let programs = programs(luks);
    for (program, package) in &programs {
        problems.take(tools.require(program, package));
    }
    if !programs.is_empty() {
        problems.take(tools.require_clevis_unlocking());
    }
    problems.finish()
}

/// Loads the modules of TPMs, if a volume is bound to one.
pub fn load_modules(luks: &[Luks<'_>], tools: Tools<'_>) {
    if luks.iter().any(|wanted| wanted.clevis.uses_tpm()) {
        for module in TPM_MODULES {
            load_module(module, tools);
        }
    }
}

/// Fetches the advertisement of a tang server, as clevis would. So it needs neither the network nor the right time in the root.
fn fetch(tang: &Tang<'_>, place: &str, transport: &dyn Transport) -> Result<String> {
    let url = format!("{}/adv/{}", tang.url, tang.thumbprint.as_deref().unwrap_or_default());
    let invalid = |what: &str| Error::new(Reason::BadAnswer, format!("{what}, at {place}"));
    let source = Source::at_url(&url, place, transport)
        .ok_or_else(|| invalid("this is not a URL of a tang server"))?;
    log::info!("fetch the advertisement of the tang server at {place}");
    let bytes = source.open()?.read_all(MOST_BYTES)?;
    // It becomes a part of a larger text, so it must be one whole object: otherwise it could give that text another thumbprint.
    let is_object = json::check(&bytes).is_ok() && JsonReader::new(&bytes).peek() == Ok(JsonKind::Object);
    match String::from_utf8(bytes) {
        Ok(text) if is_object && text.len() as u64 <= MOST_BYTES => Ok(text),
        _ => Err(invalid("the answer of the tang server is not an advertisement")),
    }
}

/// Returns the name servers of the initramfs; nothing if it has none.
///
/// # Errors
/// Those of reading the file, and [`Reason::BadAnswer`] if it is no text.
fn name_servers() -> Result<String> {
    match fd::read_file(Path::new(NAME_SERVERS), MOST_BYTES) {
        Err(Errno::NOENT) => Ok(String::new()),
        Err(errno) => Err(Error::system_at("read", Path::new(NAME_SERVERS), errno)),
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| {
            Error::new(Reason::BadAnswer, format!("{NAME_SERVERS} of the initramfs is no text"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config::{Report, parse};
    use crate::source::{ByteStream, StreamError, UrlRequest};

    /// A network with one server, which gives the same answer to everybody.
    #[derive(Debug)]
    struct Server {
        answer: &'static str,
        is_up: Cell<bool>,
    }

    struct Body(&'static [u8]);

    impl ByteStream for Body {
        fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
            let count = self.0.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    impl Transport for Server {
        fn open(&self, request: &UrlRequest<'_>) -> Result<Box<dyn ByteStream>> {
            assert_eq!(request.url, "http://a/adv/thumb");
            Ok(Box::new(Body(self.answer.as_bytes())))
        }

        fn bring_up(&self) -> Result<()> {
            self.is_up.set(true);
            Ok(())
        }
    }

    /// Returns the pin, its config and whether it can decrypt, and whether the network was brought up.
    fn binding(clevis: &str, answer: &'static str) -> Result<Option<(String, String, bool, bool)>> {
        let text = format!(
            r#"{{"ignition":{{"version":"3.6.0"}},"storage":{{"luks":[{{"name":"a","device":"/dev/a","clevis":{clevis}}}]}}}}"#
        );
        let parsed = parse(text.as_bytes(), &mut Report::default()).unwrap();
        let server = Server { answer, is_up: Cell::new(false) };
        let luks = &parsed.config.storage.luks[0];
        let binding = Binding::of(luks, "$.storage.luks.0", &server)?;
        Ok(binding.map(|one| (one.pin, one.config, one.can_decrypt, server.is_up.get())))
    }

    fn sss(clevis: &str, answer: &'static str) -> (String, bool) {
        let (pin, config, can_decrypt, _) = binding(clevis, answer).unwrap().unwrap();
        assert_eq!(pin, "sss");
        json::check(config.as_bytes()).unwrap();
        (config, can_decrypt)
    }

    #[test]
    fn the_pin_sss_gets_all_servers_and_the_tpm() {
        assert_eq!(sss(r#"{"tpm2":true}"#, ""), (r#"{"t":1,"pins":{"tpm2":{}}}"#.to_owned(), true));
        let fetched = r#"{"url":"http://a","thumbprint":"thumb"}"#;
        let known = r#"{"url":"http://b","thumbprint":"\"b","advertisement":"{\"payload\":1}"}"#;
        let a = r#"{"url":"http://a","thp":"thumb","adv":{"payload":2}}"#;
        let b = r#"{"url":"http://b","thp":"\"b","adv":{"payload":1}}"#;
        let answer = r#"{"payload":2}"#;
        let all = |more: &str| sss(&format!(r#"{{"tang":[{fetched},{known}]{more}}}"#), answer);
        assert_eq!(all(""), (format!(r#"{{"t":1,"pins":{{"tang":[{a},{b}]}}}}"#), true));
        // The server whose advertisement is in the config does not count: it may not be there yet.
        let two = format!(r#"{{"t":2,"pins":{{"tang":[{a},{b}]}}}}"#);
        assert_eq!(all(r#","threshold":2"#), (two, false));
        let three = format!(r#"{{"t":2,"pins":{{"tang":[{a},{b}],"tpm2":{{}}}}}}"#);
        assert_eq!(all(r#","threshold":2,"tpm2":true"#), (three, true));
    }

    #[test]
    fn an_answer_that_would_change_the_thumbprint_is_refused() {
        let tang = r#"{"tang":[{"url":"http://a","thumbprint":"thumb"}]}"#;
        for answer in [r#"{},"thp":"other""#, r#"{"a":1}]"#, "[]", "", "\"/etc/passwd\"", "null", "{"] {
            let error = binding(tang, answer).unwrap_err();
            assert_eq!(error.reason(), Reason::BadAnswer, "{answer}");
            assert!(error.text().ends_with("at $.storage.luks.0.clevis.tang.0.url"), "{error}");
        }
    }

    #[test]
    fn a_custom_pin_is_taken_as_it_stands() {
        let custom =
            |more: &str| binding(&format!(r#"{{"custom":{{"pin":"p","config":"c"{more}}}}}"#), "").unwrap();
        let expected = |is_up| Some(("p".to_owned(), "c".to_owned(), false, is_up));
        assert_eq!(custom(""), expected(false));
        assert_eq!(custom(r#","needsNetwork":true"#), expected(true));
        assert_eq!(binding(r#"{"tpm2":false,"threshold":0}"#, "").unwrap(), None);
    }

    #[test]
    fn the_programs_are_those_of_the_pins() {
        let names = |clevis: &str| {
            let text = format!(
                r#"{{"ignition":{{"version":"3.6.0"}},"storage":{{"luks":[{{"name":"a","device":"/dev/a","clevis":{clevis}}}]}}}}"#
            );
            let parsed = parse(text.as_bytes(), &mut Report::default()).unwrap();
            programs(&parsed.config.storage.luks).iter().map(|(_, package)| *package).collect::<Vec<_>>()
        };
        assert_eq!(names("{}"), [""; 0]);
        assert_eq!(names(r#"{"tang":[{"url":"http://a","thumbprint":"x"}]}"#), ["clevis-luks"]);
        let with_tpm = ["clevis-luks", "clevis-tpm2"];
        assert_eq!(names(r#"{"tpm2":true}"#), with_tpm);
        assert_eq!(names(r#"{"custom":{"pin":"tpm2","config":"{}"}}"#), with_tpm);
        assert_eq!(names(r#"{"custom":{"pin":"sss","config":"{\"pins\":{\"tpm2\":{}}}"}}"#), with_tpm);
    }
}
