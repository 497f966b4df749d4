//! The log: on stderr, never on stdout, and never in the way.

use std::io::{self, Write};

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
        .with_writer(Quiet);
    // A second start (in a test) leaves the first one be.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
}

/// Stderr, where a write that fails is dropped: a closed log must not hurt a call.
struct Quiet;

impl MakeWriter<'_> for Quiet {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Quiet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
