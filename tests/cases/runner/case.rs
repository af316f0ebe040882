//! A case, read from its directory.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::disk;
use super::manifest::{self, Kind, Tree};

/// Every version that the program supports, by its minor number.
pub const VERSIONS: [&str; 8] =
    ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0-experimental"];
/// The files that a case may have, beside the configs that it refers to.
const FILES: [&str; 6] = ["config.ign", "versions", "root", "expected", "error", "warnings"];

/// The result of applying the config.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeds, and this is the root afterwards.
    Tree(Tree),
    /// It fails: whether without looking at the root, for which reason, and in which words.
    Error { fetch: bool, reason: String, text: String },
    /// The case has no expected result yet.
    Unknown,
}

/// A config, the root that it is applied to, and the expected result.
pub struct Case {
    /// `AREA/NAME`
    pub name: String,
    pub dir: PathBuf,
    pub before: Tree,
    pub outcome: Outcome,
    /// The warnings of the program with the last of the versions.
    pub warnings: Vec<String>,
    config: String,
    versions: Vec<&'static str>,
}

impl Case {
    /// Reads the case `name` below `cases`.
    pub fn load(cases: &Path, name: &str) -> Result<Self, String> {
        let dir = cases.join(name);
        let config = text(&dir, "config.ign")?.ok_or("it has no config.ign")?;
        let include = |name: &str| {
            text(&cases.join("roots"), name)?.ok_or_else(|| format!("there is no shared manifest {name}"))
        };
        let mut before = manifest::empty();
        if let Some(text) = text(&dir, "root")? {
            manifest::apply(&text, &mut before, &include).map_err(|what| format!("root: {what}"))?;
        }
        let outcome = match (text(&dir, "expected")?, text(&dir, "error")?) {
            (Some(text), None) => {
                let mut after = before.clone();
                manifest::apply(&text, &mut after, &include).map_err(|what| format!("expected: {what}"))?;
                Outcome::Tree(after)
            }
            (None, Some(text)) => {
                error(&text).ok_or("error: not \"STAGE REASON\" and the message below it")?
            }
            (None, None) => Outcome::Unknown,
            _ => return Err("it has both expected and error".into()),
        };
        let versions = match text(&dir, "versions")? {
            Some(text) => range(&text).ok_or("versions: not the first and the last, as 3.2 3.7")?,
            None => &VERSIONS,
        };
        let versions = if config.contains("@VERSION@") { versions } else { &versions[..1] };
        let warnings = text(&dir, "warnings")?.unwrap_or_default().lines().map(str::to_owned).collect();
        let case =
            Self { name: name.into(), dir, before, outcome, warnings, config, versions: versions.to_vec() };
        case.check_files()?;
        Ok(case)
    }

    /// Returns the configs that are applied, one for each version.
    pub fn configs(&self) -> Result<Vec<String>, String> {
        self.versions.iter().map(|version| self.filled(&self.config, version, 0)).collect()
    }

    /// Returns `text` with the version in it. Each `@data:FILE@` becomes the data URL of another file of the case.
    fn filled(&self, text: &str, version: &str, depth: u32) -> Result<String, String> {
        if depth > 8 {
            return Err("configs refer to each other".into());
        }
        let text = text.replace("@VERSION@", version);
        let mut parts = text.split("@data:");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('@').ok_or("@data: without its second @")?;
            let inner = self::text(&self.dir, name)?.ok_or_else(|| format!("it has no {name}"))?;
            let inner = self.filled(&inner, version, depth + 1)?;
            filled += "data:;base64,";
            filled += &STANDARD.encode(inner);
            filled += rest;
        }
        Ok(filled)
    }

    fn check_files(&self) -> Result<(), String> {
        let entries = fs::read_dir(&self.dir).map_err(|error| error.to_string())?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(|error| error.to_string())?.file_name().to_string_lossy().into_owned());
        }
        let mut all = String::new();
        for name in names.iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "ign")) {
            all += &text(&self.dir, name)?.unwrap_or_default();
        }
        for name in &names {
            if !FILES.contains(&name.as_str()) && !all.contains(&format!("@data:{name}@")) {
                return Err(format!("nothing refers to its file {name}"));
            }
        }
        Ok(())
    }
}

/// Returns all cases as `AREA/NAME`, sorted.
pub fn names(cases: &Path) -> Result<Vec<String>, String> {
    let list = |dir: &Path| -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    };
    let mut names = Vec::new();
    for area in list(cases).map_err(|error| format!("list {}: {error}", cases.display()))? {
        if area != "roots" && area != "runner" {
            let inside = list(&cases.join(&area)).map_err(|error| format!("list {area}: {error}"))?;
            names.extend(inside.iter().map(|name| format!("{area}/{name}")));
        }
    }
    names.sort();
    Ok(names)
}

/// Returns those of `names` that can be tried in `work`. Only the machine's own root can make devices. So the root of a user
/// namespace skips the cases with devices, and says so.
pub fn possible(cases: &Path, work: &Path, names: Vec<String>) -> Result<Vec<String>, String> {
    if disk::can_make_devices(work)? {
        return Ok(names);
    }
    let total = names.len();
    let mut possible = Vec::with_capacity(total);
    for name in names {
        let case = Case::load(cases, &name).map_err(|what| format!("{name}: {what}"))?;
        if !case.before.values().any(|node| matches!(node.kind, Kind::Char(..))) {
            possible.push(name);
        }
    }
    println!("{} cases skipped: only root can make their devices", total - possible.len());
    Ok(possible)
}

/// `3.2 3.7`
fn range(text: &str) -> Option<&'static [&'static str]> {
    let mut minors = text.split_whitespace().map(|word| word.strip_prefix("3.")?.parse().ok());
    let (first, last): (usize, usize) = (minors.next()??, minors.next()??);
    if minors.next().is_some() { None } else { VERSIONS.get(first..=last).filter(|range| !range.is_empty()) }
}

/// `fetch config-invalid` or `files conflict`, and below it the message.
fn error(text: &str) -> Option<Outcome> {
    let (head, text) = text.strip_suffix('\n')?.split_once('\n')?;
    let (stage, reason) = head.split_once(' ')?;
    let fetch = match stage {
        "fetch" => true,
        "files" => false,
        _ => return None,
    };
    Some(Outcome::Error { fetch, reason: reason.into(), text: text.into() })
}

fn text(dir: &Path, name: &str) -> Result<Option<String>, String> {
    match fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
