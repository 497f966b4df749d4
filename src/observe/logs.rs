//! The log: on stderr, never on stdout, and never blocking.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging at `level`, or as `RUST_LOG` says, or at info; as text or as one JSON object a
/// line.
pub fn start(level: Option<&str>, json: bool) {
    let ours = |level: &str| EnvFilter::new(format!("warn,sentinel_gateway={level}"));
    let filter = match level {
        Some("off") => EnvFilter::new("off"),
        Some(level) => ours(level),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| ours("info")),
    };
    let ansi = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(NonBlockingStderr);
    // Fails if logging has been started before, as in tests: the first one stays.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    panic::set_hook(Box::new(log_panic));
}

/// Logs a panic. Rust's default hook would block on a stderr that isn't read, and all calls with it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let literal = payload.downcast_ref::<&str>().copied();
    let why = formatted.or(literal).unwrap_or("no message");
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
