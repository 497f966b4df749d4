//! Section H: lists of a backend that are large and change all the time.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::common::beside::{Exchange, Hostile, beside};
use crate::common::process;
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "96" TwoBackends "large lists that change all the time" => "another backend and ping are as fast as before; at most two copies of the lists are kept", fault_96_changing_lists;
};

/// Tools of a list, and the bytes of each description.
const TOOLS: usize = 10_000;
const DESCRIPTION: usize = 600;
/// The server announces a change so often.
const PACE: Duration = Duration::from_millis(50);
/// Lists that differ in each description.
const VERSIONS: usize = 4;
/// The most memory beyond that at rest which docs/limits.md states for such lists, with a body of unknown
/// length beside them, in KiB.
const MEMORY: usize = (7 + 3) * TOOLS * (DESCRIPTION + 80) / 1024 + 4 * TOOLS + CONNECTIONS * 400;
/// Those to both servers.
const CONNECTIONS: usize = 4;

fn fault_96_changing_lists(run: &Run<'_>) {
    let only = std::env::var("FAULTS_KIND").unwrap_or_default();
    let mut failed = Vec::new();
    for (name, gzip) in [("as they are", false), ("gzip", true)] {
        if !name.contains(&only) {
            continue;
        }
        run.set_variant(name);
        let folder = tempfile::tempdir().unwrap();
        let (measured, log) = beside(&changing_lists(gzip), |toml| {
            process::gateway(&folder, toml)
        });
        run.check_log(&log);
        let memory = measured.peak_memory - measured.memory_at_rest;
        let line = format!("{name}: {measured}, {memory} KiB more than at rest");
        if !measured.holds() || memory > MEMORY as u64 {
            failed.push(line.clone());
        }
        run.note(line);
    }
    assert!(
        failed.is_empty(),
        "more than promised, {MEMORY} KiB more than at rest: {failed:#?}"
    );
}

/// While it floods, its lists are long, and change every [`PACE`].
fn changing_lists(gzip: bool) -> Hostile {
    let versions: Vec<List> = (0..VERSIONS)
        .map(|version| List::new(version, gzip))
        .collect();
    let next = AtomicUsize::new(0);
    Hostile::new(move |exchange| match exchange.method() {
        "" if exchange.message.is_null() => announce(exchange),
        "tools/list" if exchange.goes_on() => {
            std::thread::sleep(PACE);
            let version = next.fetch_add(1, Ordering::Relaxed) % VERSIONS;
            versions[version].answer(exchange)?;
            Ok(true)
        }
        _ => Ok(false),
    })
    .drawn_by("tools/list")
    .spread_over(Duration::from_secs(3))
    .in_parallel(1)
}

/// The stream of GET, which announces changes.
pub fn announce(exchange: &mut Exchange<'_>) -> std::io::Result<bool> {
    exchange.head("text/event-stream", "")?;
    loop {
        let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        let event = match exchange.goes_on() {
            true => format!("data: {changed}\n\n"),
            false => ":\n\n".to_owned(),
        };
        exchange.write(event.as_bytes())?;
        std::thread::sleep(PACE);
    }
}

/// The end of a response, from its first tool on.
struct List {
    bytes: Vec<u8>,
    /// Where it is compressed: the checksum of the text.
    checksum: Option<Crc>,
}

impl List {
    fn new(version: usize, gzip: bool) -> Self {
        let tools: Vec<String> = (0..TOOLS)
            .map(|tool| {
                let text = format!("{version} {tool} ").repeat(DESCRIPTION);
                let text = &text[..DESCRIPTION];
                format!(r#"{{"name":"tool-{tool}","description":"{text}","inputSchema":{{"type":"object"}}}}"#)
            })
            .collect();
        let text = format!("{}]}}}}", tools.join(","));
        if !gzip {
            return Self {
                bytes: text.into_bytes(),
                checksum: None,
            };
        }
        let (bytes, checksum) = deflated(text.as_bytes());
        Self {
            bytes,
            checksum: Some(checksum),
        }
    }

    /// Answers a request with it.
    fn answer(&self, exchange: &mut Exchange<'_>) -> std::io::Result<()> {
        let id = exchange.id();
        let beginning = format!(r#"{{"id":{id},"jsonrpc":"2.0","result":{{"tools":["#);
        let parts = match &self.checksum {
            None => [beginning.as_bytes(), &self.bytes, b""].concat(),
            Some(checksum) => gzip_of(beginning.as_bytes(), &self.bytes, checksum),
        };
        let encoding = self
            .checksum
            .as_ref()
            .map_or("", |_| "content-encoding: gzip\r\n");
        let length = parts.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{encoding}content-length: {length}\r\n\r\n"
        );
        exchange.write(head.as_bytes())?;
        exchange.write(&parts)
    }
}

/// A text, compressed, and its checksum.
pub fn deflated(text: &[u8]) -> (Vec<u8>, Crc) {
    let mut checksum = Crc::new();
    checksum.update(text);
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text).unwrap();
    (packed.finish().unwrap(), checksum)
}

/// A gzip file of a short text, stored, and one that is compressed already.
pub fn gzip_of(beginning: &[u8], packed: &[u8], checksum: &Crc) -> Vec<u8> {
    let mut whole = Crc::new();
    whole.update(beginning);
    whole.combine(checksum);
    let length = beginning.len() as u16;
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0];
    file.extend(length.to_le_bytes());
    file.extend((!length).to_le_bytes());
    file.extend(beginning);
    file.extend(packed);
    file.extend(whole.sum().to_le_bytes());
    file.extend(whole.amount().to_le_bytes());
    file
}
