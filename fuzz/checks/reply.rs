//! The body of an HTTP response: at most one outcome, independent of how the body is split, within
//! the size limit; and an error that can be shown to the user.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, stream};
use hyper::http;
use reqwest::Body;
use sentinel_gateway::backend::http::{Credentials, Endpoint, Response};
use sentinel_gateway::backend::stream::ResponseReader;
use sentinel_gateway::backend::{BackendError, ServerMessageHandler};
use sentinel_gateway::budget::Budget;
use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::protocol::{Era, Id, Notification, Outcome, RawJson, Request};
use sentinel_gateway::transport::http::Pool;
use serde_json::value::RawValue;

use super::rng::Rng;
use super::{assert_readable, chance_of, pieces};

/// The bearer token that is sent to the backend, and that the backend may repeat.
pub const SECRET: &str = "a-secret-token";
const CAP: usize = 2048;

/// Budget of one response, in bytes.
const ROOM: usize = 1 << 20;

thread_local! {
    static ENDPOINT: Endpoint = {
        let flags = Overrides {
            backends: vec![("fuzz".into(), "http://127.0.0.1/mcp".into())],
            bearer_env: vec![("fuzz".into(), "TOKEN".into())],
            ..Overrides::default()
        };
        let environment = Environment::new("no-such-folder")
            .with_variables(|name| (name == "TOKEN").then(|| SECRET.into()));
        let config = load(&flags, &environment).unwrap();
        let (pool, budget) = (Pool::default(), Budget::new(ROOM));
        let backend = &config.backends[0];
        let credentials = Arc::new(Credentials::new(Arc::clone(backend), &pool));
        let resolved = Endpoint::resolve(backend, credentials, &pool, CAP, budget);
        resolved.now_or_never().expect("it does not wait").unwrap()
    };
}

/// Calls `look` with an endpoint whose bearer token is [`SECRET`].
pub fn with_endpoint(look: impl FnOnce(&Endpoint)) {
    ENDPOINT.with(look);
}

/// The outcome of one response, and the methods of its notifications.
type Seen = (Result<Outcome, BackendError>, Vec<String>);

/// The first line has the status and the content type; the body follows. The expected response has
/// the id 7.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (head, body) = end.map_or((data, &b""[..]), |at| (&data[..at], &data[at + 1..]));
    let head = String::from_utf8_lossy(head);
    let (status, media_type) = head.split_once(' ').unwrap_or((&head, ""));
    let Ok(status) = status.parse::<http::StatusCode>() else {
        return;
    };
    let rng = &mut chance_of(data);
    with_endpoint(|endpoint| holds(endpoint, status, media_type, body, rng));
}

fn holds(
    endpoint: &Endpoint,
    status: http::StatusCode,
    media_type: &str,
    body: &[u8],
    rng: &mut Rng,
) {
    for era in [Era::Legacy, Era::Modern] {
        for (in_session, probing) in [(false, false), (true, false), (false, true)] {
            let read = |pieces: Vec<&[u8]>| {
                let response = response(endpoint, status, media_type, pieces)?;
                Some(read(endpoint, response, era, in_session, probing))
            };
            let Some(whole) = read(vec![body]) else {
                return;
            };
            let pieces = pieces(rng, body.len());
            let cut = read(pieces.into_iter().map(|piece| &body[piece]).collect());
            let same = cut.is_some_and(|cut| format!("{cut:?}") == format!("{whole:?}"));
            assert!(same, "the outcome depends on where the body is split");
            assert_outcome(&whole, body, media_type);
        }
    }
    // All bytes of the response are released.
    endpoint
        .budget
        .charge()
        .cover(ROOM)
        .expect("the whole budget is free");
}

fn response(
    endpoint: &Endpoint,
    status: http::StatusCode,
    media_type: &str,
    pieces: Vec<&[u8]>,
) -> Option<Response> {
    let pieces: Vec<_> = pieces
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    http::Response::builder()
        .status(status)
        .header("content-type", media_type)
        .body(Body::wrap_stream(stream::iter(pieces)))
        .ok()
        .map(|response| endpoint.response(response.into()))
}

fn read(
    endpoint: &Endpoint,
    response: Response,
    era: Era,
    in_session: bool,
    probing: bool,
) -> Seen {
    let (id, received) = (Id::number(7), Received::default());
    let responder =
        |_: Id, _: Outcome| -> BoxFuture<'_, Result<(), BackendError>> { ready(Ok(())).boxed() };
    let reading = ResponseReader {
        endpoint,
        sink: &id,
        era,
        probing,
        in_session,
        idle: None,
        handler: &received,
        responder: &responder,
        resume: None,
        trace: None,
    };
    let outcome = soon(reading.answer(response));
    (outcome, received.0.into_inner().unwrap())
}

/// The result of reading a complete body, which waits for nothing but its turns.
fn soon<T>(reading: impl Future<Output = T>) -> T {
    let mut reading = pin!(reading);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(read) = reading.as_mut().poll(&mut context) {
            return read;
        }
    }
    panic!("a complete body needs no waiting");
}

fn assert_outcome((outcome, notifications): &Seen, body: &[u8], media_type: &str) {
    match outcome {
        Ok(Outcome::Result(carried) | Outcome::Error(carried)) => {
            assert!(carried.is_object(), "{carried:?}");
            assert!(carried.as_bytes().len() <= CAP, "over the limit");
            serde_json::from_slice::<&RawValue>(carried.as_bytes()).expect("JSON");
            // The lines of an event are joined, so it may be in several parts there.
            let carried = carried.as_bytes();
            let whole = body.windows(carried.len()).any(|part| part == carried);
            assert!(
                whole || media_type.contains("event-stream"),
                "not as received"
            );
        }
        Err(error) => {
            let message = error.explain("http://127.0.0.1/mcp");
            assert_readable(&message);
            assert!(!message.contains(SECRET), "{message}");
            // Nor the beginning of the secret, unless the backend sends that without the rest.
            let sent = [media_type.as_bytes(), body].concat();
            let mut rest = String::from_utf8_lossy(&sent).to_lowercase();
            // Messages have no hidden characters.
            rest.retain(|c| c.is_ascii_graphic());
            let rest = rest.replace(SECRET, "");
            let beginning = &SECRET[..8];
            let shows = message.contains(beginning) && !rest.contains(beginning);
            assert!(!shows, "{message}");
        }
    }
    assert!(
        notifications.len() <= body.len() / 8,
        "more notifications than the body can hold"
    );
}

/// Records notifications. Requests are refused and not recorded: whether a request that is
/// cancelled immediately is seen depends on how the body is split.
#[derive(Default)]
struct Received(Mutex<Vec<String>>);

impl ServerMessageHandler for Received {
    fn notification(&self, notification: Notification) {
        self.0.lock().unwrap().push(notification.method);
    }

    fn request(&self, _: Request) -> BoxFuture<'_, Outcome> {
        ready(Outcome::Error(RawJson::trusted(
            r#"{"code":-1,"message":"no"}"#,
        )))
        .boxed()
    }
}
