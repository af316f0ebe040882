//! What unit tests share.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// A directory of the test's own, which goes with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Makes a directory with `name` in its name, so that one that a killed test left tells whose it was. Its path is
    /// short enough for the address of a socket in it.
    pub(crate) fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("glowplug-{name}-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Returns the directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of `name` in the directory.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory that stays harms no other test, and a panic here would hide the test's own failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = RefCell::default();
}

/// Keeps the warnings of each thread.
struct Warnings;

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Calls `act`, and returns the warnings that this thread has logged meanwhile.
pub(crate) fn warnings_of(act: impl FnOnce()) -> Vec<String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Warnings).unwrap();
        log::set_max_level(LevelFilter::Warn);
    });
    WARNINGS.take();
    act();
    WARNINGS.take()
}
