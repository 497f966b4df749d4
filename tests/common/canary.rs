//! Canary secrets that must never appear in the gateway's output.
//!
//! Owns their planting in every config that a test runs a gateway with, and the scan of everything
//! that a gateway writes. A backend's results pass the gateway byte for byte, so a test backend
//! must not put a secret into them.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use memchr::memmem::Finder;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variables that hold one secret each.
pub const VARIABLES: [&str; 3] = ["CANARY_ENV", "CANARY_BEARER", "CANARY_TEXT"];

/// The random token that every secret contains.
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let [a, b]: [u64; 2] = [rand::random(), rand::random()];
    format!("canary{a:016x}{b:016x}")
});

/// Each byte of a text in front of this prefix, in hexadecimal.
fn hex(text: &str, prefix: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{prefix}{byte:02x}");
        hex
    })
}

/// A text whose every character is escaped for JSON.
fn json_escaped(text: &str) -> String {
    text.encode_utf16()
        .fold(String::new(), |mut escaped, unit| {
            let _ = write!(escaped, "\\u{unit:04x}");
            escaped
        })
}

/// The token as it is and encoded.
static PATTERNS: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
    let upper = |text: String| text.to_uppercase().replace("\\U", "\\u");
    let (hex, percent) = (hex(&TOKEN, ""), hex(&TOKEN, "%"));
    let json = json_escaped(&TOKEN);
    let reversed = TOKEN.chars().rev().collect();
    let mut patterns = vec![TOKEN.clone(), TOKEN.to_uppercase(), reversed];
    patterns.extend([hex.clone(), upper(hex)]);
    patterns.extend([percent.clone(), upper(percent)]);
    let both = self::hex(&json, "%");
    patterns.extend([both.clone(), upper(both), json.clone(), upper(json)]);
    // The bytes around it change the outer characters of its base64, not those in the middle.
    for shift in 0..3 {
        let encoded = STANDARD.encode("x".repeat(shift) + &TOKEN);
        patterns.push(encoded[4..encoded.len() - 4].to_owned());
    }
    let patterns = patterns.into_iter();
    patterns
        .map(|pattern| Finder::new(pattern.as_bytes()).into_owned())
        .collect()
});

static LINES: AtomicUsize = AtomicUsize::new(0);
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The secret with this name. It has characters that JSON, URLs and headers escape.
pub fn secret(name: &str) -> String {
    format!("{name}\"{}/+=", *TOKEN)
}

/// What every secret contains.
pub fn token() -> &'static str {
    &TOKEN
}

/// The encodings in which a server may echo a secret.
pub fn encodings(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let percent = secret
        .replace('"', "%22")
        .replace('+', "%2B")
        .replace('=', "%3D");
    let aligned = ["x", "xy", "Bearer "].map(|before| STANDARD.encode(format!("{before}{secret}")));
    [
        secret.to_owned(),
        secret.to_uppercase(),
        json.replace('/', "\\/"),
        json.replace('\\', "\\\\"),
        json,
        json_escaped(secret),
        percent.replace('/', "%2F"),
        percent.replace('/', "%2f"),
        secret.replace('"', "%22"),
        hex(secret, "%"),
        hex(secret, "%").to_uppercase(),
        hex(&json_escaped(secret), "%"),
        hex(secret, ""),
        hex(secret, "").to_uppercase(),
        STANDARD.encode(secret),
        URL_SAFE.encode(secret).trim_end_matches('=').to_owned(),
    ]
    .into_iter()
    .chain(aligned)
    .collect()
}

/// The value of a variable in [`VARIABLES`].
pub fn variable(name: &str) -> Option<String> {
    VARIABLES.contains(&name).then(|| secret(name))
}

/// Adds secrets to the headers and URLs of every backend on this machine in a sentinel.toml. They
/// come from variables and from a file in `folder`. Keys that the config already has stay.
pub fn plant(toml: &str, folder: &Path) -> String {
    let file = folder.join("canary");
    // Replaced whole: a gateway may be reading it.
    let whole = folder.join(".canary");
    std::fs::write(&whole, secret("file")).unwrap();
    std::fs::rename(&whole, &file).unwrap();
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
        section.insert_str(end, &format!("?canary={}", *TOKEN));
    }
    let mut keys = String::new();
    let has_no_credentials = ["bearer", "uthorization", "ca_file"]
        .iter()
        .all(|key| !section.contains(key));
    if has_no_credentials {
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
    // After its own keys, so that these keep their line numbers, and before any table.
    let end = section.find("\n[").unwrap_or(section.len());
    section.insert_str(end, &format!("{keys}\n"));
    section
}

/// Scans output of a gateway. `place` names where it was written.
pub fn scan(place: &str, output: &[u8]) {
    let lines = output.split(|byte| *byte == b'\n').count();
    LINES.fetch_add(lines, Ordering::Relaxed);
    if contains_secret(output) {
        let output = String::from_utf8_lossy(output).into_owned();
        found().push(format!("{place}: {output}"));
    }
}

/// Whether this output contains a secret.
pub fn contains_secret(output: &[u8]) -> bool {
    let mut patterns = PATTERNS.iter();
    patterns.any(|pattern| pattern.find(output).is_some())
}

/// Scans the command line of a process, where the system shows it.
pub fn scan_command_line(pid: u32) {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        scan("command line", &line);
    }
}

/// How many lines all tests of this process have scanned so far.
pub fn scanned_lines() -> usize {
    LINES.load(Ordering::Relaxed)
}

/// # Panics
/// If a scan in this process has found a secret.
pub fn assert_no_leaks() {
    let found = found().join("\n");
    assert!(found.is_empty(), "the output contains secrets:\n{found}");
}

fn found() -> MutexGuard<'static, Vec<String>> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Scans the whole log of the gateways in this process from now on.
pub fn watch_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter: Targets = "warn,sentinel_gateway=trace".parse().unwrap();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(|| LogScanner);
        // A process that has a logger already keeps it, and its log isn't scanned.
        let registry = tracing_subscriber::registry().with(filter).with(lines);
        let _ = registry.try_init();
    });
}

struct LogScanner;

impl Write for LogScanner {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        scan("log", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe of a process that is scanned as it is read.
pub struct ScannedPipe<R> {
    place: &'static str,
    pipe: R,
    /// The end of what was read: a secret may be split between two reads.
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
        let kept = self.tail.len().min(2 * TOKEN.len());
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
