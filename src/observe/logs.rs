//! The log.
//!
//! Owns where its lines go: to stderr and to the log file, never to stdout, never blocking, and without secrets.
//! What stderr can't take now is dropped.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::log_file::{self, OWN};
use super::log_gate::{self, GateLayer};
use super::request_span::WithRequest;

/// Time for writing the last lines of the log file.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts logging at `level`, or as `RUST_LOG` says, or at `default` and without a line for each call; as
/// text or as one JSON object a line. Other crates log warnings and errors only.
///
/// `RUST_LOG` takes `target=level` pairs, separated by commas. There are no directives for spans:
/// a filter that has them costs every call.
pub fn start(level: Option<LevelFilter>, default: LevelFilter, json: bool) {
    let variable = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, bad_variable) = match (level, variable.parse::<Targets>()) {
        (Some(level), _) => (at(level), None),
        (None, Ok(targets)) if !variable.is_empty() => (targets, None),
        (None, Ok(_)) => (without_calls(default), None),
        (None, Err(error)) => (without_calls(default), Some(error)),
    };
    let ansi = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let filter = Arc::new(filter);
    let lines = fmt::layer().with_ansi(ansi).with_writer(Outputs {
        stderr: Arc::clone(&filter),
        json,
    });
    let registry = tracing_subscriber::registry()
        .with(Levels { stderr: filter })
        .with(GateLayer::of_process());
    // Fails if logging has been started before, as in tests: the first one stays.
    let _ = if json {
        let format = fmt::format().json().flatten_event(true);
        let lines = lines.fmt_fields(JsonFields::new());
        let lines = lines.event_format(WithRequest { format, json });
        registry.with(lines).try_init()
    } else {
        let format = fmt::format().with_target(false).with_ansi(ansi);
        let lines = lines.event_format(WithRequest { format, json });
        registry.with(lines).try_init()
    };
    panic::set_hook(Box::new(log_panic));
    if let Some(error) = bad_variable {
        tracing::warn!(%error, "RUST_LOG is not used: write e.g. RUST_LOG=sentinel_gateway=debug");
    }
}

/// Writes what the log still has to say: how many lines were left out. Then waits for the log file, but
/// not for long.
pub(crate) async fn finish() {
    log_gate::report_all_counts();
    // Without a word: the file would be where it is said.
    let _ = tokio::time::timeout(FILE_TIMEOUT, log_file::finish()).await;
}

fn at(level: LevelFilter) -> Targets {
    let others = level.min(LevelFilter::WARN);
    let targets = Targets::new().with_default(others);
    targets.with_target(OWN, level)
}

/// The targets of this level without a line for each call: to write one takes longer than anything
/// else that the gateway does for a call, and nobody has asked for it.
fn without_calls(level: LevelFilter) -> Targets {
    let calls = level.min(LevelFilter::WARN);
    at(level).with_target(super::audit::TARGET, calls)
}

/// Enables what stderr or the log file wants. The latter changes while the gateway runs.
struct Levels {
    stderr: Arc<Targets>,
}

impl<S: Subscriber> Layer<S> for Levels {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        on_stderr(&self.stderr, metadata) || log_file::admits(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = self.stderr.iter().map(|(_, level)| level);
        let levels = levels.chain(self.stderr.default_level());
        levels.chain([log_file::level()]).max()
    }
}

fn on_stderr(targets: &Targets, metadata: &Metadata<'_>) -> bool {
    targets.would_enable(metadata.target(), metadata.level())
}

/// Writes a line where it is wanted.
struct Outputs {
    stderr: Arc<Targets>,
    /// A line is a JSON object.
    json: bool,
}

/// The outputs that one line goes to.
struct LineOutputs {
    stderr: Option<NonBlockingStderr>,
    file: bool,
    json: bool,
}

impl MakeWriter<'_> for Outputs {
    type Writer = LineOutputs;

    fn make_writer(&self) -> LineOutputs {
        LineOutputs {
            stderr: Some(NonBlockingStderr),
            file: false,
            json: self.json,
        }
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> LineOutputs {
        LineOutputs {
            stderr: on_stderr(&self.stderr, metadata).then_some(NonBlockingStderr),
            file: log_file::admits(metadata),
            json: self.json,
        }
    }
}

impl Write for LineOutputs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.file {
            let text = String::from_utf8_lossy(line);
            let plain = anstream::adapter::strip_str(&text).to_string();
            log_file::write(&plain, self.json);
        }
        match &mut self.stderr {
            Some(stderr) => stderr.write(line),
            None => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a panic says.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let literal = payload.downcast_ref::<&str>().copied();
    formatted.or(literal).unwrap_or("no message")
}

/// Logs a panic. Rust's default hook would block on a stderr that isn't read, and all calls with it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let why = panic_text(panic.payload());
    let at = panic.location().map(ToString::to_string);
    tracing::error!(at, "the gateway has a bug: please report it: {why}");
}

/// Stderr that drops what can't be written now: a log that isn't read or is closed must not delay
/// calls.
struct NonBlockingStderr;

/// A pipe that polls as writable accepts this many bytes without blocking (`pipe(7)`, PIPE_BUF).
const CHUNK: usize = 4096;

impl Write for NonBlockingStderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        for chunk in text.chunks(CHUNK) {
            if !is_writable(&stderr) || stderr.write_all(chunk).is_err() {
                break;
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
fn is_writable(stderr: &io::StderrLock<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let mut fds = [PollFd::new(stderr, PollFlags::OUT)];
    let no_wait = Timespec::default();
    poll(&mut fds, Some(&no_wait)).is_ok() && fds[0].revents().contains(PollFlags::OUT)
}

#[cfg(not(unix))]
fn is_writable(_: &io::StderrLock<'_>) -> bool {
    true
}
