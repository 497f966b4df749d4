//! The request that a log line belongs to.
//!
//! Owns [`RequestSpan`], which the task of a request carries, and [`WithRequest`], which adds it to
//! every line that the task logs, and keeps each line within its limit. A span of the `tracing` registry does the same, but costs each
//! call a tenth of its instructions where nothing is logged. It must not know what is logged.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::line_limit::{MAX_LINE, cut, cut_json};
use crate::protocol::Id;
use crate::protocol::raw::quoted;
use crate::text::{beginning, for_output};

tokio::task_local! {
    static CURRENT: Option<Arc<RequestSpan>>;
}

/// Ends colours, which a line may be cut within.
const RESET: &str = "\u{1b}[0m";
/// Bytes of what a text line says of its request.
const MAX_REQUEST: usize = 300;
/// Bytes of a request's id that log lines show.
const MAX_SHOWN_ID: usize = 64;

/// What log lines say of a request.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    id: Id,
    method: Arc<str>,
    /// The backend, and its own name of the tool, once they are known.
    target: OnceLock<(Arc<str>, Option<Arc<str>>)>,
    /// The number of the current attempt; 0 before the first.
    attempt: AtomicU32,
}

impl RequestSpan {
    /// The span of a request with the client's id.
    pub(crate) fn new(id: Id, method: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            id,
            method,
            target: OnceLock::new(),
            attempt: AtomicU32::new(0),
        })
    }

    /// Spawns a task whose log lines name the request of `span`.
    pub(crate) fn spawn<F>(span: Option<Arc<Self>>, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(CURRENT.scope(span, work))
    }

    /// Carries the span of the current task into another one: log lines of `work` name its request.
    pub(crate) fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(Self::current(), work)
    }

    /// Log lines of `work` name the request of `span`.
    pub(crate) fn enter<R>(span: Option<Arc<Self>>, work: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(span, work)
    }

    /// The span of the current task, if it serves a request.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Option::clone).ok().flatten()
    }

    /// The backend of the current task's request, if it is known.
    pub(super) fn current_backend() -> Option<String> {
        let named = |span: &Option<Arc<Self>>| {
            let (backend, _) = span.as_ref()?.target.get()?;
            Some(backend.to_string())
        };
        CURRENT.try_with(named).ok().flatten()
    }

    /// From now on lines of the current task name the backend, and the tool if it runs one.
    pub(crate) fn set_target(backend: &Arc<str>, tool: Option<&Arc<str>>) {
        let _ = CURRENT.try_with(|span| {
            // A second routing of the same request has the same target.
            let target = || (Arc::clone(backend), tool.cloned());
            span.as_ref().map(|span| span.target.get_or_init(target));
        });
    }

    /// From now on lines of the current task name this attempt. The first is 1.
    pub(crate) fn set_attempt(attempt: u32) {
        let _ = CURRENT.try_with(|span| {
            let span = span.as_ref();
            span.inspect(|span| span.attempt.store(attempt, Relaxed));
        });
    }

    /// The id as JSON, at most [`MAX_SHOWN_ID`] bytes of it.
    fn shown_id(&self) -> String {
        let id = self.id.raw().as_str();
        if id.len() <= MAX_SHOWN_ID {
            return id.to_owned();
        }
        let shown = format!("{}…", beginning(id, MAX_SHOWN_ID));
        json_string(&shown)
    }

    /// `request{id=7 method=tools/call backend=n8n tool=run attempt=2}`
    fn write_text(&self, line: &mut dyn Write) -> fmt::Result {
        let id = self.shown_id();
        write!(
            line,
            "request{{id={} method={}",
            id.escape_debug(),
            self.method
        )?;
        if let Some((backend, tool)) = self.target.get() {
            write!(line, " backend={backend}")?;
            if let Some(tool) = tool {
                write!(line, " tool={}", tool.escape_debug())?;
            }
        }
        match self.attempt.load(Relaxed) {
            0 => {}
            attempt => write!(line, " attempt={attempt}")?,
        }
        line.write_char('}')
    }

    /// Writes the span as a JSON object.
    fn write_json(&self, line: &mut dyn Write) -> fmt::Result {
        write!(line, "{{\"id\":{}", self.shown_id())?;
        write!(line, ",\"method\":{}", json_string(&self.method))?;
        if let Some((backend, tool)) = self.target.get() {
            write!(line, ",\"backend\":{}", json_string(backend))?;
            if let Some(tool) = tool {
                write!(line, ",\"tool\":{}", json_string(tool))?;
            }
        }
        match self.attempt.load(Relaxed) {
            0 => {}
            attempt => write!(line, ",\"attempt\":{attempt}")?,
        }
        line.write_char('}')
    }
}

fn json_string(text: &str) -> String {
    String::from_utf8_lossy(&quoted(text)).into_owned()
}

/// Writes events as another format does, and adds the current request to the end of the line.
pub(super) struct WithRequest<F> {
    pub(super) format: F,
    /// `format` writes one JSON object a line.
    pub(super) json: bool,
}

impl<F, S, N> FormatEvent<S, N> for WithRequest<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        line.truncate(line.trim_end().len());
        let span = RequestSpan::current();
        if self.json {
            if let Some(span) = span
                && line.ends_with('}')
            {
                line.pop();
                line.push_str(",\"request\":");
                span.write_json(&mut line)?;
                line.push('}');
            }
            return writeln!(writer, "{}", cut_json(scrubbed(line), MAX_LINE));
        }
        let mut request = String::new();
        if let Some(span) = span {
            request.push(' ');
            span.write_text(&mut request)?;
            request = scrubbed(request);
            cut(&mut request, MAX_REQUEST);
        }
        let coloured = writer.has_ansi_escapes();
        let reset = if coloured { RESET } else { "" };
        // Before the cut: half a secret is not recognised.
        line = scrubbed(line);
        cut(&mut line, MAX_LINE - request.len() - reset.len());
        writeln!(writer, "{line}{reset}{request}")
    }
}

/// A part of a line without secrets.
fn scrubbed(line: String) -> String {
    match for_output(&line) {
        Cow::Owned(scrubbed) => scrubbed,
        Cow::Borrowed(_) => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    fn texts(span: &RequestSpan) -> (String, String) {
        let (mut text, mut json) = (String::new(), String::new());
        span.write_text(&mut text).unwrap();
        span.write_json(&mut json).unwrap();
        (text, json)
    }

    #[tokio::test]
    async fn a_line_names_what_is_known_of_the_request() {
        let span = RequestSpan::new(Id::number(7), "tools/call".into());
        let before = texts(&span);
        assert_eq!(before.0, "request{id=7 method=tools/call}");
        assert_eq!(before.1, r#"{"id":7,"method":"tools/call"}"#);
        let work = async {
            RequestSpan::set_target(&"n8n".into(), Some(&"run\u{9b}".into()));
            RequestSpan::set_attempt(2);
        };
        RequestSpan::spawn(Some(Arc::clone(&span)), work)
            .await
            .unwrap();
        let (text, json) = texts(&span);
        let expected = r"request{id=7 method=tools/call backend=n8n tool=run\u{9b} attempt=2}";
        assert_eq!(text, expected);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["attempt"], 2);
        assert_eq!(json["tool"], "run\u{9b}");
    }

    #[test]
    fn a_long_id_is_cut() {
        let id = Id::from_raw(RawJson::trusted(format!("\"{}\"", "ä".repeat(1000)))).unwrap();
        let (text, json) = texts(&RequestSpan::new(id, "ping".into()));
        assert!(text.len() < 120, "{text}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json["id"].as_str().unwrap().ends_with('…'), "{json}");
    }
}
