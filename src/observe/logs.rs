//! The log: on stderr, never on stdout, never blocking, and without secrets.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_gate::{self, GateLayer};
use super::request_span::WithRequest;

/// Starts logging at `level`, or as `RUST_LOG` says, or at `default`; as text or as one JSON object
/// a line. Other crates log warnings and errors only.
///
/// `RUST_LOG` takes `target=level` pairs, separated by commas. There are no directives for spans:
/// a filter that has them costs every call.
pub fn start(level: Option<LevelFilter>, default: LevelFilter, json: bool) {
    let variable = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, bad_variable) = match (level, variable.parse::<Targets>()) {
        (Some(level), _) => (at(level), None),
        (None, Ok(targets)) if !variable.is_empty() => (targets, None),
        (None, Ok(_)) => (at(default), None),
        (None, Err(error)) => (at(default), Some(error)),
    };
    let ansi = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_ansi(ansi).with_writer(NonBlockingStderr);
    let registry = tracing_subscriber::registry()
        .with(filter)
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

/// Writes what the log still has to say: how many lines were left out.
pub(crate) fn finish() {
    log_gate::report_all_counts();
}

fn at(level: LevelFilter) -> Targets {
    let others = level.min(LevelFilter::WARN);
    let targets = Targets::new().with_default(others);
    targets.with_target("sentinel_gateway", level)
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

impl MakeWriter<'_> for NonBlockingStderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

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
