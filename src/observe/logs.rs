//! The log: on stderr, never on stdout, and never in the way.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging at `level`, else as `RUST_LOG` says, else at info; as text or as one JSON object
/// a line.
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
    // A second start (in a test) leaves the first one be.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    panic::set_hook(Box::new(panicked));
}

/// A bug of ours, told like all else: what Rust does by itself would wait for a stderr that nobody
/// reads, and all calls with it.
fn panicked(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let literal = payload.downcast_ref::<&str>().copied();
    let why = formatted.or(literal).unwrap_or("no message");
    let at = panic.location().map(ToString::to_string);
    tracing::error!(at, "the gateway has a bug: please report it: {why}");
}

/// Stderr, where what can't be written now is dropped: a log that nobody reads, or that is
/// closed, must not hold up a call.
struct NonBlockingStderr;

/// What a pipe takes without waiting, once it takes anything (`pipe(7)`, PIPE_BUF).
const PIECE: usize = 4096;

impl MakeWriter<'_> for NonBlockingStderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for NonBlockingStderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        for piece in text.chunks(PIECE) {
            if !takes_more(&stderr) || stderr.write_all(piece).is_err() {
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
fn takes_more(stderr: &io::StderrLock<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let mut asked = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec::default();
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().contains(PollFlags::OUT)
}

#[cfg(not(unix))]
fn takes_more(_: &io::StderrLock<'_>) -> bool {
    true
}
