//! The log file: the lines of the log that the config wants there, each with the process and its client.
//!
//! Owns which lines those are, which changes while the gateway runs, and the writer. There is one log a
//! process, so this is one too. It must not know how a line is formed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tracing::Metadata;
use tracing::level_filters::LevelFilter;

use super::line_writer::{Ended, LineWriter, Purpose};
use crate::clock;
use crate::config::{FileLevel, LogConfig, RotatingFile};
use crate::protocol::RawJson;
use crate::protocol::raw::quoted;
use crate::sync::Mutex;

/// The target of lines of this program begins with this.
pub(super) const OWN: &str = "sentinel_gateway";
/// Characters of a client's name that a line shows.
const MAX_CLIENT: usize = 64;

const PURPOSE: Purpose = Purpose {
    file: "log file",
    lines: "lines",
    missing,
};

/// 0 is off, 5 is trace.
static LEVEL: AtomicU8 = AtomicU8::new(0);
static FILE: Mutex<Option<Open>> = Mutex::new(None);
/// Name and version.
static CLIENT: Mutex<Option<Arc<str>>> = Mutex::new(None);

struct Open {
    file: RotatingFile,
    writer: LineWriter,
    ended: Ended,
}

/// The config says where the log file is, and which lines are in it. The file is opened by the writer's
/// thread, or `at_once`, which blocks for a moment.
pub(crate) fn reconfigure(config: &LogConfig, at_once: bool) {
    // Not within the lock: what goes wrong is a line of the log.
    let before = FILE.lock().take();
    let now = match (&config.file, before) {
        (None, _) => None,
        (Some(file), Some(open)) => {
            if open.file != *file {
                open.writer.reopen(file);
            }
            let file = file.clone();
            Some(Open { file, ..open })
        }
        (Some(file), None) => match LineWriter::start(file, PURPOSE, Arc::default(), at_once) {
            Ok((writer, ended)) => Some(Open {
                file: file.clone(),
                writer,
                ended,
            }),
            Err(error) => {
                tracing::error!(%error, "the log file is not written");
                None
            }
        },
    };
    let level = match (&now, config.level) {
        (None, _) => 0,
        (Some(_), FileLevel::Error) => 1,
        (Some(_), FileLevel::Warn) => 2,
        (Some(_), FileLevel::Info) => 3,
        (Some(_), FileLevel::Debug) => 4,
        (Some(_), FileLevel::Trace) => 5,
    };
    *FILE.lock() = now;
    if LEVEL.swap(level, Relaxed) != level {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Lines from now on name this client, by its `clientInfo`.
pub(crate) fn set_client(info: Option<&RawJson>) {
    let member = |key: &str| info.and_then(|info| info.get(key)?.text());
    let shown = [member("name"), member("version")].into_iter().flatten();
    let shown = shown.collect::<Vec<_>>().join(" ");
    let shown: String = shown.chars().take(MAX_CLIENT).collect();
    *CLIENT.lock() = (!shown.is_empty()).then(|| shown.into());
}

/// The least urgent lines in the file.
pub(super) fn level() -> LevelFilter {
    match LEVEL.load(Relaxed) {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Whether lines of this kind are in the file. Other crates log warnings and errors only.
pub(super) fn admits(metadata: &Metadata<'_>) -> bool {
    let level = level();
    let level = match metadata.target().starts_with(OWN) {
        true => level,
        false => level.min(LevelFilter::WARN),
    };
    *metadata.level() <= level
}

/// Queues one line, which has its end; `json`: it is an object.
pub(super) fn write(line: &str, json: bool) {
    let file = FILE.lock();
    let Some(Open { writer, .. }) = &*file else {
        return;
    };
    match writer.place() {
        Some(place) => {
            let line = with_process(line.trim_end(), json, CLIENT.lock().as_deref());
            place.write(Box::new(move || line));
        }
        None => writer.note_missing(),
    }
}

/// Closes the file when all lines are written.
pub(super) async fn finish() {
    let open = FILE.lock().take();
    if let Some(Open { writer, ended, .. }) = open {
        drop(writer);
        let _ = ended.await;
    }
}

fn with_process(line: &str, json: bool, client: Option<&str>) -> Vec<u8> {
    let pid = std::process::id();
    let client = client.map(|client| String::from_utf8_lossy(&quoted(client)).into_owned());
    let text = match (line.strip_suffix('}').filter(|_| json), client) {
        (Some(object), Some(client)) => format!("{object},\"pid\":{pid},\"client\":{client}}}\n"),
        (Some(object), None) => format!("{object},\"pid\":{pid}}}\n"),
        (None, Some(client)) => format!("{line} pid={pid} client={client}\n"),
        (None, None) => format!("{line} pid={pid}\n"),
    };
    text.into_bytes()
}

/// Says how many lines are missing, as text and as JSON at once.
fn missing(count: u64) -> Vec<u8> {
    let time = clock::rfc3339(clock::wall());
    let what = format!("{count} lines are missing here");
    let line = format!("{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{what}\"}}");
    with_process(&line, true, None)
}
