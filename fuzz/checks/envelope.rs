//! JSON-RPC messages: what is taken for one is one, and what is carried stays as it was.

use std::collections::BTreeMap;

use bytes::Bytes;
use sentinel_gateway::protocol::RawJson;
use sentinel_gateway::protocol::error::{INVALID_REQUEST, PARSE_ERROR};
use sentinel_gateway::protocol::message::{
    self, Id, Inbound, Outcome, Response, Written, elements, json, parse, parse_fast,
};
use serde_json::value::RawValue;

use super::{assert_readable, chance_of};

pub fn check(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let fast_path = parse_fast(&bytes);
    let value: Result<&RawValue, _> = serde_json::from_slice(data);
    let message = match (json(bytes), value) {
        (Ok(message), Ok(value)) => {
            assert_eq!(message.as_str(), value.get());
            message
        }
        (Err(error), Err(_)) => {
            assert_eq!(error.code, PARSE_ERROR);
            assert_readable(&error.message);
            return assert!(fast_path.is_none());
        }
        (ours, theirs) => panic!("JSON or not: {ours:?} and {theirs:?}"),
    };
    for element in elements(&message).into_iter().flatten() {
        let _ = one_message(&element);
    }
    let slow = one_message(&message);
    if let Some(fast_path) = fast_path {
        // What is taken at a glance is what a closer look finds.
        assert_eq!(
            format!("{fast_path:?}"),
            format!("{:?}", slow.expect("a message"))
        );
    }
}

/// Judges one message; returns it if it is one.
fn one_message(message: &RawJson) -> Option<Inbound> {
    let read = match parse(message) {
        Ok(read) => read,
        Err(malformed) => {
            assert!([PARSE_ERROR, INVALID_REQUEST].contains(&malformed.error.code));
            assert_readable(&malformed.error.message);
            if let Some(id) = malformed.id {
                assert!(message.as_str().contains(id.raw().as_str()));
            }
            return None;
        }
    };
    assert!(message.is_object(), "no message: {message:?}");
    // Half a surrogate pair is no text to anybody but us: then there is nothing to compare with.
    if let Ok(members) = message.read::<BTreeMap<String, &RawValue>>() {
        let text = |key: &str| members.get(key).map(|value| value.get());
        assert!(
            text("jsonrpc")
                .is_some_and(|version| serde_json::from_str::<String>(version).unwrap() == "2.0")
        );
        assert_eq!(
            text("method").is_some(),
            !matches!(read, Inbound::Response(_))
        );
        match &read {
            Inbound::Request(request) => {
                assert_eq!(text("id"), Some(request.id.raw().as_str()));
                carries(text("params"), request.params.as_ref());
            }
            Inbound::Notification(notification) => {
                assert_eq!(text("id"), None);
                carries(text("params"), notification.params.as_ref());
            }
            Inbound::Response(response) => match &response.outcome {
                Outcome::Result(result) => assert_eq!(text("result"), Some(result.as_str())),
                Outcome::Error(error) => assert_eq!(text("error"), Some(error.as_str())),
            },
        }
    }
    written_and_read_again(&read);
    Some(read)
}

fn carries(written: Option<&str>, carried: Option<&RawJson>) {
    assert_eq!(
        written.filter(|params| *params != "null"),
        carried.map(RawJson::as_str)
    );
}

/// What we write of a message reads as that message, and is one line.
fn written_and_read_again(read: &Inbound) {
    let line = match read {
        Inbound::Request(request) => {
            message::request(&request.id, &request.method, request.params.as_ref())
        }
        Inbound::Notification(notification) => {
            message::notification(&notification.method, notification.params.as_ref())
        }
        Inbound::Response(response) => {
            in_parts_or_whole(response);
            message::response(response.id.as_ref(), &response.outcome)
        }
    };
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let again = parse(&json(line).expect("JSON")).expect("a message");
    assert_eq!(on_one_line(&again), on_one_line(read));
}

fn on_one_line(message: &Inbound) -> String {
    format!("{message:?}").replace(['\n', '\r'], " ")
}

/// A large answer goes out in parts, which together are what the whole would have been.
fn in_parts_or_whole(response: &Response) {
    const LARGE: usize = 64 * 1024;
    let (Outcome::Result(carried) | Outcome::Error(carried)) = &response.outcome;
    if !chance_of(carried.as_bytes()).one_in(50) {
        return;
    }
    let copies = LARGE / carried.as_bytes().len() + 1;
    let large = format!("[{}]", vec![carried.as_str(); copies].join(","));
    let outcome = Outcome::Result(RawJson::parse(large.into()).expect("JSON"));
    let id = response.id.clone().unwrap_or_else(|| Id::number(1));
    let whole = message::response(Some(&id), &outcome);
    let written = match message::response_as_is(&id, &outcome) {
        Written::Whole(text) => text.to_vec(),
        Written::Parts(parts) => parts.concat(),
    };
    assert!(whole == written, "written in another way");
    serde_json::from_slice::<&RawValue>(&written).expect("JSON");
}
