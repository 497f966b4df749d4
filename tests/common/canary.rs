//! Secrets that must show nowhere: planted in every config that a test runs a gateway with, and
//! looked for in all that a gateway says, by the harness itself.
//!
//! A backend's own answers pass a gateway byte for byte; what a server knows and says there is
//! the server's affair. Everything else a gateway says is its own.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use memchr::memmem::Finder;
use tracing_subscriber::EnvFilter;

/// The environment variables that hold one each.
pub const VARIABLES: [&str; 3] = ["CANARY_ENV", "CANARY_BEARER", "CANARY_TEXT"];

/// A word that exists nowhere else, in all that is planted.
static WORD: LazyLock<String> = LazyLock::new(|| {
    let [a, b]: [u64; 2] = [rand::random(), rand::random()];
    format!("canary{a:016x}{b:016x}")
});

/// How the word looks, in plain and in disguise.
static LOOKS: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
    let hex = WORD.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let reversed = WORD.chars().rev().collect();
    let mut looks = vec![WORD.clone(), WORD.to_uppercase(), hex, reversed];
    // What stands before it shifts the letters of base64; those in its middle are certain.
    for shift in 0..3 {
        let encoded = STANDARD.encode("x".repeat(shift) + &WORD);
        looks.push(encoded[4..encoded.len() - 4].to_owned());
    }
    let looks = looks.into_iter();
    looks
        .map(|look| Finder::new(look.as_bytes()).into_owned())
        .collect()
});

static LINES: AtomicUsize = AtomicUsize::new(0);
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The secret of this name, with characters that JSON, URLs and headers write otherwise.
pub fn secret(name: &str) -> String {
    format!("{name}\"{}/+=", *WORD)
}

/// The same in the forms in which servers say things back.
pub fn encodings(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let percent = secret
        .replace('"', "%22")
        .replace('+', "%2B")
        .replace('=', "%3D");
    vec![
        secret.to_owned(),
        json.replace('/', "\\/"),
        json,
        percent.replace('/', "%2F"),
        percent.replace('/', "%2f"),
        secret.replace('"', "%22"),
        STANDARD.encode(secret),
        URL_SAFE.encode(secret).trim_end_matches('=').to_owned(),
    ]
}

/// The value of a variable of [`VARIABLES`].
pub fn variable(name: &str) -> Option<String> {
    VARIABLES.contains(&name).then(|| secret(name))
}

/// Plants them in this sentinel.toml: from variables, from a file in `folder`, in headers and in
/// URLs, of every backend on this machine that leaves room for them.
pub fn plant(toml: &str, folder: &Path) -> String {
    let file = folder.join("canary");
    std::fs::write(&file, secret("file")).unwrap();
    let mut sections = toml.split("[[backends]]");
    let mut planted = sections.next().unwrap_or_default().to_owned();
    for section in sections {
        planted += "[[backends]]";
        planted += &plant_in(section, &file);
    }
    planted
}

fn plant_in(section: &str, file: &Path) -> String {
    const HERE: &str = "http://127.0.0.1:";
    let Some(url) = section.find(HERE) else {
        return section.to_owned();
    };
    let mut section = section.to_owned();
    let end = section[url..]
        .find(['"', '\''])
        .map_or(url, |length| url + length);
    if !section[url..end].contains('?') {
        section.insert_str(end, &format!("?canary={}", *WORD));
    }
    let mut keys = String::new();
    let may_sign = ["bearer", "uthorization", "ca_file"]
        .iter()
        .all(|key| !section.contains(key));
    if may_sign {
        keys += "\nbearer = { env = \"CANARY_BEARER\" }";
    }
    if !section.contains("headers") {
        keys += "\nheaders.X-Canary-Env = { env = \"CANARY_ENV\" }";
        keys += "\nheaders.X-Canary-Text = \"Token ${CANARY_TEXT}\"";
        let _ = write!(
            keys,
            "\nheaders.X-Canary-File = {{ file = '{}' }}",
            file.display()
        );
    }
    // Behind its own keys, so that these keep their lines, and before a table of its own.
    let end = section.find("\n[").unwrap_or(section.len());
    section.insert_str(end, &format!("{keys}\n"));
    section
}

/// Looks through something that a gateway said.
pub fn scan(place: &str, said: &[u8]) {
    LINES.fetch_add(said.split(|byte| *byte == b'\n').count(), Ordering::Relaxed);
    if contains_secret(said) {
        let said = String::from_utf8_lossy(said).into_owned();
        found().push(format!("{place}: {said}"));
    }
}

/// Whether a secret shows in it.
pub fn contains_secret(said: &[u8]) -> bool {
    LOOKS.iter().any(|look| look.find(said).is_some())
}

/// Looks at the command line of a process, where the system shows it.
pub fn scan_command_line(pid: u32) {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        scan("command line", &line);
    }
}

/// How many lines were looked through so far, by all tests of this process.
pub fn scanned_lines() -> usize {
    LINES.load(Ordering::Relaxed)
}

/// # Panics
/// If a secret showed anywhere in this process so far.
pub fn assert_no_leaks() {
    let found = found().join("\n");
    assert!(found.is_empty(), "secrets show:\n{found}");
}

fn found() -> MutexGuard<'static, Vec<String>> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on looks through the log that gateways in this process write, whole.
pub fn watch_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("warn,sentinel_gateway=trace"))
            .with_ansi(false)
            .with_writer(|| Watched);
        // Whoever logs already in this process keeps its log to itself.
        let _ = builder.try_init();
    });
}

struct Watched;

impl Write for Watched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        scan("log", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe of a process, looked through as it is read.
pub struct ScannedPipe<R> {
    place: &'static str,
    pipe: R,
    /// The end of what was read: a secret may come in two pieces.
    tail: Vec<u8>,
}

impl<R> ScannedPipe<R> {
    pub fn new(place: &'static str, pipe: R) -> Self {
        let tail = Vec::new();
        Self { place, pipe, tail }
    }
}

impl<R: Read> Read for ScannedPipe<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(into)?;
        self.tail.extend_from_slice(&into[..read]);
        scan(self.place, &self.tail);
        let kept = self.tail.len().min(2 * WORD.len());
        self.tail.drain(..self.tail.len() - kept);
        if self.tail.contains(&b'\n') {
            let line = self
                .tail
                .rsplit(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default()
                .len();
            self.tail.drain(..self.tail.len() - line);
        }
        Ok(read)
    }
}
