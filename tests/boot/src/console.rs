//! The guest's serial console: all of its text, and when each line came.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A function that is called with each line, and with the time since the guest's start.
pub type OnLine = Box<dyn FnMut(Duration, &str) + Send>;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

/// A console that a thread reads.
#[derive(Clone)]
pub struct Console {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Console {
    /// Reads the console from `source` until it ends.
    pub fn read(source: impl Read + Send + 'static, begin: Instant, on_line: Option<OnLine>) -> Self {
        let console = Self { shared: Arc::default() };
        let writer = console.clone();
        thread::spawn(move || writer.fill(source, begin, on_line));
        console
    }

    fn fill(&self, mut source: impl Read, begin: Instant, mut on_line: Option<OnLine>) {
        let mut buffer = [0; 4096];
        let mut line = Vec::new();
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            let bytes = &buffer[..count];
            {
                let mut state = self.lock();
                state.bytes.extend_from_slice(bytes);
                self.shared.1.notify_all();
            }
            for &byte in bytes {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                if let Some(call) = &mut on_line {
                    call(begin.elapsed(), &plain(&line));
                }
                line.clear();
            }
        }
        self.lock().closed = true;
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns everything so far, without control sequences.
    pub fn text(&self) -> String {
        plain(&self.lock().bytes)
    }

    /// Returns the last `count` lines.
    pub fn tail(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Waits until the console contains `pattern`. Returns false if the console ends or `limit` passes before.
    pub fn wait(&self, pattern: &str, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if plain(&state.bytes).contains(pattern) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return false;
            }
            state = match self.shared.1.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// Returns the text of `bytes` without carriage returns and terminal control sequences.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {}
            // ESC [ parameters letter; or ESC and one character.
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    for c in chars.by_ref() {
                        if ('@'..='~').contains(&c) {
                            break;
                        }
                    }
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_lines_without_control_sequences() {
        let source: &[u8] = b"\x1b[32mone\x1b[0m\r\n(initramfs) ";
        let console = Console::read(source, Instant::now(), None);
        assert!(console.wait("(initramfs)", Duration::from_secs(5)));
        assert_eq!(console.text(), "one\n(initramfs) ");
        assert!(!console.wait("two", Duration::from_secs(5)));
    }
}
