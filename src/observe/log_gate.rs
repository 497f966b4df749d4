//! How many lines of the log one backend, or the client, can cause.
//!
//! Owns the limiter that every line passes: of one message about one backend [`LINES`] are written in
//! [`WINDOW`], then one line with the number of further ones. A line without a backend counts as the
//! client's. What a command logs of the user's own config is not counted. It must not know what a
//! message says.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::field::{Field, Value, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::audit::TARGET;
use super::request_span::RequestSpan;
use crate::sync::Mutex;
use crate::text::beginning;

/// Lines of one message about one backend in one [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Most pairs of message and backend that are told apart.
const MAX_COUNTS: usize = 1024;
/// Bytes of a message that the line with the number repeats.
const MAX_MESSAGE: usize = 200;
/// Lines from here are about the command line and the user's own config, or are the record of a call:
/// one for each request of the client.
const NOT_COUNTED: [&str; 2] = ["sentinel_gateway::cli", TARGET];

/// The gate of this process.
static GATE: Gate = Gate::new();

thread_local! {
    /// A number is being written: that line passes.
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Suppresses lines beyond [`LINES`] in [`WINDOW`].
pub(super) struct GateLayer(&'static Gate);

impl GateLayer {
    /// The gate of this process.
    pub(super) const fn of_process() -> Self {
        Self(&GATE)
    }
}

impl<S: Subscriber> Layer<S> for GateLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let is_counted = !NOT_COUNTED
            .iter()
            .any(|target| metadata.target().starts_with(target));
        if !is_counted || REPORTING.get() {
            return true;
        }
        let mut field = BackendField::default();
        event.record(&mut field);
        let line = Line {
            metadata,
            backend: field.backend.or_else(RequestSpan::current_backend),
        };
        self.0.admits(&line, Instant::now(), || message_of(event))
    }
}

/// Writes the numbers of suppressed lines, each when its [`WINDOW`] is over. Runs until it is
/// dropped.
pub(crate) async fn report_counts() {
    GATE.report_when_due().await;
}

/// Writes all numbers of suppressed lines now: the process ends.
pub(crate) fn report_all_counts() {
    GATE.report(None);
}

/// One line that is about to be written.
struct Line {
    metadata: &'static Metadata<'static>,
    backend: Option<String>,
}

struct Gate {
    counts: Mutex<BTreeMap<Key, Count>>,
    /// A first line was suppressed.
    suppressed: Notify,
}

/// The place in the source that a line comes from, and a hash of the backend's name.
type Key = (usize, u64);

struct Count {
    line: Line,
    message: String,
    /// When the window began.
    since: Instant,
    written: u32,
    more: u64,
}

impl Gate {
    const fn new() -> Self {
        Self {
            counts: Mutex::new(BTreeMap::new()),
            suppressed: Notify::const_new(),
        }
    }

    /// Whether this line is written. Counts it.
    fn admits(&self, line: &Line, now: Instant, message: impl FnOnce() -> String) -> bool {
        let mut counts = self.counts.lock();
        let key = key(&mut counts, line, now);
        let count = counts.entry(key).or_insert_with(|| Count {
            line: Line {
                metadata: line.metadata,
                backend: line.backend.clone(),
            },
            message: message(),
            since: now,
            written: 0,
            more: 0,
        });
        if now.duration_since(count.since) >= WINDOW {
            (count.since, count.written) = (now, 0);
        }
        if count.written < LINES {
            count.written += 1;
            return true;
        }
        count.more += 1;
        if count.more == 1 {
            self.suppressed.notify_one();
        }
        false
    }

    async fn report_when_due(&self) {
        loop {
            match self.next_report() {
                Some(due) => {
                    tokio::time::sleep_until(due).await;
                    self.report(Some(Instant::now()));
                }
                None => self.suppressed.notified().await,
            }
        }
    }

    /// When the next number is to be written; `None` while there is none.
    fn next_report(&self) -> Option<Instant> {
        let counts = self.counts.lock();
        let counted = counts.values().filter(|count| count.more > 0);
        counted.map(|count| count.since + WINDOW).min()
    }

    /// Writes the numbers whose window is over at `now`; all of them if that is `None`.
    fn report(&self, now: Option<Instant>) {
        for (line, text) in self.take(now) {
            REPORTING.set(true);
            write(&line, &text);
            REPORTING.set(false);
        }
    }

    /// Takes the numbers whose window is over at `now`, all of them if that is `None`, each as
    /// text.
    fn take(&self, now: Option<Instant>) -> Vec<(Line, String)> {
        let mut taken = Vec::new();
        let mut counts = self.counts.lock();
        let is_over =
            |count: &Count| now.is_none_or(|now| now.duration_since(count.since) >= WINDOW);
        counts.retain(|_, count| {
            if !is_over(count) {
                return true;
            }
            if count.more > 0 {
                let line = Line {
                    metadata: count.line.metadata,
                    backend: count.line.backend.take(),
                };
                taken.push((line, format!("{} more: {}", count.more, count.message)));
            }
            false
        });
        taken
    }
}

/// The entry for a line. When there are too many, those of one message share one.
fn key(counts: &mut BTreeMap<Key, Count>, line: &Line, now: Instant) -> Key {
    let place = std::ptr::from_ref(line.metadata).addr();
    let backend = line.backend.as_ref().map_or(0, |backend| {
        let mut hasher = DefaultHasher::new();
        backend.hash(&mut hasher);
        hasher.finish()
    });
    let key = (place, backend);
    if counts.len() >= MAX_COUNTS && !counts.contains_key(&key) {
        counts.retain(|_, count| count.more > 0 || now.duration_since(count.since) < WINDOW);
        if counts.len() >= MAX_COUNTS {
            return (place, 0);
        }
    }
    key
}

/// Writes a line at the place of those that it counts, so that it has their level and target.
fn write(line: &Line, text: &str) {
    let fields = line.metadata.fields();
    let Some(message) = fields.field("message") else {
        return tracing::warn!("{text}{}", line.metadata.name());
    };
    let backend = fields.field("backend").zip(line.backend.as_deref());
    match &backend {
        Some((field, backend)) => {
            let values: [(&Field, Option<&dyn Value>); 2] =
                [(&message, Some(&text)), (field, Some(backend))];
            Event::dispatch(line.metadata, &fields.value_set(&values));
        }
        None => {
            let values: [(&Field, Option<&dyn Value>); 1] = [(&message, Some(&text))];
            Event::dispatch(line.metadata, &fields.value_set(&values));
        }
    }
}

/// The backend that an event is about.
#[derive(Default)]
struct BackendField {
    backend: Option<String>,
}

impl Visit for BackendField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "backend" {
            self.backend = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "backend" {
            self.backend = Some(format!("{value:?}"));
        }
    }
}

/// The beginning of an event's message.
fn message_of(event: &Event<'_>) -> String {
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Fails where it is cut.
            let _ = write!(self, "{value:?}");
        }
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_MESSAGE.saturating_sub(self.0.len());
        let end = beginning(text, room).len();
        self.0.push_str(&text[..end]);
        match end == text.len() {
            true => Ok(()),
            false => {
                self.0.push('…');
                Err(fmt::Error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
        }
    }

    /// Logs through a gate of the test's own.
    fn logging() -> (&'static Gate, Written, tracing::subscriber::DefaultGuard) {
        let gate: &'static Gate = Box::leak(Box::new(Gate::new()));
        let written = Written::default();
        let writer = written.clone();
        let lines = fmt::layer()
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(GateLayer(gate))
            .with(lines);
        (gate, written, tracing::subscriber::set_default(subscriber))
    }

    fn flood(backend: &str, lines: u32) {
        for line in 0..lines {
            tracing::warn!(backend, line, "the server misbehaves");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fault_93_ten_lines_a_minute_of_each_backend_and_then_their_number() {
        let (gate, written, _guard) = logging();
        let counting = tokio::spawn(gate.report_when_due());
        flood("gate-a", 10_000);
        flood("gate-b", 3);
        let log = written.take();
        assert_eq!(log.matches("gate-a").count(), 10, "{log}");
        assert_eq!(log.matches("gate-b").count(), 3, "another backend: {log}");

        tokio::time::sleep(WINDOW).await;
        tokio::task::yield_now().await;
        let log = written.take();
        let number = "WARN sentinel_gateway::observe::log_gate::tests: 9990 more: the server misbehaves backend=\"gate-a\"";
        assert_eq!(log.trim(), number);

        // The next minute.
        flood("gate-a", 11);
        let log = written.take();
        assert_eq!(log.matches("gate-a").count(), 10, "{log}");
        gate.report(None);
        let log = written.take();
        assert!(log.contains("1 more: the server misbehaves"), "{log}");
        gate.report(None);
        assert_eq!(written.take(), "", "a number is written once");
        counting.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_counted_each_and_without_a_backend_too() {
        let (gate, written, _guard) = logging();
        for line in 0..20 {
            tracing::info!(line, "gate-client sends one thing");
            tracing::info!("gate-client sends another, {}", "x".repeat(4096));
            tracing::warn!(target: "sentinel_gateway::cli::test", "gate-config problem");
        }
        let log = written.take();
        assert_eq!(log.matches("one thing").count(), 10);
        assert_eq!(log.matches("another").count(), 10);
        assert_eq!(log.matches("gate-config").count(), 20, "the user's own");
        gate.report(None);
        let log = written.take();
        let cut = log
            .lines()
            .find(|line| line.contains("10 more: gate-client sends another"));
        assert!(
            cut.is_some_and(|line| line.len() < 400 && line.ends_with('…')),
            "{log}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_lines_is_bounded() {
        let (gate, _, _guard) = logging();
        for backend in 0..2 * MAX_COUNTS {
            flood(&format!("gate-{backend}"), 1);
        }
        assert!(gate.counts.lock().len() <= MAX_COUNTS + 1);
        tokio::time::advance(WINDOW).await;
        flood("gate-after", 1);
        assert!(gate.counts.lock().len() < 100, "old entries make room");
    }
}
