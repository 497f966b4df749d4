//! The record of a request that has not ended.
//!
//! Owns what becomes known of the request while it is served, and when its record is made: when the
//! loop has ended it and its task is gone, whichever is later, so that the calls of a cancelled
//! request count as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel};

use tokio::time::Instant;

use super::record::{Ending, Record};
use super::sink::Sink;
use crate::call_report::CallSums;
use crate::clock;
use crate::observe::line_writer::Place;
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Class, ClientProfile, Era, Executed, Outcome, RawJson, Request, RpcError};
use crate::sync::Mutex;
use crate::telemetry::RequestTrace;

/// What is known of a request so far.
#[derive(Debug)]
pub(crate) struct OpenRecord {
    sink: Arc<Sink>,
    began: Instant,
    /// Its span, where there is a collector.
    trace: Option<RequestTrace>,
    /// The loop's, that of the task if there is one, and that of a call which runs beside it.
    halves: AtomicU8,
    sums: Arc<CallSums>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: Record,
    /// The params, with the name of what it is about, and the arguments.
    params: Option<RawJson>,
    /// There is a record of it.
    is_wanted: bool,
    place: Option<Place>,
    client: Option<Arc<ClientProfile>>,
    /// Added to by a call that another request began.
    sums: Option<Arc<CallSums>>,
    ending: Option<Ending>,
    ended: Option<Instant>,
}

/// Keeps a record open. The last one that is dropped makes it.
#[derive(Debug)]
pub(crate) struct RecordHalf(Arc<OpenRecord>);

impl OpenRecord {
    pub(super) fn begin(sink: Arc<Sink>, request: &Request, is_call: bool) -> RecordHalf {
        let params = request.params.as_ref();
        let telemetry = sink.telemetry.as_ref();
        let trace = telemetry.map(|to| to.begin(&request.id, &request.method, params));
        let sent = || params?.at(&["_meta", "traceparent"])?.text();
        let record = Record {
            at: clock::wall(),
            method: request.method.clone(),
            trace_id: match &trace {
                Some(_) => None,
                None => sent().and_then(|sent| trace_id(&sent)),
            },
            ..Record::default()
        };
        let place = sink.place();
        RecordHalf(Arc::new(Self {
            sink,
            began: Instant::now(),
            trace,
            halves: AtomicU8::new(1),
            sums: Arc::default(),
            state: Mutex::new(State {
                record,
                params: request.params.clone(),
                is_wanted: is_call,
                place,
                client: None,
                sums: None,
                ending: None,
                ended: None,
            }),
        }))
    }

    /// The client that sends the request.
    pub(crate) fn set_client(&self, client: &Arc<ClientProfile>) {
        self.state.lock().client = Some(Arc::clone(client));
    }

    /// What it is about, as the client names it, and the params that say so.
    pub(crate) fn set_target(&self, name: &str, params: &RawJson) {
        let mut state = self.state.lock();
        state.record.target = Some(name.to_owned());
        state.params = Some(params.clone());
    }

    /// It goes to this backend, whose own name of the target is `own`.
    pub(crate) fn set_backend(&self, backend: &Arc<str>, era: Option<Era>, own: Option<&Arc<str>>) {
        let mut state = self.state.lock();
        state.is_wanted = true;
        state.record.backend = Some(Arc::clone(backend));
        state.record.backend_era = era;
        state.record.own_target = own.cloned();
    }

    /// Its span, for the calls that it makes.
    pub(crate) fn trace(&self) -> Option<&RequestTrace> {
        self.trace.as_ref()
    }

    /// Where the reports of its calls are added up.
    pub(crate) fn sums(&self) -> Arc<CallSums> {
        Arc::clone(&self.sums)
    }

    /// Its call was begun by an earlier request, and reports there.
    pub(crate) fn take_over(&self, sums: Option<&Arc<CallSums>>) {
        self.state.lock().sums = sums.cloned();
    }

    /// Its backend has answered in this era; `needs_input`: with requests for input.
    pub(crate) fn answered(&self, outcome: &Outcome, era: Era, needs_input: bool) {
        let ending = match outcome {
            Outcome::Result(_) if needs_input => Ending::of("input_required"),
            outcome => Ending::with(outcome),
        };
        let result = match outcome {
            Outcome::Result(result) => self.sink.copy_whole(result),
            Outcome::Error(_) => None,
        };
        let mut state = self.state.lock();
        if !needs_input {
            // Requests for input may be the gateway's own, in the client's era.
            state.record.backend_era = Some(era);
        }
        let replaced = std::mem::replace(&mut state.record.result, result);
        state.ending = Some(ending);
        drop(state);
        self.sink.free(replaced.as_ref());
    }

    /// The gateway has answered it itself.
    pub(crate) fn answered_here(&self, outcome: &Outcome) {
        self.state.lock().ending = Some(Ending::with(outcome));
    }

    /// There is no answer but this error of the gateway's own.
    pub(crate) fn failed(&self, error: &RpcError) {
        let mut ending = Ending::failed(Some(error.code));
        if let Some((class, tally)) = error.failure() {
            ending.class = Some(class);
            ending.executed = Some(tally.executed);
            ending.attempts = Some(tally.attempts);
        }
        self.state.lock().ending = Some(ending);
    }

    /// Makes the record. The last half is gone.
    fn make(&self) {
        let mut state = self.state.lock();
        let mut record = std::mem::take(&mut state.record);
        let (place, ended) = (state.place.take(), state.ended.unwrap_or_else(Instant::now));
        let sums = state.sums.take();
        let sum = sums.as_ref().unwrap_or(&self.sums).sum();
        let (ending, params) = (state.ending.take(), state.params.take());
        let is_wanted = state.is_wanted && self.sink.is_read();
        if let Some(client) = state.client.take() {
            record.protocol_version = Some(client.version);
            record.client_era = Some(client.era);
            let info = client.info.as_ref().filter(|_| is_wanted);
            [record.client, record.client_version] =
                ["name", "version"].map(|key| info?.get(key)?.text());
        }
        drop(state);
        if let Some(params) = params {
            // Of a request that was refused before it was read.
            let named = |key: &str| params.get(key)?.text();
            record.target = record
                .target
                .or_else(|| named("name").or_else(|| named("uri")));
            record.arguments = is_wanted
                .then(|| self.sink.copy(&params, "arguments"))
                .flatten();
        }
        let ending = ending.unwrap_or_else(|| Ending::of("ok"));
        // The call of a request that needs input goes on beside it, and has not reported.
        let unreported = match ending.outcome {
            "input_required" => Executed::Unknown,
            _ => Executed::No,
        };
        record.executed = ending.executed.or(sum.executed).unwrap_or(unreported);
        if ["ok", "tool_error"].contains(&ending.outcome) && sum.executed.is_some() {
            record.executed = Executed::Yes;
        }
        record.attempts = ending.attempts.unwrap_or(sum.attempts);
        record.ending = ending;
        record.bytes_sent = sum.bytes_sent;
        record.bytes_received = sum.bytes_received;
        record.queued = sum.queued;
        record.first_byte =
            (sum.first_byte).map(|first_byte| first_byte.saturating_duration_since(self.began));
        record.total = ended.saturating_duration_since(self.began);
        if let Some(trace) = &self.trace {
            record.trace_id = is_wanted.then(|| trace.trace_id());
            trace.end(&record.for_span());
        }
        match is_wanted {
            true => self.sink.write(record, place),
            false => self.sink.free(record.result.as_ref()),
        }
    }
}

impl RecordHalf {
    /// The record, to add to it.
    pub(crate) fn record(&self) -> &Arc<OpenRecord> {
        &self.0
    }

    /// One more, while there is one.
    pub(crate) fn of(record: &Arc<OpenRecord>) -> Self {
        record.halves.fetch_add(1, AcqRel);
        Self(Arc::clone(record))
    }

    /// Whether there is a place for the record in the file.
    pub(super) fn has_place(&self) -> bool {
        self.0.state.lock().place.is_some()
    }

    /// The request was refused before it became a task.
    pub(crate) fn refused(&self, class: Class) {
        self.end_with(Ending {
            class: Some(class),
            executed: Some(Executed::No),
            attempts: Some(0),
            ..Ending::failed(Some(INTERNAL_ERROR))
        });
    }

    /// The gateway ends before the request does.
    pub(crate) fn cut_off(&self) {
        self.end_with(Ending {
            class: Some(Class::ShuttingDown),
            ..Ending::failed(Some(INTERNAL_ERROR))
        });
    }

    /// The client has cancelled the request.
    pub(crate) fn cancelled(self) {
        self.end_with(Ending::of("cancelled"));
        self.ended();
    }

    /// The request was answered with this.
    pub(crate) fn finished(self, outcome: &Outcome) {
        let mut state = self.0.state.lock();
        if state.ending.is_none() && matches!(outcome, Outcome::Error(_)) {
            state.ending = Some(Ending::with(outcome));
        }
        drop(state);
        self.ended();
    }

    fn end_with(&self, ending: Ending) {
        self.0.state.lock().ending = Some(ending);
    }

    fn ended(&self) {
        self.0.state.lock().ended = Some(Instant::now());
    }
}

impl Drop for RecordHalf {
    fn drop(&mut self) {
        if self.0.halves.fetch_sub(1, AcqRel) == 1 {
            self.0.make();
        }
    }
}

/// The trace id in a `traceparent` (W3C Trace Context, 3.2).
fn trace_id(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits: usize| {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == digits && text.bytes().all(lower)
    };
    let is_valid = is_hex(version, 2) && version != "ff" && is_hex(trace, 32);
    (is_valid && trace.bytes().any(|digit| digit != b'0')).then(|| trace.to_owned())
}
