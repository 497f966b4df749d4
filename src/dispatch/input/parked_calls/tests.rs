//! How long a call stays parked or is kept as a task, and which retry resumes it, under a paused clock. The backend never
//! connects: the tests send its requests.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::backend::{HttpBackend, ServerMessageHandler};
use crate::call_report::BackendId;
use crate::config::{Environment, Overrides, load};
use crate::dispatch::backend_call::{BackendCall, KEPT};
use crate::dispatch::call_target::{CallTarget, Route};
use crate::dispatch::exchange::{Exchange, TaskEvent};
use crate::dispatch::input::detached_call::DetachedCall;
use crate::dispatch::input::kept_tasks::MAX_TASKS;
use crate::governance::Admission;
use crate::protocol::{ClientProfile, Id, Incoming, Notification, Outcome, Request};

struct Bench {
    backend: Arc<HttpBackend>,
    parked_calls: Arc<ParkedCalls>,
    in_flight: Incoming<()>,
    events: mpsc::UnboundedSender<TaskEvent>,
    heard: mpsc::UnboundedReceiver<TaskEvent>,
}

const PARAMS: &str = r#"{"name":"t"}"#;

impl Bench {
    fn new() -> Self {
        let flags = Overrides {
            backends: vec![("one".into(), "http://127.0.0.1:9/".into())],
            ..Overrides::default()
        };
        let config = load(&flags, &Environment::new("no-such-folder")).unwrap();
        let (config, id) = (Arc::clone(&config.backends[0]), BackendId::new(1));
        let (events, heard) = mpsc::unbounded_channel();
        Self {
            backend: Arc::new(HttpBackend::unsupervised(config, id)),
            parked_calls: Arc::default(),
            in_flight: Incoming::default(),
            events,
            heard,
        }
    }

    /// A call in flight, and the key of its request.
    fn begin(&mut self) -> (CallHandle, RequestKey) {
        let id = Id::number(self.in_flight.len() as u64);
        let key = self.in_flight.begin(id, ()).unwrap();
        let exchange = self.exchange(key);
        let client = Arc::clone(&exchange.client);
        let params = RawJson::trusted(PARAMS);
        let target = CallTarget::read("tools/call", &params).unwrap();
        let route = Route {
            backend: &self.backend,
            entry: None,
            own_uri: None,
        };
        let call = BackendCall::new(
            "tools/call".into(),
            params,
            &target,
            &route,
            &Arc::new(Admission::default()),
            client,
            Instant::now(),
        );
        (CallHandle::begin(call.unwrap(), exchange), key)
    }

    fn exchange(&self, key: RequestKey) -> Exchange {
        Exchange {
            key,
            client: Arc::new(ClientProfile::superset()),
            events: self.events.clone(),
            record: None,
        }
    }

    /// Keeps a call whose server has made this task; the request that it is for, if there is room.
    fn keep(&mut self, task: usize) -> Option<RequestKey> {
        let (call, key) = self.begin();
        let state = RawJson::trusted(format!(r#"{{"taskId":"{task}","status":"working"}}"#));
        let (_, said) = watch::channel(Some(state));
        let exchange = self.exchange(key);
        let tasks = &self.parked_calls.tasks;
        let kept = tasks.keep(call, said, &exchange, |_, ended, _, _| ended);
        kept.ok().map(|_| key)
    }

    /// The status of a task.
    fn status(&self, task: usize) -> Option<String> {
        self.serve("tasks/get", task)?.get("status")?.text()
    }

    fn serve(&self, method: &str, task: usize) -> Option<RawJson> {
        let id = format!("{}:{task}", self.backend.id_prefix);
        let params = RawJson::trusted("{}");
        self.parked_calls.tasks.serve(method, &id, &params)
    }

    /// A parked call: the state it is parked under, the call, and what its backend is answered.
    async fn waiting(
        &mut self,
        method: &'static str,
    ) -> (RequestState, Arc<DetachedCall>, JoinHandle<Outcome>) {
        let (call, key) = self.begin();
        let detached = Arc::clone(&call.detached);
        let answer = ask(&detached, method);
        assert!(detached.next_event().await.is_none());
        let asked = self.parked_calls.park(call, key, fingerprint());
        let asked = asked.unwrap_or_else(|_| panic!("it should wait"));
        (RequestState::of(&asked).unwrap(), detached, answer)
    }
}

fn fingerprint() -> RequestFingerprint {
    RequestFingerprint::of("tools/call", &RawJson::trusted(PARAMS))
}

/// What a backend asks; the clock of its call stands still meanwhile.
fn ask(detached: &Arc<DetachedCall>, method: &'static str) -> JoinHandle<Outcome> {
    let detached = Arc::clone(detached);
    tokio::spawn(async move {
        let _pause = detached.call.deadline.pause();
        let request = Request {
            id: Id::number(0),
            method: method.into(),
            params: Some(RawJson::trusted("{}")),
        };
        detached.ask(request).await
    })
}

fn text(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Result(text) | Outcome::Error(text) => text.as_str(),
    }
}

#[tokio::test(start_paused = true)]
async fn expiry_answers_open_server_requests_then_cancels_the_call() {
    for (method, to_client_error) in [
        ("elicitation/create", r#"{"action":"cancel"}"#),
        (
            "roots/list",
            r#"{"code":-32603,"message":"the client did not answer roots/list"}"#,
        ),
    ] {
        let mut bench = Bench::new();
        let started = Instant::now();
        let (handle, detached, answer) = bench.waiting(method).await;
        assert_eq!(text(&answer.await.unwrap()), to_client_error);
        let waited = started.elapsed();
        assert!(waited >= ANSWER_TIMEOUT && waited < ANSWER_TIMEOUT + EXPIRY_TIMEOUT);
        detached.ended().await;
        assert!(started.elapsed() <= waited + EXPIRY_TIMEOUT);
        assert!(bench.parked_calls.take(&handle, &fingerprint()).is_none());
        let late = ask(&detached, "roots/list").await.unwrap();
        assert!(text(&late).contains("-32601"), "{}", text(&late));
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_is_resumed_once_and_keeps_its_deadline() {
    let mut bench = Bench::new();
    let (handle, _, answer) = bench.waiting("roots/list").await;
    tokio::time::sleep(ANSWER_TIMEOUT - Duration::from_secs(1)).await;
    let other = RequestFingerprint::of("prompts/get", &RawJson::trusted(PARAMS));
    assert!(bench.parked_calls.take(&handle, &other).is_none());
    let call = bench.parked_calls.take(&handle, &fingerprint()).unwrap();
    assert!(bench.parked_calls.take(&handle, &fingerprint()).is_none());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        !answer.is_finished(),
        "its time is over for the handle alone"
    );
    drop(call);
    assert!(text(&answer.await.unwrap()).contains("did not answer"));
}

#[tokio::test(start_paused = true)]
async fn parked_calls_are_limited() {
    let mut bench = Bench::new();
    for _ in 0..MAX_PARKED {
        bench.waiting("roots/list").await;
    }
    let (call, key) = bench.begin();
    let answer = ask(&call.detached, "roots/list");
    assert!(call.detached.next_event().await.is_none());
    let goes_on = bench
        .parked_calls
        .park(call, key, fingerprint())
        .err()
        .unwrap();
    let to_client_error = answer.await.unwrap();
    assert!(
        text(&to_client_error).contains("256 calls wait"),
        "{}",
        text(&to_client_error)
    );
    bench.parked_calls.close().await;
    assert!(bench.parked_calls.parked.lock().is_empty());
    drop(goes_on);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_cancelled_if_its_input_required_was_not_sent() {
    let mut bench = Bench::new();
    let (call, key) = bench.begin();
    let detached = Arc::clone(&call.detached);
    let answer = ask(&detached, "elicitation/create");
    assert!(detached.next_event().await.is_none());
    assert!(bench.parked_calls.park(call, key, fingerprint()).is_ok());
    let (_, other) = bench.begin();
    bench.parked_calls.cancel_parked(other);
    assert!(!answer.is_finished());
    bench.parked_calls.cancel_parked(key);
    answer.await.unwrap();
    assert!(bench.parked_calls.parked.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn open_server_requests_of_a_call_are_limited() {
    let mut bench = Bench::new();
    let (call, _) = bench.begin();
    let mut answers: Vec<_> = (0..65).map(|_| ask(&call.detached, "roots/list")).collect();
    let to_client_error = answers.pop().unwrap().await.unwrap();
    assert!(
        text(&to_client_error).contains("64 server requests"),
        "{}",
        text(&to_client_error)
    );
    assert_eq!(call.detached.take_requests().unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn messages_of_an_unattached_call_are_dropped() {
    let mut bench = Bench::new();
    let say = |detached: &DetachedCall, method: &str| {
        detached.notification(Notification {
            method: method.into(),
            params: Some(RawJson::trusted("{}")),
        });
    };
    let (_, detached, _answer) = bench.waiting("roots/list").await;
    say(&detached, "notifications/progress");
    assert!(bench.heard.try_recv().is_err());
    // Resource updates go to all subscriptions.
    say(&detached, "notifications/resources/updated");
    assert!(matches!(
        bench.heard.try_recv(),
        Ok(TaskEvent::Updated { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn tasks_are_kept_for_an_hour_and_are_bounded() {
    let mut bench = Bench::new();
    let first = bench.keep(0).unwrap();
    for task in 1..MAX_TASKS {
        assert!(bench.keep(task).is_some(), "{task}");
    }
    assert!(bench.keep(MAX_TASKS).is_none());
    assert_eq!(bench.status(1).as_deref(), Some("working"));
    bench.serve("tasks/cancel", 1);
    assert_eq!(bench.status(1).as_deref(), Some("cancelled"));
    // The answer that names it was never sent.
    bench.parked_calls.cancel_parked(first);
    assert_eq!(bench.status(0), None);
    // Its backend never connects: the call fails, and its end is there for the rest of the hour.
    tokio::time::sleep(KEPT / 2).await;
    assert_eq!(bench.status(2).as_deref(), Some("failed"));
    let told = |event: TaskEvent| match event {
        TaskEvent::TaskState { notification, .. } => notification.params?.get("status")?.text(),
        _ => None,
    };
    let mut told_of = Vec::new();
    while let Ok(event) = bench.heard.try_recv() {
        told_of.extend(told(event));
    }
    let count = |status: &str| told_of.iter().filter(|told| *told == status).count();
    assert_eq!((count("failed"), count("cancelled")), (MAX_TASKS - 2, 1));
    tokio::time::sleep(KEPT).await;
    assert_eq!(bench.status(2), None);
    assert!(bench.keep(0).is_some());
    bench.parked_calls.close().await;
    assert_eq!(bench.status(0), None);
}
