//! The state file: what one stage leaves for the next, which may be run by another program.

use std::io;
use std::path::{Path, PathBuf};

use super::cache;
use crate::config::Resource;
use crate::config::encode::quote;
use crate::error::{Error, Reason, Result};
use crate::file;
use crate::json::{JsonKind, JsonReader, SyntaxError};
use crate::plan::Unlock;
use crate::provision::render::FetchedConfig;
use crate::source::{NoTransport, Source, encode_base64};

/// The field for the spec version of the user's config. Only this program uses it, for its result file.
pub(super) const SPEC_VERSION: &str = "glowplugSpecVersion";
/// The field for the SHA-512 of the user's config. Only this program uses it, for its result file.
pub(super) const CONFIG_SHA512: &str = "glowplugConfigSHA512";

/// The fields of the reference's newest version, in its order.
const FIELDS: [&str; 5] = [CONFIGS, KEYS, DIRECTORIES, "providerOutputFiles", "luksPersistVolumeKeyFiles"];
const CONFIGS: &str = "fetchedConfigs";
/// The keys of encrypted volumes, as `data` URLs by their names. The stage `disks` leaves them to the stage `files`.
pub(super) const KEYS: &str = "luksPersistKeyFiles";
/// The directories that the stage `mount` has made, as paths in the root.
const DIRECTORIES: &str = "notatedDirectories";
/// The most bytes of a state file. The keys and directories of a machine need far less.
const LIMIT: u64 = 16 << 20;

/// The contents of a state file: name and raw JSON of each field. So fields of other versions are kept as they are.
#[derive(Debug)]
pub(super) struct StateFile {
    fields: Vec<(String, String)>,
}

impl StateFile {
    /// Reads the file at `path`. A missing file is that of the first stage, with no values yet.
    ///
    /// # Errors
    /// [`Reason::System`] if the file cannot be read, or is not JSON.
    pub fn load(path: &Path) -> Result<Self> {
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::new()),
            Err(error) => Err(Error::system_at("look up", path, error)),
            Ok(_) => Self::parse(&file::read(path, LIMIT)?).map_err(|error| error.at(&path.display())),
        }
    }

    fn new() -> Self {
        Self { fields: FIELDS.map(|name| (name.to_owned(), "null".to_owned())).into() }
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let mut state = Self { fields: Vec::new() };
        state.read(text).map_err(|error| syntax(&error))?;
        if !matches!(state.raw(CONFIGS).as_bytes(), [b'[', .., b']'] | b"null") {
            return Err(Error::new(Reason::System, format!("{CONFIGS} is not a list")));
        }
        Ok(state)
    }

    fn read(&mut self, text: &[u8]) -> std::result::Result<(), SyntaxError> {
        let mut reader = JsonReader::new(text);
        if reader.peek()? != JsonKind::Object {
            return reader.end();
        }
        reader.enter()?;
        while let Some((key, _)) = reader.next_key(self.fields.is_empty())? {
            reader.peek()?;
            let start = reader.offset();
            reader.skip()?;
            let raw = text.get(start..reader.offset()).unwrap_or_default();
            self.set(&key, String::from_utf8_lossy(raw).into_owned());
        }
        reader.end()
    }

    /// Returns the JSON of the field `name`, or `null` if it is missing.
    pub fn raw(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map_or("null", |(_, raw)| raw)
    }

    /// Returns whether the field `name` is neither `null` nor an empty list or object.
    pub fn holds(&self, name: &str) -> bool {
        !matches!(self.raw(name), "null" | "[]" | "{}")
    }

    /// Returns the string in the field `name`. Returns an empty string if it is another value, or has escapes.
    pub fn text(&self, name: &str) -> &str {
        let raw = self.raw(name).strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        raw.filter(|raw| !raw.contains('\\')).unwrap_or_default()
    }

    /// Sets the field `name` to a string.
    pub fn set_text(&mut self, name: &str, text: &str) {
        let mut raw = String::new();
        quote(text, &mut raw);
        self.set(name, raw);
    }

    /// Sets the JSON of the field `name`.
    fn set(&mut self, name: &str, raw: String) {
        match self.fields.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = raw,
            None => self.fields.push((name.to_owned(), raw)),
        }
    }

    /// Adds a config to the list of those that were fetched.
    pub fn add_fetched(&mut self, config: &FetchedConfig) {
        let mut list = match self.raw(CONFIGS).strip_suffix(']') {
            Some(list) if list.trim_end() != "[" => format!("{list},"),
            _ => "[".to_owned(),
        };
        list.push_str("{\"kind\":");
        quote(config.kind, &mut list);
        list.push_str(",\"source\":");
        quote(&config.source, &mut list);
        list.push_str(if config.referenced { ",\"referenced\":true}]" } else { ",\"referenced\":false}]" });
        self.set(CONFIGS, list);
    }

    /// Returns whether a config of the user was fetched.
    pub fn has_user_config(&self) -> Result<bool> {
        has_user(self.raw(CONFIGS).as_bytes()).map_err(|error| syntax(&error))
    }

    /// Sets the keys of encrypted volumes.
    pub fn set_keys(&mut self, unlocks: &[Unlock]) {
        let mut sorted: Vec<&Unlock> = unlocks.iter().collect();
        crate::sort::sort(&mut sorted, &|one, other| one.name.cmp(&other.name));
        let mut raw = String::new();
        for Unlock { name, key, .. } in sorted {
            let Some(key) = key else { continue };
            raw.push(if raw.is_empty() { '{' } else { ',' });
            quote(name, &mut raw);
            raw.push_str(":\"data:application/octet-stream;base64,");
            encode_base64(key, &mut raw);
            raw.push('"');
        }
        raw.push_str(if raw.is_empty() { "{}" } else { "}" });
        self.set(KEYS, raw);
    }

    /// Removes the keys of encrypted volumes.
    pub fn forget_keys(&mut self) {
        self.set(KEYS, "null".to_owned());
    }

    /// Returns the key of the encrypted volume with this `name`.
    ///
    /// # Errors
    /// [`Reason::System`] if there is none; those of a `data` URL.
    pub fn key(&self, name: &str) -> Result<Vec<u8>> {
        let url = url_of(self.raw(KEYS).as_bytes(), name).map_err(|error| syntax(&error))?;
        let resource = Resource { source: url.map(Into::into), ..Resource::default() };
        if let Some(source) = Source::new(&resource, &KEYS, &NoTransport)? {
            return source.open()?.read_all(LIMIT);
        }
        let what = format!("the state file has no key of the encrypted volume {name}");
        Err(Error::new(Reason::System, what).advise("Run the stage disks first: it makes the volume."))
    }

    /// Adds directories to those that the stage `mount` has made.
    ///
    /// # Errors
    /// As for [`StateFile::directories`].
    pub fn note_directories(&mut self, made: &[PathBuf]) -> Result<()> {
        let mut all = self.directories()?;
        all.extend_from_slice(made);
        let mut raw = String::new();
        for directory in &all {
            raw.push(if raw.is_empty() { '[' } else { ',' });
            quote(&directory.to_string_lossy(), &mut raw);
        }
        if !all.is_empty() {
            raw.push(']');
            self.set(DIRECTORIES, raw);
        }
        Ok(())
    }

    /// Returns the directories that the stage `mount` has made, as paths in the root.
    ///
    /// # Errors
    /// [`Reason::System`] if the field is not a list.
    pub fn directories(&self) -> Result<Vec<PathBuf>> {
        strings(self.raw(DIRECTORIES).as_bytes()).map_err(|error| syntax(&error))
    }

    /// Writes the file at `path`. Only root may read it, since it can hold keys.
    pub fn save(&self, path: &Path) -> Result<()> {
        cache::make_parents(path, 0o700)?;
        cache::put(path, 0o600, &mut |take| take(&self.to_json()))
    }

    fn to_json(&self) -> String {
        let mut text = String::new();
        for (name, raw) in &self.fields {
            text.push(if text.is_empty() { '{' } else { ',' });
            quote(name, &mut text);
            text.push(':');
            text.push_str(raw);
        }
        text.push_str(if text.is_empty() { "{}\n" } else { "}\n" });
        text
    }
}

/// Returns whether an item of the JSON list has the kind `user`.
fn has_user(list: &[u8]) -> std::result::Result<bool, SyntaxError> {
    let mut reader = JsonReader::new(list);
    if reader.peek()? == JsonKind::Null {
        return Ok(false);
    }
    let mut found = false;
    let mut first_item = true;
    reader.enter()?;
    while reader.next_item(first_item)? {
        first_item = false;
        if reader.peek()? != JsonKind::Object {
            reader.skip()?;
            continue;
        }
        reader.enter()?;
        let mut first_key = true;
        while let Some((key, _)) = reader.next_key(first_key)? {
            first_key = false;
            if key == "kind" && reader.peek()? == JsonKind::String {
                found |= reader.string()? == "user";
            } else {
                reader.skip()?;
            }
        }
    }
    Ok(found)
}

/// Returns the string at the key `name` of a JSON object, or `None` if the object has no such key or is `null`.
fn url_of(object: &[u8], name: &str) -> std::result::Result<Option<String>, SyntaxError> {
    let mut reader = JsonReader::new(object);
    if reader.peek()? == JsonKind::Null {
        return Ok(None);
    }
    let mut found = None;
    let mut first = true;
    reader.enter()?;
    while let Some((key, _)) = reader.next_key(first)? {
        first = false;
        if key == name && reader.peek()? == JsonKind::String {
            found = Some(reader.string()?.into_owned());
        } else {
            reader.skip()?;
        }
    }
    Ok(found)
}

/// Returns the strings of a JSON list as paths. There are none in `null`.
fn strings(list: &[u8]) -> std::result::Result<Vec<PathBuf>, SyntaxError> {
    let mut reader = JsonReader::new(list);
    let mut found = Vec::new();
    if reader.peek()? == JsonKind::Null {
        return Ok(found);
    }
    reader.enter()?;
    let mut first = true;
    while reader.next_item(first)? {
        first = false;
        if reader.peek()? == JsonKind::String {
            found.push(PathBuf::from(reader.string()?.into_owned()));
        } else {
            reader.skip()?;
        }
    }
    Ok(found)
}

fn syntax(error: &SyntaxError) -> Error {
    // The message shows at most one byte of the text, so no secret gets into it.
    Error::new(Reason::System, format!("the state file is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> FetchedConfig {
        FetchedConfig { kind: "base", source: "system".to_owned(), referenced: false }
    }

    const OTHER: &str = r#"{"fetchedConfigs":[ {"kind":"user","source":"aws","referenced":false,"new":{"a":[1]}} ],"luksPersistKeyFiles":{"a":"data:,\u0041"},"notatedDirectories":["/var"],"novel":{"b":[true,null,"]"]}}"#;

    #[test]
    fn a_new_state_has_the_references_fields() {
        let mut state = StateFile::new();
        let nulls = r#""luksPersistKeyFiles":null,"notatedDirectories":null,"providerOutputFiles":null,"luksPersistVolumeKeyFiles":null}"#;
        assert_eq!(state.to_json(), format!("{{\"fetchedConfigs\":null,{nulls}\n"));
        assert_eq!(state.has_user_config(), Ok(false));
        state.add_fetched(&base());
        assert_eq!(state.has_user_config(), Ok(false));
        state.add_fetched(&FetchedConfig { kind: "user", source: "a\"<".to_owned(), referenced: true });
        let list = r#"[{"kind":"base","source":"system","referenced":false},{"kind":"user","source":"a\"\u003c","referenced":true}]"#;
        assert_eq!(state.to_json(), format!("{{\"fetchedConfigs\":{list},{nulls}\n"));
        let again = StateFile::parse(state.to_json().as_bytes()).unwrap();
        assert_eq!(again.has_user_config(), Ok(true));
    }

    #[test]
    fn what_another_version_wrote_is_kept() {
        let mut state = StateFile::parse(OTHER.as_bytes()).unwrap();
        assert_eq!(state.to_json().trim_end(), OTHER);
        assert_eq!(state.has_user_config(), Ok(true));
        assert!(state.holds("luksPersistKeyFiles") && state.holds("notatedDirectories"));
        assert!(!state.holds("providerOutputFiles"));
        state.add_fetched(&base());
        assert!(state.to_json().contains(r#""new":{"a":[1]}} ,{"kind":"base""#), "{}", state.to_json());
        assert!(state.to_json().ends_with(",\"novel\":{\"b\":[true,null,\"]\"]}}\n"), "{}", state.to_json());
    }

    #[test]
    fn an_empty_list_and_an_empty_object_are_states() {
        for text in
            ["{}", r#"{"fetchedConfigs":[]}"#, r#"{"fetchedConfigs":[ ]}"#, r#"{"fetchedConfigs":null}"#]
        {
            let mut state = StateFile::parse(text.as_bytes()).unwrap();
            assert_eq!(state.has_user_config(), Ok(false));
            state.add_fetched(&base());
            let list = r#"{"fetchedConfigs":[{"kind":"base","source":"system","referenced":false}]}"#;
            assert_eq!(state.to_json().trim_end(), list, "{text}");
        }
    }

    fn unlock(name: &str, key: &[u8]) -> Unlock {
        Unlock { name: name.to_owned(), uuid: String::new(), key: Some(key.to_vec()), needs_network: false }
    }

    #[test]
    fn keys_have_the_references_form() {
        let mut state = StateFile::new();
        assert_eq!(state.key("a").unwrap_err().reason(), Reason::System);
        state.set_keys(&[unlock("b\"", b"\0\xff"), unlock("a", b"key")]);
        let data = "data:application/octet-stream;base64,";
        assert_eq!(state.raw(KEYS), format!("{{\"a\":\"{data}a2V5\",\"b\\\"\":\"{data}AP8=\"}}"));
        let mut again = StateFile::parse(state.to_json().as_bytes()).unwrap();
        assert_eq!(again.key("a"), Ok(b"key".to_vec()));
        assert_eq!(again.key("b\""), Ok(b"\0\xff".to_vec()));
        assert!(again.key("c").is_err());
        again.forget_keys();
        assert!(again.key("a").is_err() && again.to_json().contains("\"luksPersistKeyFiles\":null"));
        // The reference names the type that it sees in the bytes.
        let other = r#"{"luksPersistKeyFiles":{"x":1,"a":"data:text/plain;charset=utf-8;base64,bXkga2V5"}}"#;
        let other = StateFile::parse(other.as_bytes()).unwrap();
        assert_eq!(other.key("a"), Ok(b"my key".to_vec()));
        assert!(other.key("x").is_err());
    }

    #[test]
    fn directories_are_added_to_those_of_an_earlier_call() {
        let mut state = StateFile::new();
        state.note_directories(&[]).unwrap();
        assert_eq!((state.raw(DIRECTORIES), state.directories()), ("null", Ok(Vec::new())));
        let paths = ["/srv", "/srv/a\"b"].map(PathBuf::from);
        state.note_directories(&paths[..1]).unwrap();
        state.note_directories(&paths[1..]).unwrap();
        assert_eq!(state.raw(DIRECTORIES), r#"["/srv","/srv/a\"b"]"#);
        assert_eq!(StateFile::parse(state.to_json().as_bytes()).unwrap().directories(), Ok(paths.to_vec()));
        let other = StateFile::parse(br#"{"notatedDirectories":"no list"}"#).unwrap();
        assert!(other.directories().is_err());
    }

    #[test]
    fn what_is_no_state_is_an_error() {
        for text in ["", "[]", "{", "{} x", "null", r#"{"fetchedConfigs":1}"#, r#"{"fetchedConfigs":"[]"}"#] {
            assert!(StateFile::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
