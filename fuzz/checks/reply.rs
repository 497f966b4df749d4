//! The body of an HTTP answer: at most one outcome, the same however the body is cut, within the
//! cap, and with an error that can be shown to a person.

use std::convert::Infallible;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, stream};
use hyper::http;
use reqwest::{Body, Response};
use sentinel_gateway::backend::http::Endpoint;
use sentinel_gateway::backend::stream::Reading;
use sentinel_gateway::backend::{BackendError, Listener, Pool};
use sentinel_gateway::budget::Budget;
use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::protocol::{Era, Id, Notification, Outcome, RawJson, Request};
use serde_json::value::RawValue;

use super::{assert_readable, chance_of, pieces};

/// What the backend is sent as its bearer token, and may say back.
pub const SECRET: &str = "a-secret-token";
const CAP: usize = 2048;

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    let flags = Overrides {
        backends: vec![("fuzz".into(), "http://127.0.0.1/mcp".into())],
        bearer_env: vec![("fuzz".into(), "TOKEN".into())],
        ..Overrides::default()
    };
    let environment = Environment::new("no-such-folder").with_variables(|_| Some(SECRET.into()));
    let config = load(&flags, &environment).unwrap();
    let (pool, budget) = (Pool::default(), Budget::new(usize::MAX));
    let resolved = Endpoint::resolve(&config.backends[0], &pool, CAP, budget).now_or_never();
    resolved.expect("nothing to wait for").unwrap()
});

/// A backend that knows [`SECRET`].
pub fn endpoint() -> &'static Endpoint {
    &ENDPOINT
}

/// What came of one reading.
type Seen = (Result<Outcome, BackendError>, Vec<String>);

/// The first line has the status and the content type; the body follows. The answer that is waited
/// for has the id 7.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (head, body) = end.map_or((data, &b""[..]), |at| (&data[..at], &data[at + 1..]));
    let head = String::from_utf8_lossy(head);
    let (status, media_type) = head.split_once(' ').unwrap_or((&head, ""));
    let Ok(status) = status.parse::<http::StatusCode>() else {
        return;
    };
    let mut chance = chance_of(data);
    for era in [Era::Legacy, Era::Modern] {
        for (in_session, probing) in [(false, false), (true, false), (false, true)] {
            let read = |pieces: Vec<&[u8]>| {
                let response = response(status, media_type, pieces)?;
                Some(read(response, era, in_session, probing))
            };
            let Some(whole) = read(vec![body]) else {
                return;
            };
            let pieces = pieces(&mut chance, body.len());
            let cut = read(pieces.into_iter().map(|piece| &body[piece]).collect());
            let same = cut.is_some_and(|cut| format!("{cut:?}") == format!("{whole:?}"));
            assert!(same, "it depends on where the body is cut");
            judge(&whole, body, media_type);
        }
    }
}

fn response(status: http::StatusCode, media_type: &str, pieces: Vec<&[u8]>) -> Option<Response> {
    let pieces: Vec<_> = pieces
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    http::Response::builder()
        .status(status)
        .header("content-type", media_type)
        .body(Body::wrap_stream(stream::iter(pieces)))
        .ok()
        .map(Into::into)
}

fn read(response: Response, era: Era, in_session: bool, probing: bool) -> Seen {
    let (id, heard) = (Id::number(7), Heard::default());
    let answering =
        |_: Id, _: Outcome| -> BoxFuture<'_, Result<(), BackendError>> { ready(Ok(())).boxed() };
    let reading = Reading {
        endpoint: endpoint(),
        addressee: &id,
        era,
        probing,
        in_session,
        idle: None,
        listener: &heard,
        answering: &answering,
        resume: None,
    };
    let outcome = reading.answer(response).now_or_never();
    let outcome = outcome.expect("a body that has ended is not waited for");
    (outcome, heard.0.into_inner().unwrap())
}

fn judge((outcome, heard): &Seen, body: &[u8], media_type: &str) {
    match outcome {
        Ok(Outcome::Result(carried) | Outcome::Error(carried)) => {
            assert!(carried.is_object(), "{carried:?}");
            assert!(carried.as_bytes().len() <= CAP, "over the cap");
            serde_json::from_slice::<&RawValue>(carried.as_bytes()).expect("JSON");
            // Lines of an event are joined, so there it need not stand in one piece.
            let carried = carried.as_bytes();
            let whole = body.windows(carried.len()).any(|part| part == carried);
            assert!(
                whole || media_type.contains("event-stream"),
                "not as it was sent"
            );
        }
        Err(error) => {
            let message = error.explain("http://127.0.0.1/mcp");
            assert_readable(&message);
            let shows = message.contains(SECRET) || message.contains(&SECRET[..8]);
            assert!(!shows, "{message}");
        }
    }
    assert!(heard.len() <= body.len() / 8, "heard more than was said");
}

/// Notes what is heard beside the answer, and refuses every question.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Listener for Heard {
    fn notification(&self, notification: Notification) {
        self.0.lock().unwrap().push(notification.method);
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.0.lock().unwrap().push(request.method);
        ready(Outcome::Error(RawJson::trusted(
            r#"{"code":-1,"message":"no"}"#,
        )))
        .boxed()
    }
}
