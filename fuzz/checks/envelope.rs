//! JSON-RPC messages: an accepted message is valid, and its content is kept byte for byte.

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
    let fast = parse_fast(&bytes);
    let value: Result<&RawValue, _> = serde_json::from_slice(data);
    let message = match (json(bytes), value) {
        (Ok(message), Ok(value)) => {
            assert_eq!(message.as_str(), value.get());
            message
        }
        (Err(error), Err(_)) => {
            assert_eq!(error.code, PARSE_ERROR);
            assert_readable(&error.message);
            return assert!(fast.is_none());
        }
        (ours, theirs) => panic!("parsers differ: {ours:?} and {theirs:?}"),
    };
    for element in elements(&message).into_iter().flatten() {
        let _ = one_message(&element);
    }
    let slow = one_message(&message);
    if let Some(fast) = fast {
        assert_eq!(
            format!("{fast:?}"),
            format!("{:?}", slow.expect("a message"))
        );
    }
}

/// Checks one message; returns it if it is valid.
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
    assert!(message.is_object(), "not an object: {message:?}");
    // serde_json refuses lone surrogates: then there is nothing to compare with.
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
                assert_kept(text("params"), request.params.as_ref());
            }
            Inbound::Notification(notification) => {
                assert_eq!(text("id"), None);
                assert_kept(text("params"), notification.params.as_ref());
            }
            Inbound::Response(response) => match &response.outcome {
                Outcome::Result(result) => assert_eq!(text("result"), Some(result.as_str())),
                Outcome::Error(error) => assert_eq!(text("error"), Some(error.as_str())),
            },
        }
    }
    assert_round_trip(&read);
    Some(read)
}

fn assert_kept(sent: Option<&str>, read: Option<&RawJson>) {
    assert_eq!(
        sent.filter(|params| *params != "null"),
        read.map(RawJson::as_str)
    );
}

/// A message that is written is one line, and reads as the same message.
fn assert_round_trip(read: &Inbound) {
    let line = match read {
        Inbound::Request(request) => {
            message::request(&request.id, &request.method, request.params.as_ref())
        }
        Inbound::Notification(notification) => {
            message::notification(&notification.method, notification.params.as_ref())
        }
        Inbound::Response(response) => {
            assert_parts_equal_whole(response);
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

/// A large response in parts is the same as in one buffer.
fn assert_parts_equal_whole(response: &Response) {
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
    assert!(whole == written, "the parts differ from the whole");
    serde_json::from_slice::<&RawValue>(&written).expect("JSON");
}
